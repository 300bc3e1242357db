// SQL that counts what has failed for good at destinations, within a bound. Called by webhooks.ts for what shows webhooks,
// and by store.ts when the state of one changes.
import type { Query } from "../platform/database.ts";
import { uuidTime } from "../platform/ids.ts";
import { sql } from "../platform/sql.ts";
import { type Failed, NONE_FAILED } from "./failed.ts";

/** Failed deliveries that one answer looks at, over all webhooks that it shows. */
export const FAILED_SCAN_MAX = 1_000;

interface Counted {
  looked: number;
  count: number;
  /** Both null: none of them can be sent. */
  first: string | null;
  last: string | null;
  settled_at: number;
}

/** The newest of the failed ones. In the words of the index deliveries_unhappy, which is used for no others. */
export async function failedAt(query: Query, destination_id: string, limit = FAILED_SCAN_MAX): Promise<Failed> {
  const [found] = await query<Counted>(
    sql`select count(*) as looked, count(sendable) as count, min(sendable) as first, max(sendable) as last,
        max(case when sendable is not null then ended_at end) as settled_at
      from (select case when trigger <> 'test' and erased_at is null then position end as sendable,
          coalesce(settled_at, created_at) as ended_at from deliveries
        where destination_id = ${destination_id} and state = 'failed'
          and (state = 'failed' or state = 'canceled' or state = 'skipped')
        order by position desc limit ${limit}) as f`,
  );
  if (found === undefined || found.first === null || found.last === null) return NONE_FAILED;
  const times = { first_at: uuidTime(found.first), last_at: uuidTime(found.last), settled_at: found.settled_at };
  return { count: found.count, is_exact: found.looked < limit, ...times };
}
