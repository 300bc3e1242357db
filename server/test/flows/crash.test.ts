// What an answer promises survives `kill -9`: the server is killed again and again while it works, restarted on what it
// left on the disk, and drained. Then everything that was answered must have arrived, with equal bytes, and nothing may
// have been sent twice but what was in flight when a process died.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { describe, type TestContext, test } from "node:test";
import { SETTLEMENTS_MAX } from "../../src/deliveries/settling.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { waitUntilDrained } from "../support/drain.ts";
import {
  assertBatchesWhole,
  assertPromisesKept,
  assertRepeatsExplained,
  assertWhole,
  readLedger,
} from "../support/ledger.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { createRandom, type Random } from "../support/random.ts";
import { type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import { type ServerOptions, type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite, type Site } from "../support/site.ts";
import { createTraffic, type Traffic } from "../support/traffic.ts";
import { waitUntil } from "../support/wait.ts";

const KILLS = 20;
/** Answers, or requests at the receiver, after which a process is killed: at most so many. */
const LIFE_MAX = 200;
const HOOK_IN_FLIGHT_MAX = 20;
/** On PostgreSQL the leases of dead processes run out after 45 s; the rest is for a busy machine. */
const DRAIN_TIMEOUT_MS = 120_000;
const REFUSED_SHARE = 8;
const HOOKS = [
  { path: "/all", settings: { max_in_flight: HOOK_IN_FLIGHT_MAX, retry_schedule: Array(10).fill(1) } },
  { path: "/clicks", events: ["link.click"], settings: { max_in_flight: HOOK_IN_FLIGHT_MAX } },
];

// Side by side: the one waits for leases to run out while the other one is killed.
describe("crashes", { concurrency: 2 }, () => {
  test(`on SQLite, what was answered is delivered after ${KILLS} kills, and the file is sound`, async (t) => {
    const dir = createFolder(t);
    const run = await killAgainAndAgain(t, { dir });
    await verify(t, run, `file:${join(dir, "linkme.db")}`);
    const file = new DatabaseSync(join(dir, "linkme.db"));
    assert.equal(file.prepare("pragma integrity_check").get()?.["integrity_check"], "ok");
    assert.deepEqual(file.prepare("pragma foreign_key_check").all(), []);
    file.close();
  });

  test(`on PostgreSQL, what was answered is delivered after ${KILLS} kills`, async (t) => {
    const database = await createTestDatabase();
    t.after(() => database.drop());
    const run = await killAgainAndAgain(t, { dir: createFolder(t), env: { DATABASE_URL: database.url } });
    await verify(t, run, database.url);
  });
});

interface Run {
  site: Site;
  traffic: Traffic;
  receiver: Receiver;
  /** When each process was started, oldest first. */
  starts: Date[];
}

/** Twenty short lives under load, and a last one that drains what they left. */
async function killAgainAndAgain(t: TestContext, place: ServerOptions): Promise<Run> {
  const random = createRandom();
  t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
  const receiver = await startReceiver(refuseSomeFirstAttempts);
  t.after(() => receiver.close());
  const env = { ...place.env, LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url") };
  const starts: Date[] = [];
  const start = () => {
    starts.push(new Date());
    return startServer({ ...place, env });
  };
  let server = await start();
  const site = await createSite(server, receiver.url, HOOKS);
  const traffic = createTraffic(site, random);
  // Only a process that ends in order leaves its compiled code behind for the quick starts that follow.
  await server.stop();
  server = await start();
  for (let kills = 0; kills < KILLS; kills++) {
    await liveAndDie(server, { traffic, receiver, random });
    server = await start();
  }
  await waitUntilDrained([server], site, DRAIN_TIMEOUT_MS);
  await resendCutBatches(server, site, traffic);
  await waitUntilDrained([server], site, DRAIN_TIMEOUT_MS);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assertNoError(server);
  return { site, traffic, receiver, starts };
}

/** Loads a server until a moment that chance chooses, and kills it there. */
async function liveAndDie(
  server: ServerProcess,
  { traffic, receiver, random }: { traffic: Traffic; receiver: Receiver; random: Random },
): Promise<void> {
  const progress = random.below(2) === 0 ? () => traffic.counts.answered : () => receiver.received.length;
  const end = progress() + random.below(LIFE_MAX);
  const sending = traffic.run(server.url);
  await Promise.race([sending, waitUntil(() => progress() >= end, "the moment of the next kill")]);
  await server.kill9();
  await sending;
  assertNoError(server);
}

function assertNoError(server: ServerProcess): void {
  const errors = server.stdout().match(/^.*"level":"error".*$/gm);
  assert.equal(errors, null, `A server that was only killed has logged an error: ${errors?.[0]}`);
}

/** Some deliveries wait for a retry when a process dies. */
function refuseSomeFirstAttempts({ headers }: ReceivedRequest) {
  const isChosen = Number.parseInt(String(headers["webhook-id"]).slice(-2), 16) % REFUSED_SHARE === 0;
  return { status: isChosen && headers["x-linkme-attempt"] === "1" ? 503 : 200 };
}

/** Whoever was cut off sends the same ids again: what had been stored is a duplicate, the rest is new. */
async function resendCutBatches(server: ServerProcess, site: Site, { promises }: Traffic): Promise<void> {
  const headers = { authorization: `Bearer ${site.admin_token}` };
  for (const ids of promises.cut_batches) {
    const events = ids.map((id) => ({ event: "link.app_open", data: { resent: true }, id }));
    const path = `/api/apps/${site.app_id}/events`;
    const { status, body } = await server.request<Record<string, string[]>>("POST", path, { events }, headers);
    assert.equal(status, 202);
    const { accepted = [], duplicates = [] } = body;
    assert.deepEqual(accepted.length === 0 ? duplicates : accepted, ids, "a batch is stored as a whole or not at all");
    for (const id of ids) promises.events.add(id);
  }
}

async function verify(t: TestContext, { site, traffic, receiver, starts }: Run, database_url: string): Promise<void> {
  const { promises, counts } = traffic;
  const db = await openDatabase(database_url);
  t.after(() => db.close());
  const ledger = readLedger(receiver.received, site.hooks);
  assertPromisesKept(ledger, site, promises);
  assertBatchesWhole(ledger, promises.cut_batches);
  await assertWhole(ledger, db, site);
  const interrupted = await assertRepeatsExplained(ledger, db);
  // By the life in which the receiver got them: a process begins to send long after it was started.
  const by_life = starts.map((at) => interrupted.filter((sent) => sent.at < at).length);
  const in_flight_max = HOOKS.length * HOOK_IN_FLIGHT_MAX + SETTLEMENTS_MAX;
  const at_kills = by_life.slice(1).map((count, life) => count - (by_life[life] ?? 0));
  assert.ok(Math.max(...at_kills) <= in_flight_max, `in flight at the kills: ${at_kills}`);
  assert.equal(by_life.at(-1), interrupted.length, "the last process recorded all that it sent");
  t.diagnostic(`${JSON.stringify(counts)}, ${ledger.sent.length} requests, in flight at the kills: ${at_kills}`);
}

function createFolder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "linkme-crash-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
