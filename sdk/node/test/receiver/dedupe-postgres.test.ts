// The dedupe store in PostgreSQL, on a real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import pg from "pg";
import { postgresDedupe } from "../../src/receiver/dedupe-postgres.ts";
import { testDedupeStore } from "../support/dedupe-suite.ts";
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

/** A store with a table of its own. */
async function openTable() {
  const table = `dedupe_${++tables}`;
  const store = postgresDedupe({ client: pool, table });
  await store.createTable();
  // The clock is the database's: instead of it, the rows grow older.
  const pass = async (span_ms: number) => {
    await pool.query(`update ${table} set expires_at = expires_at - $1 * interval '1 millisecond'`, [span_ms]);
  };
  const count = async () => Number((await pool.query(`select count(*) from ${table}`)).rows[0].count);
  return { table, store, pass, count };
}

testDedupeStore("PostgreSQL", async () => {
  const { table, pass } = await openTable();
  return { open: () => postgresDedupe({ client: pool, table }), pass };
});

test("the table is created once, however often it is asked for, in a schema too", async () => {
  await pool.query("create schema if not exists shop");
  const store = postgresDedupe({ client: pool, table: "shop.linkme" });
  await store.createTable();
  await store.createTable();
  assert.equal(await store.begin("k", 1_000), "fresh");
});

for (const table of ["a; drop table b", "A", "", "a.b.c", '"a"', "a b", "1a"]) {
  test(`the name ${JSON.stringify(table)} is no table`, () => {
    assert.throws(() => postgresDedupe({ client: pool, table }), { code: "receiver_option" });
  });
}

test("what is over is swept away, by hand and now and then by itself, and nothing else is", async () => {
  const { store, pass, count } = await openTable();
  for (const key of ["a", "b"]) await store.done(key, 1_000);
  await store.begin("c", 1_000);
  await pass(1_000);
  await store.begin("d", 60_000);
  assert.deepEqual([await store.sweep(), await count(), await store.sweep()], [3, 1, 0]);
  await store.done("old", 1_000);
  await pass(1_000);
  for (let index = 0; index < 500; index += 1) await store.done("new", 60_000);
  assert.equal(await count(), 2, "of old, d and new two are left");
});

test("a database that is away is answered 503", async () => {
  const away = new pg.Pool({ connectionString: "postgres://127.0.0.1:1/none", connectionTimeoutMillis: 5_000 });
  const { receiver, send, told } = openReceiver({ dedupe: postgresDedupe({ client: away }) });
  receiver.on("link.click", () => assert.fail("it may have been handled already"));
  assert.deepEqual([(await send(CLICK)).status, told.length], [503, 1]);
  await away.end();
});
