// SQL that counts what destinations have missed while they were off or disabled: events of their types that pass their
// filter and have no delivery there. However many there are, an answer looks at a bounded number of events. It also says
// which stops need not be remembered, for nothing is missing of them. Called by webhooks.ts for everything that shows
// webhooks, and by store.ts when one is stopped.
import type { Missed } from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import type { Database } from "../platform/database.ts";
import { createSharing } from "../platform/sharing.ts";
import { list, type Statement, sql } from "../platform/sql.ts";
import type { Destination, DestinationRow } from "./destination.ts";
import {
  constantSince,
  isCovered,
  isSameTaste,
  type PastSettings,
  positionBounds,
  rangesOf,
  type Stop,
  type StopColumns,
  showMissed,
  stopsOf,
  type TimeRange,
  toldFrom,
} from "./missed.ts";
import { createPassing, PASSING_BYTES_MAX } from "./passing-store.ts";

/** Events that one answer looks at, over all webhooks that it shows. */
export const MISSED_SCAN_MAX = 10_000;
/** The same where each event's body has to be read, for a filter; PASSING_BYTES_MAX may end it earlier. */
const MISSED_BODIES_MAX = 1_000;
/** The same for a destination that is being stopped, while changes of its app wait. */
const FORGOTTEN_SCAN_MAX = 1_000;
/** Changes of a destination that are looked at, the last ones: half as many stops, and one for all before. */
export const TOLD_MAX = 100;
/** Replays that may have sent everything which are looked at, the last ones. */
const REPLAYS_MAX = 100;

type Asked = Pick<Destination, "id" | "app_id" | "events">;

interface Shown {
  row: DestinationRow;
  destination: Asked & Pick<Destination, "filter">;
}

interface Looked {
  position: string;
  event: string;
  link_id: string | null;
  is_missing: number;
}

interface Look extends Shown {
  now: number;
  /** Webhooks that share what one answer may look at. */
  sharing: number;
}

/** Of one stop, by its place in the list. */
interface Counted {
  stop: number;
  looked: number;
  missing: number;
}

type RowStops = StopColumns & Pick<DestinationRow, "app_id">;

export type MissedStore = ReturnType<typeof createMissedStore>;

export function createMissedStore({ query }: Pick<Database, "query">) {
  const { passingOf } = createPassing({ query });
  const share = createSharing(look);

  /** By destination; one that was never stopped is left out. Who asks for the same at the same time shares a look. */
  async function missedOf(shown: readonly Shown[], now: number): Promise<Map<string, Missed>> {
    const stopped = shown.filter(({ row }) => row.stopped_at !== null);
    const sharing = stopped.length;
    const found = await Promise.all(
      stopped.map(async ({ row, destination }): Promise<[string, Missed]> => {
        const { stopped_at, restarted_at, events, filter } = row;
        const key = JSON.stringify([destination.id, stopped_at, restarted_at, events, filter, sharing]);
        return [destination.id, await share(key, { row, destination, now, sharing })];
      }),
    );
    return new Map(found);
  }

  async function look({ row, destination, now, sharing }: Look): Promise<Missed> {
    const told = await tell(row);
    const stops = stopsOf(row, told);
    let counted = await count(destination, stops, { now, sharing });
    if (!counted.is_exact) {
      const left = await withoutReplayed(row, told, stops);
      if (left.length < stops.length) counted = await count(destination, left, { now, sharing });
    }
    return showMissed(stops, counted);
  }

  /** When it was off or disabled, from the first time on that is not recovered; none when it never was. */
  async function findStops(row: StopColumns): Promise<Stop[]> {
    return stopsOf(row, await tell(row));
  }

  async function tell({ id, stopped_at }: StopColumns): Promise<PastSettings[]> {
    if (stopped_at === null) return [];
    const from = toldFrom(stopped_at);
    const told = await query<PastSettings>(sql`select at, state, events, filter from destination_history
      where destination_id = ${id} and at >= coalesce((select max(h.at)
        from destination_history as h where h.destination_id = ${id} and h.at <= ${from}), 0)
      order by at desc limit ${TOLD_MAX}`);
    return told.reverse();
  }

  async function count(
    { filter, ...asked }: Shown["destination"],
    stops: readonly Stop[],
    { now, sharing }: Pick<Look, "now" | "sharing">,
  ): Promise<Pick<Missed, "count" | "is_exact">> {
    if (stops.length === 0) return { count: 0, is_exact: true };
    const is_read = filter?.needs_data ?? false;
    const scan_max = Math.ceil((is_read ? MISSED_BODIES_MAX : MISSED_SCAN_MAX) / sharing);
    const looked = lookedIn(asked, stops, { now, limit: scan_max + 1 });
    if (filter === null) {
      const counted = await countEach(looked);
      const missing = counted.reduce((sum, one) => sum + one.missing, 0);
      return { count: missing, is_exact: sumOf(counted) <= scan_max };
    }
    const found = await query<Looked>(looked);
    const missing = found.slice(0, scan_max).filter(({ is_missing }) => is_missing === 1);
    const bytes_max = Math.floor(PASSING_BYTES_MAX / sharing);
    const { passing, looked: seen } = await passingOf(asked.app_id, missing, filter, { bytes_max });
    return { count: passing.length, is_exact: found.length <= scan_max && seen === missing.length };
  }

  function countEach(looked: Statement): Promise<Counted[]> {
    return query<Counted>(sql`select stop, count(*) as looked, count(case when is_missing = 1 then 1 end) as missing
      from (${looked}) as l group by stop order by stop`);
  }

  /** Without those that ended replays of all that is missing, to this webhook, have covered. One counts that took what is taken now. */
  async function withoutReplayed(
    { id, events, filter }: StopColumns,
    told: readonly PastSettings[],
    stops: readonly Stop[],
  ): Promise<readonly Stop[]> {
    if (filter !== null) return stops;
    const since = constantSince({ events, filter }, told);
    const replays = await query<TimeRange & { created_at: number }>(sql`select since, until, created_at from replays
      where destination_id = ${id} and target_id = ${id} and state = 'done' and events is null
        and created_at >= ${since} and link_id is null and missing_events = ${events} and states like '%"missing"%'
      order by id desc limit ${REPLAYS_MAX}`);
    return stops.filter((stop) => !isCovered(stop, replays));
  }

  /**
   * The beginning of the first stop that has to be remembered; null when nothing is missing of any. In doubt it is
   * remembered: when a replay is under way, which may be canceled, when there is too much to look at, and whatever the
   * filter is now.
   */
  async function unrecoveredSince(row: RowStops, now: number): Promise<number | null> {
    const told = await tell(row);
    const stops = stopsOf(row, told);
    const under_way = await query(sql`select 1 as one from replays
      where target_id = ${row.id} and finished_at is null limit 1`);
    if (stops[0] === undefined || under_way.length > 0) return row.stopped_at;
    const is_constant = told.every((one) => isSameTaste(one, row));
    const left = is_constant ? await withoutReplayed(row, told, stops) : stops;
    if (left.length === 0) return null;
    // Of every type that it took meanwhile: what was missed is not to be lost by a change of them and back.
    const types = [row, ...told].flatMap(({ events }) => JSON.parse(events) as EventType[]);
    const asked: Asked = { id: row.id, app_id: row.app_id, events: new Set(types) };
    const counted = await countEach(lookedIn(asked, left, { now, limit: FORGOTTEN_SCAN_MAX + 1 }));
    const lacking = counted.find(({ missing }) => missing > 0);
    const first = lacking ?? (sumOf(counted) > FORGOTTEN_SCAN_MAX ? counted.at(-1) : undefined);
    return first === undefined ? null : (left[first.stop]?.since ?? null);
  }

  return { missedOf, findStops, unrecoveredSince };
}

function sumOf(counted: readonly Counted[]): number {
  return counted.reduce((sum, { looked }) => sum + looked, 0);
}

/**
 * The first events of all stops. Whether a delivery is there is asked row by row (and not by `exists`, which may become a
 * join), for the reason that replay-walk-store.ts gives. Test events are nobody's to miss.
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
        case when target_id is null and event in (${types}) and (
          select 1 from deliveries as d where d.destination_id = ${id} and d.position = events.position) is null
        then 1 else 0 end as is_missing
      from events where app_id = ${app_id} and position > ${from_position} and position < ${end_position}
      order by position limit ${limit}) as s`;
  });
  const all = others.reduce((left, right) => sql`${left} union all ${right}`, first);
  return sql`select a.* from (${all}) as a limit ${limit}`;
}
