// Answers what the clicks of an app or link add up to, from counts that were kept as they came: the cost depends on the days
// that are asked for, never on the clicks. Called by the API; removes hours whose time is over.
import { type Analytics, type AnalyticsQuery, HOURS_KEPT_DAYS } from "#contract/analytics.ts";
import { notFound } from "../errors.ts";
import type { Database } from "../platform/database.ts";
import { timeText } from "../platform/time-text.ts";
import { type Range, readRange } from "./range.ts";
import { type CountAt, createAnalyticsStore, REMOVAL_ROWS } from "./store.ts";
import { DAY_MS, WHOLE_APP } from "./visit.ts";

/** Of one removal of hours; the rest goes with the next. */
const REMOVALS_MAX = 500;

export interface AnalyticsOptions {
  db: Pick<Database, "query">;
  /** By id or slug. */
  findLink(id_or_slug: string): Promise<{ id: string; app_id: string } | null>;
  now(): number;
}

export function createAnalytics({ db, findLink, now }: AnalyticsOptions) {
  const store = createAnalyticsStore(db);
  let removing: Promise<void> | null = null;
  let is_stopped = false;

  /** @throws AppError not_found for a link of another app, invalid_request for a range that is not kept */
  async function getAnalytics(app_id: string, query: AnalyticsQuery): Promise<Analytics> {
    const range = readRange(query, now());
    const link_id = query.link_id === undefined ? null : await idOf(query.link_id, app_id);
    const stretch = { app_id, link_id: link_id ?? WHOLE_APP, since: range.since, until: range.until };
    const { by, dimension, limit } = query;
    const [counts, found] = await Promise.all([
      by === "hour" ? store.selectHours(stretch) : store.selectDays(stretch),
      dimension === undefined ? null : store.selectTop(stretch, dimension, limit),
    ]);
    const series = fillGaps(counts, range);
    const clicks = series.reduce((sum, one) => sum + one.clicks, 0);
    const bots = series.reduce((sum, one) => sum + one.bots, 0);
    return {
      since: timeText(range.since),
      until: timeText(range.until),
      by,
      link_id,
      totals: { clicks, bots },
      series: series.map((one) => ({ ...one, at: timeText(one.at) })),
      top: dimension === undefined || found === null ? null : { dimension, ...shares(found, clicks) },
    };
  }

  async function idOf(id_or_slug: string, app_id: string): Promise<string> {
    const link = await findLink(id_or_slug);
    if (link === null || link.app_id !== app_id) throw notFound("link");
    return link.id;
  }

  /** Calls that overlap share one run. */
  function removeOldHours(): Promise<void> {
    removing ??= removeHours().finally(() => {
      removing = null;
    });
    return removing;
  }

  async function removeHours(): Promise<void> {
    const before = now() - (HOURS_KEPT_DAYS + 1) * DAY_MS;
    for (let left = REMOVALS_MAX; left > 0 && !is_stopped; left--) {
      if ((await store.removeHours(before)) < REMOVAL_ROWS) return;
    }
  }

  /** Ends a removal after the statement that it is at. */
  async function stop(): Promise<void> {
    is_stopped = true;
    // Whoever began it is told of its failure.
    await removing?.catch(() => {});
  }

  return { getAnalytics, removeOldHours, stop };
}

/** A row for every day or hour, and those of nothing too. */
function fillGaps(counts: readonly CountAt[], { since, until, unit_ms }: Range): CountAt[] {
  const known = new Map(counts.map((one) => [one.at, one]));
  return Array.from({ length: (until - since) / unit_ms }, (_, n) => {
    const at = since + n * unit_ms;
    const { clicks = 0, bots = 0 } = known.get(at) ?? {};
    return { at, clicks, bots };
  });
}

/** The two were read one after the other, so a click may be in the second alone. */
function shares(found: { values: { value: string; clicks: number }[]; clicks: number }, clicks: number) {
  const shown = found.values.reduce((sum, one) => sum + one.clicks, 0);
  return { values: found.values, other: found.clicks - shown, unknown: Math.max(0, clicks - found.clicks) };
}
