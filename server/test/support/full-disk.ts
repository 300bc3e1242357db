// The disk under a PostgreSQL server that is full, without one: what would make a table longer fails with the error that the
// server gives then, and its connections live on. Used by overload.test.ts and by chaos.
import pg from "pg";

/** As PostgreSQL reports it: ENOSPC where a file is extended is disk_full (53100), and undoes the transaction alone. */
const FULL = `create or replace function disk_is_full() returns trigger language plpgsql as $$ begin
    raise exception using errcode = '53100', message = 'could not extend file "base/1/1": No space left on device',
      hint = 'Check free disk space.';
  end $$`;

/** From when this returns on nothing more is written, until `freeDisk`. */
export async function fillDisk(url: string): Promise<void> {
  await onEachTable(url, FULL, (table) => {
    return `create trigger disk_is_full before insert or update on ${table} for each statement execute function disk_is_full()`;
  });
}

export async function freeDisk(url: string): Promise<void> {
  await onEachTable(url, null, (table) => `drop trigger if exists disk_is_full on ${table}`);
}

/** A transaction each: who locked several at once could wait for the server in a circle. */
async function onEachTable(url: string, first: string | null, textFor: (table: string) => string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    if (first !== null) await client.query(first);
    const found = await client.query<{ name: string }>(
      "select quote_ident(tablename) as name from pg_tables where schemaname = 'public'",
    );
    for (const { name } of found.rows) await client.query(textFor(name));
  } finally {
    await client.end();
  }
}
