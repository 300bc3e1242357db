// The tables click_hours, click_days and click_parts. Written in the transactions that store clicks, read by analytics.ts.
// Every writer takes hours before days before parts, and each of them in the order of its key: two processes never wait in a circle.
import type { ClickDimension } from "#contract/analytics.ts";
import type { Database } from "../platform/database.ts";
import { isRows, KEPT, paddedList, rows, SKIP_LOCKED, type SqlValue, type Statement, sql } from "../platform/sql.ts";
import type { Counts, TotalRow } from "./visit.ts";

/**
 * Values of one property that are kept apart in a day: of a link, and of an app in each shard. Whoever comes later is counted
 * with the others. A group of clicks sees what is there when it begins, so on PostgreSQL there may be a group's worth more.
 */
export const LINK_VALUES_MAX = 100;
export const APP_VALUES_MAX = 500;
/** Processes on PostgreSQL share so many rows for the same count of an app; SQLite has one writer, and one row. */
export const SHARDS = { sqlite: 1, postgres: 4 } as const;
/** Rows that one statement writes: bots come from memory, and may be of many links. */
const ROWS_MAX = 500;
/** Of one statement: for more, PostgreSQL would read the whole table while its statistics are old. */
export const REMOVAL_ROWS = 200;

const TOTAL_TYPES = ["text", "text", "bigint", "bigint", "bigint", "bigint"] as const;
const PART_TYPES = ["text", "text", "text", "bigint", "bigint", "text", "bigint"] as const;
/** Nothing is counted of what is gone; what is there was locked in this transaction, and is deleted after it. */
const IS_THERE = sql`case when column2 = '' then exists (select 1 from apps where apps.id = column1)
    else exists (select 1 from links where links.id = column2) end`;

/** @param shard of this process, for what is counted of an app as a whole */
export function addCounts({ hours, days, parts }: Counts, shard: number): Statement[] {
  const shardOf = (link_id: string) => (link_id === "" ? shard : 0);
  const totals = (list: TotalRow[]) =>
    list.map((row): SqlValue[] => {
      return [row.app_id, row.link_id, row.at, shardOf(row.link_id), row.clicks, row.bots];
    });
  const counted = parts.map((row): SqlValue[] => {
    return [row.app_id, row.link_id, row.dimension, row.at, shardOf(row.link_id), row.value, row.clicks];
  });
  return [
    ...chunks(totals(hours)).map((list) => withRows(ADD_HOURS, list)),
    ...chunks(totals(days)).map((list) => withRows(ADD_DAYS, list)),
    ...chunks(counted).map((list) => withRows(ADD_PARTS, list)),
  ];
}

/** The same, of visits that leave no click: apps and links are kept from being deleted meanwhile. */
export function addBots(hours: TotalRow[], days: TotalRow[], shard: number): Statement[] {
  const apps = [...new Set(hours.map(({ app_id }) => app_id))].sort();
  const links = [...new Set(hours.map(({ link_id }) => link_id))].sort();
  return [
    ...chunks(apps).map((ids) => sql`select id from apps where id in (${paddedList(ids)}) order by id ${KEPT}`),
    ...chunks(links).map((ids) => sql`select id from links where id in (${paddedList(ids)}) order by id ${KEPT}`),
    ...addCounts({ hours, days, parts: [] }, shard),
  ];
}

/** Written once, so that the engines keep the rendered text: these run with every group of clicks. */
const ADD_HOURS = sql`insert into click_hours (app_id, link_id, at, shard, clicks, bots)
    select column1, column2, column3, column4, column5, column6 from (values ${rows([["", "", 0, 0, 0, 0]], TOTAL_TYPES)}) as v
    where ${IS_THERE} order by column1, column2, column3, column4
    on conflict (app_id, link_id, at, shard) do update set clicks = click_hours.clicks + excluded.clicks,
      bots = click_hours.bots + excluded.bots`;

const ADD_DAYS = sql`insert into click_days (app_id, link_id, at, shard, clicks, bots)
    select column1, column2, column3, column4, column5, column6 from (values ${rows([["", "", 0, 0, 0, 0]], TOTAL_TYPES)}) as v
    where ${IS_THERE} order by column1, column2, column3, column4
    on conflict (app_id, link_id, at, shard) do update set clicks = click_days.clicks + excluded.clicks,
      bots = click_days.bots + excluded.bots`;

const IN_ITS_DAY = sql`p.app_id = column1 and p.link_id = column2 and p.dimension = column3 and p.at = column4
    and p.shard = column5`;
const hasRoom = (limit: number) =>
  sql`(select count(*) from (select 1 as one from click_parts as p where ${IN_ITS_DAY} limit ${limit}) as few) < ${limit}`;

/** Most values are there already, which is one seek; only for a new one are those that are there counted, to the bound. */
const ADD_PARTS = sql`insert into click_parts (app_id, link_id, dimension, at, shard, value, clicks)
    select column1, column2, column3, column4, column5, kept, cast(sum(column7) as bigint) from (
      select column1, column2, column3, column4, column5, column7, case
        when exists (select 1 from click_parts as p where ${IN_ITS_DAY} and p.value = column6) then column6
        when column2 = '' then case when ${hasRoom(APP_VALUES_MAX)} then column6 else '' end
        when ${hasRoom(LINK_VALUES_MAX)} then column6 else '' end as kept
      from (values ${rows([["", "", "", 0, 0, "", 0]], PART_TYPES)}) as v where ${IS_THERE}) as told
    group by column1, column2, column3, column4, column5, kept
    order by column1, column2, column3, column4, column5, kept
    on conflict (app_id, link_id, dimension, at, shard, value)
      do update set clicks = click_parts.clicks + excluded.clicks`;

function withRows(statement: Statement, list: SqlValue[][]): Statement {
  return { ...statement, values: statement.values.map((value) => (isRows(value) ? { ...value, list } : value)) };
}

function chunks<Item>(list: readonly Item[]): Item[][] {
  const count = Math.ceil(list.length / ROWS_MAX);
  return Array.from({ length: count }, (_, n) => list.slice(n * ROWS_MAX, (n + 1) * ROWS_MAX));
}

/** From `since`, inclusively, to `until`. An empty link_id is the app. */
export interface Stretch {
  app_id: string;
  link_id: string;
  since: number;
  until: number;
}

export interface CountAt {
  at: number;
  clicks: number;
  bots: number;
}

export type AnalyticsStore = ReturnType<typeof createAnalyticsStore>;

export function createAnalyticsStore({ query }: Pick<Database, "query">) {
  function selectHours(stretch: Stretch): Promise<CountAt[]> {
    return query(sql`select at, cast(sum(clicks) as bigint) as clicks, cast(sum(bots) as bigint) as bots from click_hours
      where ${within(stretch)} group by at order by at`);
  }

  function selectDays(stretch: Stretch): Promise<CountAt[]> {
    return query(sql`select at, cast(sum(clicks) as bigint) as clicks, cast(sum(bots) as bigint) as bots from click_days
      where ${within(stretch)} group by at order by at`);
  }

  /** The values with most clicks, and in the row with an empty value the rest. */
  async function selectTop(
    { app_id, link_id, since, until }: Stretch,
    dimension: ClickDimension,
    limit: number,
  ): Promise<{ values: { value: string; clicks: number }[]; clicks: number }> {
    const found = await query<{
      value: string;
      clicks: number;
      all_clicks: number;
    }>(sql`select value, clicks, all_clicks
      from (select value, cast(sum(clicks) as bigint) as clicks,
          cast(sum(sum(clicks)) over () as bigint) as all_clicks from click_parts
        where app_id = ${app_id} and link_id = ${link_id} and dimension = ${dimension} and at >= ${since} and at < ${until}
        group by value) as summed
      order by case when value = '' then 1 else 0 end, clicks desc, value limit ${limit + 1}`);
    const values = found
      .filter(({ value }) => value !== "")
      .slice(0, limit)
      .map(({ value, clicks }) => ({ value, clicks }));
    return { values, clicks: found[0]?.all_clicks ?? 0 };
  }

  /** Answers how many rows went: fewer than REMOVAL_ROWS when it is done. Whoever else removes takes other rows. */
  async function removeHours(before: number): Promise<number> {
    const removed = await query(sql`delete from click_hours where (app_id, link_id, at, shard) in (
      select app_id, link_id, at, shard from click_hours where at < ${before} order by at limit ${REMOVAL_ROWS}
      ${SKIP_LOCKED}) returning at`);
    return removed.length;
  }

  return { selectHours, selectDays, selectTop, removeHours };
}

function within({ app_id, link_id, since, until }: Stretch): Statement {
  return sql`app_id = ${app_id} and link_id = ${link_id} and at >= ${since} and at < ${until}`;
}
