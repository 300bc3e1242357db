// What has failed for good at a webhook, as sentences with the call that sends it again. Pure; called by missed.ts and
// change-notice.ts for what failed-store.ts has counted.
import type { Health } from "#contract/destinations.ts";
import { timeText } from "../platform/time-text.ts";
import { type DestinationRow, isStopped } from "./destination.ts";
import type { LastTries } from "./last-tries.ts";

/** Failed deliveries on record, tests and erased ones left out. */
export interface Failed {
  count: number;
  /** False: these are the newest, and there are more. */
  is_exact: boolean;
  /** When the events of the first and the last of them were accepted, in ms since 1970. */
  first_at: number;
  last_at: number;
  /** When the last of them to end had failed. */
  settled_at: number;
}

export const NONE_FAILED: Failed = { count: 0, is_exact: true, first_at: 0, last_at: 0, settled_at: 0 };

/** So many failures in a row are no accident; fewer are told where nothing of a day has succeeded. */
const FAILING_TOLD_MIN = 3;
/** With a smaller part of a day's attempts successful it fails now and then, which its last attempts need not show. */
const SUCCESS_RATE_MIN = 0.9;
/** Fewer attempts make no rate. */
const RATED_ATTEMPTS_MIN = 10;
/** After so long without a failure it is well again, whatever the day was like. */
const FAILURE_TOLD_MS = 6 * 3_600_000;
/** After a webhook has come back, what has failed before is told for so long. */
const TOLD_AFTER_RETURN_MS = 86_400_000;

type Standing = Pick<DestinationRow, "id" | "state" | "state_changed_at" | "created_at">;

/** How its attempts end. */
export interface Failing extends Pick<Health, "consecutive_failures" | "success_rate_24h"> {
  attempts_24h: number;
  /** In ms since 1970. */
  last_failure_at: number | null;
}

/** Whether it says what has failed: in trouble, stopped, or just out of it. A few that failed at a webhook that is well are its owner's. */
export function tellsFailed({ state, state_changed_at, created_at }: Standing, failing: Failing, now: number): boolean {
  if (state !== "active") return true;
  const is_back = state_changed_at > created_at && now - state_changed_at < TOLD_AFTER_RETURN_MS;
  return is_back || isFailing(failing) || failsNowAndThen(state_changed_at, failing, now);
}

export function isFailing({ consecutive_failures, success_rate_24h }: Failing): boolean {
  return consecutive_failures >= FAILING_TOLD_MIN || (consecutive_failures > 0 && success_rate_24h === 0);
}

function failsNowAndThen(
  state_changed_at: number,
  { success_rate_24h, attempts_24h, last_failure_at }: Failing,
  now: number,
): boolean {
  const is_bad = success_rate_24h !== null && success_rate_24h < SUCCESS_RATE_MIN;
  // What failed before a pause was the reason for that, which is over.
  const since = Math.max(state_changed_at, now - FAILURE_TOLD_MS);
  const is_recent = last_failure_at !== null && last_failure_at > since;
  return is_bad && is_recent && attempts_24h >= RATED_ATTEMPTS_MIN;
}

/** What else is known of a webhook whose attempts fail. */
export interface Beside extends LastTries {
  /** Deliveries that have failed for good, and that are pending. */
  failed: number;
  pending: number;
}

/** Of an active webhook whose attempts fail; null when they do not. */
export function stepWhenFailing(
  { id, state_changed_at }: Pick<Standing, "id" | "state_changed_at">,
  failing: Failing,
  { advice, well_at, failed, pending }: Beside,
  now: number,
): string | null {
  const list = `GET /api/webhooks/${id}/deliveries`;
  const look = `GET /api/deliveries/{id} says of each attempt what to do`;
  if (isFailing(failing)) {
    const { consecutive_failures: failures } = failing;
    const what = failures === 1 ? "Its last attempt has" : `Its last ${failures} attempts have all`;
    const told = `${what} failed, tests and replays left out.`;
    if (well_at !== null) {
      const those = failures === 1 ? "that" : "those";
      return `${told} An attempt of a test or replay has succeeded after ${those}, at ${timeText(well_at)}: if the receiver is well, nothing is to be done, and this ends with the next other attempt that succeeds.`;
    }
    return `${told} ${advice ?? "Mend the receiver:"} ${list} lists the deliveries, and ${look}.`;
  }
  if (!failsNowAndThen(state_changed_at, failing, now)) return null;
  // The last one has not.
  const percent = Math.min(99, Math.round(100 * (1 - (failing.success_rate_24h ?? 0))));
  const lists = [
    failed === 0 ? null : `${list}?state=failed lists what has failed for good`,
    pending === 0 ? null : `${list}?state=pending ${failed === 0 ? "lists " : ""}what waits or is tried again`,
  ].filter((one) => one !== null);
  const where = `${lists.length === 0 ? `${list} lists the deliveries` : lists.join(", ")}, and ${look}`;
  return `${percent} % of its attempts of the last 24 hours have failed, tests and replays left out, the last of these at ${timeText(failing.last_failure_at)}: ${where}.`;
}

/** Null when nothing has failed. */
export function stepForFailed(
  row: Pick<Standing, "id" | "state">,
  { count, is_exact, first_at, last_at }: Failed,
): string | null {
  if (count === 0) return null;
  const replay = replayOf(row.id, { first_at, last_at });
  const those = count === 1 ? "it" : "them";
  const what = is_exact
    ? `${count} ${count === 1 ? "delivery has" : "deliveries have"} failed for good, and ${count === 1 ? "stays" : "stay"} failed: send ${those}`
    : // Those of one request were accepted in the same millisecond, and a range has them all.
      `More than ${count} deliveries have failed for good, and stay failed: send the newest of them, ${count} or somewhat more,`;
  // A replay to a webhook that is stopped is refused.
  return `${what} with ${replay} when ${isStopped(row) ? "the webhook is on again" : "the receiver is well"}.`;
}

/** Beside a replay that is running, of what it may not send: it leaves out what failed after it was asked for. */
export function stepForRest(row: Pick<Standing, "id" | "state">, failed: Failed, replay_id: string): string {
  return `What is failed still when ${replay_id} is over${isStopped(row) ? " and the webhook on again" : ""}, such as what failed after that was asked for, can be sent then with ${replayOf(row.id, failed)}.`;
}

function replayOf(id: string, { first_at, last_at }: Pick<Failed, "first_at" | "last_at">): string {
  const range = { since: timeText(first_at), until: timeText(last_at + 1) };
  return `POST /api/webhooks/${id}/replays ${JSON.stringify({ ...range, states: ["failed"] })}`;
}
