// SQL that bounds what is kept of a destination's past: hourly counts, and what it was set to. Called by the retention module.
import { type Statement, sql } from "../platform/sql.ts";

export function removeHours(destination_id: string, before: number, limit: number): Statement {
  return sql`delete from destination_hours where (destination_id, hour, succeeded, latency_class) in (
      select destination_id, hour, succeeded, latency_class from destination_hours
      where destination_id = ${destination_id} and hour < ${before} order by hour limit ${limit})
    returning hour`;
}

/** All from before the last entry that explains anything and is not after that time: it says what the first events then met. */
export function removeHistory(destination_id: string, before: number, limit: number): Statement {
  return sql`delete from destination_history where (destination_id, at) in (
      select destination_id, at from destination_history where destination_id = ${destination_id}
        and at < (select max(at) from destination_history where destination_id = ${destination_id} and explains = 1
          and at <= ${before})
      order by at limit ${limit})
    returning at`;
}
