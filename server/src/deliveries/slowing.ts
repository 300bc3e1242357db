// Whether a receiver becomes slower because of how many requests it has at a time. Answers are gathered into windows; a
// window that is far slower than the fastest of the last minutes asks for fewer, and the window after that cut tells
// whether the number was the cause: when it has not helped, the receiver is as slow as this by itself, and gets as many as
// before. So one that is slow for everybody is not starved, and noise costs a window at most. Pure; called by limit.ts for
// every answer, so a step is a handful of additions.

/** A window ends with so many answers … */
const WINDOW_ANSWERS = 30;
/** … or so many where it decides whether a cut has helped, … */
const TRIAL_ANSWERS = 50;
/** … and not before so long, so that it says more than what one moment was like. */
const WINDOW_MS = 250;
/** Slower by this much than the fastest window, … */
const TOLERANCE = 2;
/** … and by so many ms: below that nobody waits for the receiver, and the noise of this machine is as large. */
const SLACK_MS = 100;
/** Windows in a row that must be too slow. */
const WINDOWS_MIN = 2;
/** The first to be answered after a cut are the quickest, so those of the next two mean durations say little; of at most so long. */
const QUIET_MAX_MS = 120_000;
/** A cut has helped when the answers have become faster by this part of what was cut. */
const HELPED = 2 / 3;
/** The smallest part that is left at once. */
const SHARE_MIN = 1 / 4;
/** The fastest window is the fastest of the last one to two of these. */
const FASTEST_MS = 10 * 60_000;

export interface Latency {
  /** Mean duration of the fastest window, in this span and the one before; infinity before there is one. */
  fastest_ms: number;
  fastest_before_ms: number;
  span_from: number;
  /** The window that is being filled. */
  count: number;
  sum_ms: number;
  /** Of how many were in flight when each started. */
  sum_flying: number;
  least_ms: number;
  window_from: number;
  /** Mean duration of the last window. */
  last_ms: number;
  /** Answers until then are left out. */
  quiet_until: number;
  /** Windows in a row that were too slow. */
  slow_windows: number;
  /** What was cut to see whether it helps. */
  trial: { mean_ms: number; share: number } | null;
}

export type Trend =
  /** Fewer should be tried: this share of those in flight. */
  | { kind: "slower"; mean_ms: number; flying: number; share: number }
  /** Fewer did not help: as many as before. */
  | { kind: "not_our_doing" };

export function createLatency(): Latency {
  return {
    ...{ fastest_ms: Number.POSITIVE_INFINITY, fastest_before_ms: Number.POSITIVE_INFINITY, span_from: 0 },
    ...{
      count: 0,
      sum_ms: 0,
      sum_flying: 0,
      least_ms: Number.POSITIVE_INFINITY,
      window_from: 0,
      slow_windows: 0,
      trial: null,
    },
    ...{ last_ms: 0, quiet_until: Number.NEGATIVE_INFINITY },
  };
}

/**
 * Takes the duration of one request that was sent since the last cut.
 * @param flying how many were in flight when it started: its duration is theirs
 * @returns null as a rule
 */
export function observe(latency: Latency, duration_ms: number, flying: number, now: number): Trend | null {
  if (now < latency.quiet_until && latency.quiet_until - now <= QUIET_MAX_MS) return null;
  if (latency.count === 0 || now < latency.window_from) latency.window_from = now;
  latency.count++;
  latency.sum_ms += duration_ms;
  latency.sum_flying += flying;
  if (duration_ms < latency.least_ms) latency.least_ms = duration_ms;
  const enough = latency.trial === null ? WINDOW_ANSWERS : TRIAL_ANSWERS;
  if (latency.count < enough || now - latency.window_from < WINDOW_MS) return null;
  const mean_ms = latency.sum_ms / latency.count;
  latency.last_ms = mean_ms;
  const mean_flying = latency.sum_flying / latency.count;
  const { least_ms } = latency;
  emptyWindow(latency);
  turnSpan(latency, now);
  if (latency.trial !== null) return conclude(latency, latency.trial, mean_ms);
  const known_ms = Math.min(latency.fastest_ms, latency.fastest_before_ms);
  // Of the first window the quickest answer: that request found the receiver idle, whatever queued up behind it.
  const fastest_ms = Number.isFinite(known_ms) ? known_ms : least_ms;
  latency.fastest_ms = Math.min(fastest_ms, mean_ms);
  const is_slow = mean_ms > fastest_ms * TOLERANCE && mean_ms - fastest_ms > SLACK_MS;
  latency.slow_windows = is_slow ? latency.slow_windows + 1 : 0;
  if (latency.slow_windows < WINDOWS_MIN) return null;
  latency.slow_windows = 0;
  if (mean_flying < 2) {
    // One at a time is as few as there can be, so this is how fast it is.
    settleOn(latency, mean_ms);
    return null;
  }
  return { kind: "slower", mean_ms, flying: mean_flying, share: Math.max(SHARE_MIN, fastest_ms / mean_ms) };
}

/** When the number of requests was the cause, the duration has come down about as far as the number did. */
function conclude(latency: Latency, trial: NonNullable<Latency["trial"]>, mean_ms: number): Trend | null {
  latency.trial = null;
  if (mean_ms <= trial.mean_ms * (1 - HELPED * (1 - trial.share))) {
    latency.fastest_ms = Math.min(latency.fastest_ms, mean_ms);
    return null;
  }
  settleOn(latency, mean_ms);
  return { kind: "not_our_doing" };
}

function settleOn(latency: Latency, mean_ms: number): void {
  latency.fastest_ms = mean_ms;
  latency.fastest_before_ms = Number.POSITIVE_INFINITY;
}

/** Forgets what was gathered under another limit. */
export function beginWindow(latency: Latency, now: number): void {
  latency.quiet_until = now + 2 * Math.min(latency.last_ms, QUIET_MAX_MS / 2);
  latency.trial = null;
  latency.slow_windows = 0;
  emptyWindow(latency);
}

function emptyWindow(latency: Latency): void {
  latency.count = 0;
  latency.sum_ms = 0;
  latency.sum_flying = 0;
  latency.least_ms = Number.POSITIVE_INFINITY;
}

/** A clock that jumps ends a span early, which costs nothing. */
function turnSpan(latency: Latency, now: number): void {
  if (now >= latency.span_from && now - latency.span_from < FASTEST_MS) return;
  latency.fastest_before_ms = latency.fastest_ms;
  latency.fastest_ms = Number.POSITIVE_INFINITY;
  latency.span_from = now;
}
