// Two dispatchers on one PostgreSQL share the work, and when one is killed the other one finishes it: nothing is lost, and
// nothing is sent twice but what the dead one had in flight. Its leases run out after 45 s, so this file takes a minute.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openDatabase } from "../../src/platform/database-open.ts";
import { sql } from "../../src/platform/sql.ts";
import { waitUntilDrained } from "../support/drain.ts";
import { assertPromisesKept, assertRepeatsExplained, assertWhole, readLedger } from "../support/ledger.ts";
import { createRandom } from "../support/random.ts";
import { startReceiver } from "../support/receiver.ts";
import { createSite } from "../support/site.ts";
import { knowOf, startTogether } from "../support/together.ts";
import { createTraffic } from "../support/traffic.ts";
import { waitUntil } from "../support/wait.ts";

const IN_FLIGHT_MAX = 20;
/** The receiver stops answering for a while in this test; no attempt may end by itself meanwhile. */
const TIMEOUT_MS = 60_000;
/** Requests at the receiver before one dispatcher is killed, and answers to the load after it: at most so many. */
const MOMENT_MAX = 500;
const DRAIN_TIMEOUT_MS = 90_000;

test("when one of two dispatchers is killed, the other one delivers the rest and repeats only what was in flight", async (t) => {
  const random = createRandom();
  t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
  const gate = createGate();
  const receiver = await startReceiver(gate.pass);
  t.after(() => receiver.close());
  const { database_url, processes } = await startTogether(t, ["edge,api", "dispatcher", "dispatcher"]);
  const [edge, first, second] = processes;
  const db = await openDatabase(database_url);
  t.after(() => db.close());
  await knowOf([first, second], 2);
  const settings = { max_in_flight: IN_FLIGHT_MAX, timeout_ms: TIMEOUT_MS };
  const site = await createSite(edge, receiver.url, [{ path: "/all", settings }]);
  const traffic = createTraffic(site, random);
  const sending = traffic.run(edge.url);
  const moment = random.below(MOMENT_MAX);
  await receiver.waitFor((received) => received.length >= moment, `${moment} requests`);
  gate.close();
  // The limit is the webhook's: each of the two has half of it.
  await waitUntil(() => gate.held() === IN_FLIGHT_MAX, "both dispatchers to have all their requests in flight");
  // Then what is in flight is exactly what the receiver holds back.
  const countRecorded = async () =>
    (await db.query<{ n: number }>(sql`select count(*) as n from attempt_history`))[0]?.n;
  const answered = receiver.received.length - gate.held();
  await waitUntil(async () => (await countRecorded()) === answered, "every answer to be recorded");
  await first.kill9();
  gate.open();
  const enough = traffic.counts.answered + random.below(MOMENT_MAX);
  await Promise.race([sending, waitUntil(() => traffic.counts.answered >= enough, "the load to go on")]);
  traffic.stop();
  await sending;
  assert.equal(gate.most(), IN_FLIGHT_MAX, "requests at a time, at the most");
  await waitUntilDrained([edge, second], site, DRAIN_TIMEOUT_MS);
  for (const process of [edge, second]) {
    assert.deepEqual(await process.stop(), { code: 0, signal: null });
    assert.doesNotMatch(process.stdout(), /"level":"error"/);
  }
  const ledger = readLedger(receiver.received, site.hooks);
  assertPromisesKept(ledger, site, traffic.promises);
  await assertWhole(ledger, db, site);
  const interrupted = await assertRepeatsExplained(ledger, db);
  assert.equal(interrupted.length, IN_FLIGHT_MAX / 2, "requests that the dead dispatcher had in flight");
  assert.equal(ledger.sent.length - ledger.by_delivery.size, interrupted.length, "requests that were repeated");
  t.diagnostic(`${JSON.stringify(traffic.counts)}, ${ledger.sent.length} requests`);
});

/** Holds answers back while it is closed. */
function createGate() {
  let closed: PromiseWithResolvers<void> | undefined;
  let held = 0;
  let most = 0;
  return {
    async pass() {
      most = Math.max(most, ++held);
      await closed?.promise;
      held--;
      return { status: 200 };
    },
    close: () => {
      closed = Promise.withResolvers();
    },
    open: () => {
      closed?.resolve();
      closed = undefined;
    },
    held: () => held,
    most: () => most,
  };
}
