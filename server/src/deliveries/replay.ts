// What a replay does next, as pure functions over its row and what is known of its webhook: how much to hand out, when to
// pause, when it is done, what the API shows. Called by replays.ts and replay-runner.ts; docs/adr/0019-replays.md says why.
import type { EventType } from "#contract/events.ts";
import type { Replay, ReplayedState, ReplayState } from "#contract/replays.ts";
import type { Destination } from "../destinations/destination.ts";
import { enable } from "../destinations/missed.ts";
import { callOf } from "../destinations/replay-step.ts";
import { timeText } from "../platform/time-text.ts";

/** Deliveries that one step hands out, takes back or counts, at the most. */
export const STEP_MAX = 500;
/** Deliveries of one replay that wait for their first attempt, at the most: what fresh events may find before them. */
const WINDOW_MAX = 500;
const WINDOW_MIN = 20;
/** As many wait at first, and one more for each that was taken lately: not all is handed out before a failure is seen. */
const WINDOW_AT_FIRST = 20;
/** That many rounds of requests wait, so that the webhook is never idle between two steps. */
const WINDOW_ROUNDS = 4;
/** While something moves, the next step follows after so long. */
const STEP_MS = 100;
/** While first attempts are under way and nothing has ended since, or what was being sent when it was canceled. */
const WATCH_MS = 500;
/** While all that is left waits for its retry. */
const REST_MS = 5_000;
/** A rate is made up for by so much after a pause of the process, and never by more. */
const BURST_MS = 1_000;
/** A replay pauses itself when more than this share of the last attempts failed. */
const FAILING_SHARE = 0.2;
/** The last are those of the last minute, or so many, where a minute has fewer. */
export const FAILING_ATTEMPTS_MIN = 10;
export const FAILING_WINDOW_MS = 60_000;

/** A row of the table `replays`. */
export interface ReplayRow {
  id: string;
  /** Whose deliveries say what is sent. */
  destination_id: string;
  /** Which gets it. */
  target_id: string;
  app_id: string;
  state: ReplayState;
  reason: string | null;
  since: number;
  until: number;
  /** JSON text, like the next two. */
  states: string;
  events: string | null;
  missing_events: string;
  /** The parts of its range that are looked at, as JSON text of pairs of positions, in order; null: all of it. */
  parts: string | null;
  link_id: string | null;
  rate_per_second: number | null;
  total: number;
  created: number;
  succeeded: number;
  failed: number;
  at_position: string;
  end_position: string;
  walked: number;
  paced_at: number;
  resumed_at: number;
  revision: number;
  due_at: number | null;
  created_at: number;
  finished_at: number | null;
  /** Its place among the open replays to its target; null when it is over or canceled. */
  slot: number | null;
}

/** What a replay takes, out of the texts of its row. */
export interface Rule {
  states: ReplayedState[];
  /** What is missing is of these types. */
  missing_events: EventType[];
  /** In order, without their bounds; null: all of its range. */
  parts: [from_position: string, end_position: string][] | null;
}

export function readRule(row: Pick<ReplayRow, keyof Rule>): Rule {
  // Written by replays.ts alone.
  return {
    states: JSON.parse(row.states) as ReplayedState[],
    missing_events: JSON.parse(row.missing_events) as EventType[],
    parts: row.parts === null ? null : (JSON.parse(row.parts) as [string, string][]),
  };
}

/** What is known of the deliveries under way and of the last attempts of replays since it began or was resumed. */
export interface ReplayFacts {
  /** Deliveries that wait for their first attempt. */
  waiting: number;
  attempts: number;
  failures: number;
}

export interface StepPlan {
  state: ReplayState;
  reason: string | null;
  /** How many deliveries may be handed out now. */
  take: number;
}

/** What a step has done, and found. */
export interface StepResult {
  /** Deliveries that waited for their first attempt before it. */
  waiting: number;
  created: number;
  succeeded: number;
  failed: number;
  taken_back: number;
  at_position: string;
  walked: boolean;
  /** Whether anything of it is still under way. */
  is_under_way: boolean;
}

export function planStep(
  row: ReplayRow,
  destination: Pick<Destination, "id" | "state" | "max_in_flight" | "rate_per_second" | "ordering"> | null,
  facts: ReplayFacts,
  now: number,
): StepPlan {
  if (destination === null) return { state: "canceled", reason: "The webhook was deleted.", take: 0 };
  const stays: StepPlan = { state: row.state, reason: row.reason, take: 0 };
  if (row.state !== "running") return stays;
  // Everything is handed out: it only waits for the results.
  if (row.walked === 1) return { ...stays, reason: waitingFor(destination, facts) };
  // Exactly what was counted is handed out, although it has not looked at everything yet: a pause would hold nothing back.
  const obstacle = stopped(row, destination) ?? (row.created !== row.total ? failing(row, facts) : null);
  if (obstacle !== null)
    return { state: "paused", reason: `Paused by itself at ${timeText(now)}: ${obstacle}`, take: 0 };
  const room = Math.min(windowOf(destination), provenBy(facts)) - facts.waiting;
  if (room <= 0) return { ...stays, reason: heldUpBy(destination, facts) };
  return { ...stays, reason: null, take: Math.max(0, Math.min(STEP_MAX, room, allowanceOf(row, now))) };
}

/** Why a replay hands out nothing while as much waits as may: at an ordered webhook for as long as what is before it is retried. */
function heldUpBy({ id, state }: Pick<Destination, "id" | "state">, { waiting }: ReplayFacts): string {
  const what = waiting === 1 ? "a delivery that it has" : `${waiting} deliveries that it has`;
  if (state === "paused") {
    return `It waits for ${what} handed out, for the webhook is paused: mend its receiver. It goes on by itself when one is taken; ${enable(id)} resumes the webhook at once.`;
  }
  return `It waits for ${what} handed out: for their next attempt, or for their turn. It goes on by itself with each that is tried.`;
}

/** What a replay that has handed out everything still waits for; null while first attempts go out and go well. */
function waitingFor(
  { id, state, ordering }: Pick<Destination, "id" | "state" | "ordering">,
  { waiting, attempts, failures }: ReplayFacts,
): string | null {
  if (obstacleOf({ id, state }) !== null) {
    return `All is handed out, and what is pending waits, for the webhook is ${state}: turn it on with ${enable(id)}, or cancel the replay.`;
  }
  if (state === "paused") {
    return `All is handed out, and what is pending waits, for the webhook is paused: mend its receiver, or cancel the replay. The rest goes by itself when one is taken; ${enable(id)} resumes the webhook at once.`;
  }
  if (failures > 0) {
    return `All is handed out; ${failures} of the ${attempts} attempts of replays within the last minute failed, and what can be tried again is, by the webhook's retry schedule.`;
  }
  // At an ordered webhook what was never tried may wait for long.
  if (waiting > 0 && (attempts > 0 || ordering === "none")) return null;
  const turn = waiting > 0 ? " or for its turn" : "";
  return `All is handed out; what is pending waits for its next attempt${turn}, by the webhook's retry schedule.`;
}

/** Why no replay to a webhook in this state can begin or go on; null when it can. */
export function obstacleOf({ id, state }: Pick<Destination, "id" | "state">): string | null {
  if (state === "active" || state === "paused") return null;
  return `The webhook ${id} is ${state}, and a replay would only wait: turn it on first with ${enable(id)}.`;
}

/** Of one that has found nothing to send; the filter is that of the webhook whose deliveries it is of. */
export function nothingFound(
  { destination_id, states }: Pick<ReplayRow, "destination_id" | "states">,
  filtered: boolean,
) {
  const nothing = "Nothing matched, so nothing is sent.";
  if (!filtered || !states.includes('"missing"')) return nothing;
  return `${nothing} What the filter of the webhook ${destination_id} refuses is not missing: if it should arrive, change the filter first with PATCH /api/webhooks/${destination_id} {"filter": …}, then ask for the replay again.`;
}

function stopped({ id }: Pick<ReplayRow, "id">, destination: Pick<Destination, "id" | "state">): string | null {
  if (obstacleOf(destination) === null) return null;
  return `the webhook ${destination.id} is ${destination.state}. Turn it on with ${enable(destination.id)}, then go on with ${callOf(id, "resume")}.`;
}

/** One that is paused anew soon after it was resumed says so: who has just resumed it would take it for the pause of before. */
function failing(row: Pick<ReplayRow, "id" | "created_at" | "resumed_at">, facts: ReplayFacts): string | null {
  const { attempts, failures } = facts;
  if (attempts < FAILING_ATTEMPTS_MIN || failures <= attempts * FAILING_SHARE) return null;
  const since = row.resumed_at > row.created_at ? ` since it was resumed at ${timeText(row.resumed_at)}` : "";
  return `${failures} of the last ${attempts} attempts of replays${since} failed. ${WHEN_WELL} with ${callOf(row.id, "resume")}.`;
}

export const WHEN_WELL = "When the receiver is well, go on";

/** Whether that is why it has paused itself: resumed before the receiver is well, it would do so again. */
export function isPausedByFailures(reason: string | null): boolean {
  return reason?.includes(WHEN_WELL) ?? false;
}

/** Of one that a person has paused. */
export function pausedByHand(id: string, at: number): string {
  return `Paused by hand at ${timeText(at)}. Go on with ${callOf(id, "resume")}, or end it with ${callOf(id, "cancel")}.`;
}

/** How many may wait for an answer as far as the last answers tell: about twice as many with each round that goes well. */
function provenBy({ attempts, failures }: ReplayFacts): number {
  return WINDOW_AT_FIRST + attempts - failures;
}

/** Small for a slow webhook, so that what is fresh waits for a few rounds of requests and no longer. */
function windowOf({ max_in_flight, rate_per_second }: Pick<Destination, "max_in_flight" | "rate_per_second">): number {
  const rounds = Math.min(WINDOW_MAX, Math.max(WINDOW_MIN, WINDOW_ROUNDS * max_in_flight));
  return rate_per_second === null ? rounds : Math.min(rounds, Math.max(1, Math.ceil(rate_per_second)));
}

/** How many deliveries the replay's own rate has room for. */
export function allowanceOf(row: Pick<ReplayRow, "rate_per_second" | "paced_at">, now: number): number {
  const { rate_per_second: rate } = row;
  if (rate === null) return Number.POSITIVE_INFINITY;
  // A hair more, so that a whole interval is one delivery whatever the division leaves.
  return Math.floor(((now - paceFrom(row, now)) * rate) / 1_000 + 1e-6);
}

/** Where the rate is used up when so many were handed out now. */
export function paceAfter(
  row: Pick<ReplayRow, "rate_per_second" | "paced_at">,
  now: number,
  handed_out: number,
): number {
  const { rate_per_second: rate } = row;
  return rate === null ? now : paceFrom(row, now) + Math.ceil((handed_out * 1_000) / rate);
}

/** Not longer ago than a burst, nor in the future by more than an interval when the clock was set back. */
function paceFrom({ rate_per_second, paced_at }: Pick<ReplayRow, "rate_per_second" | "paced_at">, now: number): number {
  const interval_ms = Math.ceil(1_000 / (rate_per_second ?? 1));
  const burst_ms = Math.max(BURST_MS, interval_ms);
  return Math.min(now + burst_ms, Math.max(now - burst_ms, paced_at));
}

/** A row that may begin at once. */
export function paceAtStart(rate_per_second: number | null, now: number): number {
  return rate_per_second === null ? now : now - Math.ceil(1_000 / rate_per_second);
}

/** The columns after a step; the counters are added to what they were. */
export function afterStep(row: ReplayRow, plan: StepPlan, result: StepResult, now: number) {
  const is_over = !result.is_under_way && (plan.state === "canceled" || result.walked);
  const created = row.created + result.created;
  return {
    state: is_over && plan.state !== "canceled" ? ("done" as const) : plan.state,
    reason: is_over && plan.state !== "canceled" ? null : plan.reason,
    created,
    succeeded: row.succeeded + result.succeeded,
    failed: row.failed + result.failed,
    at_position: result.at_position,
    walked: result.walked ? 1 : 0,
    paced_at: paceAfter(row, now, result.created),
    due_at: is_over ? null : dueAfter(row, plan, result, now),
    finished_at: is_over ? now : null,
    slot: is_over || plan.state === "canceled" ? null : row.slot,
  } satisfies Partial<ReplayRow>;
}

function dueAfter(row: ReplayRow, plan: StepPlan, result: StepResult, now: number): number | null {
  if (plan.state === "paused" && !result.is_under_way) return null;
  const has_moved = result.created + result.succeeded + result.failed + result.taken_back > 0;
  if (plan.state === "running" && !result.walked) {
    // Nothing matched for a long stretch: on with the next one.
    if (plan.take > 0 && result.created === 0 && result.at_position !== row.at_position) return now;
    if (has_moved) return now + STEP_MS;
    const wait_ms = row.rate_per_second === null ? 0 : Math.ceil(1_000 / row.rate_per_second);
    return now + Math.min(Math.max(WATCH_MS, wait_ms), REST_MS);
  }
  if (has_moved) return now + STEP_MS;
  return now + (result.waiting > 0 || plan.state === "canceled" ? WATCH_MS : REST_MS);
}

/** Of the deliveries under way: how many have ended and are not counted in the row yet, and how many have not. */
export interface Uncounted {
  uncounted_succeeded: number;
  uncounted_failed: number;
  pending: number;
}

/** Whether steps of it are still to be made, however long that takes. */
export function isToMove({ state, finished_at }: Pick<ReplayRow, "state" | "finished_at">): boolean {
  return finished_at === null && (state === "running" || state === "canceled");
}

/** Of a replay that is over: also what it did not bring about. */
function reasonOf(row: ReplayRow, failed: number, standstill: string | null): string | null {
  const { state, created, total } = row;
  const is_still = standstill !== null && isToMove(row);
  // What the last step said it waits for is not all that keeps it, and "it goes on by itself" is not true.
  const reason = is_still && state === "running" ? null : row.reason;
  const told = [reason, is_still ? standstill : null].filter((one) => one !== null);
  if (state !== "done" && state !== "canceled") return told.length === 0 ? null : told.join(" ");
  const left = total - created;
  if (state === "canceled" && left > 0) told.push(`${left} were not handed out.`);
  if (state === "done" && left > 0) {
    told.push(
      `${left} of those counted at the start were left out, for they did not match any more when their turn came: another replay or a retry had sent them or had them under way, for instance, or they had been erased or were too old to be kept.`,
    );
  }
  if (failed > 0) {
    const body = JSON.stringify({ since: timeText(row.since), until: timeText(row.until), states: ["failed"] });
    const what = failed === 1 ? "1 has failed" : `${failed} have failed`;
    told.push(
      `${what}. When the receiver is well, send them with POST /api/webhooks/${row.target_id}/replays ${body}.`,
    );
  }
  return told.length === 0 ? null : told.join(" ");
}

/** @param standstill why nothing moves at all; null: somebody carries replays on, or nobody can say */
export function showReplay(row: ReplayRow & Uncounted, standstill: string | null = null): Replay {
  const succeeded = row.succeeded + row.uncounted_succeeded;
  const failed = row.failed + row.uncounted_failed;
  return {
    id: row.id,
    app_id: row.app_id,
    destination_id: row.destination_id,
    target_id: row.target_id,
    state: row.state,
    reason: reasonOf(row, failed, standstill),
    // What reached the database late, or passes a filter that was changed since, is found beyond the count.
    total: Math.max(row.total, row.created),
    created: row.created,
    succeeded,
    failed,
    canceled: Math.max(0, row.created - succeeded - failed - row.pending),
    pending: row.pending,
    since: timeText(row.since),
    until: timeText(row.until),
    states: readRule(row).states,
    // Written by replays.ts alone.
    events: row.events === null ? null : (JSON.parse(row.events) as EventType[]),
    link_id: row.link_id,
    rate_per_second: row.rate_per_second,
    created_at: timeText(row.created_at),
    finished_at: timeText(row.finished_at),
  };
}
