// SQL that reads deliveries and attempts for people: one, pages of them, those of an event. Part of store.ts. A look is bounded,
// however long the ledger is and however rare what it looks for.
import type { DeliveryState } from "#contract/deliveries.ts";
import type { EventType } from "#contract/events.ts";
import { PAGE_SCAN_MAX, type PositionRange } from "../platform/cursor.ts";
import type { Database } from "../platform/database.ts";
import { allOf, list, paddedList, type Statement, sql } from "../platform/sql.ts";
import { FIRST } from "./claim-store.ts";
import type { AttemptRow, DeliveryKey, DeliveryRow } from "./delivery.ts";

export interface DeliveryFilter extends PositionRange {
  state?: DeliveryState | undefined;
  event?: EventType | undefined;
  position?: string | undefined;
}

export type LastAttempt = Pick<
  AttemptRow,
  "destination_id" | "position" | "outcome" | "status_code" | "error" | "cause" | "trigger"
> &
  Pick<AttemptRow, "started_at" | "duration_ms" | "response_headers">;

/** Of the headers what an answer that asks for a pause may say: many are read at once. */
const LAST_COLUMNS = sql`destination_id, position, outcome, status_code, error, cause, trigger, started_at, duration_ms,
  case when status_code in (429, 503) then response_headers else '{}' end as response_headers`;
const IS_LAST = sql`number = (select max(b.number) from attempts as b
  where b.destination_id = a.destination_id and b.position = a.position)`;

export function createLedgerStore({ query }: Pick<Database, "query">) {
  function find(key: DeliveryKey): Promise<DeliveryRow | undefined> {
    return query<DeliveryRow>(
      sql`select d.*, ${TURN_POSITION} from deliveries as d
        where d.destination_id = ${key.destination_id} and d.position = ${key.position}`,
    ).then((found) => found[0]);
  }

  /**
   * Newest first by position, with the ids of their events. `end` is where the look ended when there may be more, which
   * can be before the page was full: a rare filter in a long ledger answers short pages.
   */
  async function page(destination_id: string, filter: DeliveryFilter, limit: number) {
    const range = allOf([sql`destination_id = ${destination_id}`, ...rangeOf(filter)]);
    const wanted = wantedOf(filter);
    const is_few = filter.state === "pending" && (await hasFewPending(destination_id));
    const is_whole = is_few || wanted.length === 0;
    const newest = sql`select * from deliveries where ${range} order by position desc
      limit ${is_whole ? limit + 1 : PAGE_SCAN_MAX}`;
    const found = await query<DeliveryRow & { event_id: string | null }>(
      sql`select d.*, e.id as event_id, ${TURN_POSITION} from (${is_few ? allPending(destination_id, range) : newest}) as d
        left join events as e on e.app_id = d.app_id and e.position = d.position
        where ${allOf(wanted)} order by d.position desc limit ${limit + 1}`,
    );
    const shown = found.slice(0, limit);
    if (found.length > limit) return { shown, end: shown.at(-1)?.position ?? null };
    if (is_whole) return { shown, end: null };
    const [edge] = await query<{ position: string }>(
      sql`select position from deliveries where ${range} order by position desc limit 1 offset ${PAGE_SCAN_MAX - 1}`,
    );
    return { shown, end: edge?.position ?? null };
  }

  async function hasFewPending(destination_id: string): Promise<boolean> {
    const [counted] = await query<{ count: number }>(sql`select count(*) as count from (select 1 as one from deliveries
      where destination_id = ${destination_id} and state = 'pending' limit ${PAGE_SCAN_MAX}) as pending`);
    return (counted?.count ?? 0) < PAGE_SCAN_MAX;
  }

  function attemptsOf(key: DeliveryKey): Promise<AttemptRow[]> {
    return query<AttemptRow>(sql`select * from attempt_history
      where destination_id = ${key.destination_id} and position = ${key.position} order by number`);
  }

  function eventOf(row: Pick<DeliveryRow, "app_id" | "position">) {
    return query<{
      id: string;
      body: string;
      link_id: string | null;
      target_id: string | null;
      erased_at: number | null;
    }>(
      sql`select id, body, link_id, target_id, erased_at from events where app_id = ${row.app_id} and position = ${row.position}`,
    ).then((found) => found[0]);
  }

  /** The deliveries of one event, over all destinations of its app. */
  function ofEvent(position: string, destination_ids: readonly string[]): Promise<DeliveryRow[]> {
    if (destination_ids.length === 0) return Promise.resolve([]);
    return query<DeliveryRow>(
      sql`select d.*, ${TURN_POSITION} from deliveries as d
        where d.destination_id in (${list(destination_ids)}) and d.position = ${position}`,
    );
  }

  /** The attempt that was recorded last at the delivery of one event, for each of these destinations that has one. */
  function lastAttempts(position: string, destination_ids: readonly string[]): Promise<LastAttempt[]> {
    if (destination_ids.length === 0) return Promise.resolve([]);
    // Of the table alone: what is in a delivery's own row went well.
    return query<LastAttempt>(
      sql`select ${LAST_COLUMNS} from attempts as a
        where destination_id in (${list(destination_ids)}) and position = ${position} and ${IS_LAST}`,
    );
  }

  /** The same for deliveries of one destination: those of a page. */
  function lastAttemptsAt(destination_id: string, positions: readonly string[]): Promise<LastAttempt[]> {
    if (positions.length === 0) return Promise.resolve([]);
    return query<LastAttempt>(
      sql`select ${LAST_COLUMNS} from attempts as a
        where destination_id = ${destination_id} and position in (${paddedList(positions)}) and ${IS_LAST}`,
    );
  }

  return { find, page, attemptsOf, eventOf, ofEvent, lastAttempts, lastAttemptsAt };
}

/** Whose turn it is of those with the key of `d`. */
const TURN_POSITION = sql`${FIRST} as turn_position`;

/** In the order of its index and with a limit, so that the index is what is read, whatever the range. */
function allPending(destination_id: string, range: Statement): Statement {
  return sql`select * from (select * from deliveries where destination_id = ${destination_id} and state = 'pending'
    order by due_at limit ${PAGE_SCAN_MAX}) as pending where ${range}`;
}

/** What an index leads to. */
function rangeOf(filter: DeliveryFilter): Statement[] {
  const conditions: Statement[] = [];
  const indexed: Partial<Record<DeliveryState, Statement>> = INDEXED_STATE;
  const in_state = filter.state === undefined ? undefined : indexed[filter.state];
  if (in_state !== undefined) conditions.push(in_state);
  if (filter.position !== undefined) conditions.push(sql`position = ${filter.position}`);
  if (filter.from_position !== undefined) conditions.push(sql`position >= ${filter.from_position}`);
  if (filter.until_position !== undefined) conditions.push(sql`position < ${filter.until_position}`);
  if (filter.before_position !== undefined) conditions.push(sql`position < ${filter.before_position}`);
  return conditions;
}

/** What has to be looked for, row by row. */
function wantedOf(filter: DeliveryFilter): Statement[] {
  const conditions: Statement[] = [];
  if (filter.state === "pending" || filter.state === "succeeded") conditions.push(sql`d.state = ${filter.state}`);
  if (filter.event !== undefined) conditions.push(sql`d.event = ${filter.event}`);
  return conditions;
}

/** Those of the index deliveries_unhappy; written out, for a partial index is used only when its condition is in the text. */
export const INDEXED_STATE = {
  failed: sql`state = 'failed' and (state = 'failed' or state = 'canceled' or state = 'skipped')`,
  canceled: sql`state = 'canceled' and (state = 'failed' or state = 'canceled' or state = 'skipped')`,
  skipped: sql`state = 'skipped' and (state = 'failed' or state = 'canceled' or state = 'skipped')`,
} as const satisfies Partial<Record<DeliveryState, Statement>>;
