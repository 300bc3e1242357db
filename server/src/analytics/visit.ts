// What a group of clicks adds to the counts: by hour, by day and by property, for each link and for its app. Pure; called
// for every transaction that stores clicks, so what is the same is counted before anything is made of it.
import { CLICK_DIMENSIONS, type ClickDimension } from "#contract/analytics.ts";

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
const VALUE_MAX_CHARS = 100;
/** No control characters: they mean nothing in a name, and PostgreSQL stores no text with a zero. */
const CONTROLS = /\p{Cc}+/gu;
/** In place of a link: its app as a whole. */
export const WHOLE_APP = "";

/** A click as it is counted: null for what is not known of it. */
export interface Visit {
  readonly app_id: string;
  readonly link_id: string;
  readonly at: number;
  readonly values: Readonly<Partial<Record<ClickDimension, string | null | undefined>>>;
}

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

/** Clicks of one link within one hour, and their values as they came. */
interface Gathered {
  readonly app_id: string;
  readonly link_id: string;
  readonly hour: number;
  clicks: number;
  readonly values: Map<string, number>[];
}

export function countVisits(visits: readonly Visit[]): Counts {
  const hours = new Map<string, TotalRow>();
  const days = new Map<string, TotalRow>();
  const parts = new Map<string, PartRow>();
  for (const { app_id, hour, clicks, values, ...gathered } of gather(visits)) {
    const day = dayOf(hour);
    for (const link_id of [gathered.link_id, WHOLE_APP]) {
      addTotal(hours, { app_id, link_id, at: hour, clicks, bots: 0 });
      addTotal(days, { app_id, link_id, at: day, clicks, bots: 0 });
    }
    values.forEach((counts, index) => {
      const dimension = CLICK_DIMENSIONS[index];
      if (dimension === undefined) return;
      for (const [text, count] of counts) {
        const value = cleanValue(text);
        if (value === "") continue;
        for (const link_id of [gathered.link_id, WHOLE_APP]) {
          addPart(parts, { app_id, link_id, dimension, at: day, value, clicks: count });
        }
      }
    });
  }
  return { hours: [...hours.values()], days: [...days.values()], parts: [...parts.values()] };
}

function gather(visits: readonly Visit[]): Iterable<Gathered> {
  const groups = new Map<string, Gathered>();
  for (const { app_id, link_id, at, values } of visits) {
    const hour = hourOf(at);
    const key = `${link_id} ${hour}`;
    let group = groups.get(key);
    if (group === undefined) {
      group = { app_id, link_id, hour, clicks: 0, values: CLICK_DIMENSIONS.map(() => new Map<string, number>()) };
      groups.set(key, group);
    }
    group.clicks++;
    for (const [index, counts] of group.values.entries()) {
      const dimension = CLICK_DIMENSIONS[index];
      const value = dimension === undefined ? null : values[dimension];
      if (value !== null && value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1);
    }
  }
  return groups.values();
}

export function addTotal(totals: Map<string, TotalRow>, row: TotalRow): void {
  const key = `${row.app_id} ${row.link_id} ${row.at}`;
  const known = totals.get(key);
  if (known === undefined) totals.set(key, { ...row });
  else {
    known.clicks += row.clicks;
    known.bots += row.bots;
  }
}

function addPart(parts: Map<string, PartRow>, row: PartRow): void {
  const key = `${row.app_id} ${row.link_id} ${row.dimension} ${row.at} ${row.value}`;
  const known = parts.get(key);
  if (known === undefined) parts.set(key, row);
  else known.clicks += row.clicks;
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
