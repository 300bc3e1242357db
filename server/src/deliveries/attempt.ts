// The life of one attempt as steps over one value: build, send, judge, decide, and the record of it all.
// Called by the dispatcher. Only `send` touches the network; the rest is pure, and nothing here throws.
import { isUnsent, type Outcome, type Outgoing, type Unsent } from "#destination-types/definition.ts";
import type { Destination } from "../destinations/destination.ts";
import type { Egress, Exchange } from "../platform/egress.ts";
import { HEADER_VALUE_CHARACTERS } from "../platform/exchange.ts";
import { type AttemptRow, type DeliveryRow, deliveryId } from "./delivery.ts";
import type { Leased } from "./leases.ts";
import {
  type DecisionInput,
  decide,
  decideCutOff,
  INTERRUPTIONS_MAX,
  isUnreadable,
  type Unreadable,
} from "./policy.ts";
import type { Settlement } from "./settle-store.ts";
import type { DeliveryStore } from "./store.ts";

const ERROR_MAX_CHARS = 1_000;

/** A claimed delivery with its envelope: all that an attempt needs besides the destination. */
export type Ready = Pick<
  DeliveryRow,
  | "destination_id"
  | "position"
  | "app_id"
  | "event"
  | "attempt"
  | "failures"
  | "trigger"
  | "resume_state"
  | "resume_at"
  | "order_key"
  | "replay_id"
  | "armed_at"
  | "armed_attempt"
> &
  Leased & {
    event_id: string;
    body: string;
    /** Its event is a sample, however often and by whom it is sent. */
    is_test: boolean;
  };

/** A claimed delivery whose event is not known. */
export type Claimed = Omit<Ready, "body" | "event_id" | "is_test">;

export interface AttemptContext {
  egress: Pick<Egress, "send">;
  store: Pick<DeliveryStore, "countTries">;
  now(): number;
  random(): number;
}

/** Makes one attempt and says what it meant. */
export async function attempt(context: AttemptContext, ready: Ready, destination: Destination): Promise<Settlement> {
  const started_at = context.now();
  const exchange = await exchangeFor(context, ready, destination, started_at);
  const outcome = judge(exchange, destination);
  const counted = countTries(context, ready, outcome);
  // Hardly any attempt has to ask, and an await costs each of the others a turn of the queue.
  const tries = typeof counted === "number" ? counted : await counted;
  const at = { now: context.now(), random: context.random() };
  const input = inputOf(ready, tries);
  const decision = isCutOff(exchange)
    ? decideCutOff(input, exchange.message, at.now)
    : decide(input, outcome, destination.retry_schedule, at);
  const record = recordOf(ready, exchange, outcome, { started_at, destination });
  const is_silence = exchange.kind === "failure" && exchange.is_silence;
  const settlement = settlementOf(ready, { decision, outcome, record }, at.now);
  // Of the other side it says nothing.
  const counts = settlement.counts && exchange.kind !== "unsent";
  return { ...settlement, counts, era: destination.era, is_silence };
}

/** By the stop of this server. */
function isCutOff(exchange: Exchange | Unbuilt | Unsent): exchange is Extract<Exchange, { kind: "failure" }> {
  return exchange.kind === "failure" && exchange.code === "aborted";
}

/** With this one; asked of what may be given up for them alone (isPoison). */
function countTries({ store }: AttemptContext, ready: Ready, outcome: Pick<Outcome, "kind">): Promise<number> | number {
  if (ready.trigger !== "probe" || (ready.order_key ?? null) === null || outcome.kind !== "refused") return 0;
  // Nothing is given up while the database does not tell.
  return store.countTries(ready, ready.armed_attempt ?? 0).then(
    (before) => before + 1,
    () => 0,
  );
}

function inputOf(ready: Claimed & { is_test: boolean }, tries: number): DecisionInput {
  const { order_key = null, replay_id = null, armed_at = null } = ready;
  return { ...ready, tries, order_key, replay_id, armed_at };
}

/** For a delivery that is not sent at all: its event was erased, or it was interrupted too often. */
export function giveUp(ready: Claimed, reason: string, now: number): Settlement {
  const refused: Outcome = { kind: "refused", retriable: false, message: reason };
  // Nothing was sent, so it is no poison: a link goes on behind whatever ends.
  const input = { ...inputOf({ ...ready, is_test: false }, 0), order_key: null };
  const decision = decide(input, refused, [], { now, random: 0 });
  const record = { ...blankRecord(ready, now), error: reason };
  return { ...settlementOf(ready, { decision, outcome: undefined, record }, now), counts: false };
}

/**
 * Whether so many claims ended without a result that the delivery may be what brings processes down. What a person asks for,
 * a replay included, is tried as often once more; so is a probe, which may try a delivery of either kind.
 * @param countRecords how many attempts have a result; asked only when the claims without a counted failure are many
 */
export async function wasInterruptedTooOften(
  ready: Pick<Ready, "attempt" | "failures" | "trigger">,
  countRecords: () => Promise<number>,
): Promise<boolean> {
  const limit = ready.trigger === "auto" ? INTERRUPTIONS_MAX : 2 * INTERRUPTIONS_MAX;
  // Attempts by hand that fail are no counted failures either.
  return ready.attempt - ready.failures > limit && ready.attempt - (await countRecords()) > limit;
}

function exchangeFor(
  context: AttemptContext,
  ready: Ready,
  destination: Destination,
  at: number,
): Promise<Exchange> | Unbuilt | Unsent {
  const delivery_id = deliveryId(ready);
  const outgoing: Outgoing = { event_id: ready.event_id, delivery_id, body: ready.body, attempt: ready.attempt, at };
  try {
    const built = destination.build(outgoing);
    if (isUnsent(built)) return built;
    const { method, url, headers, body } = built;
    const { id: owner, timeout_ms, max_in_flight: connections } = destination;
    return context.egress.send({ method, url, headers, body, owner, timeout_ms, connections });
  } catch (error) {
    // The destination's settings cannot make a request: its owner is told, and other deliveries go on.
    const message = destination.misconfigured ?? (error instanceof Error ? error.message : String(error));
    return { kind: "unbuilt", message: destination.hide(message) };
  }
}

interface Unbuilt {
  kind: "unbuilt";
  message: string;
}

function judge(exchange: Exchange | Unbuilt | Unsent, destination: Destination): Outcome | Unreadable {
  if (exchange.kind === "unsent") return exchange.outcome;
  if (exchange.kind === "unbuilt") {
    const outcome = { kind: "misconfigured", retriable: true, message: exchange.message } as const;
    return destination.misconfigured === null ? outcome : { ...outcome, is_unreadable: true };
  }
  return destination.judge(exchange);
}

function settlementOf(
  ready: Claimed & { is_test?: boolean },
  { decision, outcome, record }: Pick<Settlement, "decision" | "outcome" | "record">,
  now: number,
): Settlement {
  return {
    key: { destination_id: ready.destination_id, position: ready.position },
    order_key: ready.order_key ?? null,
    attempt: ready.attempt,
    lease: ready,
    decision,
    record,
    settled_at: decision.state === "pending" || decision.restored ? null : now,
    outcome,
    // What this server could not send, or has cut off itself, says nothing of the receiver.
    counts: !isUnreadable(outcome) && record.cause !== "aborted" && !isAskedApart(ready),
    set_apart: false,
  };
}

/** Tests and replays never count. */
function isAskedApart({ is_test, trigger }: Pick<Claimed, "trigger"> & { is_test?: boolean }): boolean {
  return is_test === true || trigger === "test" || trigger === "replay";
}

function recordOf(
  ready: Ready,
  exchange: Exchange | Unbuilt | Unsent,
  outcome: Outcome,
  { started_at, destination }: { started_at: number; destination: Pick<Destination, "hide"> },
): AttemptRow {
  const record = blankRecord(ready, started_at);
  record.outcome = outcome.kind;
  if ("message" in outcome) record.error = outcome.message.slice(0, ERROR_MAX_CHARS);
  if (exchange.kind === "unbuilt" || exchange.kind === "unsent") return record;
  record.duration_ms = Math.max(0, Math.round(exchange.duration_ms));
  if (exchange.kind === "failure") {
    record.cause = exchange.code;
    return record;
  }
  record.status_code = exchange.status;
  record.response_headers = JSON.stringify(hideHeaders(exchange.headers, destination));
  record.response_snippet = destination.hide(exchange.snippet, exchange.truncated);
  record.response_truncated = exchange.truncated ? 1 : 0;
  return record;
}

function hideHeaders(headers: Readonly<Record<string, string>>, { hide }: Pick<Destination, "hide">) {
  const hidden = Object.entries(headers).map(([name, value]) => {
    return [hide(name), hide(value, value.length >= HEADER_VALUE_CHARACTERS)] as const;
  });
  return Object.fromEntries(hidden);
}

function blankRecord(ready: Claimed, started_at: number): AttemptRow {
  return {
    destination_id: ready.destination_id,
    position: ready.position,
    number: ready.attempt,
    trigger: ready.trigger,
    started_at,
    duration_ms: 0,
    outcome: "skipped",
    status_code: null,
    error: null,
    cause: null,
    response_headers: "{}",
    response_snippet: "",
    response_truncated: 0,
  };
}
