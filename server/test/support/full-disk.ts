// The disk under a PostgreSQL server that is full, without one: what would make a table longer fails with the error that the
// server gives then, and its connections live on. Used by overload.test.ts and by chaos.
import pg from "pg";

/** As PostgreSQL reports it: ENOSPC where a file is extended is disk_full (53100), and undoes the transaction alone. */
const FILL = `create or replace function disk_is_full() returns trigger language plpgsql as $$ begin
    raise exception using errcode = '53100', message = 'could not extend file "base/1/1": No space left on device',
      hint = 'Check free disk space.';
  end $$;
  do $$ declare name text; begin
    for name in select tablename from pg_tables where schemaname = 'public' order by tablename loop
      execute format('create trigger disk_is_full before insert or update on %I for each statement
        execute function disk_is_full()', name);
    end loop;
  end $$`;

const FREE = "drop function if exists disk_is_full() cascade";

/** From when this returns on nothing more is written, until `freeDisk`. */
export function fillDisk(url: string): Promise<void> {
  return run(url, FILL);
}

export function freeDisk(url: string): Promise<void> {
  return run(url, FREE);
}

async function run(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
