// Fills the database of a server with what clicks add up to, of many more clicks than could be made in time: the product's own sum
// of tallies, written by the statements that fold them. No click is stored, for what answers never reads one. Called by the
// scenario analytics.
import { CLICK_DIMENSIONS, type ClickDimension, HOURS_KEPT_DAYS } from "#contract/analytics.ts";
import { createTallyStore, insertTallies } from "../server/src/analytics/tally-store.ts";
import { type Counts, createSum, DAY_MS, HOUR_MS, type Tally } from "../server/src/analytics/visit.ts";
import type { Database } from "../server/src/platform/database.ts";
import { sql } from "../server/src/platform/sql.ts";
import { linkIdOf } from "./fill.ts";

/** A day is folded in so many steps, each of them with every so-many-th link: an app's counts are changed by all. */
const STEPS = 5;
/** A link and day with more clicks than this makes tallies of several clicks each, which is quicker to add up. */
const TALLIES_MAX = 1_000;
/** Rows of properties in one transaction: it must end within the server's own statement timeout. */
const SLICE_ROWS = 1_000;
const TALLY_ID = "filling";
/** One bot for so many clicks. */
const CLICKS_PER_BOT = 10;
/** The larger, the more of the clicks have one of the first values. */
const SKEW = 14;

/**
 * How many values each property has, and of what share of the clicks one is known. Those that visitors write are so many that an app
 * has its most every day, and a link with a thousand clicks a day as well.
 */
const PROPERTIES: Readonly<Record<ClickDimension, { values: number; known: number }>> = {
  platform: { values: 3, known: 1 },
  os: { values: 6, known: 1 },
  browser: { values: 12, known: 1 },
  country: { values: 200, known: 1 },
  referrer: { values: 2_000, known: 0.6 },
  utm_source: { values: 1_000, known: 0.5 },
  utm_medium: { values: 1_000, known: 0.5 },
  utm_campaign: { values: 3_000, known: 0.5 },
};

export interface Counted {
  app_id: string;
  clicks: number;
  /** Links that `fillLinks` made, the first of which is the most popular. */
  links: number;
  days: number;
  /** Where the day after the last one begins. */
  end: number;
}

export async function fillCounts(db: Database, counted: Counted, say: (text: string) => void): Promise<void> {
  const store = createTallyStore(db);
  const sharesBefore = sumShares(counted.links);
  for (let day = 0; day < counted.days; day++) {
    for (let step = 0; step < STEPS; step++) {
      const sum = createSum();
      for (let link = step; link < counted.links; link += STEPS) {
        const before = clicksBefore(counted, day, sharesBefore[link] ?? 0);
        const clicks = clicksBefore(counted, day, sharesBefore[link + 1] ?? 1) - before;
        sum.add(counted.app_id, talliesOf(counted, { day, link, clicks }));
      }
      for (const counts of slices(keptOf(sum.counts(), counted.end))) {
        // A step counts tallies that it removes: this one stands for all that were added up.
        await db.batch([insertTallies([[counted.app_id, "[]"]], () => TALLY_ID)]);
        await store.fold([TALLY_ID], { apps: [], links: [] }, counts);
      }
    }
    // As PostgreSQL does by itself within a minute: until it knows that there are many rows, it reads all of them.
    if (day === 0) await db.query(sql`analyze`);
    if ((day + 1) % 10 === 0) say(`analytics: ${day + 1} days written`);
  }
}

/** Of the link with this number, in the whole time. */
export function clicksOfLink(counted: Counted, link: number): number {
  const shares = sumShares(counted.links);
  const days = Array.from({ length: counted.days }, (_, day) => day);
  return days.reduce((sum, day) => {
    const before = clicksBefore(counted, day, shares[link] ?? 0);
    return sum + clicksBefore(counted, day, shares[link + 1] ?? 1) - before;
  }, 0);
}

/** What share of the clicks the links before each one have, those of the last included: the n-th has 1/n of the first one's. */
function sumShares(links: number): number[] {
  const sums = [0];
  for (let number = 1; number <= links; number++) sums.push((sums.at(-1) ?? 0) + 1 / number);
  const all = sums.at(-1) ?? 1;
  return sums.map((sum) => sum / all);
}

/** Counted through day by day and in each by link, so that all of them together are the clicks that are asked for. */
function clicksBefore({ clicks, days }: Counted, day: number, share: number): number {
  return Math.floor((clicks * (day + share)) / days);
}

type OfDay = { day: number; link: number; clicks: number };

function talliesOf({ days, end }: Counted, { day, link, clicks }: OfDay): Tally[] {
  const link_id = linkIdOf(link);
  const begins_at = end - (days - day) * DAY_MS;
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

/** Hours whose time is over have been removed. */
function keptOf({ hours, days, parts }: Counts, end: number): Counts {
  const since = end - HOURS_KEPT_DAYS * DAY_MS;
  return { hours: hours.filter(({ at }) => at >= since), days, parts };
}

function slices({ hours, days, parts }: Counts): Counts[] {
  const count = Math.ceil(parts.length / SLICE_ROWS);
  const of_parts = Array.from({ length: count }, (_, n) => parts.slice(n * SLICE_ROWS, (n + 1) * SLICE_ROWS));
  return [{ hours, days, parts: [] }, ...of_parts.map((slice) => ({ hours: [], days: [], parts: slice }))];
}
