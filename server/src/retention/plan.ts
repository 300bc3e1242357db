// What goes, how much of it at a time, and how long to rest after it. Pure; called by steps.ts and retention.ts.
import { isAsked } from "../deliveries/due.ts";
import { DAY_MS, lastOf } from "../deliveries/expiry.ts";
import type { AgedDelivery, LeavingDelivery } from "../deliveries/expiry-store.ts";
import type { AgedClick } from "../links/expiry-store.ts";
import { uuidFloor } from "../platform/ids.ts";

/** What happened last to an event's deliveries can be looked at for so long, although the event's own time is over. */
export const STAYS_MS = DAY_MS;
/** An event whose time is over stays for so long while a person or a replay has asked for it once more. */
export const ASKED_STAYS_MS = 7 * DAY_MS;

/** Rows that one step removes, at the most; fewer while the database is slow. */
export const STEP_ROWS_MAX = 500;
export const STEP_ROWS_MIN = 50;
/** Slower steps get smaller, and the rest after them longer and longer. */
const SLOW_STEP_MS = 50;
const FAST_STEP_MS = 15;
/** The removal takes this share of the time at the most: the rest after a step is nine times as long as the step. */
const SHARE_MAX = 0.1;
const REST_MIN_MS = 20;
export const REST_MAX_MS = 30_000;
const DOUBLINGS_MAX = 6;

export interface Pace {
  rows: number;
  rest_ms: number;
  slow_in_a_row: number;
}

export const FIRST_PACE: Pace = { rows: STEP_ROWS_MAX, rest_ms: REST_MIN_MS, slow_in_a_row: 0 };

/** The time of a step includes what it waited behind the work of others, so it tells how busy the database is. */
export function nextPace(pace: Pace, took_ms: number): Pace {
  const is_slow = took_ms > SLOW_STEP_MS;
  const slow_in_a_row = is_slow ? Math.min(pace.slow_in_a_row + 1, DOUBLINGS_MAX) : 0;
  const wanted = is_slow ? pace.rows / 2 : took_ms < FAST_STEP_MS ? pace.rows * 2 : pace.rows;
  const rest_ms = Math.max(REST_MIN_MS, took_ms * (1 / SHARE_MAX - 1)) * 2 ** Math.max(0, slow_in_a_row - 1);
  return {
    rows: Math.min(STEP_ROWS_MAX, Math.max(STEP_ROWS_MIN, Math.floor(wanted))),
    rest_ms: Math.min(REST_MAX_MS, Math.ceil(rest_ms)),
    slow_in_a_row,
  };
}

/** Times at or before which it is over. */
export interface Cutoffs {
  now: number;
  /** For records; null when they are kept as long as the event. */
  records: number | null;
  /** For events; null when they are kept for ever. */
  events: number | null;
}

export interface DeliveriesPlan {
  /** Their records go. */
  expired: AgedDelivery[];
  /** They go as a whole if their event is gone, which is seldom: an event takes its deliveries along. */
  old: AgedDelivery[];
  /** Up to where everything was looked at; null when nothing was. */
  at_key: string | null;
}

export function planDeliveries(rows: readonly AgedDelivery[], cutoffs: Cutoffs, rows_max: number): DeliveriesPlan {
  const plan: DeliveriesPlan = { expired: [], old: [], at_key: null };
  const events_end = cutoffs.events === null ? "" : uuidFloor(cutoffs.events + 1);
  let weight = 0;
  for (const row of rows) {
    const has_records = row.has_first === 1 || row.records > 0;
    const is_old = row.position < events_end && row.state !== "pending" && !isRecent(row.settled_at, cutoffs.now);
    const last = lastOf(row, row.last_attempt_at);
    const is_expired = has_records && cutoffs.records !== null && last !== null && last <= cutoffs.records;
    weight += is_expired ? 1 + row.records : is_old ? 1 : 0;
    // One delivery is never cut in two, however many attempts it has.
    if (weight > rows_max && plan.at_key !== null) break;
    if (is_expired) plan.expired.push(row);
    if (is_old) plan.old.push(row);
    plan.at_key = row.position;
  }
  return plan;
}

export interface EventsPlan {
  /** Events that go, with so many deliveries. */
  leaving: string[];
  deliveries: number;
  /** Deliveries that are ended first; their events go when that could be seen for a while. */
  ended: LeavingDelivery[];
}

/** @param positions of events whose time is over at `cutoff` */
export function planEvents(
  positions: readonly string[],
  deliveries: readonly LeavingDelivery[],
  { now, cutoff }: { now: number; cutoff: number },
): EventsPlan {
  const plan: EventsPlan = { leaving: [], deliveries: 0, ended: [] };
  const asked_end = uuidFloor(cutoff - ASKED_STAYS_MS + 1);
  const by_position = Map.groupBy(deliveries, ({ position }) => position);
  for (const position of positions) {
    const own = by_position.get(position) ?? [];
    const may_wait = position >= asked_end;
    for (const one of own) if (isToEnd(one, may_wait, now)) plan.ended.push(one);
    if (own.some((one) => holds(one, may_wait, now))) continue;
    plan.leaving.push(position);
    plan.deliveries += own.length;
  }
  return plan;
}

function isToEnd(delivery: LeavingDelivery, may_wait: boolean, now: number): boolean {
  if (delivery.state !== "pending") return false;
  if (delivery.leased === 1 && (delivery.due_at ?? 0) > now) return false;
  const is_wanted = delivery.replay_id !== null || isAsked(delivery);
  return !is_wanted || !may_wait;
}

/** Whether the event has to stay for it. */
function holds(delivery: LeavingDelivery, may_wait: boolean, now: number): boolean {
  if (delivery.state === "pending" || isRecent(delivery.settled_at, now)) return true;
  // The replay has not counted it yet.
  return delivery.replay_id !== null && may_wait;
}

/** A time too far ahead is of a clock that was wrong. */
function isRecent(at: number | null, now: number): boolean {
  return at !== null && at > now - STAYS_MS && at < now + STAYS_MS;
}

/** A token can be claimed until it expires, however short the app's limit is. */
export function leavingClicks(clicks: readonly AgedClick[], now: number): string[] {
  const leaving = clicks.filter(({ has_app, created_at, expires_at, event_retention_days: days }) => {
    return has_app === 1 && days !== null && created_at <= now - days * DAY_MS && expires_at <= now;
  });
  return leaving.map(({ cid }) => cid);
}
