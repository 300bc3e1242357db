// All SQL over events. (app_id, position) is the key: appended at its end, read from its end.
import type { EventType } from "#contract/events.ts";
import type { DeliveryRow } from "../deliveries/delivery.ts";
import { PAGE_SCAN_MAX, type PositionRange } from "../platform/cursor.ts";
import type { Database } from "../platform/database.ts";
import { insertJournalUnless } from "../platform/journal.ts";
import { allOf, expectRows, rows, type SqlValue, type Statement, sql } from "../platform/sql.ts";
import type { EventRow } from "./event.ts";
import { eventsEntry } from "./journaled.ts";
import type { PastSettings } from "./past-settings.ts";

/** Changes of a destination before and after a time, for what was stored while they were made. */
const HISTORY_NEAR_MAX = 20;
/** Changes of a destination within one look at its history. */
const HISTORY_MAX = 10_000;
/** Events among which the newest that are no tests are looked for. */
const NEWEST_SCAN_MAX = 1_000;

export interface EventFilter extends PositionRange {
  event?: EventType | undefined;
  link_id?: string | undefined;
}

type Replayed = Pick<EventRow, "position" | "event" | "link_id">;

/** A replay that has not come to its end; `states`, `missing_events` and `parts` are JSON. */
export interface OpenReplay {
  id: string;
  destination_id: string;
  state: string;
  /** Why it is paused, for instance. */
  reason: string | null;
  states: string;
  /** What is missing is of these types. */
  missing_events: string;
  /** Pairs of positions between which it looks; null: all of its range. */
  parts: string | null;
  /** When it was asked for. */
  created_at: number;
}

export type EventStore = ReturnType<typeof createEventStore>;

/** Holds the transaction to the destinations that fan-out saw; unmet when another process changed them. */
export function guardVersion(app_id: string, version: number): Statement {
  return expectRows(1, sql`select 1 as held from apps where id = ${app_id} and destinations_version = ${version}`);
}

/** Events whose ids the server made. A row that exists already is the same event, drained from a spool again. */
export function insertEvents(events: readonly EventRow[]): Statement {
  if (events.some(isAboutSomebody)) {
    return sql`insert into events (app_id, position, id, event, link_id, target_id, created_at, body, cid, user_id, device)
      values ${rows(events.map(allFields))} on conflict do nothing`;
  }
  return sql`insert into events (app_id, position, id, event, link_id, target_id, created_at, body)
    values ${rows(events.map(fields))} on conflict do nothing`;
}

/** Events whose ids the callers gave: the positions that were stored come back, a duplicate stores nothing. */
export function insertGivenEvents(events: readonly EventRow[]): Statement {
  return sql`insert into events (app_id, position, id, event, link_id, target_id, created_at, body, cid, user_id, device)
    select column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11
    from (values ${rows(events.map(allFields), TYPES)}) as v
    where not exists (select 1 from events where app_id = column1 and position = column3)
    on conflict do nothing returning position`;
}

/** A row of the journal for each event that is not stored yet, to be run before they are. */
export function journalNewEvents(
  events: readonly EventRow[],
  deliveries: readonly DeliveryRow[],
  at: number,
): Statement {
  const entries = events.map((event) => {
    const made = deliveries.filter(({ app_id, position }) => app_id === event.app_id && position === event.position);
    return { entry: eventsEntry([event], made, at), keys: [event.app_id, event.position] };
  });
  const known = sql`exists (select 1 from events where app_id = made.column5 and position = made.column6)`;
  return insertJournalUnless(known, entries, ["text", "text"]);
}

const TYPES = ["text", "text", "text", "text", "text", "text", "bigint", "text", "text", "text", "text"] as const;

function fields(row: EventRow): SqlValue[] {
  return [row.app_id, row.position, row.id, row.event, row.link_id, row.target_id, row.created_at, row.body];
}

function allFields(row: EventRow): SqlValue[] {
  return [...fields(row), row.cid ?? null, row.user_id ?? null, row.device ?? null];
}

/** Clicks are not, and there is most of them: they pay nothing for the columns. */
function isAboutSomebody({ cid, user_id, device }: EventRow): boolean {
  return cid != null || user_id != null || device != null;
}

export function createEventStore({ query }: Pick<Database, "query">) {
  /** By the id that callers know. Without an app (the operator's view) every app is looked at. */
  async function find(id: string, app_id: string | null): Promise<EventRow | undefined> {
    const scope = app_id === null ? sql`e.app_id in (select id from apps)` : sql`e.app_id = ${app_id}`;
    const [made] = await query<EventRow>(
      sql`select e.* from events as e where ${scope} and e.position = ${id} and e.id = ${id} limit 1`,
    );
    if (made !== undefined) return made;
    const [given] = await query<EventRow>(
      sql`select e.* from events as e where e.id = ${id} and e.id <> e.position and ${scope} limit 1`,
    );
    return given;
  }

  /** Whether another app has an event of the same id: one of both was given by its caller. */
  async function isShared({ id, app_id }: Pick<EventRow, "id" | "app_id">): Promise<boolean> {
    const others = await query(sql`select 1 as one from events as e where e.id = ${id} and e.id <> e.position
      and e.app_id in (select id from apps) and e.app_id <> ${app_id} limit 1`);
    return others.length > 0;
  }

  /** Newest first. `end` is where the look ended, which may be before the page was full. */
  async function page(app_id: string, filter: EventFilter, limit: number) {
    const range = [sql`app_id = ${app_id}`];
    if (filter.from_position !== undefined) range.push(sql`position >= ${filter.from_position}`);
    if (filter.until_position !== undefined) range.push(sql`position < ${filter.until_position}`);
    if (filter.before_position !== undefined) range.push(sql`position < ${filter.before_position}`);
    if (filter.event === undefined && filter.link_id === undefined) {
      const found = await query<{ position: string; body: string }>(
        sql`select position, body from events where ${allOf(range)} order by position desc limit ${limit}`,
      );
      return { found, end: found.length < limit ? null : (found.at(-1)?.position ?? null) };
    }
    const wanted = [];
    if (filter.event !== undefined) wanted.push(sql`event = ${filter.event}`);
    if (filter.link_id !== undefined) wanted.push(sql`link_id = ${filter.link_id}`);
    const scanned = sql`select position, event, link_id, body from events
      where ${allOf(range)} order by position desc limit ${PAGE_SCAN_MAX}`;
    const found = await query<{ position: string; body: string }>(
      sql`select position, body from (${scanned}) as s where ${allOf(wanted)} order by position desc limit ${limit}`,
    );
    if (found.length >= limit) return { found, end: found.at(-1)?.position ?? null };
    const [edge] = await query<{ position: string }>(
      sql`select position from events where ${allOf(range)} order by position desc limit 1 offset ${PAGE_SCAN_MAX - 1}`,
    );
    return { found, end: edge?.position ?? null };
  }

  /** What a destination was set to from a time to another, and shortly before and after: oldest first. */
  function historyAround(destination_id: string, { from, until }: { from: number; until: number }) {
    const entries = sql`select at, state, events, cause from destination_history 
      where destination_id = ${destination_id} and explains = 1`;
    return query<PastSettings>(
      sql`select * from (select * from (${entries} and at <= ${from} order by at desc limit ${HISTORY_NEAR_MAX}) as before
        union all select * from (${entries} and at > ${from} and at <= ${until} order by at limit ${HISTORY_MAX}) as within
        union all select * from (${entries} and at > ${until} order by at limit ${HISTORY_NEAR_MAX}) as after) as h
        order by at`,
    );
  }

  /** Replays to a destination that have not come to the event yet, and take such; what is paused first, as many as may be open. */
  function replaysBefore(target_id: string, { position, event, link_id }: Replayed): Promise<OpenReplay[]> {
    const of_event = sql`(events is null or events like ${`%"${event}"%`}) and (link_id is null or link_id = ${link_id})`;
    return query(sql`select id, destination_id, state, reason, states, missing_events, parts, created_at from replays
      where target_id = ${target_id} and slot is not null and walked = 0 and state <> 'canceled'
        and at_position < ${position} and ${position} < end_position and ${of_event}
      order by case when state = 'paused' then 0 else 1 end, slot`);
  }

  /** The newest events that destinations get by themselves: no tests, and none that say nothing any more. */
  function newest(app_id: string, limit: number): Promise<EventRow[]> {
    return query<EventRow>(sql`select * from events where app_id = ${app_id} and position in (
        select position from (select position, target_id, erased_at from events where app_id = ${app_id}
          order by position desc limit ${NEWEST_SCAN_MAX}) as e
        where target_id is null and erased_at is null order by position desc limit ${limit})
      order by position desc`);
  }

  return { find, isShared, page, historyAround, replaysBefore, newest };
}
