// What clicks add up to. Those of one transaction that look the same become a tally, which is all that is done for them while
// somebody waits; a moment later tallies become rows by hour, by day and by property, for each link and for its app. Pure.
import { CLICK_DIMENSIONS, type ClickDimension } from "#contract/analytics.ts";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
const VALUE_MAX_CHARS = 100;
/** In a longer text values are cut before they are stored: visitors write into some of them. */
const SEEN_MAX_CHARS = 1_000;
/** No control characters: they mean nothing in a name, and PostgreSQL stores no text with a zero. */
const CONTROLS = /\p{Cc}+/gu;
/** A row of tallies is folded in one piece: of visits that have nothing in common it makes up to 400 rows of counts. */
const ROW_TALLIES_MAX = 20;
/** In place of a link: its app as a whole. */
export const WHOLE_APP = "";

/** A click as it is counted: null for what is not known of it. */
export interface Visit {
  readonly app_id: string;
  readonly link_id: string;
  readonly at: number;
  readonly values: Readonly<Partial<Record<ClickDimension, string | null | undefined>>>;
}

/** What visits of one link within an hour have in common. */
export type Seen = Omit<Visit, "app_id">;

/** How many of them there were. */
export type Tally = readonly [clicks: number, bots: number, seen: Seen];

export interface TotalRow {
  app_id: string;
  link_id: string;
  at: number;
  clicks: number;
  bots: number;
}

export interface PartRow {
  app_id: string;
  link_id: string;
  dimension: ClickDimension;
  at: number;
  value: string;
  clicks: number;
}

export interface Counts {
  hours: TotalRow[];
  days: TotalRow[];
  parts: PartRow[];
}

/** An app, and a JSON list of `Tally`. */
export type TalliesOfApp = readonly [app_id: string, tallies: string];

/** What is stored of visits: a few rows at the most, and one as a rule. */
export function tallyVisits(visits: readonly Visit[]): TalliesOfApp[] {
  const by_app = new Map<string, Map<string, number>>();
  for (const { app_id, link_id, at, values } of visits) {
    const counts = by_app.get(app_id) ?? new Map<string, number>();
    by_app.set(app_id, counts);
    const text = textOf({ link_id, at: hourOf(at), values });
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...by_app].flatMap(([app_id, counts]) => {
    const tallies = [...counts].map(([text, clicks]) => `[${clicks},0,${text}]`);
    return rowsOf(app_id, tallies);
  });
}

/** The same of what left no click. */
export function tallyBots(
  app_id: string,
  seen: readonly { link_id: string; at: number; bots: number }[],
): TalliesOfApp[] {
  const tallies = seen.map(({ link_id, at, bots }) => `[0,${bots},${textOf({ link_id, at, values: {} })}]`);
  return rowsOf(app_id, tallies);
}

function rowsOf(app_id: string, tallies: readonly string[]): TalliesOfApp[] {
  const count = Math.ceil(tallies.length / ROW_TALLIES_MAX);
  return Array.from({ length: count }, (_, n): TalliesOfApp => {
    return [app_id, `[${tallies.slice(n * ROW_TALLIES_MAX, (n + 1) * ROW_TALLIES_MAX).join(",")}]`];
  });
}

/** Both what tells visits apart and what is stored of them, so that it is written once. */
function textOf(seen: Seen): string {
  const text = JSON.stringify(seen);
  if (text.length <= SEEN_MAX_CHARS) return text;
  const values = Object.entries(seen.values).map(([name, value]) => [name, value && cleanValue(value)]);
  return JSON.stringify({ ...seen, values: Object.fromEntries(values) });
}

/** As they were written by this version or another; null when they are none. */
export function readTallies(text: string): Tally[] | null {
  try {
    const tallies: unknown = JSON.parse(text);
    return Array.isArray(tallies) && tallies.every(isTally) ? tallies : null;
  } catch {
    return null;
  }
}

function isTally(tally: unknown): tally is Tally {
  if (!Array.isArray(tally)) return false;
  const [clicks, bots, seen] = tally as unknown[];
  if (!Number.isSafeInteger(clicks) || !Number.isSafeInteger(bots)) return false;
  if (typeof seen !== "object" || seen === null || !("link_id" in seen && "at" in seen && "values" in seen))
    return false;
  const { link_id, at, values } = seen;
  return typeof link_id === "string" && Number.isSafeInteger(at) && typeof values === "object" && values !== null;
}

/** Adds up tallies of any number of transactions. */
export function createSum() {
  const hours = new Map<string, TotalRow>();
  const days = new Map<string, TotalRow>();
  const parts = new Map<string, PartRow>();
  /** Few values make up many visits. */
  const cleaned = new Map<string, string>();

  function add(app_id: string, tallies: readonly Tally[]): void {
    for (const [clicks, bots, { link_id: of_link, at, values }] of tallies) {
      const day = dayOf(at);
      for (const link_id of [of_link, WHOLE_APP]) {
        addTotal(hours, { app_id, link_id, at, clicks, bots });
        addTotal(days, { app_id, link_id, at: day, clicks, bots });
      }
      for (const dimension of CLICK_DIMENSIONS) {
        const value = clean(values[dimension]);
        if (value === "") continue;
        for (const link_id of [of_link, WHOLE_APP]) addPart({ app_id, link_id, dimension, at: day, value, clicks });
      }
    }
  }

  function clean(text: string | null | undefined): string {
    if (typeof text !== "string") return "";
    const value = cleaned.get(text) ?? cleanValue(text);
    cleaned.set(text, value);
    return value;
  }

  function addPart(row: PartRow): void {
    const key = `${row.app_id} ${row.link_id} ${row.dimension} ${row.at} ${row.value}`;
    const known = parts.get(key);
    if (known === undefined) parts.set(key, row);
    else known.clicks += row.clicks;
  }

  return {
    add,
    /** Rows so far. */
    size: () => hours.size + days.size + parts.size,
    counts: (): Counts => ({ hours: [...hours.values()], days: [...days.values()], parts: [...parts.values()] }),
  };
}

function addTotal(totals: Map<string, TotalRow>, row: TotalRow): void {
  const key = `${row.app_id} ${row.link_id} ${row.at}`;
  const known = totals.get(key);
  if (known === undefined) totals.set(key, row);
  else {
    known.clicks += row.clicks;
    known.bots += row.bots;
  }
}

/** One line of text, bounded; empty when nothing is left. */
export function cleanValue(text: string): string {
  const line = text
    .slice(0, 2 * VALUE_MAX_CHARS)
    .replaceAll(CONTROLS, " ")
    .trim();
  return line.slice(0, VALUE_MAX_CHARS).toWellFormed().trim();
}

export function hourOf(at: number): number {
  return at - (at % HOUR_MS);
}

export function dayOf(at: number): number {
  return at - (at % DAY_MS);
}
