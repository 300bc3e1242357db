// What a webhook has missed while it was off or disabled, the last time that it was, and what to do about its state. Pure;
// called by webhooks.ts, by missed-store.ts, which counts, and by the recovery of a webhook.
import type { Missed } from "#contract/destinations.ts";
import { uuidFloor } from "../platform/ids.ts";
import { timeText } from "../platform/time-text.ts";
import type { DestinationRow } from "./destination.ts";

/**
 * An event is dated when it arrives and meets the settings when it is stored, which is a little later: those of so long
 * before a stop may have been kept back by it, if it was on and took them by then. What has a delivery is not counted, so more would only cost time.
 */
const IN_FLIGHT_MS = 10_000;

/** A time in which nothing was stored for a destination, in ms since 1970; `until` null: it is not over. */
export interface Stop {
  since: number;
  until: number | null;
  /** Events from before are nothing that it kept back: since then it was on and took what it takes now. At most `since`. */
  on_since: number;
}

export type StopColumns = Pick<
  DestinationRow,
  "id" | "stopped_at" | "restarted_at" | "created_at" | "events" | "filter"
>;
/** An entry of the history, as far as it says what was stored. */
export type PastSettings = Pick<DestinationRow, "state" | "events" | "filter"> & { at: number };

/** From when on the history tells what held before a stop: that which held then was in force long enough. */
export function toldFrom(stopped_at: number): number {
  return stopped_at - IN_FLIGHT_MS;
}

/** @param told the history up to the stop, oldest first: what held at `toldFrom`, and what was changed after that */
export function stopOf(row: StopColumns, told: readonly PastSettings[]): Stop | null {
  const { stopped_at: since, restarted_at: until } = row;
  if (since === null) return null;
  let on_since = row.created_at;
  told.forEach((one, index) => {
    const before = told[index - 1];
    if (before === undefined) return;
    const is_restart = isStopped(before) && !isStopped(one);
    if (is_restart || !isSameTaste(before, one)) on_since = one.at;
  });
  const last = told.at(-1);
  // What it takes was changed after the stop.
  if (last !== undefined && !isSameTaste(last, row)) on_since = since;
  return { since, until, on_since: Math.min(since, on_since) };
}

/** While it is off or disabled nothing is stored for it. */
export function isStopped({ state }: { state: string }): boolean {
  return state === "off" || state === "disabled";
}

function isSameTaste(one: Pick<PastSettings, "events" | "filter">, other: typeof one): boolean {
  return one.events === other.events && one.filter === other.filter;
}

/** The events that may have been missed in it, in ms since 1970: from `since` on and before `until`. */
export function rangeOf({ since, until, on_since }: Stop, now: number): { since: number; until: number } {
  return { since: Math.max(since - IN_FLIGHT_MS, on_since), until: (until ?? now) + 1 };
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
  return `Mend the receiver, try it with POST /api/webhooks/${id}/test, then turn the webhook on with ${enable(id)}; ${RECOVER}. Deliveries that failed, such as one answered 410, stay failed until a replay of \`failed\` sends them.`;
}

function enable(id: string): string {
  return `PATCH /api/webhooks/${id} {"enabled": true}`;
}
