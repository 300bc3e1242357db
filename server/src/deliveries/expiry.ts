// When what is kept of a delivery expires, as pure rules over its row and the limits of its app. Called by deliveries.ts for
// what the API shows, and by the retention module for what goes: the answer depends on the time alone, never on how far
// the removal has come.
import type { App } from "#contract/apps.ts";
import type { Expired } from "#contract/deliveries.ts";
import { uuidTime } from "../platform/ids.ts";
import { timeText } from "../platform/time-text.ts";
import type { DeliveryRow } from "./delivery.ts";

export const DAY_MS = 24 * 3_600_000;

/** How long an app keeps what. */
export type Keeping = Pick<App, "event_retention_days" | "delivery_retention_days">;

/** What was last at or before this time has expired; null when nothing expires. */
export function cutoffOf(days: number | null, now: number): number | null {
  return days === null ? null : now - days * DAY_MS;
}

/** The last that happened to a settled delivery: its details are kept for so long after it. Null while it is pending. */
export function lastOf(
  row: Pick<DeliveryRow, "position" | "state" | "settled_at">,
  last_attempt_at: number | null,
): number | null {
  if (row.state === "pending") return null;
  return Math.max(uuidTime(row.position), row.settled_at ?? 0, last_attempt_at ?? 0);
}

/** What the API says of a delivery whose records are not kept any more; null while they are. */
export function recordsExpiry(
  row: Pick<DeliveryRow, "position" | "state" | "settled_at" | "attempt" | "expired_attempt">,
  last_attempt_at: number | null,
  { delivery_retention_days: days }: Keeping,
  now: number,
): Expired | null {
  const cutoff = cutoffOf(days, now);
  const last = lastOf(row, last_attempt_at);
  if (cutoff !== null && days !== null && last !== null && last <= cutoff) {
    const reason = `What was sent and answered has expired: this app keeps it for ${inWords(days)} after a delivery has ended. The event itself is kept longer.`;
    return { at: timeText(last + days * DAY_MS), reason };
  }
  if ((row.expired_attempt ?? 0) === 0 || last === null || row.expired_attempt !== row.attempt) return null;
  return { at: null, reason: "What was sent and answered has expired: the app's limit was shorter before." };
}

/** What the API says of a delivery whose event is gone, or says nothing any more; null while it is as it was. */
export function eventExpiry(
  position: string,
  event: { erased_at: number | null } | undefined,
  { event_retention_days: days }: Keeping,
  now: number,
): Expired | null {
  if (event !== undefined) return event.erased_at === null ? null : erased(timeText(event.erased_at));
  const expires_at = days === null ? Number.NaN : uuidTime(position) + days * DAY_MS;
  if (days !== null && expires_at <= now) {
    return { at: timeText(expires_at), reason: `The event has expired: this app keeps events for ${inWords(days)}.` };
  }
  return erased(null);
}

function erased(at: string | null): Expired {
  return { at, reason: "The event was erased: its body is not kept any more, nor what was answered to it." };
}

function inWords(days: number): string {
  return days === 1 ? "a day" : `${days} days`;
}
