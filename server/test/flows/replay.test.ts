// What a webhook missed while it was off is sent once it is on: 2,000 events, a process that is killed in the middle of
// their replay, and one that goes on with it. Each arrives once, with its own bytes; only what was in flight when the
// process died may come twice.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { EventType } from "#contract/events.ts";
import type { Replay } from "#contract/replays.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite, type Site } from "../support/site.ts";
import { waitUntil } from "../support/wait.ts";

const EVENTS = 2_000;
const BATCH = 500;
/** Requests at the receiver after which the process is killed. */
const KILL_AFTER = 700;
const IN_FLIGHT_MAX = 20;
/** Answered and not recorded when the process died: what one transaction records at most, beside what was in flight. */
const UNRECORDED_MAX = IN_FLIGHT_MAX + 500;
/** On PostgreSQL the leases of the dead process run out after 45 s; the rest is for a busy machine. */
const DONE_TIMEOUT_MS = 150_000;

describe("a replay whose process is killed", { concurrency: 2 }, () => {
  test("goes on at the next start, on SQLite", async (t) => {
    await replayAcrossKill(t, {});
  });

  test("goes on at the next start, on PostgreSQL", async (t) => {
    const database = await createTestDatabase();
    t.after(() => database.drop());
    await replayAcrossKill(t, { DATABASE_URL: database.url });
  });
});

async function replayAcrossKill(t: TestContext, settings: Record<string, string>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), "linkme-replay-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const receiver = await startReceiver();
  t.after(() => receiver.close());
  const env = { ...settings, LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url") };
  const first = await startServer({ dir, env });
  const site = await createSite(first, receiver.url, [{ path: "/all", settings: { max_in_flight: IN_FLIGHT_MAX } }]);
  const [hook] = site.hooks;
  assert.ok(hook !== undefined);
  const call = createCaller(site);
  await call(first, 200, "PATCH", `/api/webhooks/${hook.id}`, { enabled: false });
  const ids = await ingest(first, site, call);
  const range = { since: "2026-01-01T00:00:00Z", until: "9999-01-01T00:00:00Z", states: ["missing"] };
  const replays = `/api/webhooks/${hook.id}/replays`;
  await call(first, 409, "POST", replays, range);
  await call(first, 200, "PATCH", `/api/webhooks/${hook.id}`, { enabled: true });
  const preview = await call<{ count: number }>(first, 200, "POST", replays, { ...range, dry_run: true });
  assert.equal(preview.count, EVENTS);
  const started = await call<Replay>(first, 202, "POST", replays, range);
  assert.deepEqual([started.state, started.total], ["running", EVENTS]);

  await receiver.waitFor((received) => received.length >= KILL_AFTER, `${KILL_AFTER} requests`);
  await first.kill9();
  const second = await startServer({ dir, env });
  const show = () => call<Replay>(second, 200, "GET", `/api/replays/${started.id}`);
  const done = await waitUntil(
    async () => {
      const replay = await show();
      return replay.state === "done" && replay;
    },
    "the replay to be done",
    { timeout_ms: DONE_TIMEOUT_MS, poll_ms: 100 },
  );
  const { created, succeeded, failed, canceled, pending } = done;
  assert.deepEqual([created, succeeded, failed, canceled, pending], [EVENTS, EVENTS, 0, 0, 0]);
  const repeated = await assertArrived(receiver, ids, (id) => call(second, 200, "GET", `/api/events/${id}`));
  t.diagnostic(`${repeated} of ${EVENTS} came twice`);
  assert.deepEqual(await second.stop(), { code: 0, signal: null });
  assert.doesNotMatch(second.stdout(), /"level":"error"/);
}

type Call = ReturnType<typeof createCaller>;

function createCaller(site: Site) {
  const headers = { authorization: `Bearer ${site.admin_token}` };
  return async function call<Body = unknown>(
    server: ServerProcess,
    status: number,
    ...[method, path, body]: [method: string, path: string, body?: object]
  ): Promise<Body> {
    const answer = await server.request<Body>(method, path, body, headers);
    assert.equal(answer.status, status, JSON.stringify(answer.body));
    return answer.body;
  };
}

async function ingest(server: ServerProcess, site: Site, call: Call): Promise<string[]> {
  const ids: string[] = [];
  const event: EventType = "link.app_open";
  for (let n = 0; n < EVENTS; n += BATCH) {
    const events = Array.from({ length: BATCH }, (_, index) => ({ event, data: { n: n + index, text: "über 🔗" } }));
    const path = `/api/apps/${site.app_id}/events`;
    const { accepted } = await call<{ accepted: string[] }>(server, 202, "POST", path, { events });
    ids.push(...accepted);
  }
  return ids;
}

/** Every event, each with equal bytes and the envelope that is stored; answers how many came more than once. */
async function assertArrived(
  { received }: Receiver,
  ids: readonly string[],
  getEvent: (id: string) => Promise<unknown>,
): Promise<number> {
  const by_id = Map.groupBy(received, ({ headers }) => String(headers["webhook-id"]));
  assert.deepEqual([...by_id.keys()].sort(), [...ids].sort());
  const isSame = (one: ReceivedRequest, other: ReceivedRequest | undefined) => other?.body.equals(one.body) === true;
  let repeated = 0;
  for (const [id, requests] of by_id) {
    assert.ok(
      requests.every((request) => isSame(request, requests[0])),
      `the bytes of ${id}`,
    );
    assert.equal(JSON.parse(String(requests[0]?.body)).id, id);
    repeated += requests.length - 1;
  }
  assert.ok(repeated <= UNRECORDED_MAX, `${repeated} came again`);
  for (const id of [ids[0] ?? "", ids[EVENTS - 1] ?? ""]) {
    const { fates: _, ...envelope } = (await getEvent(id)) as { fates: unknown };
    assert.equal(String(by_id.get(id)?.[0]?.body), JSON.stringify(envelope));
  }
  return repeated;
}
