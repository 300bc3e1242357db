// Calls that are made while somebody else has changed a row and has not committed yet, for tests of what two callers do at
// once. Used by tests that run on both engines.
import type { Database } from "../../src/platform/database.ts";
import { type Statement, sql } from "../../src/platform/sql.ts";
import { waitUntil } from "./wait.ts";

/** @param held what somebody else does first; by default it changes the row of the app `shop` and leaves it as it is */
export async function meanwhile(
  db: Database,
  calls: readonly (() => Promise<unknown>)[],
  held: Statement = sql`update apps set name = name where id = 'shop'`,
): Promise<PromiseSettledResult<unknown>[]> {
  let running: Promise<PromiseSettledResult<unknown>[]> = Promise.resolve([]);
  await db.transaction(async (query) => {
    await query(held);
    running = Promise.allSettled(calls.map((call) => call()));
    // SQLite has one writer, before whom the others queue.
    if (db.engine === "postgres") await waitUntil(() => areBlocked(db, calls.length), "the calls to wait for the row");
  });
  return running;
}

async function areBlocked({ query }: Pick<Database, "query">, count: number): Promise<boolean> {
  const waiting = await query(
    sql`select 1 as one from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return waiting.length >= count;
}
