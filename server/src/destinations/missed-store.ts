// SQL that counts what destinations have missed while they were off or disabled: events of their types that pass their
// filter and have no delivery there. However many there are, an answer looks at a bounded number of events.
// Called by webhooks.ts for everything that shows webhooks.
import type { Missed } from "#contract/destinations.ts";
import type { Database } from "../platform/database.ts";
import { list, type Statement, sql } from "../platform/sql.ts";
import type { Destination, DestinationRow } from "./destination.ts";
import { subjectOf } from "./filter.ts";
import { type PastSettings, positionsOf, type Stop, type StopColumns, showMissed, stopOf, toldFrom } from "./missed.ts";

/** Events that one answer looks at, over all webhooks that it shows. */
export const MISSED_SCAN_MAX = 10_000;
/** The same where each event's body has to be read, for a filter. */
const MISSED_BODIES_MAX = 1_000;
/** Changes of the last seconds before a stop that are looked at, the last ones. */
const TOLD_MAX = 100;
/** Bodies that one query answers: each may have 256 KiB. */
const BODIES_AT_ONCE = 100;

interface Shown {
  row: DestinationRow;
  destination: Pick<Destination, "id" | "app_id" | "events" | "filter">;
}

interface Looked {
  position: string;
  event: string;
  link_id: string | null;
  is_missing: number;
  body?: string;
}

export type MissedStore = ReturnType<typeof createMissedStore>;

export function createMissedStore({ query }: Pick<Database, "query">) {
  /** By destination; one that was never stopped is left out. */
  async function missedOf(shown: readonly Shown[], now: number): Promise<Map<string, Missed>> {
    const stopped = shown.filter(({ row }) => row.stopped_at !== null);
    const found = await Promise.all(
      stopped.map(async ({ row, destination }): Promise<[string, Missed] | null> => {
        const { events } = row;
        const stop = await findStop(row);
        if (stop === null) return null;
        const counted = await count(destination, stop, { now, sharing: stopped.length });
        const is_over = !counted.is_exact && (await isReplayed(destination, events, stop));
        return [destination.id, showMissed(stop, is_over ? { count: 0, is_exact: true } : counted)];
      }),
    );
    return new Map(found.filter((one) => one !== null));
  }

  /** The last time that it was off or disabled; null when it never was. */
  async function findStop(row: StopColumns): Promise<Stop | null> {
    const { id, stopped_at } = row;
    if (stopped_at === null) return null;
    const from = toldFrom(stopped_at);
    const told = await query<PastSettings>(sql`select at, state, events, filter from destination_history
      where destination_id = ${id} and at <= ${stopped_at} and at >= coalesce((select max(h.at)
        from destination_history as h where h.destination_id = ${id} and h.at <= ${from}), 0)
      order by at desc limit ${TOLD_MAX}`);
    return stopOf(row, told.reverse());
  }

  function count(destination: Shown["destination"], stop: Stop, { now, sharing }: { now: number; sharing: number }) {
    const { from_position, end_position } = positionsOf(stop, now);
    const is_read = destination.filter?.needs_data ?? false;
    const scan_max = Math.ceil((is_read ? MISSED_BODIES_MAX : MISSED_SCAN_MAX) / sharing);
    const range: Range = { after: from_position, end_position, scan_max };
    return destination.filter === null ? countAll(destination, range) : countPassing(destination, range, is_read);
  }

  async function countAll(destination: Shown["destination"], range: Range) {
    const [counted] = await query<{ looked: number; missing: number }>(sql`select count(*) as looked,
        count(case when is_missing = 1 then 1 end) as missing
      from (${looked(destination, range, { columns: sql``, limit: range.scan_max + 1 })}) as l`);
    return { count: counted?.missing ?? 0, is_exact: (counted?.looked ?? 0) <= range.scan_max };
  }

  async function countPassing({ filter, ...destination }: Shown["destination"], range: Range, is_read: boolean) {
    let missed = 0;
    let after = range.after;
    for (let left = range.scan_max; left > 0; ) {
      const limit = is_read ? Math.min(left, BODIES_AT_ONCE) : left;
      const columns = sql`, event, link_id${is_read ? sql`, body` : sql``}`;
      const found = await query<Looked>(looked(destination, { ...range, after }, { columns, limit }));
      missed += found.filter(
        ({ is_missing, body = "", ...event }) =>
          is_missing === 1 && filter?.refusal(subjectOf({ ...event, body })) === null,
      ).length;
      const last = found.at(-1);
      if (last === undefined || found.length < limit) return { count: missed, is_exact: true };
      after = last.position;
      left -= found.length;
    }
    return { count: missed, is_exact: false };
  }

  /** For what is too much to look through: whether a replay of it all, to this webhook, has ended. A filter may have changed since. */
  async function isReplayed({ id, filter }: Shown["destination"], events: string, { since, until }: Stop) {
    if (until === null || filter !== null) return false;
    const found = await query(sql`select 1 as one from replays where destination_id = ${id} and target_id = ${id}
      and state = 'done' and since <= ${since} and until >= ${until} and created_at >= ${until} and events is null and link_id is null
      and missing_events = ${events} and states like '%"missing"%' limit 1`);
    return found.length > 0;
  }

  return { missedOf, findStop };
}

interface Range {
  /** Behind this position. */
  after: string;
  end_position: string;
  scan_max: number;
}

/** Asked for row by row (and not by `exists`, which may become a join), for the reason that replay-walk-store.ts gives. Test events are nobody's to miss. */
function looked(
  { id, app_id, events }: Pick<Destination, "id" | "app_id" | "events">,
  { after, end_position }: Range,
  { columns, limit }: { columns: Statement; limit: number },
): Statement {
  return sql`select position, case when target_id is null and event in (${list([...events])}) and (
        select 1 from deliveries as d where d.destination_id = ${id} and d.position = events.position) is null
      then 1 else 0 end as is_missing ${columns}
    from events where app_id = ${app_id} and position > ${after} and position < ${end_position}
    order by position limit ${limit}`;
}
