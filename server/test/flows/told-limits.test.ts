// A process that only answers people, and two that deliver, on one PostgreSQL: a receiver asks for less, and whoever asks the
// first one why the webhook is slow is told, of both together, for as long as they are there. Without them a replay says so.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Replay } from "#contract/replays.ts";
import { startReceiver } from "../support/receiver.ts";
import { createSite } from "../support/site.ts";
import { knowOf, startTogether } from "../support/together.ts";
import { waitUntil } from "../support/wait.ts";

interface Limits {
  concurrency_limit: number | null;
  rate_limit_per_second: number | null;
  held_until: string | null;
  limited_because: string | null;
}

/** Alone: of both of them. */
const ASKED_FOR_LESS = "The receiver asked for less (429 or Retry-After).";
const MAX_IN_FLIGHT = 40;
const EVENTS = 100;
/** Longer than this test takes. */
const RETRY_AFTER_S = 60;

test("a process that delivers nothing says why a webhook is slow at those that do", async (t) => {
  const receiver = await startReceiver(({ path }) =>
    path === "/busy" ? { status: 429, headers: { "retry-after": String(RETRY_AFTER_S) } } : {},
  );
  t.after(() => receiver.close());
  const { processes } = await startTogether(t, ["api", "dispatcher", "dispatcher"]);
  const [api, first, second] = processes;
  await knowOf([first, second], 2);
  const settings = { max_in_flight: MAX_IN_FLIGHT };
  const site = await createSite(api, receiver.url, [
    { path: "/busy", settings, events: ["link.click"] },
    { path: "/idle", settings, events: ["link.claim"] },
  ]);
  const [busy, idle] = site.hooks;
  assert.ok(busy !== undefined && idle !== undefined);
  const headers = { authorization: `Bearer ${api.admin_token}` };
  const send = async () => {
    const events = Array.from({ length: EVENTS }, (_, n) => ({ event: "link.click", data: { n } }));
    const answer = await api.request("POST", `/api/apps/${site.app_id}/events`, { events }, headers);
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
  };
  const look = async (id: string) => {
    const { status, body } = await api.request<{ health: Limits }>("GET", `/api/webhooks/${id}`, undefined, headers);
    assert.equal(status, 200);
    return limitsOf(body);
  };
  const full = {
    ...{ concurrency_limit: MAX_IN_FLIGHT, rate_limit_per_second: null },
    ...{ held_until: null, limited_because: null },
  };
  assert.deepEqual(await look(busy.id), full);

  // Whoever is quicker takes most of what is due, so more is sent until both were refused often enough to wait.
  const sendUntilHeld = async () => {
    await send();
    const limits = await look(busy.id);
    return limits.held_until !== null && limits.limited_because === ASKED_FOR_LESS ? limits : null;
  };
  const limits = await waitUntil(sendUntilHeld, "both dispatchers to hold back", { poll_ms: 500 });
  assert.ok(Date.parse(limits.held_until ?? "") > Date.now());
  assert.ok(limits.concurrency_limit !== null && limits.concurrency_limit >= 2, "at least one at a time of each");
  assert.ok(limits.concurrency_limit < MAX_IN_FLIGHT);
  assert.ok(limits.rate_limit_per_second !== null && limits.rate_limit_per_second > 0);
  assert.deepEqual(await look(idle.id), full);
  const page = await api.request<{ items: { id: string; health: Limits }[] }>(
    "GET",
    `/api/apps/${site.app_id}/webhooks`,
    undefined,
    headers,
  );
  const listed = page.body.items.find(({ id }) => id === busy.id);
  assert.ok(listed !== undefined);
  assert.match(limitsOf(listed).limited_because ?? "", /^The receiver asked for less/);

  assert.deepEqual(await first.stop(), { code: 0, signal: null });
  const alone = await look(busy.id);
  assert.equal(alone.limited_because, ASKED_FOR_LESS);
  assert.deepEqual(await second.stop(), { code: 0, signal: null });
  const nobody = await look(busy.id);
  assert.match(nobody.limited_because ?? "", /^No process with the role dispatcher/);
  assert.equal(nobody.concurrency_limit, null);
  const range = { since: "2000-01-01T00:00:00Z", until: "9999-12-31T00:00:00Z", events: ["link.click"] };
  const asked = await api.request<Replay>("POST", `/api/webhooks/${idle.id}/replays`, range, headers);
  assert.equal(asked.status, 202, JSON.stringify(asked.body));
  const replay = await api.request<Replay>("GET", `/api/replays/${asked.body.id}`, undefined, headers);
  for (const { state, reason } of [asked.body, replay.body]) {
    assert.equal(state, "running");
    assert.match(reason ?? "", /^No process with the role dispatcher .* Start a process with the role dispatcher/);
  }
  assert.deepEqual(await api.stop(), { code: 0, signal: null });
  for (const { stdout } of [api, first, second]) assert.doesNotMatch(stdout(), /"level":"error"/);
});

function limitsOf({ health }: { health: Limits }): Limits {
  const { concurrency_limit, rate_limit_per_second, held_until, limited_because } = health;
  return { concurrency_limit, rate_limit_per_second, held_until, limited_because };
}
