// `@li-nk.me/node-sdk/receiver/dedupe-postgres`: remembers in a table of PostgreSQL. Times are those of the database, so the
// clocks of the processes do not matter.
import type { DedupeStore } from "./dedupe.ts";
import { createLeaseOwner } from "./lease-owner.ts";
import { checkTable, indexOf, type PostgresLike } from "./postgres.ts";

export type { PostgresLike } from "./postgres.ts";

export interface PostgresDedupeOptions {
  client: PostgresLike;
  /** Default `linkme_dedupe`. */
  table?: string;
}

export interface PostgresDedupe extends DedupeStore {
  /** Creates the table where it is not there yet. For a start, a migration or a test. */
  createTable(): Promise<void>;
  /** Deletes up to 1,000 rows whose time is over, and resolves with their number. `done` calls it now and then. */
  sweep(): Promise<number>;
}

const SWEEP_MAX_ROWS = 1_000;
/** Far more often than rows grow old, so the table stays as large as what is remembered. */
const DONE_PER_SWEEP = 500;

/**
 * A dedupe store in PostgreSQL.
 *
 * @throws {LinkMeUsageError} `receiver_option`: `table` is no name
 *
 * @example
 * const dedupe = postgresDedupe({ client: new pg.Pool() });
 * await dedupe.createTable();
 * const receiver = createReceiver({ secrets, dedupe });
 */
export function postgresDedupe(options: PostgresDedupeOptions): PostgresDedupe {
  const { client } = options;
  const table = checkTable(options.table ?? "linkme_dedupe");
  const owner = createLeaseOwner();
  let done_count = 0;

  async function sweep(): Promise<number> {
    const { rowCount } = await client.query(
      `delete from ${table} where key in
        (select key from ${table} where expires_at <= clock_timestamp() limit $1 for update skip locked)`,
      [SWEEP_MAX_ROWS],
    );
    return rowCount ?? 0;
  }

  return {
    async createTable() {
      await client.query(
        `create table if not exists ${table} (
          key text primary key,
          owner text not null,
          is_done boolean not null,
          expires_at timestamptz not null
        )`,
        [],
      );
      const index = indexOf(table, "expires_at");
      await client.query(`create index if not exists ${index} on ${table} (expires_at)`, []);
    },
    async begin(key, lease_ms) {
      // One statement: of two processes that come at once, one inserts or updates, and the other finds nothing to do.
      const taken = await client.query(
        `insert into ${table} (key, owner, is_done, expires_at)
          values ($1, $2, false, clock_timestamp() + $3 * interval '1 millisecond')
          on conflict (key) do update
            set owner = excluded.owner, is_done = false, expires_at = excluded.expires_at
            where ${table}.expires_at <= clock_timestamp()
          returning key`,
        [key, owner(), lease_ms],
      );
      if (taken.rows.length > 0) return "fresh";
      const found = await client.query(`select is_done from ${table} where key = $1`, [key]);
      // No row: somebody gave it back just now, and the event comes again.
      return found.rows[0]?.["is_done"] === true ? "done" : "in_progress";
    },
    async done(key, ttl_ms) {
      await client.query(
        `insert into ${table} (key, owner, is_done, expires_at)
          values ($1, $2, true, clock_timestamp() + $3 * interval '1 millisecond')
          on conflict (key) do update set owner = excluded.owner, is_done = true, expires_at = excluded.expires_at`,
        [key, owner(), ttl_ms],
      );
      done_count += 1;
      if (done_count % DONE_PER_SWEEP === 0) await sweep();
    },
    async release(key) {
      await client.query(`delete from ${table} where key = $1 and owner = $2 and not is_done`, [key, owner()]);
    },
    sweep,
  };
}
