// The table app_events, and what an app event adds to a claim. Called by app-events.ts; the removal of what has expired is
// decided by the retention module.
import type { ClaimType, Platform } from "#contract/events.ts";
import { installOf } from "../links/count-store.ts";
import { PAGE_SCAN_MAX } from "../platform/cursor.ts";
import type { Database, Row } from "../platform/database.ts";
import { expectRows, KEPT, paddedList, type Statement, sql } from "../platform/sql.ts";

export interface AppEventRow extends Row {
  app_id: string;
  id: string;
  type: string;
  platform: Platform;
  cid: string | null;
  link_id: string | null;
  user_id: string | null;
  detail: string | null;
  client_time: number | null;
  created_at: number;
  device: string | null;
  /** As events of type link.app_open tell it. */
  first_cid: string | null;
}

/** Unmet when the app is gone: nothing of it may come after its removal. */
export function keepApp(app_id: string): Statement {
  return expectRows(1, sql`select id from apps where id = ${app_id} ${KEPT}`);
}

export function insertAppEvent(row: AppEventRow): Statement {
  return sql`insert into app_events
      (app_id, id, type, platform, cid, link_id, user_id, detail, client_time, created_at,
      device, first_cid)
    values (${row.app_id}, ${row.id}, ${row.type}, ${row.platform}, ${row.cid}, ${row.link_id}, ${row.user_id},
      ${row.detail}, ${row.client_time}, ${row.created_at}, ${row.device}, ${row.first_cid})`;
}

/** A token looks the same from wherever an app has it; what the app says of a claim by token is more than that. */
export function refineClaim(app_id: string, cid: string, claim_type: ClaimType): Statement {
  return sql`update clicks set claim_type = ${claim_type} where ${isDirect(app_id, cid)}`;
}

/** To be run before what refines the claim, and counts only where that changes it. */
export function countRefined(app_id: string, cid: string, newId: () => string): Statement {
  return sql`insert into link_tallies (id, tallies)
    select ${newId()}, ${installOf(sql`link_id`)} from clicks where ${isDirect(app_id, cid)} /* locked */`;
}

function isDirect(app_id: string, cid: string): Statement {
  return sql`cid = ${cid} and app_id = ${app_id} and claim_type = 'direct' and claimed_at is not null`;
}

export interface AppEventFilter {
  type?: string | undefined;
  before?: string | undefined;
}

/** Newest first. `end` is where the look ended, which may be before the page was full. */
export async function pageAppEvents(
  db: Database,
  app_id: string,
  { type, before }: AppEventFilter,
  limit: number,
): Promise<{ found: AppEventRow[]; end: string | null }> {
  const range = before === undefined ? sql`app_id = ${app_id}` : sql`app_id = ${app_id} and id < ${before}`;
  if (type === undefined) {
    const found = await db.query<AppEventRow>(
      sql`select * from app_events where ${range} order by id desc limit ${limit}`,
    );
    return { found, end: found.length < limit ? null : (found.at(-1)?.id ?? null) };
  }
  const found = await db.query<AppEventRow>(sql`select * from (
      select * from app_events where ${range} order by id desc limit ${PAGE_SCAN_MAX}) as scanned
    where type = ${type} order by id desc limit ${limit}`);
  if (found.length >= limit) return { found, end: found.at(-1)?.id ?? null };
  const [edge] = await db.query<{ id: string }>(
    sql`select id from app_events where ${range} order by id desc limit 1 offset ${PAGE_SCAN_MAX - 1}`,
  );
  return { found, end: edge?.id ?? null };
}

export type AppEventExpiry = ReturnType<typeof createAppEventExpiry>;

export function createAppEventExpiry({ query }: Pick<Database, "query">) {
  /** The oldest after one and before another. */
  async function readIds(app_id: string, after: string, before: string, limit: number): Promise<string[]> {
    const found = await query<{ id: string }>(sql`select id from app_events
      where app_id = ${app_id} and id > ${after} and id < ${before} order by id limit ${limit}`);
    return found.map(({ id }) => id);
  }

  return { readIds };
}

export function removeAppEvents(app_id: string, ids: readonly string[]): Statement[] {
  if (ids.length === 0) return [];
  return [sql`delete from app_events where app_id = ${app_id} and id in (${paddedList(ids)})`];
}
