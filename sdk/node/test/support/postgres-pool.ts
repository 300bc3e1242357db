// A database of the test's own with a pool of connections to it, as users have one.
import { once } from "node:events";
import pg from "pg";
import { createTestDatabase } from "../../../../server/test/support/postgres.ts";

export interface TestPool {
  pool: pg.Pool;
  /** Ends the connections, then drops the database. */
  close(): Promise<void>;
}

export async function openTestPool(): Promise<TestPool> {
  const database = await createTestDatabase();
  const pool = new pg.Pool({ connectionString: database.url, max: 8 });
  const ends: Promise<unknown>[] = [];
  pool.on("connect", (client) => void ends.push(once(client, "end")));
  return {
    pool,
    async close() {
      await pool.end();
      // The pool has said good-bye by now; a connection that is still open when its database goes would report an error.
      await Promise.all(ends);
      await database.drop();
    },
  };
}
