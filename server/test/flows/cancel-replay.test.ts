// A replay that is canceled while its receiver is slow: what has begun to be sent ends by itself, and nothing else is sent,
// although the dispatchers have claimed more ahead; what was missing is missing again long before the receiver answers.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Delivery } from "#contract/deliveries.ts";
import type { Replay } from "#contract/replays.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { sql } from "../../src/platform/sql.ts";
import { createCaller } from "../support/caller.ts";
import { startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite } from "../support/site.ts";
import { knowOf, startTogether } from "../support/together.ts";
import { waitUntil } from "../support/wait.ts";

const EVENTS = 60;
/** Handed out before anything is taken. */
const HANDED_OUT = 20;
const LINKS = 10;
const RANGE = { since: "2026-01-01T00:00:00Z", until: "9999-01-01T00:00:00Z" };

for (const ordering of ["none", "link"] as const) {
  test(`what one process has claimed ahead is taken back, with the order ${ordering}`, async (t) => {
    const server = await startServer();
    await cancelWhileHeld(t, server, { max_in_flight: 1, ordering }, async () => {});
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.doesNotMatch(server.stdout(), /"level":"error"/);
  });
}

test("a process that is killed after a cancel sends nothing of the replay at its next start, and leaves nothing open", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "linkme-cancel-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  const env = { LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url") };
  const first = await startServer({ dir, env });
  const { receiver, call, replay_id } = await replayHeld(t, first, { max_in_flight: 1 });
  await call(first, 202, "POST", `/api/replays/${replay_id}/cancel`);
  await first.kill9();
  const second = await startServer({ dir, env });
  const over = await waitUntil(async () => {
    const replay = await call<Replay>(second, 200, "GET", `/api/replays/${replay_id}`);
    return replay.finished_at !== null && replay;
  }, "the replay to be over");
  assert.equal(receiver.received.length, 1, "nothing has been sent since");
  // Of what it had claimed nobody knows whether it was sent, unless it had let go of it.
  const { succeeded, failed, canceled, pending } = over;
  assert.deepEqual([succeeded, failed + canceled, pending], [0, HANDED_OUT, 0]);
  assert.ok(failed >= 1, "the one that was being sent");
  assert.deepEqual(await second.stop(), { code: 0, signal: null });
});

test("what two dispatchers have claimed ahead is taken back when a third process cancels", async (t) => {
  const { database_url, processes } = await startTogether(t, ["edge,api", "dispatcher", "dispatcher"]);
  const [edge, ...dispatchers] = processes;
  const db = await openDatabase(database_url);
  t.after(() => db.close());
  await knowOf(dispatchers, 2);
  await cancelWhileHeld(t, edge, { max_in_flight: 2 }, async () => {
    const leased = sql`select count(*) as n from deliveries where leased = 1`;
    // Each keeps four rounds beside what it sends.
    await waitUntil(async () => ((await db.query<{ n: number }>(leased))[0]?.n ?? 0) >= 8, "both to claim ahead");
  });
  for (const process of processes) {
    assert.deepEqual(await process.stop(), { code: 0, signal: null });
    assert.doesNotMatch(process.stdout(), /"level":"error"/);
  }
});

/** A replay of what was missed, at a receiver that takes requests and answers none until it is set free. */
async function replayHeld(
  t: TestContext,
  server: ServerProcess,
  settings: { max_in_flight: number; ordering?: string },
) {
  const free = Promise.withResolvers<object>();
  const receiver = await startReceiver(() => free.promise);
  t.after(() => receiver.close());
  const site = await createSite(server, receiver.url, [
    { path: "/slow", settings: { ...settings, timeout_ms: 60_000 } },
  ]);
  const [hook] = site.hooks;
  const call = createCaller(site);
  const ingest = (count: number) => {
    const events = Array.from({ length: count }, (_, n) => {
      return { event: "link.app_open", data: { n, link_id: `link-${n % LINKS}` } };
    });
    return call(server, 202, "POST", `/api/apps/${site.app_id}/events`, { events });
  };
  const webhook = `/api/webhooks/${hook?.id}`;
  await call(server, 200, "PATCH", webhook, { enabled: false });
  await ingest(EVENTS);
  await call(server, 200, "PATCH", webhook, { enabled: true });
  const { id } = await call<Replay>(server, 202, "POST", `${webhook}/replays`, RANGE);
  await receiver.waitFor(settings.max_in_flight);
  return { receiver, free, call, ingest, webhook, replay_id: id };
}

async function cancelWhileHeld(
  t: TestContext,
  server: ServerProcess,
  settings: { max_in_flight: number; ordering?: string },
  claimedAhead: () => Promise<void>,
): Promise<void> {
  const { receiver, free, call, ingest, webhook, replay_id } = await replayHeld(t, server, settings);
  const { max_in_flight } = settings;
  const show = () => call<Replay>(server, 200, "GET", `/api/replays/${replay_id}`);
  await claimedAhead();
  await call(server, 202, "POST", `/api/replays/${replay_id}/cancel`);

  const held = await waitUntil(async () => {
    const replay = await show();
    return replay.pending === max_in_flight && replay;
  }, "all but what is being sent to be taken back");
  assert.deepEqual(countsOf(held), [HANDED_OUT, 0, 0, HANDED_OUT - max_in_flight]);
  assert.equal(held.finished_at, null, "something is being sent");
  free.resolve({});
  const over = await waitUntil(async () => {
    const replay = await show();
    return replay.finished_at !== null && replay;
  }, "the replay to be over");
  assert.deepEqual(countsOf(over), [HANDED_OUT, max_in_flight, 0, HANDED_OUT - max_in_flight]);
  assert.equal(receiver.received.length, max_in_flight, "nothing has been sent since");

  const { items } = await call<{ items: Delivery[] }>(server, 200, "GET", `${webhook}/deliveries`);
  assert.deepEqual(
    items.map(({ event_id, state }) => [event_id, state]).sort(),
    receiver.received.map((request) => [request.headers["webhook-id"], "succeeded"]).sort(),
  );
  const { count } = await call<{ count: number }>(server, 200, "POST", `${webhook}/replays`, {
    ...RANGE,
    dry_run: true,
  });
  assert.equal(count, EVENTS - max_in_flight, "the rest is missing again");
  // Of every link, those of what was taken back included.
  await ingest(LINKS);
  await receiver.waitFor(max_in_flight + LINKS);
  const again = await call<Replay>(server, 202, "POST", `${webhook}/replays`, RANGE);
  assert.equal(again.total, EVENTS - max_in_flight);
  await receiver.waitFor(LINKS + EVENTS);
}

function countsOf({ created, succeeded, failed, canceled }: Replay): number[] {
  return [created, succeeded, failed, canceled];
}
