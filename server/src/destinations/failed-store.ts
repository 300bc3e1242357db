// SQL that counts what has failed for good at destinations, and finds their newest attempts, within bounds. Called by webhooks.ts for what shows webhooks,
// and by store.ts when the state of one changes.
import type { Query } from "../platform/database.ts";
import { uuidTime } from "../platform/ids.ts";
import { sql } from "../platform/sql.ts";
import { type Failed, NONE_FAILED } from "./failed.ts";
import type { Try } from "./last-tries.ts";

/** Failed deliveries that one answer looks at, over all webhooks that it shows. */
export const FAILED_SCAN_MAX = 1_000;

/** Attempts at the newest events of a destination: tests are among them, and as a rule what fails at present. */
const TRIES_LOOKED_AT_MAX = 20;

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

/** Of the newest events, and of the replay that sent last, whose events may be of long ago: a seek in an index for each. */
export async function triesAt(query: Query, destination_id: string): Promise<Try[]> {
  const columns = sql`started_at, trigger, outcome, status_code, cause, error`;
  const [newest, replayed] = await Promise.all([
    query<Try>(sql`select ${columns} from attempts where destination_id = ${destination_id}
      order by position desc, number desc limit ${TRIES_LOOKED_AT_MAX}`),
    query<Try>(sql`select ${columns} from attempts where destination_id = ${destination_id} and trigger = 'replay'
      order by started_at desc limit 1`),
  ]);
  return [...newest, ...replayed];
}
