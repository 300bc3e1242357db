// What a webhook has missed while it was off or disabled, the last time that it was, and what to do about its state. Pure;
// called by webhooks.ts, by missed-store.ts, which counts, and through lastStop by the recovery of a webhook.
import type { Missed } from "#contract/destinations.ts";
import { uuidFloor } from "../platform/ids.ts";
import type { DestinationRow } from "./destination.ts";
import { timeText } from "./health.ts";

/**
 * An event is dated when it arrives and meets the settings when it is stored, which is a little later: those of so long
 * before a stop may have been kept back by it. What has a delivery is not counted, so more would only cost time.
 */
const IN_FLIGHT_MS = 10_000;

/** A time in which nothing was stored for a destination, in ms since 1970; `until` null: it is not over. */
export interface Stop {
  since: number;
  until: number | null;
  created_at: number;
}

type StopColumns = Pick<DestinationRow, "stopped_at" | "restarted_at" | "created_at">;

export function stopOf({ stopped_at, restarted_at, created_at }: StopColumns): Stop | null {
  return stopped_at === null ? null : { since: stopped_at, until: restarted_at, created_at };
}

/** The events that may have been missed in it, in ms since 1970: from `since` on and before `until`. */
export function rangeOf({ since, until, created_at }: Stop, now: number): { since: number; until: number } {
  return { since: Math.max(since - IN_FLIGHT_MS, Math.min(since, created_at)), until: (until ?? now) + 1 };
}

export function positionsOf(stop: Stop, now: number): { from_position: string; end_position: string } {
  const { since, until } = rangeOf(stop, now);
  return { from_position: uuidFloor(since), end_position: uuidFloor(until) };
}

export function showMissed({ since, until }: Stop, { count, is_exact }: { count: number; is_exact: boolean }): Missed {
  return { count, is_exact, since: timeText(since), until: timeText(until) };
}

/** What a person may press, by the state of the webhook; null when there is nothing to do. */
export function nextStep(
  row: Pick<DestinationRow, "id" | "state" | "state_changed_at">,
  missed: Missed | null,
): string | null {
  const { id, state } = row;
  if (state === "off") {
    return `It was turned off at ${timeText(row.state_changed_at)}. Turn it on with ${enable(id)}; ${RECOVER}.`;
  }
  if (state === "disabled") return stepWhenDisabled(id);
  if (state === "paused") {
    return `Mend the receiver: deliveries wait, and go on by themselves after the first success. ${enable(id)} resumes them at once.`;
  }
  if (missed === null || missed.count === 0) return null;
  return `Send what it missed with PATCH /api/webhooks/${id} {"enabled": true, "recover": true}.`;
}

const RECOVER = `with "recover": true it is also sent what it has missed, else it goes on from now`;

export function stepWhenDisabled(id: string): string {
  return `Mend the receiver, try it with POST /api/webhooks/${id}/test, then turn the webhook on with ${enable(id)}; ${RECOVER}.`;
}

function enable(id: string): string {
  return `PATCH /api/webhooks/${id} {"enabled": true}`;
}
