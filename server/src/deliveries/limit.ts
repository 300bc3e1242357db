// How much one receiver is sent: requests at a time, and requests a second. Both are learned from its answers: a 429, a
// `Retry-After`, silence, or answers that become slower ask for less; answers as fast as ever allow more, up to what the
// webhook's settings say. Pure; kept by each lane of lanes.ts, so what is learned belongs to one process.
import { beginWindow, createLatency, type Latency, observe, type Trend } from "./slowing.ts";

/** A receiver that has just come back is sent this many requests a second at first, one at a time. */
export const PACE_START_PER_SECOND = 10;
/** That doubles after each step of so long in which no more than half of the answers were failures, and none silence. */
export const PACE_STEP_MS = 3_000;
/** So long after it came back there is no pace any more. */
export const PACE_FULL_AFTER_MS = 30_000;
/** Where a pace ends. */
const PACE_FULL_PER_SECOND = PACE_START_PER_SECOND * 2 ** (PACE_FULL_AFTER_MS / PACE_STEP_MS);
/** A receiver that says "too many" is sent this part of what it was sent then, … */
const PACE_CUT = 0.7;
/** … and no less than this, when it says so again and again: then the lane waits for as long as it asks as well. */
const PACE_MIN_PER_SECOND = 1;
/** Growth of each step near the rate that was too much: from a quarter of it to twice as much. */
const PACE_NEAR_GROWTH = 1.1;
const PACE_NEAR = { from: 1 / 4, to: 2 };
/** A lane waits no longer than this because its receiver asked for it; each delivery waits for its own time as well. */
export const HOLD_MAX_MS = 60_000;
/** Answers in a row that ask for less before the lane waits: one of them may mean its own event only. */
const HOLD_AFTER = 3;
const STEP_BEGUN = { taken: 0, failed: 0 };
/** Over which the present rate is counted. */
export const COUNTED_MS = 1_000;

/** What one answer, or its absence, says about how much the receiver bears. */
export type Reaction =
  /** It took the event, in so many ms. */
  | { kind: "well"; duration_ms: number }
  /** It asks for fewer requests, for so long. */
  | { kind: "too_many"; for_ms: number }
  /** No answer. */
  | { kind: "silent" }
  /** Anything else, which says nothing about how much. */
  | { kind: "other" };

export type Because = "too_many" | "silent" | "slower" | "resumed";

interface Pace {
  per_second: number;
  /** The last rate that was too much, and when it turned out to be. */
  known_bad: number;
  cut_at: number;
  /** It grows with the first good answer from then on, if no more than half of the answers since the last step failed. */
  step_at: number;
  taken: number;
  failed: number;
}

export interface Limit {
  /** How many may be in flight now; a part of one counts when it is whole. */
  cap: number;
  /** True from a cut until all is as it was: meanwhile it widens slowly. */
  is_cut: boolean;
  because: Because | null;
  /** Grows with each cut: requests from before it say nothing new. */
  round: number;
  /** Answers in a row that asked for less. */
  pressed: number;
  /** Until then nothing starts by itself. */
  hold_until: number;
  pace: Pace | null;
  readonly latency: Latency;
  /** What it was before a cut that may not help. */
  undo: Pick<Limit, "cap" | "is_cut" | "because"> | null;
  /** Requests started since `counted_from`, and in the span before. */
  started: number;
  started_before: number;
  counted_from: number;
}

/** The most that the settings and the kind of lane allow. */
export interface Bounds {
  /** What the lane may reach now. */
  most: number;
  /** What the webhook's settings say: reached again, a cut is forgotten. */
  wanted: number;
  /** The webhook's own rate. */
  rate: number | null;
}

export function createLimit(cap: number): Limit {
  return {
    ...{ cap, is_cut: false, because: null, round: 0, pressed: 0, hold_until: Number.NEGATIVE_INFINITY, pace: null },
    ...{ latency: createLatency(), undo: null, started: 0, started_before: 0, counted_from: 0 },
  };
}

/** Requests a second that may start; null: as many as there is room for. */
export function rateOf({ pace }: Limit, configured: number | null): number | null {
  if (pace === null) return configured;
  return configured === null ? pace.per_second : Math.min(pace.per_second, configured);
}

/** To be called for each request, so that the rate is known that turns out to be too much. */
export function noteStart(limit: Limit, now: number): void {
  const age = now - limit.counted_from;
  if (age < 0 || age >= COUNTED_MS) {
    limit.started_before = age >= 0 && age < 2 * COUNTED_MS ? limit.started : 0;
    limit.started = 0;
    limit.counted_from = now;
  }
  limit.started++;
}

/** What an answer changes. */
export function react(limit: Limit, reaction: Reaction, flight: Flown, at: Present): void {
  const is_news = flight.round === limit.round;
  switch (reaction.kind) {
    case "well":
      limit.pressed = 0;
      widen(limit, at.bounds);
      quicken(limit, at);
      if (is_news) weigh(limit, observe(limit.latency, reaction.duration_ms, flight.started_with, at.now), at);
      break;
    case "too_many":
      if (is_news) slowPace(limit, at);
      press(limit, flight, { because: "too_many", for_ms: reaction.for_ms }, at.now);
      break;
    case "silent":
      if (is_news && limit.pace !== null) {
        limit.pace.per_second = Math.max(
          Math.min(limit.pace.per_second, PACE_START_PER_SECOND),
          limit.pace.per_second / 2,
        );
      }
      press(limit, flight, { because: "silent", for_ms: 0 }, at.now);
      break;
    case "other":
      limit.pressed = 0;
      widen(limit, at.bounds);
      if (limit.pace !== null) limit.pace.failed++;
  }
}

/** The request that was answered. */
interface Flown {
  /** Of the limit under which it started. */
  round: number;
  /** How many were in flight when it started, itself included, and when it ended. */
  started_with: number;
  ended_with: number;
}

/** An answer, or none, that asks for less, and for how long. */
interface Pressure {
  because: "too_many" | "silent";
  for_ms: number;
}

interface Present {
  now: number;
  bounds: Bounds;
}

/** By one for each answer; after a cut by one for a whole round of them, until all is as it was. */
function widen(limit: Limit, { most, wanted }: Bounds): void {
  // What is being tried is tried with as many all the time.
  if (limit.latency.trial !== null) return;
  limit.cap = Math.min(limit.cap + (limit.is_cut ? 1 / limit.cap : 1), most);
  if (!limit.is_cut || limit.cap < wanted) return;
  limit.is_cut = false;
  if (limit.pace === null) limit.because = null;
}

/** Halves what is in flight, once for all that was under way then; in a row it lets the lane wait. */
function press(limit: Limit, flight: Flown, { because, for_ms }: Pressure, now: number): void {
  limit.pressed++;
  if (flight.round === limit.round) cut(limit, Math.min(limit.cap, flight.ended_with) / 2, because, now);
  if (limit.pace !== null) beginStep(limit.pace, now);
  if (limit.pressed < HOLD_AFTER) return;
  limit.hold_until = Math.max(limit.hold_until, now + Math.min(for_ms, HOLD_MAX_MS));
}

function cut(limit: Limit, cap: number, because: Because, now: number): void {
  limit.cap = Math.max(1, cap);
  limit.is_cut = true;
  limit.because = because;
  limit.round++;
  beginWindow(limit.latency, now);
  limit.undo = null;
}

/** What a window of answers means: fewer at a time when they have become slower, as many as before when that did not help. */
function weigh(limit: Limit, trend: Trend | null, { now, bounds: { most } }: Present): void {
  if (trend === null) return;
  if (trend.kind === "slower") {
    const { cap, is_cut, because } = limit;
    cut(limit, Math.min(cap, trend.flying) * trend.share, "slower", now);
    limit.undo = { cap, is_cut, because };
    limit.latency.trial = { mean_ms: trend.mean_ms, share: trend.share };
  } else if (limit.undo !== null) {
    const { cap, is_cut, because } = limit.undo;
    Object.assign(limit, { cap: Math.max(limit.cap, Math.min(cap, most)), is_cut, because, undo: null });
  }
}

/** A rate-limited receiver is sent a part of what it was sent, for few at a time may still be too many a second. */
function slowPace(limit: Limit, { now, bounds: { rate } }: Present): void {
  const { pace } = limit;
  const pace_now = pace?.per_second ?? Number.POSITIVE_INFINITY;
  const since_ms = pace === null || now < pace.cut_at ? Number.POSITIVE_INFINITY : now - pace.cut_at;
  const is_insisting = limit.pressed + 1 === HOLD_AFTER && pace_now <= PACE_START_PER_SECOND;
  // Others that follow at once are of the same second.
  if (since_ms < COUNTED_MS && !is_insisting) return;
  const present = Math.min(countedRate(limit, now), rateOf(limit, rate) ?? Number.POSITIVE_INFINITY);
  // One answer may mean its own event only.
  const least = since_ms < PACE_STEP_MS ? PACE_MIN_PER_SECOND : Math.min(PACE_START_PER_SECOND, pace_now);
  const per_second = Math.max(least, present * PACE_CUT);
  limit.pace = { per_second, known_bad: present, cut_at: now, ...STEP_BEGUN, step_at: now + PACE_STEP_MS };
}

/** Requests started in the last second, as far as two counts tell. */
function countedRate({ started, started_before, counted_from }: Limit, now: number): number {
  const age = Math.min(COUNTED_MS, Math.max(0, now - counted_from));
  return started + started_before * (1 - age / COUNTED_MS);
}

/** Doubles the pace at each step, and goes on carefully near a rate that was too much. */
function quicken(limit: Limit, { now, bounds: { rate } }: Present): void {
  const { pace } = limit;
  if (pace === null) return;
  pace.taken++;
  // A clock that was set back makes no step longer than it is.
  pace.step_at = Math.min(pace.step_at, now + PACE_STEP_MS);
  if (now < pace.step_at) return;
  const goes_well = pace.failed <= pace.taken;
  beginStep(pace, now);
  // A receiver that refuses some events for good bears no less for that; one that fails at most of them is not well yet.
  if (!goes_well) return;
  const share = pace.per_second / pace.known_bad;
  const is_near = share > PACE_NEAR.from && share < PACE_NEAR.to;
  pace.per_second *= is_near ? PACE_NEAR_GROWTH : 2;
  if (pace.per_second < Math.min(rate ?? Number.POSITIVE_INFINITY, PACE_FULL_PER_SECOND)) return;
  limit.pace = null;
  if (!limit.is_cut) limit.because = null;
}

function beginStep(pace: Pace, now: number): void {
  Object.assign(pace, STEP_BEGUN, { step_at: now + PACE_STEP_MS });
}

/** For a receiver that was not sent anything for a while and may have a backlog: one at a time, and slowly. */
export function startOver(limit: Limit, now: number): void {
  const never = { known_bad: Number.POSITIVE_INFINITY, cut_at: Number.NEGATIVE_INFINITY };
  const pace = { per_second: PACE_START_PER_SECOND, ...STEP_BEGUN, step_at: now + PACE_STEP_MS, ...never };
  const { round, started, started_before, counted_from } = limit;
  Object.assign(limit, createLimit(1), { round: round + 1, started, started_before, counted_from, pace });
  limit.because = "resumed";
}

/** Milliseconds for which the receiver asks to be left alone; a clock that was set back makes that no longer than it is. */
export function heldFor(limit: Limit, now: number): number {
  limit.hold_until = Math.min(limit.hold_until, now + HOLD_MAX_MS);
  return Math.max(0, limit.hold_until - now);
}

/** Whether something has been learned that would be lost with the limit. */
export function isLearned({ is_cut, pace }: Limit): boolean {
  return is_cut || pace !== null;
}
