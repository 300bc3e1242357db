// What has failed for good at a webhook, as sentences with the call that sends it again. Pure; called by missed.ts and
// change-notice.ts for what failed-store.ts has counted.
import type { Health } from "#contract/destinations.ts";
import { timeText } from "../platform/time-text.ts";
import type { DestinationRow } from "./destination.ts";

/** Failed deliveries on record, tests and erased ones left out. */
export interface Failed {
  count: number;
  /** False: these are the newest, and there are more. */
  is_exact: boolean;
  /** When the events of the first and the last of them were accepted, in ms since 1970. */
  first_at: number;
  last_at: number;
}

export const NONE_FAILED: Failed = { count: 0, is_exact: true, first_at: 0, last_at: 0 };

/** So many failures in a row are no accident; fewer are told where nothing of a day has succeeded. */
const FAILING_TOLD_MIN = 3;
/** After a webhook has come back, what has failed before is told for so long. */
const TOLD_AFTER_RETURN_MS = 86_400_000;

type Standing = Pick<DestinationRow, "id" | "state" | "state_changed_at" | "created_at">;
type Failing = Pick<Health, "consecutive_failures" | "success_rate_24h">;

/** Whether it says what has failed: in trouble, or just out of it. A few that failed at a webhook that is well are its owner's. */
export function tellsFailed({ state, state_changed_at, created_at }: Standing, health: Failing, now: number): boolean {
  if (state !== "active") return state !== "off";
  const is_back = state_changed_at > created_at && now - state_changed_at < TOLD_AFTER_RETURN_MS;
  return is_back || isFailing(health);
}

function isFailing({ consecutive_failures, success_rate_24h }: Failing): boolean {
  return consecutive_failures >= FAILING_TOLD_MIN || (consecutive_failures > 0 && success_rate_24h === 0);
}

/** Of an active webhook whose attempts fail; null when they do not. */
export function stepWhenFailing(id: string, health: Failing): string | null {
  if (!isFailing(health)) return null;
  const { consecutive_failures: failures } = health;
  const what = failures === 1 ? "Its last attempt has" : `Its last ${failures} attempts have all`;
  return `${what} failed. Mend the receiver: GET /api/webhooks/${id}/deliveries lists the deliveries, and GET /api/deliveries/{id} says of each attempt what to do.`;
}

/** Null when nothing has failed. */
export function stepForFailed(id: string, { count, is_exact, first_at, last_at }: Failed): string | null {
  if (count === 0) return null;
  const range = { since: timeText(first_at), until: timeText(last_at + 1) };
  const replay = `POST /api/webhooks/${id}/replays ${JSON.stringify({ ...range, states: ["failed"] })}`;
  const those = count === 1 ? "it" : "them";
  const what = is_exact
    ? `${count} ${count === 1 ? "delivery has" : "deliveries have"} failed for good, and ${count === 1 ? "stays" : "stay"} failed: send ${those}`
    : `More than ${count} deliveries have failed for good, and stay failed: send the newest ${count}`;
  return `${what} with ${replay} when the receiver is well.`;
}
