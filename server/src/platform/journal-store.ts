// Reads the journal in the order of the commits, and keeps it short. Used by streams (journal-reader.ts, following.ts), and
// by compose-tail.ts for its upkeep. A row that can be read is never followed by one with a lower place, whichever process
// writes it, so whoever reads on from a place misses nothing.
import type { Database } from "./database.ts";
import type { JournalRow } from "./journal.ts";
import { NEXT_TX, SETTLED_TX, sql, UNBORN_TX } from "./sql.ts";

/** How long a reader may be away. */
export const JOURNAL_KEPT_MS = 24 * 3_600_000;
/** Rows that one read looks at. */
const PAGE_ROWS = 200;
/** Rows whose topics one look at the end of the journal takes. */
const LOOK_ROWS = 500;
/** Rows that one step of the upkeep deletes, so that it never holds the writer for long. */
const PRUNE_ROWS = 500;

/** A row of the journal, by which everything before it is known too. */
export interface Place {
  tx: number;
  part: string;
}

export interface JournalPage {
  /** Rows that name the topic. */
  rows: { row: JournalRow; before: Place }[];
  /** Everything up to here was looked at. */
  end: Place;
  /** True when there may be more behind it. */
  is_full: boolean;
}

export interface JournalGlimpse {
  rows: readonly JournalRow[];
  end: Place;
  settled: Place | null;
  is_full: boolean;
}

export type JournalStore = ReturnType<typeof createJournalStore>;

export function createJournalStore({ query }: Pick<Database, "query">) {
  /** Streams of one topic ask for the same at the same time. */
  const reading = new Map<string, Promise<JournalPage>>();

  function page(topic: string, after: Place): Promise<JournalPage> {
    const key = `${topic} ${after.tx} ${after.part}`;
    const shared = reading.get(key);
    if (shared !== undefined) return shared;
    const read = readPage(topic, after).finally(() => reading.delete(key));
    reading.set(key, read);
    return read;
  }

  async function readPage(topic: string, after: Place): Promise<JournalPage> {
    // The pattern may find more than the topic, which the reader of the row tells apart.
    const found = await query<JournalRow | (Place & { topics: null; changes: null })>(
      sql`select tx, part, case when topics like ${`% ${topic} %`} then topics else null end as topics,
          case when topics like ${`% ${topic} %`} then changes else null end as changes
        from journal where (tx, part) > (${after.tx}, ${after.part}) and tx < ${SETTLED_TX}
        order by tx, part limit ${PAGE_ROWS}`,
    );
    let end = after;
    const rows: JournalPage["rows"] = [];
    for (const row of found) {
      if (row.changes !== null) rows.push({ row, before: end });
      end = placeOf(row);
    }
    return { rows, end, is_full: found.length === PAGE_ROWS };
  }

  /** All that is visible of a topic, rows that others may still come before included: `settled` is the last without those. */
  async function glimpse(topic: string, after: Place): Promise<JournalGlimpse> {
    const found = await query<JournalRow & { is_settled: number }>(
      sql`select tx, part, topics, case when topics like ${`% ${topic} %`} then changes else '' end as changes,
          case when tx < ${SETTLED_TX} then 1 else 0 end as is_settled
        from journal where (tx, part) > (${after.tx}, ${after.part}) order by tx, part limit ${PAGE_ROWS}`,
    );
    const end = found.at(-1);
    const settled = found.findLast((row) => row.is_settled === 1);
    return {
      rows: found.filter(({ changes }) => changes !== ""),
      end: end === undefined ? after : placeOf(end),
      settled: settled === undefined ? null : placeOf(settled),
      is_full: found.length === PAGE_ROWS,
    };
  }

  /** The last row that can be read. */
  async function head(): Promise<Place> {
    const [last] = await query<Place>(
      sql`select tx, part from journal where tx < ${SETTLED_TX} order by tx desc, part desc limit 1`,
    );
    return last ?? { tx: 0, part: "" };
  }

  /** False when the row was removed, or never was: then nobody knows what followed it. */
  async function has({ tx, part }: Place): Promise<boolean> {
    return (await query(sql`select 1 as one from journal where tx = ${tx} and part = ${part}`)).length > 0;
  }

  /** Which topics changed after a row, and up to which row that is; `is_waiting`: there is more that cannot be read yet. */
  async function look(after: Place): Promise<{ topics: string[]; end: Place; is_full: boolean; is_waiting: boolean }> {
    const found = await query<Place & { topics: string; is_settled: number }>(
      sql`select tx, part, topics, case when tx < ${SETTLED_TX} then 1 else 0 end as is_settled
        from journal where (tx, part) > (${after.tx}, ${after.part}) order by tx, part limit ${LOOK_ROWS}`,
    );
    const settled = found.filter((row) => row.is_settled === 1);
    const last = settled.at(-1);
    return {
      topics: settled.flatMap(({ topics }) => topics.trim().split(" ")),
      end: last === undefined ? after : placeOf(last),
      is_full: settled.length === LOOK_ROWS,
      is_waiting: settled.length < found.length,
    };
  }

  /**
   * To be run before this process writes. A dump that was restored into another cluster of PostgreSQL brings numbers which that
   * one has not reached, and rows to come would be sorted before them; so what is there is of no more use.
   */
  async function prepare(now: number): Promise<void> {
    await query(sql`delete from journal where exists (select 1 from journal where tx >= ${UNBORN_TX})`);
    await query(sql`insert into journal (tx, part, written_at, topics, changes)
      select ${NEXT_TX}, '', cast(${now} as bigint), ' ', '' where not exists (select 1 from journal)`);
  }

  /** Removes some of what is too old, the oldest first and never the newest row; false when nothing was left to remove. */
  async function prune(now: number): Promise<boolean> {
    const oldest = await query<Place & { written_at: number }>(
      sql`select tx, part, written_at from journal order by tx, part limit ${PRUNE_ROWS}`,
    );
    // A time too far away is of a clock that was wrong.
    const kept = oldest.find(({ written_at }) => Math.abs(now - written_at) <= JOURNAL_KEPT_MS) ?? oldest.at(-1);
    if (kept === undefined || kept === oldest[0]) return false;
    // By both, for one transaction of PostgreSQL may have written more rows than a step looks at.
    await query(sql`delete from journal where (tx, part) < (${kept.tx}, ${kept.part})`);
    return kept === oldest.at(-1);
  }

  return { page, glimpse, head, has, look, prepare, prune };
}

function placeOf({ tx, part }: Place): Place {
  return { tx, part };
}
