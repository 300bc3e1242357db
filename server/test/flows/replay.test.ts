// What a webhook missed while it was off is sent once it is on: 2,000 events, a process that is killed in the middle of
// their replay, and one that goes on with it. Each arrives once, with its own bytes; only what was in flight when the
// process died may come twice.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { Webhook } from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import type { Replay } from "#contract/replays.ts";
import { type Call, createCaller } from "../support/caller.ts";
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
const RANGE = { since: "2026-01-01T00:00:00Z", until: "9999-01-01T00:00:00Z" };
const FRESH_AFTER = 50;
/** Of a webhook that takes one request at a time: what waits, and what is in flight or handed out meanwhile. */
const WAITING_MAX = 20 + 5;
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
  const { call, ids, replays } = await missEvents(first, site);
  const preview = await call<{ count: number }>(first, 200, "POST", replays, { ...RANGE, dry_run: true });
  assert.equal(preview.count, EVENTS);
  const started = await call<Replay>(first, 202, "POST", replays, RANGE);
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

test("a fresh event waits for a few of a replay's deliveries and not for the replay", async (t) => {
  const receiver = await startReceiver();
  t.after(() => receiver.close());
  const server = await startServer();
  const site = await createSite(server, receiver.url, [{ path: "/one", settings: { max_in_flight: 1 } }]);
  const { call, ids, replays } = await missEvents(server, site);
  await call(server, 202, "POST", replays, RANGE);
  await receiver.waitFor(FRESH_AFTER);
  const path = `/api/apps/${site.app_id}/events`;
  const { accepted } = await call<{ accepted: string[] }>(server, 202, "POST", path, { event: "link.click", data: {} });
  const before = receiver.received.length;
  const find = () => receiver.received.findIndex(({ headers }) => headers["webhook-id"] === accepted[0]);
  await receiver.waitFor(() => find() !== -1, "the fresh event");
  assert.ok(find() - before <= WAITING_MAX, `${find() - before} before it`);
  assert.ok(find() < ids.length / 2, "the replay is far from its end");
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test("a replay to a receiver that fails pauses itself, and ends when it is resumed and the receiver is well", async (t) => {
  const receiver = await startReceiver(() => ({ status: 500 }));
  t.after(() => receiver.close());
  const server = await startServer();
  const site = await createSite(server, receiver.url, [{ path: "/ill", settings: { retry_schedule: [] } }]);
  const { call, replays } = await missEvents(server, site);
  const { id } = await call<Replay>(server, 202, "POST", replays, RANGE);
  const show = () => call<Replay>(server, 200, "GET", `/api/replays/${id}`);
  const paused = await waitUntil(async () => {
    const replay = await show();
    return replay.state === "paused" && replay.pending === 0 && replay;
  }, "the replay to pause itself");
  assert.match(
    paused.reason ?? "",
    /of the last \d+ attempts of replays failed\. When .* POST \/api\/replays\/rpl_\w+\/resume\.$/,
  );
  assert.ok(paused.created < 50, `${paused.created} were sent all the same`);
  assert.equal(paused.failed, paused.created);
  const [hook] = site.hooks;
  const { health } = await call<{ health: Webhook["health"] }>(server, 200, "GET", `/api/webhooks/${hook?.id}`);
  assert.equal(health.consecutive_failures, 0, "replays say nothing about health");
  receiver.setAnswer(() => ({ status: 204 }));
  await call(server, 202, "POST", `/api/replays/${id}/resume`);
  const done = await waitUntil(async () => {
    const replay = await show();
    return replay.state === "done" && replay;
  }, "the replay to be done");
  assert.deepEqual([done.created, done.succeeded], [EVENTS, EVENTS - paused.failed]);
  const again = await call<{ count: number }>(server, 200, "POST", replays, { ...RANGE, dry_run: true });
  assert.equal(again.count, paused.failed, "what has failed is what the next replay would send");
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

/** A webhook that was off while 2,000 events came, and is on again. */
async function missEvents(server: ServerProcess, site: Site) {
  const [hook] = site.hooks;
  assert.ok(hook !== undefined);
  const call = createCaller(site);
  const replays = `/api/webhooks/${hook.id}/replays`;
  await call(server, 200, "PATCH", `/api/webhooks/${hook.id}`, { enabled: false });
  const ids = await ingest(server, site, call);
  await call(server, 409, "POST", replays, RANGE);
  await call(server, 200, "PATCH", `/api/webhooks/${hook.id}`, { enabled: true });
  return { call, ids, replays };
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
