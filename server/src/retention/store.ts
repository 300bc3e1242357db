// The tables `retention_walks` and `retention_lease`, and whose walks there are. Called by the rest of the module.
import type { Keeping } from "../deliveries/expiry.ts";
import type { Database } from "../platform/database.ts";
import { type Statement, sql } from "../platform/sql.ts";

export type WalkKind = "events" | "deliveries" | "clicks" | "app_events" | "identities";

/** Up to where a walk has come, and when it began at the first key. */
export interface Progress {
  at_key: string;
  began_at: number;
}

export interface KeptApp extends Keeping {
  id: string;
}

export interface KeptDestination extends KeptApp {
  app_id: string;
}

const LEASE = "retention";

export type RetentionStore = ReturnType<typeof createRetentionStore>;

export function createRetentionStore(db: Pick<Database, "query" | "batch">) {
  /** False while another process has it. An end too far away is of a clock that was wrong. */
  async function hold(holder: string, now: number, lease_ms: number): Promise<boolean> {
    const held = await db.query(sql`insert into retention_lease (name, holder, held_until)
      values (${LEASE}, ${holder}, ${now + lease_ms})
      on conflict (name) do update set holder = excluded.holder, held_until = excluded.held_until
      where retention_lease.holder = excluded.holder or retention_lease.held_until <= ${now}
        or retention_lease.held_until > ${now + 2 * lease_ms}
      returning name`);
    return held.length > 0;
  }

  async function giveBack(holder: string): Promise<void> {
    await db.query(sql`delete from retention_lease where name = ${LEASE} and holder = ${holder}`);
  }

  function appsAfter(id: string, limit: number): Promise<KeptApp[]> {
    return db.query(sql`select id, event_retention_days, delivery_retention_days from apps
      where id > ${id} order by id limit ${limit}`);
  }

  function destinationsAfter(id: string, limit: number): Promise<KeptDestination[]> {
    return db.query(sql`select d.id, d.app_id, apps.event_retention_days, apps.delivery_retention_days
      from (select id, app_id from destinations where id > ${id} order by id limit ${limit}) as d
      join apps on apps.id = d.app_id order by d.id`);
  }

  async function destinationsOf(app_id: string): Promise<string[]> {
    const found = await db.query<{ id: string }>(sql`select id from destinations where app_id = ${app_id} order by id`);
    return found.map(({ id }) => id);
  }

  /** The shortest time for which any app keeps its clicks; null when all keep them for ever. */
  async function shortestDays(): Promise<number | null> {
    const found = await db.query<{ days: number | null }>(sql`select min(event_retention_days) as days from apps`);
    return found[0]?.days ?? null;
  }

  async function progressOf(kind: WalkKind, id: string): Promise<Progress | undefined> {
    const found = await db.query<Progress>(
      sql`select at_key, began_at from retention_walks where kind = ${kind} and id = ${id}`,
    );
    return found[0];
  }

  /** All or nothing, with how far the walk has come. */
  async function commit(statements: readonly Statement[]): Promise<void> {
    await db.batch(statements);
  }

  /** Of apps and destinations that are gone. */
  async function forgetWalks(): Promise<void> {
    await db.query(sql`delete from retention_walks
      where (kind in ('events', 'app_events', 'identities') and not exists (select 1 from apps where apps.id = retention_walks.id))
        or (kind = 'deliveries' and not exists (select 1 from destinations where destinations.id = retention_walks.id))`);
  }

  return {
    ...{ hold, giveBack, appsAfter, destinationsAfter, destinationsOf, shortestDays },
    ...{ progressOf, commit, forgetWalks },
  };
}

export function saveProgress(kind: WalkKind, id: string, { at_key, began_at }: Progress): Statement {
  return sql`insert into retention_walks (kind, id, at_key, began_at) values (${kind}, ${id}, ${at_key}, ${began_at})
    on conflict (kind, id) do update set at_key = excluded.at_key, began_at = excluded.began_at`;
}
