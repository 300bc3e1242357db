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

/** What the API says of a delivery of which something is not kept any more; null while all is. */
export function expiryOf(
  row: Pick<DeliveryRow, "position" | "state" | "settled_at" | "attempt" | "expired_attempt">,
  found: { has_event: boolean; last_attempt_at: number | null },
  keeping: Keeping,
  now: number,
): Expired | null {
  const { event_retention_days: event_days, delivery_retention_days: days } = keeping;
  if (!found.has_event) return goneEvent(row.position, event_days, now);
  const cutoff = cutoffOf(days, now);
  const last = lastOf(row, found.last_attempt_at);
  if (cutoff !== null && days !== null && last !== null && last <= cutoff) {
    const reason = `What was sent and answered has expired: this app keeps it for ${inWords(days)} after a delivery has ended. The event itself is kept longer.`;
    return { at: timeText(last + days * DAY_MS), reason };
  }
  if ((row.expired_attempt ?? 0) === 0 || last === null || row.expired_attempt !== row.attempt) return null;
  return { at: null, reason: "What was sent and answered has expired: the app's limit was shorter before." };
}

function goneEvent(position: string, days: number | null, now: number): Expired {
  const expires_at = days === null ? Number.NaN : uuidTime(position) + days * DAY_MS;
  if (days !== null && expires_at <= now) {
    return { at: timeText(expires_at), reason: `The event has expired: this app keeps events for ${inWords(days)}.` };
  }
  return { at: null, reason: "The event was erased: its body is not kept any more." };
}

function inWords(days: number): string {
  return days === 1 ? "a day" : `${days} days`;
}
