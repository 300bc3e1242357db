// SQL that removes clicks whose time is over, along their tokens, which begin with the time. Called by the retention
// module, which decides what goes.
import type { Database } from "../platform/database.ts";
import { paddedList, type Statement, sql } from "../platform/sql.ts";

export interface AgedClick {
  cid: string;
  created_at: number;
  expires_at: number;
  /** 0 when its app is gone: its removal takes the click along. */
  has_app: number;
  event_retention_days: number | null;
}

export type ClickExpiry = ReturnType<typeof createClickExpiry>;

export function createClickExpiry({ query }: Pick<Database, "query">) {
  /** In the order of their tokens, whatever their apps: no index leads from an app to its clicks. */
  function readClicks(after: string, before: string, limit: number): Promise<AgedClick[]> {
    return query(sql`select c.cid, c.created_at, c.expires_at, apps.event_retention_days,
        case when apps.id is null then 0 else 1 end as has_app
      from (select cid, app_id, created_at, expires_at from clicks where cid > ${after} and cid < ${before}
        order by cid limit ${limit}) as c
      left join apps on apps.id = c.app_id order by c.cid`);
  }

  return { readClicks };
}

export function removeClicks(cids: readonly string[]): Statement[] {
  if (cids.length === 0) return [];
  return [sql`delete from clicks where cid in (${paddedList(cids)})`];
}
