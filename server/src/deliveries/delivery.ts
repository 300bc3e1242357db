// A delivery: one event on its way to one destination. Its row, its ids, and what the API shows of it. Pure.
// (destination_id, position) is the key; the public id is made of both, so it needs no column and no index.
import type { Attempt, Delivery, DeliveryState, FailureCode, OutcomeKind, Trigger } from "#contract/deliveries.ts";
import type { DestinationState } from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import { isUnreadableText } from "../destinations/destination.ts";
import { timeText } from "../platform/time-text.ts";
import { nextStepOf, pauseUntil, READ_AGAIN_STEP, type Tried } from "./advice.ts";
import { DUE_FIRST, dueReason, dueSince, isAsked, isOverdue, isUnderWay, join, underWayReason } from "./due.ts";
import { type Holds, holdReason } from "./limit-text.ts";
import { waitsForTurn } from "./turn.ts";

/** A row of the table `deliveries`. */
export interface DeliveryRow {
  destination_id: string;
  position: string;
  app_id: string;
  event: EventType;
  state: DeliveryState;
  reason: string | null;
  /** Fencing token: how often the delivery was claimed. */
  attempt: number;
  /** Failed attempts that count against the retry schedule. */
  failures: number;
  /** 1 from claim to settle; `due_at` is then the end of the lease. */
  leased: number;
  due_at: number | null;
  trigger: Trigger;
  /** Where a manual attempt that fails puts the delivery back. */
  resume_state: DeliveryState | null;
  resume_at: number | null;
  created_at: number;
  settled_at: number | null;
  /** The replay that has it under way; absent on rows that are about to be stored, which no replay has. */
  replay_id?: string | null;
  /** When the last replay that sends it made it pending, and its claims until then; absent or null: none did. */
  armed_at?: number | null;
  armed_attempt?: number | null;
  /** The records of the attempts up to this number have expired; absent on rows that are about to be stored. */
  expired_attempt?: number | null;
  /** When what its event said was erased; absent on rows that are about to be stored. */
  erased_at?: number | null;
  /** What has the same one goes out one after another; absent or null: whenever it is due. */
  order_key?: string | null;
  /** Read for answers only: the first pending position of the key. */
  turn_position?: string | null;
}

/** A row of the view `attempt_history`: of the table `attempts`, or the first attempt in its delivery's own row. */
export interface AttemptRow {
  destination_id: string;
  position: string;
  number: number;
  trigger: Trigger;
  started_at: number;
  duration_ms: number;
  outcome: OutcomeKind;
  status_code: number | null;
  error: string | null;
  /** Why there was no answer; null when there was one, and on rows from before this was kept. */
  cause: FailureCode | null;
  response_headers: string;
  response_snippet: string;
  response_truncated: number;
}

/** What identifies a delivery. */
export interface DeliveryKey {
  destination_id: string;
  position: string;
}

export const ERASED_BEFORE = "The event was erased before it could be delivered.";

const DELIVERY_ID = /^dlv_([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})_([0-9a-z]{1,40})$/;

/** @example deliveryId({ destination_id: "dst_0a", position: "0190…-…" }) // "dlv_0190…_0a" */
export function deliveryId({ position, destination_id }: DeliveryKey): string {
  // A UUID without its hyphens; cut at their places, which costs half of searching for them.
  const time = position.slice(0, 8) + position.slice(9, 13);
  const rest = position.slice(14, 18) + position.slice(19, 23) + position.slice(24);
  return `dlv_${time}${rest}_${destination_id.slice(4)}`;
}

/** Null for a text that no delivery can have as its id. */
export function parseDeliveryId(id: string): DeliveryKey | null {
  const match = DELIVERY_ID.exec(id);
  if (match === null) return null;
  return { position: match.slice(1, 6).join("-"), destination_id: `dst_${match[6]}` };
}

/** The stored reason is that of the state before, which comes back when an attempt that a person asked for fails. */
export function reasonOf(row: DeliveryRow, destination: Standing, now: number): string | null {
  if (row.resume_state !== null) {
    return row.trigger === "probe"
      ? "One attempt tells whether the receiver is well."
      : "An attempt was asked for by hand.";
  }
  if (waitsForTurn(row)) return turnReason(row, destination, now);
  const is_replayed = row.state === "pending" && (row.replay_id ?? null) !== null && row.failures === 0;
  if (is_replayed) return `Asked for by the replay ${row.replay_id}.`;
  const by_hand = handReason(row, destination);
  const reason = storedReason(row, destination);
  if (by_hand === null) {
    const pause = pauseReason(row, destination, now);
    return pause === null ? reason : join(reason, pause);
  }
  return isEndedSince(row, destination) ? join(by_hand, reason) : join(reason, by_hand);
}

/** Between the end of an answer and what was made of it, by clocks that are read apart. */
const SAME_MS = 1_000;

/** What is not tried before a time because its receiver asked for that. While the webhook is paused, a probe may be earlier. */
function pauseReason({ state, due_at }: DeliveryRow, destination: Standing, now: number): string | null {
  const { tried = null } = destination;
  if (destination.state !== "active") return null;
  const until = tried === null || tried.trigger === "manual" ? null : pauseUntil(tried);
  if (state !== "pending" || until === null || until <= now || due_at === null) return null;
  if (due_at < until - SAME_MS) return null;
  return `The receiver asked for a pause until ${timeText(until)} (Retry-After): no attempt is made by itself before that, whatever the retry schedule says.`;
}

/** Whether what became of the delivery came after its last attempt: canceled by hand, for instance. */
function isEndedSince({ state, settled_at }: DeliveryRow, { tried = null }: Standing): boolean {
  return state !== "pending" && settled_at !== null && tried !== null && tried.started_at < settled_at;
}

function storedReason(row: DeliveryRow, destination: Standing): string | null {
  if (row.reason === null || !isUnreadableText(row.reason)) return row.reason;
  // What could not be read then may have been mended, and what cannot be read now be something else.
  return isReadAgain(row.reason, destination) ? READ_AGAIN : (destination.misconfigured ?? row.reason);
}

/** What a person asked for changes nothing when it fails: the stored reason is that of an attempt before it. */
function handReason(row: DeliveryRow, destination: Standing): string | null {
  const { tried = null } = destination;
  if (row.state === "succeeded" || tried?.trigger !== "manual") return null;
  // Nothing was sent, or what kept it from being sent has been mended.
  if (tried.outcome === "skipped" || tried.error === null || isReadAgain(tried.error, destination)) return null;
  const failed = `by hand at ${timeText(tried.started_at)}, it failed: ${tried.error}`;
  if (row.attempt > 1) return `Sent again ${failed}`;
  // The first of a delivery that a person made leaves its own reason.
  return row.reason?.endsWith(tried.error) ? null : `Sent ${failed}`;
}

function turnReason(row: DeliveryRow, destination: Standing, now: number): string {
  const key = aheadOf(row);
  if (key === null) return "It waits while another event of its link is on its way.";
  const reason = `It waits for an earlier event of its link, ${deliveryId(key)}.`;
  const { ahead = null } = destination;
  if (ahead?.position !== key.position || ahead.state !== "pending") return reason;
  const of_ahead = { ...destination, ahead: null, tried: null };
  const waits = isHeld(ahead, destination, now) ? ownWait(ahead, of_ahead, now) : waitOf(ahead, of_ahead, now);
  return waits === null ? reason : `${reason} Of that one: ${waits}`;
}

/** What one that its webhook holds would wait for beside that; null: nothing. */
function ownWait(row: DeliveryRow, destination: Standing, now: number): string | null {
  const reason = reasonOf(row, destination, now);
  const not_before = notBefore(row, now);
  return not_before === null ? reason : join(reason, `It is sent ${not_before}.`);
}

function notBefore(row: DeliveryRow, now: number): string | null {
  return row.due_at === null || row.due_at <= now || waitsForTurn(row) ? null : `not before ${timeText(row.due_at)}`;
}

/** The delivery whose turn it is; null: it waits for none, or for one that is not known. */
export function aheadOf(row: DeliveryRow): DeliveryKey | null {
  const { destination_id, turn_position: position = null } = row;
  return waitsForTurn(row) && position !== null && position < row.position ? { destination_id, position } : null;
}

const READ_AGAIN = "An attempt found settings of the webhook that this server could not read. It can read them again.";

/** Whether what kept an attempt from being made, secrets of another key for instance, has been mended since. */
export function isReadAgain(error: string | null, { misconfigured }: Pick<Standing, "misconfigured">): boolean {
  return misconfigured === null && error !== null && isUnreadableText(error);
}

/** What is pending, and what it waits for. */
export function waitReason(row: DeliveryRow, destination: Standing, now: number): string {
  return withNobody(waitOf(row, destination, now), destination.limits);
}

/** Of what is pending; while nobody sends, that keeps it whatever else does. */
function withNobody(reason: string, limits: Holds | null | undefined): string;
function withNobody(reason: string | null, limits: Holds | null | undefined): string | null;
function withNobody(reason: string | null, limits: Holds | null | undefined): string | null {
  const nobody = limits?.nobody ?? null;
  return nobody === null ? reason : join(reason, nobody.reason);
}

function waitOf(row: DeliveryRow, destination: Standing, now: number): string {
  const { limits = null } = destination;
  if (isUnderWay(row, now)) return underWayReason(row, limits);
  if (waitsForDestination(row, destination.state)) return heldReason(row, destination, now);
  if (waitsForTurn(row)) return turnReason(row, destination, now);
  const next = `Next attempt at ${timeText(dueSince(row))}.`;
  return join(reasonOf(row, destination, now), dueReason(row, limits, now) ?? next);
}

/** While it is off, disabled or paused; what a person asked for does not wait. */
export function waitsForDestination(row: DeliveryRow, destination_state: DestinationState): boolean {
  return row.state === "pending" && destination_state !== "active" && !isAsked(row);
}

/** What is pending and why it does not go out by itself; its own time stays, however soon that ends. */
function heldReason(row: DeliveryRow, destination: Standing, now: number): string {
  const { state, state_reason, ahead = null } = destination;
  const why = state_reason === null ? "." : `: ${state_reason}`;
  const is_behind_held = ahead !== null && aheadOf(row) !== null && isHeld(ahead, destination, now);
  const wait = `${is_behind_held ? "Both wait" : "It waits"}, for the webhook is ${state}${why}`;
  const held = join(reasonOf(row, destination, now), wait);
  const not_before = notBefore(row, now);
  return not_before === null ? held : join(held, `When that is over, it is sent ${not_before}.`);
}

function isHeld(row: DeliveryRow, { state }: Standing, now: number): boolean {
  return waitsForDestination(row, state) && !isUnderWay(row, now);
}

/** What keeps a delivery of its destination waiting. */
export interface Standing {
  state: DestinationState;
  state_reason: string | null;
  /** How much it is sent at present; absent or null: not looked up, or nothing is to be sent. */
  limits?: Holds | null;
  /** Why it cannot send, null when it can; absent: not looked up. */
  misconfigured?: string | null;
  /** The delivery that `aheadOf` names; absent or null: not looked up, or none. */
  ahead?: DeliveryRow | null;
  /** Its last attempt on record, unless that has succeeded; absent or null: not looked up, or none. */
  tried?: (Tried & Pick<AttemptRow, "trigger" | "started_at">) | null | undefined;
}

/** What every reason says of an event that was erased; null of one that was not. */
export function erasedReason(erased_at: number | null | undefined): string | null {
  return (erased_at ?? null) === null ? null : `The event was erased at ${timeText(erased_at ?? 0)}.`;
}

/** What came of a delivery, and that its event was erased, where it was. */
export function withErasure(reason: string | null, erased_at: number | null | undefined): string | null {
  const erased = erasedReason(erased_at);
  if (erased === null) return reason;
  return reason === ERASED_BEFORE
    ? `${erased.replace(/\.$/, "")}, before it could be delivered.`
    : join(reason, erased);
}

export function showDelivery(row: DeliveryRow, event_id: string, now: number, destination: Standing): Delivery {
  const is_under_way = isUnderWay(row, now);
  const is_held = isHeld(row, destination, now);
  const waiting = row.state === "pending" && row.due_at !== null && !is_under_way && !is_held && !waitsForTurn(row);
  const limits = destination.limits ?? null;
  // What is due only just now needs no words, unless something keeps it.
  const is_limited = row.due_at === DUE_FIRST ? (limits?.own ?? null) !== null : holdReason(limits) !== null;
  const is_kept = isOverdue(row, now) || is_limited || (limits?.nobody ?? null) !== null;
  const kept = is_kept ? dueReason(row, limits, now) : null;
  const own_reason = reasonOf(row, destination, now);
  const due_reason = kept === null ? own_reason : join(own_reason, kept);
  const idle_reason = is_held ? heldReason(row, destination, now) : due_reason;
  const due_at = row.due_at === DUE_FIRST ? now : dueSince(row);
  const own = is_under_way ? underWayReason(row, limits) : idle_reason;
  const reason = row.state === "pending" ? withNobody(own, limits) : own;
  return {
    id: deliveryId(row),
    app_id: row.app_id,
    destination_id: row.destination_id,
    event_id,
    event: row.event,
    state: row.state,
    reason: withErasure(reason, row.erased_at),
    attempt_count: row.attempt,
    next_attempt_at: waiting ? timeText(due_at) : null,
    created_at: timeText(row.created_at),
    settled_at: row.state === "pending" || row.settled_at === null ? null : timeText(row.settled_at),
  };
}

/**
 * Attempts newest last. A number without a record belongs to a process that died, or was called off: it is shown as interrupted, unless its
 * record may have expired.
 */
export function showAttempts(
  row: DeliveryRow,
  attempts: readonly AttemptRow[],
  now: number,
  destination: Pick<Standing, "misconfigured"> = {},
): Attempt[] {
  const by_number = new Map(attempts.map((attempt) => [attempt.number, attempt]));
  const in_flight = isUnderWay(row, now) ? row.attempt : 0;
  const shown: Attempt[] = [];
  for (let number = (row.expired_attempt ?? 0) + 1; number <= row.attempt; number++) {
    const attempt = by_number.get(number);
    if (attempt !== undefined) shown.push(showAttempt(attempt, destination));
    else if (number !== in_flight) shown.push(interrupted(row, number));
  }
  return shown;
}

export function showAttempt(row: AttemptRow, destination: Pick<Standing, "misconfigured"> = {}): Attempt {
  return {
    id: attemptId(row, row.number),
    number: row.number,
    trigger: row.trigger,
    started_at: timeText(row.started_at),
    duration_ms: row.duration_ms,
    outcome: row.outcome,
    status_code: row.status_code,
    error: row.error,
    cause: row.cause,
    next_step: isReadAgain(row.error, destination) ? READ_AGAIN_STEP : nextStepOf(row),
    // Written by attempt.ts alone.
    response_headers: JSON.parse(row.response_headers) as Record<string, string>,
    response_snippet: row.response_snippet,
    response_truncated: row.response_truncated === 1,
  };
}

/** What happens without anybody's doing comes first: most who read it have called off nothing. */
const INTERRUPTED =
  "No result is known: the server ended, stopped or killed, before it was recorded, and the receiver may have got the request; or it was called off before it was sent, by a cancel or a retry for instance.";

function interrupted(row: DeliveryRow, number: number): Attempt {
  return {
    id: attemptId(row, number),
    number,
    // That of the last one stands in the row; what a claim before it was for is not kept.
    trigger: number === row.attempt ? row.trigger : "auto",
    started_at: null,
    duration_ms: 0,
    outcome: "interrupted",
    status_code: null,
    error: INTERRUPTED,
    cause: null,
    next_step: null,
    response_headers: {},
    response_snippet: "",
    response_truncated: false,
  };
}

function attemptId(key: DeliveryKey, number: number): string {
  return `att_${deliveryId(key).slice(4)}_${number}`;
}
