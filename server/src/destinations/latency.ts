// Latency classes: durations on a logarithmic scale, so that a day's percentiles come from a few counters per hour.
// Called when attempts are settled (which class to count) and when health is shown (what a class stands for). Pure.

/** Each class ends a fifth above the one before, so a percentile is never more than a fifth too high. */
const CLASS_RATIO = 1.2;
const LONGEST_MS = 3_600_000;
const HOUR_MS = 3_600_000;
/** How many hour counters make a day's figures. */
const HEALTH_HOURS = 24;

export const LATENCY_CLASSES = Math.ceil(Math.log(LONGEST_MS) / Math.log(CLASS_RATIO)) + 1;

/** Upper ends in whole milliseconds, by class. Durations are whole milliseconds too, so rounding down loses nothing. */
const UPPER_MS: readonly number[] = Array.from({ length: LATENCY_CLASSES }, (_, index) =>
  Math.floor(CLASS_RATIO ** index),
);

/**
 * The class of a duration: 0 for up to 1 ms; what is longer than an hour counts as an hour.
 * @param ms whole milliseconds; a fraction is rounded up
 */
export function latencyClass(ms: number): number {
  const whole = Math.min(Math.max(Math.ceil(ms), 1), LONGEST_MS);
  let index = Math.max(Math.ceil(Math.log(whole) / Math.log(CLASS_RATIO)), 0);
  // Logarithms are inexact at the edges of a class; the table decides.
  while (index > 0 && (UPPER_MS[index - 1] ?? 0) >= whole) index--;
  while (index < LATENCY_CLASSES - 1 && (UPPER_MS[index] ?? 0) < whole) index++;
  return index;
}

/** The longest duration of a class, in ms. */
export function classUpperMs(latency_class: number): number {
  return UPPER_MS[Math.min(Math.max(latency_class, 0), LATENCY_CLASSES - 1)] ?? 0;
}

/** The hour that counts what happens at a time: its beginning, in ms since 1970. */
export function hourOf(at_ms: number): number {
  return Math.floor(at_ms / HOUR_MS) * HOUR_MS;
}

/** The first of the hours that make the figures of the day before a time; the last is the current one. */
export function firstHealthHour(at_ms: number): number {
  return hourOf(at_ms) - (HEALTH_HOURS - 1) * HOUR_MS;
}
