// The table click_tallies, and how its rows become counts. Tallies are written in the transactions that store clicks; folding.ts
// reads the oldest, adds them up, and writes the counts in the transaction that removes them, so that each counts once.
import type { Database } from "../platform/database.ts";
import { expectRows, isRows, paddedList, rows, type SqlValue, type Statement, sql } from "../platform/sql.ts";
import type { Counts, TalliesOfApp, TotalRow } from "./visit.ts";

/**
 * Values of one property that are kept apart in a day, of a link and of an app. Whoever comes later is counted with the others. A
 * statement sees what is there when it begins, so on PostgreSQL there may be as many more as one has rows.
 */
export const LINK_VALUES_MAX = 100;
export const APP_VALUES_MAX = 500;
/** Rows of one statement. */
const STATEMENT_ROWS = 100;

export interface WaitingTallies {
  id: string;
  app_id: string;
  tallies: string;
}

/** To be run in the transaction that stores the clicks. */
export function insertTallies(list: readonly TalliesOfApp[], newId: () => string): Statement {
  return { ...INSERT, values: [rows(list.map(([app_id, tallies]) => [newId(), app_id, tallies]))] };
}

/** Written once, as the others below, so that the engines keep the rendered text. */
const INSERT = sql`insert into click_tallies (id, app_id, tallies) values ${rows([["", "", ""]])}`;

export type TallyStore = ReturnType<typeof createTallyStore>;

export function createTallyStore({ query, batch }: Pick<Database, "query" | "batch">) {
  /** The oldest after this one. */
  function selectWaiting(after: string, limit: number): Promise<WaitingTallies[]> {
    return query(sql`select id, app_id, tallies from click_tallies where id > ${after} order by id limit ${limit}`);
  }

  async function selectThere(apps: readonly string[], links: readonly string[]) {
    const [found_apps, found_links] = await Promise.all([
      apps.length === 0 ? [] : query<{ id: string }>(sql`select id from apps where id in (${paddedList(apps)})`),
      links.length === 0 ? [] : query<{ id: string }>(sql`select id from links where id in (${paddedList(links)})`),
    ]);
    return { apps: found_apps.map(({ id }) => id), links: found_links.map(({ id }) => id) };
  }

  /**
   * Removes tallies and writes what they add up to, all or nothing. Whoever folds at the same time waits first, and then finds
   * tallies gone. So does the removal of an app or link, which is deleted by then: it removes what is written here, and no later
   * fold finds the app or link. None of their rows is locked: those of links change with every click.
   * @throws DatabaseError "unmet" when an app, link or tally of these has just gone
   */
  async function fold(ids: readonly string[], there: { apps: string[]; links: string[] }, counts: Counts) {
    await batch([
      sql`select id from click_tallies where id = '' /* locked */`,
      ...stillThere(there.apps, (ids) => sql`select id from apps where id in (${ids})`),
      ...stillThere(there.links, (ids) => sql`select id from links where id in (${ids})`),
      expectRows(ids.length, deleteTallies(ids)),
      ...addCounts(counts),
    ]);
  }

  return { selectWaiting, selectThere, fold };
}

/** The bounds keep PostgreSQL from reading a table of which its statistics know one row. @param ids in their order */
function deleteTallies(ids: readonly string[]): Statement {
  return sql`delete from click_tallies where id >= ${ids[0] ?? ""} and id <= ${ids.at(-1) ?? ""}
    and id in (${paddedList(ids)}) returning id`;
}

function stillThere(ids: readonly string[], select: (ids: Statement) => Statement): Statement[] {
  return ids.length === 0 ? [] : [expectRows(ids.length, select(paddedList(ids)))];
}

/** They have one writer at a time, so that no two wait for each other. */
function addCounts({ hours, days, parts }: Counts): Statement[] {
  const totals = (list: readonly TotalRow[]) =>
    list.map((row): SqlValue[] => [row.app_id, row.link_id, row.at, row.clicks, row.bots]);
  const counted = parts.map((row): SqlValue[] => {
    return [row.app_id, row.link_id, row.dimension, row.at, row.value, row.clicks];
  });
  return [
    ...chunks(totals(hours)).map((list) => withRows(ADD_HOURS, list)),
    ...chunks(totals(days)).map((list) => withRows(ADD_DAYS, list)),
    ...chunks(counted).map((list) => withRows(ADD_PARTS, list)),
  ];
}

const ADD_HOURS = sql`insert into click_hours (app_id, link_id, at, clicks, bots) values ${rows([["", "", 0, 0, 0]])}
    on conflict (app_id, link_id, at) do update set clicks = click_hours.clicks + excluded.clicks,
      bots = click_hours.bots + excluded.bots`;

const ADD_DAYS = sql`insert into click_days (app_id, link_id, at, clicks, bots) values ${rows([["", "", 0, 0, 0]])}
    on conflict (app_id, link_id, at) do update set clicks = click_days.clicks + excluded.clicks,
      bots = click_days.bots + excluded.bots`;

const PART_TYPES = ["text", "text", "text", "bigint", "text", "bigint"] as const;
const IN_ITS_DAY = sql`p.app_id = column1 and p.link_id = column2 and p.dimension = column3 and p.at = column4`;
const limitOf = (limit: number): Statement => ({ kind: "statement", parts: [String(limit)], values: [] });
const hasRoom = (limit: Statement) =>
  sql`(select count(*) from (select 1 as one from click_parts as p where ${IN_ITS_DAY} limit ${limit}) as few) < ${limit}`;

/** Most values are there already, which is one seek; only for a new one are those that are there counted, to the bound. */
const ADD_PARTS = sql`insert into click_parts (app_id, link_id, dimension, at, value, clicks)
    select column1, column2, column3, column4, kept, cast(sum(column6) as bigint) from (
      select column1, column2, column3, column4, column6, case
        when exists (select 1 from click_parts as p where ${IN_ITS_DAY} and p.value = column5) then column5
        when column2 = '' then case when ${hasRoom(limitOf(APP_VALUES_MAX))} then column5 else '' end
        when ${hasRoom(limitOf(LINK_VALUES_MAX))} then column5 else '' end as kept
      from (values ${rows([["", "", "", 0, "", 0]], PART_TYPES)}) as v) as told
    group by column1, column2, column3, column4, kept
    on conflict (app_id, link_id, dimension, at, value) do update set clicks = click_parts.clicks + excluded.clicks`;

function withRows(statement: Statement, list: SqlValue[][]): Statement {
  return { ...statement, values: statement.values.map((value) => (isRows(value) ? { ...value, list } : value)) };
}

function chunks<Item>(list: readonly Item[]): Item[][] {
  const count = Math.ceil(list.length / STATEMENT_ROWS);
  return Array.from({ length: count }, (_, n) => list.slice(n * STATEMENT_ROWS, (n + 1) * STATEMENT_ROWS));
}
