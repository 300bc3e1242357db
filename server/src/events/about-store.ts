// Finds the events that are about somebody, and those that a click has made. Called by the persons module.
import type { Database } from "../platform/database.ts";
import { uuidFloor } from "../platform/ids.ts";
import { type Statement, sql } from "../platform/sql.ts";
import type { EventRow } from "./event.ts";

/** Rows that one look at events of a stretch of time reads at the most. */
const NEAR_ROWS_MAX = 500;

export type AboutStore = ReturnType<typeof createAboutStore>;

export function createAboutStore({ query }: Pick<Database, "query">) {
  /** Oldest first, after a position. */
  function findAbout(
    app_id: string,
    { kind, value }: { kind: "cid" | "user" | "device"; value: string },
    after: string,
    limit: number,
  ): Promise<EventRow[]> {
    const about: Record<typeof kind, Statement> = {
      cid: sql`cid = ${value} and cid is not null`,
      user: sql`user_id = ${value} and user_id is not null`,
      device: sql`device = ${value} and device is not null`,
    };
    return query<EventRow>(sql`select * from events where app_id = ${app_id} and ${about[kind]} and position > ${after}
      order by position limit ${limit}`);
  }

  /** The first event about a click that tells of a user. */
  async function findFirstUser(app_id: string, cid: string): Promise<{ user_id: string; position: string } | null> {
    const found = await query<{ user_id: string; position: string }>(sql`select user_id, position from events
      where app_id = ${app_id} and cid = ${cid} and cid is not null and user_id is not null
      order by position limit 1`);
    return found[0] ?? null;
  }

  /**
   * The two events of a click, among those accepted from one time to another. `after` is up to where was looked; null: to the
   * end.
   */
  async function findOfClick(
    app_id: string,
    cid: string,
    { from, until, after }: { from: number; until: number; after: string | null },
  ): Promise<{ found: EventRow[]; after: string | null }> {
    const begin = after === null ? sql`position >= ${uuidFloor(from)}` : sql`position > ${after}`;
    const range = sql`app_id = ${app_id} and ${begin} and position < ${uuidFloor(until)}`;
    const scanned = sql`select * from events where ${range} order by position limit ${NEAR_ROWS_MAX}`;
    const found = await query<EventRow>(sql`select * from (${scanned}) as scanned
      where event in ('link.click', 'link.token_created') and body like ${`%"cid":"${cid}"%`} order by position`);
    const [edge] = await query<{ position: string }>(
      sql`select position from events where ${range} order by position limit 1 offset ${NEAR_ROWS_MAX - 1}`,
    );
    return { found, after: edge?.position ?? null };
  }

  return { findAbout, findFirstUser, findOfClick };
}
