// The range that a question means: whole days or hours, in UTC, and what of it is refused. Pure; called by analytics.ts.
import { ANALYTICS_DAYS_MAX, type AnalyticsQuery, HOURS_KEPT_DAYS } from "#contract/analytics.ts";
import { type AppError, refuse } from "../errors.ts";
import { DAY_MS, HOUR_MS } from "./visit.ts";

const DEFAULT_UNITS = { day: 30, hour: 24 } as const;
const UNIT_MS = { day: DAY_MS, hour: HOUR_MS } as const;
const UNITS_MAX = { day: ANALYTICS_DAYS_MAX, hour: HOURS_KEPT_DAYS * 24 } as const;

export interface Range {
  since: number;
  until: number;
  unit_ms: number;
}

type Asked = Pick<AnalyticsQuery, "since" | "until" | "by" | "dimension">;

/** @throws AppError invalid_request, which names the field */
export function readRange({ since, until, by, dimension }: Asked, now: number): Range {
  if (by === "hour" && dimension !== undefined) {
    throw invalid("dimension", "properties are counted by the day: leave out by=hour or dimension");
  }
  const unit_ms = UNIT_MS[by];
  const end = Math.ceil((until === undefined ? now + 1 : Date.parse(until)) / unit_ms) * unit_ms;
  const start =
    since === undefined ? end - DEFAULT_UNITS[by] * unit_ms : Math.floor(Date.parse(since) / unit_ms) * unit_ms;
  if (start >= end) throw invalid("since", "a time before `until`");
  if (end - start > UNITS_MAX[by] * unit_ms) {
    throw invalid("since", `a time at most ${UNITS_MAX[by]} ${by}s before \`until\``);
  }
  const oldest = now - HOURS_KEPT_DAYS * DAY_MS;
  if (by === "hour" && start + HOUR_MS <= oldest) {
    throw invalid("since", `a time within the last ${HOURS_KEPT_DAYS} days, or by=day: hours are kept for so long`);
  }
  return { since: start, until: end, unit_ms };
}

function invalid(path: string, message: string): AppError {
  return refuse("invalid_request", `The range cannot be counted. ${path}: ${message}.`, [{ path, message }]);
}
