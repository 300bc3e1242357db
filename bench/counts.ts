// Fills the database of a server with what clicks add up to, of many more clicks than could be made in time: the product's own sum
// of tallies, written by the statements that fold them, and copies of the days that they make. No click is stored, for what answers
// never reads one. Called by the scenario analytics.
import { CLICK_DIMENSIONS, type ClickDimension, HOURS_KEPT_DAYS } from "#contract/analytics.ts";
import { createTallyStore, insertTallies } from "../server/src/analytics/tally-store.ts";
import { type Counts, createSum, DAY_MS, HOUR_MS, type Tally } from "../server/src/analytics/visit.ts";
import type { Database } from "../server/src/platform/database.ts";
import { sql } from "../server/src/platform/sql.ts";
import { linkIdOf } from "./fill.ts";

/** The last days are folded, and those before them copied, which takes a tenth of the time. */
export const FOLDED_DAYS = 10;
/** Rows of properties in one transaction. */
const STEP_ROWS = 1_000;
const TALLY_ID = "filling";
/** A link and day with more clicks than this makes tallies of several clicks each, which is quicker to add up. */
const TALLIES_MAX = 1_000;
/** One bot for so many clicks. */
const CLICKS_PER_BOT = 10;
/** The larger, the more of the clicks have one of the first values. */
const SKEW = 14;

/**
 * How many values each property has, and of what share of the clicks one is known. Those that visitors write are so many that an app
 * has its most every day, and so has the most popular of many links.
 */
const PROPERTIES: Readonly<Record<ClickDimension, { values: number; known: number }>> = {
  platform: { values: 3, known: 1 },
  os: { values: 6, known: 1 },
  browser: { values: 12, known: 1 },
  country: { values: 200, known: 1 },
  referrer: { values: 1_000, known: 0.6 },
  utm_source: { values: 1_000, known: 0.5 },
  utm_medium: { values: 1_000, known: 0.5 },
  utm_campaign: { values: 1_000, known: 0.5 },
};

export interface Counted {
  app_id: string;
  clicks: number;
  /** Links that `fillLinks` made, the first of which is the most popular. */
  links: number;
  /** A multiple of FOLDED_DAYS. */
  days: number;
  /** Where the day after the last one begins. */
  end: number;
}

export async function fillCounts(db: Database, counted: Counted, say: (text: string) => void): Promise<void> {
  for (let day = 0; day < FOLDED_DAYS; day++) {
    await foldDay(db, counted, day);
    // As PostgreSQL does by itself within a minute: until it knows that there are many rows, it reads all of them.
    if (day === 0) await db.query(sql`analyze`);
  }
  say(`analytics: ${FOLDED_DAYS} days folded`);
  const since = counted.end - FOLDED_DAYS * DAY_MS;
  for (let back = FOLDED_DAYS; back < counted.days; back += FOLDED_DAYS) {
    for (let day = 0; day < FOLDED_DAYS; day++) await copyDay(db, counted, since + day * DAY_MS, back);
    say(`analytics: ${back + FOLDED_DAYS} days written`);
  }
}

async function foldDay(db: Database, counted: Counted, day: number): Promise<void> {
  const store = createTallyStore(db);
  const sum = createSum();
  for (const [link, clicks] of clicksOfDay(counted, day).entries()) {
    sum.add(counted.app_id, talliesOf(counted, { day, link, clicks }));
  }
  for (const counts of dealOut(sum.counts())) {
    // A step counts tallies that it removes: this one stands for all that were added up.
    await db.batch([insertTallies([[counted.app_id, "[]"]], () => TALLY_ID)]);
    await store.fold([TALLY_ID], { apps: [], links: [] }, counts);
  }
}

/** In steps as small as the server's. What belongs together is spread over them, as over a day whose clicks come one after another. */
function dealOut({ hours, days, parts }: Counts): Counts[] {
  const count = Math.ceil(parts.length / STEP_ROWS);
  const dealt = Array.from({ length: count }, (_, n) => parts.filter((_, index) => index % count === n));
  return [{ hours, days, parts: [] }, ...dealt.map((some) => ({ hours: [], days: [], parts: some }))];
}

/** The same rows so many days before, as far as they are kept; campaigns have other names. */
async function copyDay(db: Database, { app_id, end }: Counted, at: number, days_back: number): Promise<void> {
  const before = days_back * DAY_MS;
  const of_day = sql`app_id = ${app_id} and at >= ${at} and at < ${at + DAY_MS}`;
  const hours = sql`insert into click_hours (app_id, link_id, at, clicks, bots)
    select app_id, link_id, at - ${before}, clicks, bots from click_hours where ${of_day}`;
  await db.batch([
    ...(at - before >= end - HOURS_KEPT_DAYS * DAY_MS ? [hours] : []),
    sql`insert into click_days (app_id, link_id, at, clicks, bots)
      select app_id, link_id, at - ${before}, clicks, bots from click_days where ${of_day}`,
    sql`insert into click_parts (app_id, link_id, dimension, at, value, clicks)
      select app_id, link_id, dimension, at - ${before},
        case when dimension = 'utm_campaign' and value <> '' then value || ${`-${days_back}`} else value end, clicks
      from click_parts where ${of_day}`,
  ]);
}

/** How many there are: at least as many as were asked for. */
export function allClicks({ clicks, days }: Counted): number {
  const times = days / FOLDED_DAYS;
  return times * Math.ceil(clicks / times);
}

/** Of the link with this number, in the whole time. */
export function clicksOfLink(counted: Counted, link: number): number {
  const days = Array.from({ length: FOLDED_DAYS }, (_, day) => clicksOfDay(counted, day)[link] ?? 0);
  return (counted.days / FOLDED_DAYS) * days.reduce((sum, clicks) => sum + clicks, 0);
}

/** Of each link, counted through day by day, so that all of them together are the clicks that there are to be. */
function clicksOfDay(counted: Counted, day: number): number[] {
  const clicks = (allClicks(counted) * FOLDED_DAYS) / counted.days;
  const before = sumShares(counted.links).map((share) => Math.floor((clicks * (day + share)) / FOLDED_DAYS));
  return before.slice(1).map((count, link) => count - (before[link] ?? 0));
}

/** What share of the clicks the links before each one have, those of the last included: the n-th has 1/n of the first one's. */
function sumShares(links: number): number[] {
  const sums = [0];
  for (let number = 1; number <= links; number++) sums.push((sums.at(-1) ?? 0) + 1 / number);
  const all = sums.at(-1) ?? 1;
  return sums.map((sum) => sum / all);
}

type OfDay = { day: number; link: number; clicks: number };

function talliesOf({ end }: Counted, { day, link, clicks }: OfDay): Tally[] {
  const link_id = linkIdOf(link);
  const begins_at = end - (FOLDED_DAYS - day) * DAY_MS;
  const at = () => begins_at + Math.floor(Math.random() * 24) * HOUR_MS;
  const each = Math.ceil(clicks / TALLIES_MAX);
  const tallies: Tally[] = [];
  for (let left = clicks; left > 0; left -= each) {
    tallies.push([Math.min(each, left), 0, { link_id, at: at(), values: valuesOf(day) }]);
  }
  const bots = Math.ceil(clicks / CLICKS_PER_BOT);
  if (bots > 0) tallies.push([0, bots, { link_id, at: at(), values: {} }]);
  return tallies;
}

function valuesOf(day: number): Partial<Record<ClickDimension, string>> {
  const values: Partial<Record<ClickDimension, string>> = {};
  for (const dimension of CLICK_DIMENSIONS) {
    const { values: count, known } = PROPERTIES[dimension];
    if (Math.random() >= known) continue;
    const number = Math.floor(count * Math.random() ** SKEW);
    // Of campaigns every day has its own, so that their values do not add up over days.
    values[dimension] = dimension === "utm_campaign" ? `campaign-${day}-${number}` : `${dimension}-${number}`;
  }
  return values;
}
