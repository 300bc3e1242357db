// When a destination that keeps failing is paused, and when it is given up. Pure. Called by destinations.ts; source of the
// rules: the management API contract, "What a receiver sees".
import type { DestinationState } from "#contract/destinations.ts";
import { timeText } from "../platform/time-text.ts";

/** Settings of the server. */
export interface FailureRules {
  /** So many attempts in a row have failed, … */
  pause_after_failures: number;
  /** … over at least so long: then it is paused. In ms. */
  pause_after_ms: number;
  /**
   * A paused destination without a success for so long is disabled. Where this is shorter than `pause_after_ms`, a destination
   * is paused after this time already, for only what is paused is disabled. In ms.
   */
  disable_after_ms: number;
}

/** Failed attempts since the last success; tests and replays are none. */
export interface FailureRun {
  consecutive_failures: number;
  failing_since: number | null;
  last_success_at?: number | null | undefined;
  /** What the newest of them ended with, for whoever reads the verdict; absent: not known. */
  last_error?: string | undefined;
  /** Whether a probe is among those that have just failed; absent: none is. */
  was_probed?: boolean | undefined;
  /** The other side takes nothing until somebody has changed something: no other attempt need tell. */
  is_hopeless?: boolean | undefined;
}

/** What is known of the attempts after which a destination is looked at. */
export interface NewestFailures extends Pick<FailureRun, "last_error" | "was_probed" | "is_hopeless"> {
  /** That of the destination with which they were made; absent: the present one. */
  era?: number | undefined;
}

/**
 * Whether an attempt was made before a person changed what it depended on, or enabled its destination: then it says nothing
 * about now. No clock is asked, for a process may send for a moment by what it has not heard to be changed.
 */
export function isOfPast(era: number | undefined, destination: { era: number }): boolean {
  return era !== undefined && era < destination.era;
}

export interface Verdict {
  state: "paused" | "disabled";
  reason: string;
}

/** First probe after a pause, and the longest gap between two, in ms: each gap is twice the one before. */
export const PROBE_FIRST_MS = 30_000;
export const PROBE_MAX_MS = 3_600_000;
const HOPELESS_FAILURES = 3;
const PROBE_DOUBLINGS_MAX = 7;
const LAST_ERROR_MAX_CHARS = 300;

/** What has to be done about a destination in this state after a failed attempt; null as a rule. */
export function verdictOn(state: DestinationState, run: FailureRun, rules: FailureRules, now: number): Verdict | null {
  const { consecutive_failures: failures, failing_since } = run;
  if (state === "active" && run.is_hopeless === true && isHopeless(run)) {
    const reason = `No other attempt can succeed until something is changed${lastOf(run).replace("; the last", "")}`;
    return { state: "paused", reason: `${reason}. Pending deliveries wait, and one is tried now and then` };
  }
  if (failing_since === null) return null;
  const failing_ms = now - failing_since;
  if (state === "active" && isToPause(failures, failing_ms, rules)) {
    const reason = `${failures} attempts in a row have failed since ${timeText(failing_since)}${lastOf(run)}`;
    return { state: "paused", reason: `${reason}. Pending deliveries wait, and one is tried now and then` };
  }
  // Only what is paused: with little traffic days without a success may be two attempts that failed. And only a probe:
  // what was under way when it was paused fails for the same reason, and says nothing new.
  if (state !== "paused" || run.was_probed !== true || failing_ms < rules.disable_after_ms) return null;
  return { state: "disabled", reason: `No attempt has succeeded since ${timeText(failing_since)}${lastOf(run)}` };
}

/**
 * Where it has worked before, one answer of the kind may be about one event: a firewall that does not like what is in it. Then it
 * takes several in a row, and what goes well in between ends the row.
 */
function isHopeless({ consecutive_failures, last_success_at = null }: FailureRun): boolean {
  return last_success_at === null || consecutive_failures >= HOPELESS_FAILURES;
}

/** With a `disable_after_ms` below `pause_after_ms` time alone decides, however few attempts failed; then the first probe disables. */
function isToPause(failures: number, failing_ms: number, rules: FailureRules): boolean {
  if (rules.disable_after_ms < rules.pause_after_ms) return failing_ms >= rules.disable_after_ms;
  return failures >= rules.pause_after_failures && failing_ms >= rules.pause_after_ms;
}

function lastOf({ last_error }: FailureRun): string {
  if (last_error === undefined || last_error === "") return "";
  const is_long = last_error.length > LAST_ERROR_MAX_CHARS;
  // Half a character at the cut would be one that no database takes.
  const text = is_long ? `${last_error.slice(0, LAST_ERROR_MAX_CHARS).toWellFormed()}…` : last_error;
  return `; the last: ${text.replace(/\.$/, "")}`;
}

/** How long a webhook that was just paused waits for its first probe, in ms: no longer than until it may be disabled. */
export function firstProbeMs({ disable_after_ms }: FailureRules): number {
  return Math.min(probeGapMs(0), disable_after_ms);
}

/** How long to wait after so many probes without success, in ms. */
export function probeGapMs(probes: number): number {
  return Math.min(PROBE_FIRST_MS * 2 ** Math.min(probes, PROBE_DOUBLINGS_MAX), PROBE_MAX_MS);
}
