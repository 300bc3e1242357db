// Why a destination has no delivery of an event, by what it was set to at that time. Pure; called by fate.ts.
// An event is dated when it arrives, and meets the settings of the moment in which it is stored: a little later as a rule,
// hours later for a click from a spool, and by another clock where another process made the change. So the settings at its
// date may be those that wanted it, and the change beside that date is the one that kept it back.
import type { EventType } from "#contract/events.ts";
import { isStopped } from "../destinations/destination.ts";

/** What a destination was set to from a time on. */
export interface PastSettings {
  state: string;
  /** JSON text: the event types. */
  events: string;
  cause: string;
  at: number;
}

export type Absence =
  | { kind: "not_yet_created" }
  | { kind: "not_subscribed"; types: EventType[] }
  /**
   * `since`: when it was stopped, whatever else was changed meanwhile; `beside` is true for a stop after the event's date,
   * `is_over` when it was turned on again since.
   */
  | { kind: "off"; state: string; cause: string; since: number; beside: boolean; is_over: boolean }
  /** Nothing on record kept it back. */
  | { kind: "missed" };

/** Clocks of two processes differ by less; a change so long before an event may have been made after it was stored. */
const CLOCKS_APART_MAX_MS = 60_000;

/** @param history the destination's changes around the event's date, oldest first */
export function absenceOf(
  { event, created_at }: { event: EventType; created_at: number },
  history: readonly PastSettings[],
): Absence {
  const index = history.findLastIndex(({ at }) => at <= created_at);
  if (index === -1) return { kind: "not_yet_created" };
  const current = absenceAt(history, index, event);
  if (current !== null) return current;
  const before = index === 0 ? { kind: "not_yet_created" as const } : absenceAt(history, index - 1, event);
  const begun_at = history[index]?.at ?? 0;
  const next = history.findIndex((_, later) => later > index && absenceAt(history, later, event) !== null);
  const after = next === -1 ? null : absenceAt(history, next, event);
  const until_next = (history[next]?.at ?? Number.POSITIVE_INFINITY) - created_at;
  const is_near = created_at - begun_at <= CLOCKS_APART_MAX_MS;
  if (before !== null && is_near && created_at - begun_at <= until_next) return before;
  if (after === null) return { kind: "missed" };
  return after.kind === "off" ? { ...after, beside: true } : after;
}

/** Null where the settings wanted an event of that type. */
function absenceAt(history: readonly PastSettings[], index: number, event: EventType): Absence | null {
  const entry = history[index];
  if (entry === undefined) return null;
  // Written by the destinations module alone.
  const types = JSON.parse(entry.events) as EventType[];
  if (!types.includes(event)) return { kind: "not_subscribed", types };
  if (!isStopped(entry)) return null;
  const running = history.findLastIndex((one, earlier) => earlier < index && !isStopped(one));
  const { state } = entry;
  // Its types may have been changed since: why it was stopped stands where it came to this state.
  const before = history.findLastIndex((one, earlier) => earlier < index && one.state !== state);
  const cause = history[before + 1]?.cause ?? entry.cause;
  const is_over = history.some((one, later) => later > index && !isStopped(one));
  return { kind: "off", state, cause, since: history[running + 1]?.at ?? entry.at, beside: false, is_over };
}
