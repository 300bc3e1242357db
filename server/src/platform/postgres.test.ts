// What only PostgreSQL can do to a process: break a connection under it. A proxy in between breaks it without a word, as
// a network does; a server that says goodbye first is the gentler case.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { createTestDatabase } from "../../test/support/postgres.ts";
import { startSwitch } from "../../test/support/tcp-switch.ts";
import { waitUntil } from "../../test/support/wait.ts";
import type { Database } from "./database.ts";
import { openPostgres } from "./postgres.ts";
import { expectRows, sql } from "./sql.ts";

const WAITS = sql`select pg_sleep(60)`;
const USES: [string, (db: Database) => Promise<unknown>][] = [
  ["a query", (db) => db.query(WAITS)],
  ["a batch", (db) => db.batch([WAITS, sql`select 1 as one`])],
  ["a batch with a guard", (db) => db.batch([expectRows(1, WAITS)])],
  ["a transaction", (db) => db.transaction((query) => query(WAITS))],
];

for (const [use, run] of USES) {
  test(`a connection that breaks under ${use} refuses it as unavailable, and the next one is another connection`, async (t) => {
    const { db, proxy, countSleeping } = await openThroughProxy(t);
    const running = assert.rejects(run(db), { kind: "unavailable" });
    await waitUntil(countSleeping, "the statement to run");
    proxy.breakAll();
    await running;
    assert.deepEqual(await db.query(sql`select 1 as one`), [{ one: 1 }]);
  });
}

test("connections that break while nobody uses them are replaced", async (t) => {
  const { db, proxy } = await openThroughProxy(t);
  await Promise.all([1, 2, 3].map(() => db.query(sql`select 1 as one`)));
  proxy.breakAll();
  await waitUntil(() => db.query(sql`select 1 as one`).catch(() => null), "a connection that works");
});

async function openThroughProxy(t: TestContext) {
  const database = await createTestDatabase();
  const direct = openPostgres(database.url);
  const proxy = await startSwitch(Number(new URL(database.url).port));
  const url = new URL(database.url);
  url.port = String(proxy.port);
  const db = openPostgres(url.href);
  t.after(async () => {
    await db.close();
    await direct.close();
    await proxy.close();
    await database.drop();
  });
  const countSleeping = async () => {
    const found = await direct.query<{ n: number }>(
      sql`select count(*) as n from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'`,
    );
    return (found[0]?.n ?? 0) > 0;
  };
  return { db, proxy, countSleeping };
}
