// The outbox in PostgreSQL, on a real server: what is in it came with a commit, and leaves it when it is done with.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type pg from "pg";
import { LinkMeRetryError, type LinkMeWebhookEnvelope } from "../../src/receiver/index.ts";
import { drainOutbox, postgresOutbox } from "../../src/receiver/outbox-postgres.ts";
import { openTestPool, type TestPool } from "../support/postgres-pool.ts";
import { CLICK, openReceiver } from "../support/receiver.ts";

let opened: TestPool;
let pool: pg.Pool;

before(async () => {
  opened = await openTestPool();
  pool = opened.pool;
});

after(() => opened?.close());

let tables = 0;

async function openOutbox() {
  const table = `outbox_${++tables}`;
  const outbox = postgresOutbox({ client: pool, table });
  await outbox.createTable();
  await outbox.createTable();
  // The clock is the database's: instead of it, the rows grow older.
  const pass = async (span_ms: number) => {
    await pool.query(`update ${table} set due_at = due_at - $1 * interval '1 millisecond'`, [span_ms]);
  };
  const rows = async () => (await pool.query(`select * from ${table} order by key`)).rows;
  return { outbox, pass, rows };
}

const eventOf = (id: string): LinkMeWebhookEnvelope => ({ ...CLICK, id });
const silent = () => {};

test("an event is stored with the transaction of its receiver, or not at all, and once", async () => {
  const { outbox, rows } = await openOutbox();
  const client = await pool.connect();
  await client.query("begin");
  await outbox.enqueue(eventOf("1"), client);
  assert.equal((await rows()).length, 0, "nobody sees it before the commit");
  await client.query("rollback");
  assert.equal((await rows()).length, 0);
  await client.query("begin");
  await outbox.enqueue(eventOf("2"), client);
  await outbox.enqueue(eventOf("2"), client);
  await client.query("commit");
  client.release();
  await outbox.enqueue({ ...eventOf("2"), app_id: "another app" });
  assert.deepEqual(
    (await rows()).map(({ key }) => key),
    ["another%20app:2:outbox", "shop:2:outbox"],
  );
});

test("a receiver that hands off to it answers 200 when the row is there, and a worker does the rest", async () => {
  const { outbox, rows } = await openOutbox();
  const { receiver, send } = openReceiver({ handOff: outbox });
  const seen: string[] = [];
  receiver.on("link.click", (event) => seen.push(event.data.dest_url));
  assert.deepEqual([(await send()).outcome.kind, (await rows()).length, seen], ["handed_off", 1, []]);
  const report = await drainOutbox({ outbox, process: receiver.process, until_empty: true });
  assert.deepEqual([report, seen], [{ done: 1, failed: 0, given_up: 0 }, [CLICK.data.dest_url]]);
  assert.deepEqual([(await rows()).length, (await send()).outcome.kind], [0, "duplicate"]);
});

test("an outbox that is away is answered 503", async () => {
  const { send } = openReceiver({ handOff: postgresOutbox({ client: pool, table: "never_created" }) });
  assert.equal((await send()).status, 503);
});

test("workers share what is due, and each event is worked on by one", async () => {
  const { outbox, rows } = await openOutbox();
  for (let index = 0; index < 50; index += 1) await outbox.enqueue(eventOf(`${index}`));
  const seen: string[] = [];
  const process = async (event: LinkMeWebhookEnvelope) => seen.push(event.id);
  const workers = Array.from({ length: 3 }, () => drainOutbox({ outbox, process, until_empty: true, batch: 7 }));
  const reports = await Promise.all(workers);
  assert.equal(
    reports.reduce((sum, { done }) => sum + done, 0),
    50,
  );
  assert.deepEqual([new Set(seen).size, seen.length, (await rows()).length], [50, 50, 0]);
});

test("no more than a batch is in hand at once", async () => {
  const { outbox } = await openOutbox();
  for (let index = 0; index < 10; index += 1) await outbox.enqueue(eventOf(`${index}`));
  let in_hand = 0;
  let most = 0;
  const process = async () => {
    in_hand += 1;
    most = Math.max(most, in_hand);
    await new Promise((resolve) => setImmediate(resolve));
    in_hand -= 1;
  };
  assert.equal((await drainOutbox({ outbox, process, until_empty: true, batch: 4 })).done, 10);
  assert.equal(most, 4);
});

test("what fails is due again later each time, or when the error says, and keeps what it said", async () => {
  const { outbox, pass, rows } = await openOutbox();
  await outbox.enqueue(CLICK);
  const errors = [new Error("no disk"), new LinkMeRetryError("busy", { retry_after_ms: 90_000 })];
  const told: unknown[] = [];
  const drain = () =>
    drainOutbox({
      outbox,
      until_empty: true,
      onError: (error, item) => told.push([error, item?.attempt]),
      process: async () => {
        const [error] = errors;
        if (error !== undefined) throw error;
      },
    });
  assert.deepEqual(await drain(), { done: 0, failed: 1, given_up: 0 });
  assert.deepEqual([(await rows())[0].last_error, told], ["no disk", [[errors[0], 1]]]);
  errors.shift();
  assert.equal((await drain()).failed, 0, "not due yet");
  await pass(1_000);
  assert.equal((await drain()).failed, 1);
  errors.shift();
  await pass(60_000);
  assert.equal((await drain()).done, 0, "the error asked for 90 seconds");
  await pass(30_000);
  assert.equal((await drain()).done, 1);
});

test("what fails too often is given up, stays with its error, and holds nothing up", async () => {
  const { outbox, pass, rows } = await openOutbox();
  await outbox.enqueue(eventOf("bad"));
  const process = async (event: LinkMeWebhookEnvelope) => {
    if (event.id === "bad") throw new Error("x".repeat(5_000));
  };
  const drain = () => drainOutbox({ outbox, process, until_empty: true, max_attempts: 2, onError: silent });
  await drain();
  await pass(1_000);
  await outbox.enqueue(eventOf("good"));
  assert.deepEqual(await drain(), { done: 1, failed: 1, given_up: 1 });
  await pass(365 * 24 * 60 * 60 * 1000);
  assert.deepEqual(await drain(), { done: 0, failed: 0, given_up: 0 });
  const [row] = await rows();
  assert.deepEqual([row.attempts, row.due_at, row.last_error.length], [2, null, 1_000]);
});

test("what a worker that died had in hand is taken by another when its lease is over", async () => {
  const { outbox, pass, rows } = await openOutbox();
  await outbox.enqueue(CLICK);
  const [dead] = await outbox.take(1, 60_000);
  assert.ok(dead);
  const process = async () => {};
  assert.equal((await drainOutbox({ outbox, process, until_empty: true })).done, 0);
  await pass(60_000);
  const [next] = await outbox.take(1, 60_000);
  assert.equal(next?.attempt, 2);
  // The dead one was only slow. What it says now is about a row that is not its own any more.
  await outbox.remove(dead);
  await outbox.putBack(dead, 0, new Error("too late"));
  assert.deepEqual(
    (await rows()).map(({ last_error }) => last_error),
    [null],
  );
  await outbox.remove(next);
  assert.equal((await rows()).length, 0);
});

test("a worker waits for work, and ends when it is told to, with what is in hand done", async () => {
  const { outbox, rows } = await openOutbox();
  const stop = new AbortController();
  const begun = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  const process = async () => {
    begun.resolve();
    await released.promise;
  };
  const draining = drainOutbox({ outbox, process, signal: stop.signal, poll_ms: 1 });
  await outbox.enqueue(CLICK);
  await begun.promise;
  stop.abort();
  released.resolve();
  assert.deepEqual([await draining, (await rows()).length], [{ done: 1, failed: 0, given_up: 0 }, 0]);
  const waiting = new AbortController();
  const idle = drainOutbox({ outbox, process, signal: waiting.signal, poll_ms: 3_600_000 });
  setImmediate(() => waiting.abort());
  assert.equal((await idle).done, 0);
  assert.equal((await drainOutbox({ outbox, process, signal: AbortSignal.abort() })).done, 0);
});

test("a worker goes on when the database has not answered, and without waiting says so", async () => {
  const { outbox } = await openOutbox();
  await outbox.enqueue(CLICK);
  let fails = 2;
  const flaky = {
    ...outbox,
    take: (count: number, lease_ms: number) =>
      fails-- > 0 ? Promise.reject(new Error("restarting")) : outbox.take(count, lease_ms),
  };
  const stop = new AbortController();
  const told: string[] = [];
  const process = async () => stop.abort();
  const onError = (error: unknown) => told.push(String(error));
  const { done } = await drainOutbox({ outbox: flaky, process, signal: stop.signal, poll_ms: 1, onError });
  assert.deepEqual([done, told], [1, ["Error: restarting", "Error: restarting"]]);
  fails = 1;
  await assert.rejects(drainOutbox({ outbox: flaky, process, until_empty: true }), /restarting/);
});
