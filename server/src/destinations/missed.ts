// What a webhook has missed while it was off or disabled, over all such times that are not recovered, and what to do about
// its state. Pure; called by webhooks.ts, by missed-store.ts, which counts, and by the recovery of a webhook.
import type { Missed } from "#contract/destinations.ts";
import { uuidFloor } from "../platform/ids.ts";
import { timeText } from "../platform/time-text.ts";
import { type DestinationRow, isStopped } from "./destination.ts";
import { type Failed, type Failing, stepForFailed, stepForRest, stepWhenFailing } from "./failed.ts";
import { type LastTries, NOT_TRIED } from "./last-tries.ts";
import {
  callOf,
  isSentBy,
  type NamedReplay,
  type ReplayUnderWay,
  senderOfFailed,
  stepForPaused,
  stepOfReplay,
  stillRuns,
  whatOf,
} from "./replay-step.ts";

/**
 * An event is dated when it arrives and meets the settings when it is stored, which is a little later: those of so long
 * before a stop may have been kept back by it, if it was on and took them by then. And those of so long behind it: until the change that
 * ends a stop is stored, which is later than its date, nothing is stored for it, and the dates of events are those of any node's
 * clock. What has a delivery is not counted, so more would only cost time.
 */
const IN_FLIGHT_MS = 10_000;

/** A time in which nothing was stored for a destination, in ms since 1970; `until` null: it is not over. */
export interface Stop {
  since: number;
  until: number | null;
  /** Events from before are nothing that it kept back: since then it was on and took what it takes now. At most `since`. */
  on_since: number;
  /** Nor are those from behind: since then it was on and took others than now. At least `until`; null: never. */
  on_until: number | null;
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

/**
 * The times in which it was stopped, from the first on that is not recovered, oldest first. What the history does not reach
 * back to any more is taken for one of them: that looks at too much rather than at too little.
 * @param told the history, oldest first, from what held at `toldFrom` on
 */
export function stopsOf(row: StopColumns, told: readonly PastSettings[]): Stop[] {
  const { stopped_at: first } = row;
  if (first === null) return [];
  const is_cut = (told[0]?.at ?? Number.POSITIVE_INFINITY) > first;
  const stops: Stop[] = is_cut ? [{ since: first, until: null, on_since: first, on_until: null }] : [];
  let on_since = row.created_at;
  let is_stopped = is_cut;
  told.forEach((one, index) => {
    const before = told[index - 1];
    if (before !== undefined && !isSameTaste(before, one)) {
      on_since = one.at;
      const last = stops.at(-1);
      if (last !== undefined && last.until !== null) last.on_until ??= one.at;
    }
    if (is_stopped && !isStopped(one)) {
      on_since = one.at;
      end(stops.at(-1), one.at, isSameTaste(one, row));
    } else if (!is_stopped && isStopped(one) && one.at >= first) {
      // What it takes was changed after the stop: then nothing from before is what this one kept back.
      stops.push({ since: one.at, until: null, on_since: isSameTaste(one, row) ? on_since : one.at, on_until: null });
    }
    is_stopped = isStopped(one);
  });
  if (told.length === 0) end(stops.at(-1), row.restarted_at, false);
  return stops;
}

/** @param takes_same whether it took then what it takes now */
function end(stop: Stop | undefined, at: number | null, takes_same: boolean): void {
  if (stop === undefined) return;
  stop.until = at;
  if (!takes_same) stop.on_until = at;
}

type Taste = Pick<PastSettings, "events" | "filter">;

export function isSameTaste(one: Taste, other: Taste): boolean {
  return one.events === other.events && one.filter === other.filter;
}

/** A replay of all that is missing, to the webhook itself, that is done. */
export interface DoneReplay extends TimeRange {
  created_at: number;
  finished_at: number;
}

/**
 * Whether the filter was this one for all of a replay, which walks with the filter of each step. Other processes go on with
 * the one before for a moment, so a change shortly before its start leaves that in doubt; in doubt it was not.
 */
export function hadFilter(
  filter: string | null,
  told: readonly PastSettings[],
  { created_at, finished_at }: Pick<DoneReplay, "created_at" | "finished_at">,
): boolean {
  const isOutside = (index: number) => {
    const ended_at = told[index + 1]?.at ?? Number.POSITIVE_INFINITY;
    return (told[index]?.at ?? 0) > finished_at || ended_at <= created_at - IN_FLIGHT_MS;
  };
  const is_told = (told[0]?.at ?? Number.POSITIVE_INFINITY) <= created_at;
  return is_told && told.every((one, index) => one.filter === filter || isOutside(index));
}

export interface TimeRange {
  /** In ms since 1970. */
  since: number;
  /** The first ms behind it. */
  until: number;
}

/** When the events that may have been missed in each of them were accepted; no two overlap. */
export function rangesOf(stops: readonly Stop[], now: number): TimeRange[] {
  let behind = 0;
  return stops.map(({ since, until, on_since, on_until }, index) => {
    const next = stops[index + 1]?.since ?? Number.POSITIVE_INFINITY;
    const last = Math.min((until ?? now) + IN_FLIGHT_MS, on_until ?? Number.POSITIVE_INFINITY, next);
    const range = { since: Math.max(since - IN_FLIGHT_MS, on_since, behind), until: last + 1 };
    behind = Math.max(behind, range.until);
    return range;
  });
}

/** Whether replays that were asked for after the stop have looked at all of it, each at a part or all. */
export function isCovered(stop: Stop, replays: readonly Omit<DoneReplay, "finished_at">[]): boolean {
  const { since, until } = stop;
  if (until === null) return false;
  let covered_until = since;
  for (const one of replays.toSorted((left, right) => left.since - right.since)) {
    if (one.created_at < until || one.since > covered_until) continue;
    covered_until = Math.max(covered_until, one.until);
  }
  return covered_until >= until;
}

export function positionBounds({ since, until }: TimeRange): [from_position: string, end_position: string] {
  return [uuidFloor(since), uuidFloor(until)];
}

/** What a look at the stops has found. */
export interface Tally extends Pick<Missed, "count" | "is_exact"> {
  /** The first of the stops, by its place, of which something is missing or not all was looked at; null: none. */
  first: number | null;
}

/** Null when nothing is missing and nothing can come to it. @param looked those of the stops that the tally is of */
export function showMissed(
  stops: readonly Stop[],
  looked: readonly Stop[],
  { first, ...counted }: Tally,
): Missed | null {
  const last = stops.at(-1);
  const begun = first === null ? last : looked[first];
  if (last === undefined || begun === undefined || (first === null && last.until !== null)) return null;
  return { ...counted, since: timeText(begun.since), until: timeText(last.until) };
}

/** A replay of all that is missing in a range, to the webhook itself, that has not come to its end yet. */
export interface OpenReplay extends NamedReplay {
  /** Up to where it has looked. */
  at_position: string;
  end_position: string;
}

/** The replay that has some of it to send; where there are several, one that waits for somebody to resume it. */
export function senderOf(open: readonly OpenReplay[], stops: readonly Stop[], now: number): OpenReplay | null {
  const ranges = rangesOf(stops, now).map(positionBounds);
  const sending = open.filter(({ at_position, end_position }) =>
    ranges.some(([from, end]) => at_position < end && from < end_position),
  );
  return sending.find(({ state }) => state === "paused") ?? sending[0] ?? null;
}

/** What a webhook has missed, and the replay that has some of it to send. */
export interface Owed {
  missed: Missed | null;
  sender: NamedReplay | null;
}

/** What is known of what a webhook is still to be sent. */
export interface Known extends Owed {
  /** Replays to it that are not over. */
  open: readonly ReplayUnderWay[];
  /** Deliveries to it that are pending. */
  pending: number;
}

/** What is known of how it goes at a webhook. */
export interface Going {
  failing: Failing;
  /** Looked up where `tellsFailed`. */
  failed: Failed;
  /** Looked up where its attempts fail, or where it does not send for that. */
  tried: LastTries;
}

type Named = Pick<DestinationRow, "id" | "state" | "state_changed_at">;

/** What a person may press, by the state of the webhook; null when there is nothing to do. */
export function nextStep(row: Named, known: Known, { failing, failed, tried }: Going, now: number): string | null {
  const beside = { ...tried, failed: failed.count, pending: known.pending };
  const others = known.open.filter((one) => one.state === "paused" && !isNamed(row, known, one));
  const steps = [
    row.state === "active" ? stepWhenFailing(row, failing, beside, now) : null,
    stepByState(row, known, tried),
    stepForPaused(row.id, others, isStopped(row)),
    ...stepsForFailed(row, known, failed),
  ].filter((step) => step !== null);
  return steps.length === 0 ? null : steps.join(" ");
}

/** Whether the state's own step names it. */
function isNamed({ state }: Named, { sender }: Known, { id }: NamedReplay): boolean {
  return id === sender?.id && state !== "paused";
}

/** What a replay sends already is not told to be sent by another one: of one that is running how far it is tells more. */
function stepsForFailed(row: Named, known: Known, failed: Failed): (string | null)[] {
  const { open } = known;
  const replay = senderOfFailed(open, failed);
  const is_all = isSentBy(open, failed);
  if (replay === undefined) return [is_all ? null : stepForFailed(row, failed)];
  const step = isNamed(row, known, replay) ? null : stepOfReplay(replay, isStopped(row));
  return [step, is_all ? null : stepForRest(row, failed, replay.id)];
}

function stepByState(row: Named, { missed, sender, pending }: Omit<Known, "open">, tried: LastTries): string | null {
  const { id, state } = row;
  const uncounted = missed === null || missed.is_exact ? "" : ` ${stepToCount(id, missed)}`;
  if (state === "off") {
    return `It was turned off at ${timeText(row.state_changed_at)}. Turn it on with ${enable(id)}; ${restOf(sender, pending)}.${uncounted}`;
  }
  if (state === "disabled") return `${stepToEnable(id, tried, restOf(sender, pending))}${uncounted}`;
  if (state === "paused") {
    const mend = mendOf(tried);
    return `${mend === null ? "Mend the receiver: what" : `${mend} What`} is pending waits, and goes on by itself after the first success. ${enable(id)} resumes it at once: ${whatGoes(id)}${uncounted}`;
  }
  if (sender !== null) return `${stepOfReplay(sender)}${uncounted}`;
  if (missed === null || !isOwed(missed)) return null;
  const recover = `PATCH /api/webhooks/${id} {"enabled": true, "recover": true}`;
  if (missed.count > 0) return `Send what it missed with ${recover}.${uncounted}`;
  return `${stepToCount(id, missed)} Send them with ${recover}.`;
}

/** Null: no more is known than that its attempts failed. */
function mendOf({ advice, well_at }: LastTries): string | null {
  return well_at === null ? advice : `An attempt has succeeded at ${timeText(well_at)}, after the last failure.`;
}

/** Whether something is missing, or may be. */
export function isOwed({ count, is_exact }: Pick<Missed, "count" | "is_exact">): boolean {
  return count > 0 || !is_exact;
}

/** What may be missed up to the present; a replay looks no further than that. */
const NO_END = "9999-12-31T23:59:59.999Z";

/** Of a count that stopped before all was looked at. */
function stepToCount(id: string, { count, since, until }: Missed): string {
  const body = JSON.stringify({ since, until: until ?? NO_END, states: ["missing"], dry_run: true });
  return `It may have missed more than the ${count} counted here: POST /api/webhooks/${id}/replays ${body} tells how many events.`;
}

/** After it was turned on. */
function restOf(sender: Owed["sender"], pending: number): string {
  const also =
    pending === 0 ? "" : `what is pending, ${pending === 1 ? "1 delivery" : `${pending} deliveries`}, goes out`;
  if (sender === null) {
    const waits = pending === 0 ? "" : `; either way ${also} then, each when it is due`;
    return `with "recover": true it is also sent what it has missed, else it goes on from now${waits}`;
  }
  const { id, state } = sender;
  const waits = pending === 0 ? "" : `${also} when it is on, each when it is due; `;
  const rest = `${waits}what it has missed since that was asked for is told then`;
  const replay = `the replay ${id}, which sends ${whatOf(sender)},`;
  if (state !== "paused") return `${replay} ${stillRuns(id)}; ${rest}`;
  return `then, when the receiver is well, go on with ${replay} with ${callOf(id, "resume")}; ${rest}`;
}

export function stepWhenDisabled(id: string): string {
  return `${stepToEnable(id, NOT_TRIED, restOf(null, 0))} Deliveries that failed, such as one answered 410, stay failed until a replay of \`failed\` sends them.`;
}

function stepToEnable(id: string, tried: LastTries, rest: string): string {
  const on = `turn the webhook on with ${enable(id)}; ${rest}.`;
  const mend = mendOf(tried);
  if (tried.well_at !== null) return `${mend} If the receiver is well, ${on}`;
  const test = `it with POST /api/webhooks/${id}/test, then ${on}`;
  return mend === null ? `Mend the receiver, try ${test}` : `${mend} Try ${test}`;
}

/** Enabling brings no attempt forward. */
function whatGoes(id: string): string {
  return `then what is due goes out, and each of the others not before the time that its reason tells, in GET /api/webhooks/${id}/deliveries?state=pending; POST /api/deliveries/{id}/retry sends one of them now.`;
}

/** Of one that was disabled and is on again. */
export function stepToRecover(id: string): string {
  return `What came while it was disabled was not stored for it: unless that was asked for already, PATCH /api/webhooks/${id} {"enabled": true, "recover": true} sends it.`;
}

export function enable(id: string): string {
  return `PATCH /api/webhooks/${id} {"enabled": true}`;
}
