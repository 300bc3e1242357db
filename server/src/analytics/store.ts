// The tables click_hours, click_days and click_parts, as they are read by analytics.ts, and as hours go. What writes them is in
// tally-store.ts.
import type { ClickDimension } from "#contract/analytics.ts";
import type { Database } from "../platform/database.ts";
import { SKIP_LOCKED, type Statement, sql } from "../platform/sql.ts";

/** Of one statement: for more, PostgreSQL would read the whole table while its statistics are old. */
export const REMOVAL_ROWS = 200;

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
    const removed = await query(sql`delete from click_hours where (app_id, link_id, at) in (
      select app_id, link_id, at from click_hours where at < ${before} order by at limit ${REMOVAL_ROWS}
      ${SKIP_LOCKED}) returning at`);
    return removed.length;
  }

  return { selectHours, selectDays, selectTop, removeHours };
}

function within({ app_id, link_id, since, until }: Stretch): Statement {
  return sql`app_id = ${app_id} and link_id = ${link_id} and at >= ${since} and at < ${until}`;
}
