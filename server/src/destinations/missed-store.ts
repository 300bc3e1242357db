// SQL that counts what destinations have missed while they were off or disabled: events of their types that pass their
// filter and have no delivery there. However many there are, an answer looks at a bounded number of events. It also says
// which stops need not be remembered, for nothing is missing of them. Called by webhooks.ts for everything that shows
// webhooks, and by store.ts when one is stopped.
import type { EventType } from "#contract/events.ts";
import type { Database } from "../platform/database.ts";
import { createSharedWork } from "../platform/shared-work.ts";
import { list, type Statement, sql } from "../platform/sql.ts";
import type { Destination, DestinationRow } from "./destination.ts";
import { type CompiledFilter, compileAny } from "./filter.ts";
import {
  type DoneReplay,
  hadFilter,
  isCovered,
  isOwed,
  isSameTaste,
  type OpenReplay,
  type Owed,
  type PastSettings,
  positionBounds,
  rangesOf,
  type Stop,
  type StopColumns,
  senderOf,
  showMissed,
  stopsOf,
  type Tally,
  toldFrom,
} from "./missed.ts";
import { createPassing, PASSING_BYTES_MAX } from "./passing-store.ts";
import type { ReplayUnderWay } from "./replay-step.ts";

/** Events that one answer looks at, over all webhooks that it shows. */
export const MISSED_SCAN_MAX = 10_000;
/** The same where each event's body has to be read, for a filter; PASSING_BYTES_MAX may end it earlier. */
const MISSED_BODIES_MAX = 1_000;
/** The same for a destination that is being stopped, while changes of its app wait. */
const FORGOTTEN_SCAN_MAX = 1_000;
/** Bytes of bodies that are read for it, where it has a filter. */
export const FORGOTTEN_BYTES_MAX = 1024 * 1024;
/** Different filters that it had during its stops, each of which an event may pass; with more, every event counts as passing. */
const FORGOTTEN_FILTERS_MAX = 4;
/** The newest changes of a destination that are looked at: they hold half as many stops, and what was before counts as one. */
export const CHANGES_MAX = 100;
/** The newest entries of the history, among which these changes are found: other entries tell of secrets or pauses. */
export const ENTRIES_MAX = 500;
/** The newest replays that are looked at for whether they have sent what was missed. */
const REPLAYS_MAX = 100;

type Asked = Pick<Destination, "id" | "app_id" | "events">;

interface Shown {
  row: DestinationRow;
  destination: Asked & Pick<Destination, "filter">;
}

interface Looked {
  /** By its place in the list. */
  stop: number;
  position: string;
  event: string;
  link_id: string | null;
  is_missing: number;
}

interface Look extends Shown {
  now: number;
  /** Stopped webhooks of one answer, which share what it may look at. */
  webhooks_shown: number;
}

/** Of one stop, by its place in the list. */
interface Counted {
  stop: number;
  looked: number;
  missing: number;
}

interface Bounds {
  scan_max: number;
  bytes_max: number;
}

type RowStops = StopColumns & Pick<DestinationRow, "app_id">;

export type MissedStore = ReturnType<typeof createMissedStore>;

export function createMissedStore({ query }: Pick<Database, "query">) {
  const { passingOf } = createPassing({ query });
  const share = createSharedWork(look);

  /** By destination; one that was never stopped is left out. Who asks for the same at the same time shares a look. */
  async function missedOf(shown: readonly Shown[], now: number): Promise<Map<string, Owed>> {
    const stopped = shown.filter(({ row }) => row.stopped_at !== null);
    const webhooks_shown = stopped.length;
    const found = await Promise.all(
      stopped.map(async ({ row, destination }): Promise<[string, Owed]> => {
        const { stopped_at, restarted_at, events, filter } = row;
        const key = JSON.stringify([destination.id, stopped_at, restarted_at, events, filter, webhooks_shown]);
        return [destination.id, await share(key, { row, destination, now, webhooks_shown })];
      }),
    );
    return new Map(found);
  }

  async function look({ row, destination, now, webhooks_shown }: Look): Promise<Owed> {
    const told = await tell(row);
    const stops = stopsOf(row, told);
    const scan_max = destination.filter?.needs_data ? MISSED_BODIES_MAX : MISSED_SCAN_MAX;
    const bounds = {
      scan_max: Math.ceil(scan_max / webhooks_shown),
      bytes_max: Math.floor(PASSING_BYTES_MAX / webhooks_shown),
    };
    let looked: readonly Stop[] = stops;
    let tally = await count(destination, looked, now, bounds);
    if (!tally.is_exact) {
      looked = await withoutReplayed(row, told, stops);
      if (looked.length < stops.length) tally = await count(destination, looked, now, bounds);
    }
    const missed = showMissed(stops, looked, tally);
    const is_owed = missed !== null && isOwed(missed);
    return { missed, sender: is_owed ? senderOf(await openReplaysTo(row.id), stops, now) : null };
  }

  /** Replays that still look for what is missing; their number is bounded by how many may be open. */
  async function openReplaysTo(id: string): Promise<OpenReplay[]> {
    const found = await query<Stored<OpenReplay>>(sql`select id, state, destination_id, target_id, states, at_position,
        end_position from replays
      where target_id = ${id} and slot is not null and destination_id = ${id} and walked = 0 and events is null
        and link_id is null and states like '%"missing"%'
      order by slot`);
    return found.map(withStates);
  }

  /** Replays to webhooks that are running or wait for somebody to resume them, by webhook, in the order in which they were asked for. */
  async function openTo(ids: readonly string[]): Promise<Map<string, ReplayUnderWay[]>> {
    if (ids.length === 0) return new Map();
    const found = await query<Stored<Omit<ReplayUnderWay, "is_all">> & { all: number }>(
      sql`select id, state, destination_id, target_id, states, at_position, end_position, created_at,
          case when walked = 0 and events is null and link_id is null then 1 else 0 end as "all"
        from replays where target_id in (${list(ids)}) and slot is not null order by id`,
    );
    const replays = found.map(({ all, ...row }) => ({ ...withStates(row), is_all: all === 1 }));
    return Map.groupBy(replays, ({ target_id }) => target_id);
  }

  /** When it was off or disabled, from the first time on that is not recovered; none when it never was. */
  async function findStops(row: StopColumns): Promise<Stop[]> {
    return stopsOf(row, await tell(row));
  }

  /** Entries of other settings alone, with 2, neither end a stop nor take the place of one that does. */
  async function tell({ id, stopped_at }: StopColumns): Promise<PastSettings[]> {
    if (stopped_at === null) return [];
    const from = toldFrom(stopped_at);
    const told = await query<PastSettings>(sql`select at, state, events, filter from (
        select at, state, events, filter, lag(events) over past as events_before, lag(filter) over past as filter_before,
          ${isStoppedIn(sql`state`)} as stopped, ${isStoppedIn(sql`lag(state) over past`)} as stopped_before
        from (select at, state, events, filter from destination_history
          where destination_id = ${id} and explains <> 2 and at >= coalesce((select max(h.at)
            from destination_history as h where h.destination_id = ${id} and h.explains <> 2 and h.at <= ${from}), 0)
          order by at desc limit ${ENTRIES_MAX}) as entries
        window past as (order by at)) as compared
      where events_before is null or events <> events_before or filter is distinct from filter_before
        or stopped <> stopped_before
      order by at desc limit ${CHANGES_MAX}`);
    return told.reverse();
  }

  async function count(
    { filter, ...asked }: Shown["destination"],
    stops: readonly Stop[],
    now: number,
    { scan_max, bytes_max }: Bounds,
  ): Promise<Tally> {
    if (stops.length === 0) return { count: 0, is_exact: true, first: null };
    const looked = lookedIn(asked, stops, { now, limit: scan_max + 1 });
    if (filter === null) {
      const counted = await countEach(looked);
      const is_exact = counted.reduce((sum, one) => sum + one.looked, 0) <= scan_max;
      const missing = counted.reduce((sum, one) => sum + one.missing, 0);
      const first = counted.find((one) => one.missing > 0) ?? (is_exact ? undefined : counted.at(-1));
      return { count: missing, is_exact, first: first?.stop ?? null };
    }
    const found = await query<Looked>(looked);
    const missing = found.slice(0, scan_max).filter(({ is_missing }) => is_missing === 1);
    const { passing, looked: seen } = await passingOf(asked.app_id, missing, filter, { bytes_max });
    // What was not looked at any more, for one of the two reasons.
    const unseen = missing[seen] ?? found[scan_max];
    return { count: passing.length, is_exact: unseen === undefined, first: (passing[0] ?? unseen)?.stop ?? null };
  }

  function countEach(looked: Statement): Promise<Counted[]> {
    return query<Counted>(sql`select stop, count(*) as looked, count(case when is_missing = 1 then 1 end) as missing
      from (${looked}) as l group by stop order by stop`);
  }

  /**
   * The stops without those that are covered by replays: to this webhook, of all that was missing, done, and with the types
   * and the filter that it has now.
   */
  async function withoutReplayed(
    { id, events, filter }: StopColumns,
    told: readonly PastSettings[],
    stops: readonly Stop[],
  ): Promise<readonly Stop[]> {
    const replays = await query<DoneReplay>(sql`select since, until, created_at, finished_at from replays
      where destination_id = ${id} and target_id = ${id} and state = 'done' and events is null
        and created_at >= ${stops[0]?.since ?? 0} and link_id is null and missing_events = ${events}
        and states like '%"missing"%'
      order by id desc limit ${REPLAYS_MAX}`);
    const alike = replays.filter((one) => hadFilter(filter, told, one));
    return stops.filter((stop) => !isCovered(stop, alike));
  }

  /**
   * The beginning of the first stop that has to be remembered; null when nothing is missing of any. In doubt it is
   * remembered: when a replay is under way, which may be canceled, and when there is too much to look at.
   */
  async function unrecoveredSince(row: RowStops, now: number): Promise<number | null> {
    const told = await tell(row);
    const stops = stopsOf(row, told);
    const under_way = await query(sql`select 1 as one from replays
      where target_id = ${row.id} and finished_at is null limit 1`);
    if (stops[0] === undefined || under_way.length > 0) return row.stopped_at;
    const is_constant = told.every((one) => isSameTaste(one, row));
    const left = is_constant ? await withoutReplayed(row, told, stops) : stops;
    // Counted with every type and filter that it had meanwhile: a change of these and back must not make it forget what it missed.
    const tastes = [row, ...told];
    const types = tastes.flatMap(({ events }) => JSON.parse(events) as EventType[]);
    const filter = anyOf(tastes.map((one) => one.filter));
    const asked = { id: row.id, app_id: row.app_id, events: new Set(types), filter };
    const bounds = { scan_max: FORGOTTEN_SCAN_MAX, bytes_max: FORGOTTEN_BYTES_MAX };
    const { first } = await count(asked, left, now, bounds);
    return first === null ? null : (left[first]?.since ?? null);
  }

  return { missedOf, openTo, findStops, unrecoveredSince };
}

/** A replay's row: what it sends is JSON there. */
type Stored<Replay> = Omit<Replay, "states"> & { states: string };

function withStates<Row extends { states: string }>(row: Row) {
  // Written by replay-store.ts alone.
  return { ...row, states: JSON.parse(row.states) as string[] };
}

/** Passes what one of them passes; null: everything. */
function anyOf(filters: readonly (string | null)[]): CompiledFilter | null {
  const texts = [...new Set(filters)];
  return texts.length > FORGOTTEN_FILTERS_MAX ? null : compileAny(texts);
}

function isStoppedIn(state: Statement): Statement {
  return sql`case when ${state} in ('off', 'disabled') then 1 else 0 end`;
}

/**
 * The first events of all stops. Whether a delivery is there is asked row by row (and not by `exists`, which may become a
 * join), for the reason that replay-walk-store.ts gives. Test events are nobody's to miss, and neither is what was erased.
 */
function lookedIn(
  { id, app_id, events }: Asked,
  stops: readonly Stop[],
  { now, limit }: { now: number; limit: number },
) {
  const types = list([...events]);
  const [first = sql``, ...others] = rangesOf(stops, now).map((range, stop) => {
    const [from_position, end_position] = positionBounds(range);
    return sql`select * from (select cast(${stop} as bigint) as stop, position, event, link_id,
        case when target_id is null and erased_at is null and event in (${types}) and (
          select 1 from deliveries as d where d.destination_id = ${id} and d.position = events.position) is null
        then 1 else 0 end as is_missing
      from events where app_id = ${app_id} and position > ${from_position} and position < ${end_position}
      order by position limit ${limit}) as s`;
  });
  const all = others.reduce((left, right) => sql`${left} union all ${right}`, first);
  return sql`select a.* from (${all}) as a limit ${limit}`;
}
