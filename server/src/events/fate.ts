// What became of an event at a destination, in one word and one sentence, and what to do about it: there is an answer for
// every pair. Pure; fates.ts counts by the same words.
import type { EventType, Fate } from "#contract/events.ts";
import { nextStepAt, READ_AGAIN_STEP } from "../deliveries/advice.ts";
import {
  aheadOf,
  type DeliveryKey,
  type DeliveryRow,
  DUE_FIRST,
  deliveryId,
  erasedReason,
  isOverdue,
  isReadAgain,
  isUnderWay,
  join,
  type Standing,
  waitReason,
  waitsForDestination,
  withErasure,
} from "../deliveries/delivery.ts";
import type { LastAttempt } from "../deliveries/ledger-store.ts";
import { holdReason } from "../deliveries/limit-text.ts";
import type { Destination } from "../destinations/destination.ts";
import { stepWhenDisabled } from "../destinations/missed.ts";
import { timeText } from "../platform/time-text.ts";
import type { EventRow } from "./event.ts";
import { type Absence, absenceOf, type PastSettings } from "./past-settings.ts";
import type { OpenReplay } from "./store.ts";

/** A replay takes a range: from the event's date, so long. */
const REPLAYED_MS = 1_000;

type KnownEvent = Pick<EventRow, "event" | "target_id" | "created_at" | "erased_at">;
/** `limits` and `misconfigured` as in Standing. */
type KnownDestination = Pick<Destination, "id" | "created_at" | "state" | "state_reason" | "repair" | "events"> &
  Pick<Standing, "limits" | "misconfigured">;

/** What is on record of an event at a destination; all but `delivery` is needed without one only. */
export interface Found {
  delivery: DeliveryRow | undefined;
  /** What the destination was set to around the event's date, oldest first. */
  history: readonly PastSettings[];
  /** What the destination's present filter says against the event; null: nothing. */
  refusal?: string | null;
  /** The last attempt of `delivery` that is on record, unless it has succeeded. */
  tried?: LastAttempt | undefined;
  /** When a destination that is paused is tried next. */
  probe_at?: number | null;
  /** The delivery that `delivery` waits for (aheadOf). */
  ahead?: DeliveryRow | null;
  /** A replay to the destination that is to come to the event. */
  replay?: Pick<OpenReplay, "id" | "state"> | null;
  /** A delivery of the event at another destination, from which it can be sent here. */
  elsewhere?: DeliveryRow | undefined;
}

export function fateOf(event: KnownEvent, destination: KnownDestination, found: Found, now: number): Fate {
  const { delivery, history } = found;
  const destination_id = destination.id;
  const erased = erasedReason(event.erased_at);
  if (delivery !== undefined) {
    const reason = explain(delivery, { ...destination, ahead: found.ahead ?? null }, found.tried, now);
    return {
      destination_id,
      state: delivery.state,
      reason: withErasure(reason, event.erased_at),
      delivery_id: deliveryId(delivery),
      // There is nothing left to send.
      next_step: erased === null ? stepWith(delivery, destination, found, now) : null,
    };
  }
  if (erased !== null) return { destination_id, state: "erased", reason: erased, next_step: null };
  if (isForAnother(event, destination_id)) {
    const reason = "A test event for another webhook.";
    return { destination_id, state: "not_subscribed", reason, next_step: null };
  }
  const absence = absenceOf(event, history);
  const reason = reasonFor(absence, destination);
  return { destination_id, state: absence.kind, reason, next_step: stepWithout(event, destination, absence, found) };
}

/** Of an event whose row somebody removed while deliveries of it are on record; null when nothing of it is left to tell. */
export function erasedFate(deliveries: readonly DeliveryRow[]): string | null {
  if (deliveries.length === 0) return null;
  const told = deliveries.map((delivery) => `${deliveryId(delivery)} is ${delivery.state}`);
  return `The event was erased: its body is not kept any more. Of its deliveries, ${told.join(", ")}.`;
}

/** The word alone, for an event without a delivery. */
export function fateWithout(event: KnownEvent, destination_id: string, history: readonly PastSettings[]) {
  return isForAnother(event, destination_id) ? "not_subscribed" : absenceOf(event, history).kind;
}

function isForAnother({ target_id }: KnownEvent, destination_id: string): boolean {
  return target_id !== null && target_id !== destination_id;
}

function explain(
  delivery: DeliveryRow,
  destination: Standing,
  tried: LastAttempt | undefined,
  now: number,
): string | null {
  if (delivery.state === "succeeded" && delivery.settled_at !== null) {
    return `Delivered at ${timeText(delivery.settled_at)}.`;
  }
  if (
    delivery.state === "failed" &&
    tried?.trigger === "manual" &&
    tried.outcome !== "skipped" &&
    tried.error !== null
  ) {
    // Unless nothing was sent. The state and its reason are those from before; what is to be done follows from the last attempt.
    return join(delivery.reason, `Sent again by hand at ${timeText(tried.started_at)}, it failed: ${tried.error}`);
  }
  if (delivery.state !== "pending" || delivery.due_at === null) return delivery.reason;
  return waitReason(delivery, destination, now);
}

function stepWith(
  delivery: DeliveryRow,
  destination: KnownDestination,
  { tried, probe_at = null }: Pick<Found, "tried" | "probe_at">,
  now: number,
): string | null {
  const { id, state, limits = null } = destination;
  const retry = retryOf(delivery);
  const advice = adviceOn(tried, destination);
  const own_step = limits?.own?.step ?? null;
  if (delivery.state === "failed") {
    const mend = advice === null ? "Mend what the reason says, then" : `${advice} Then`;
    return `${mend} send it again with ${retry}.`;
  }
  if (delivery.state === "canceled") return `Send it after all with ${retry}.`;
  if (delivery.state === "skipped") {
    return `Send it all the same with ${retry}; change the webhook's filter if such events should arrive.`;
  }
  if (delivery.state === "succeeded") return null;
  if (isUnderWay(delivery, now)) return (limits?.sending?.(delivery.position) ?? null) === null ? own_step : null;
  if (!waitsForDestination(delivery, state)) return stepBeforeItsTime(delivery, advice, limits, now);
  if (state === "disabled") return `${stepWhenDisabled(id)} Or send this one now with ${retry}.`;
  if (state === "paused") {
    const mend = advice === null ? "Mend the receiver: it is" : `${advice} The delivery is`;
    const next = probe_at !== null && probe_at > now ? `at about ${timeText(probe_at)}` : "as soon as may be";
    const own = delivery.due_at !== null && delivery.due_at > now ? `, not before ${timeText(delivery.due_at)}` : "";
    return `${mend} sent by itself then${own}; the webhook is tried next ${next}. To try this one now: ${retry}.`;
  }
  return `Turn the webhook on with ${enable(id)}, or send this one now with ${retry}.`;
}

function stepBeforeItsTime(
  delivery: DeliveryRow,
  advice: string | null,
  limits: KnownDestination["limits"] | null,
  now: number,
): string | null {
  const ahead = aheadOf(delivery);
  if (ahead !== null) return stepBehind(ahead, delivery);
  const own_step = limits?.own?.step ?? null;
  if (isOverdue(delivery, now)) {
    if (holdReason(limits ?? null) === null) return LOOK_FOR_DISPATCHER;
    if (own_step !== null) return own_step;
  }
  const is_due = delivery.due_at !== null && Math.max(delivery.due_at, delivery.created_at) < now;
  if (advice === null) return is_due ? own_step : null;
  // What a person has asked for already is due now.
  return delivery.due_at === DUE_FIRST ? advice : `${advice} To try it at once: ${retryOf(delivery)}.`;
}

function stepBehind(ahead: DeliveryKey, delivery: DeliveryRow): string {
  const first = `POST /api/deliveries/${deliveryId(ahead)}`;
  return `It goes when that one has ended: try that one at once with ${first}/retry, or give it up with ${first}/cancel. To send this one before it, out of order: ${retryOf(delivery)}.`;
}

/** What has been mended since is not to be mended once more. */
function adviceOn(tried: LastAttempt | undefined, destination: KnownDestination): string | null {
  if (destination.repair !== null) return destination.repair;
  if (tried === undefined) return null;
  return isReadAgain(tried.error, destination) ? READ_AGAIN_STEP : nextStepAt(destination, tried);
}

function retryOf(delivery: DeliveryRow): string {
  return `POST /api/deliveries/${deliveryId(delivery)}/retry`;
}

function reasonFor(absence: Absence, { created_at, state }: KnownDestination): string {
  if (absence.kind === "not_yet_created") return `The webhook was created at ${timeText(created_at)}, after the event.`;
  if (absence.kind === "not_subscribed") return `It was set to ${absence.types.join(", ")} only.`;
  if (absence.kind === "missed") return "It has no delivery, and nothing on record says why.";
  const stopped = `${absence.state} since ${timeText(absence.since)}: ${absence.cause}`;
  if (absence.beside) return `It was stored when the webhook was ${stopped}`;
  return absence.is_over || absence.state !== state ? `It was ${stopped}` : `It is ${stopped}`;
}

function stepWithout(event: KnownEvent, destination: KnownDestination, absence: Absence, found: Found): string {
  const { refusal = null, elsewhere, replay = null } = found;
  if (replay !== null) return stepOfReplay(replay, destination);
  if (refusal === null) return stepByReplay(event, destination, absence);
  // A replay of what is missing leaves out what the filter refuses.
  const refused = `Its filter refuses it: ${refusal.replace(/^Filtered: /, "")}`;
  if (elsewhere !== undefined) {
    const resend = `POST /api/deliveries/${deliveryId(elsewhere)}/resend {"destination_id":"${destination.id}"}`;
    return `${refused} Send it all the same with ${resend}.`;
  }
  const change = `If such events should arrive, change the filter first with PATCH /api/webhooks/${destination.id} {"filter": …}: until then a replay leaves this one out.`;
  return `${refused} ${change} ${stepByReplay(event, destination, absence)}`;
}

function stepOfReplay({ id, state }: Pick<OpenReplay, "id" | "state">, destination: KnownDestination): string {
  const replay = `The replay ${id}, which has yet to come to this event,`;
  if (state !== "paused") return `${replay} is under way: GET /api/replays/${id} says how far it is.`;
  const is_stopped = destination.state === "off" || destination.state === "disabled";
  const go_on = is_stopped ? `Turn the webhook on with ${enable(destination.id)}, then go on` : "Go on";
  return `${replay} is paused: GET /api/replays/${id} says why. ${go_on} with POST /api/replays/${id}/resume.`;
}

function stepByReplay({ event, created_at }: KnownEvent, destination: KnownDestination, absence: Absence): string {
  const { id, state } = destination;
  const range = { since: timeText(created_at), until: timeText(created_at + REPLAYED_MS) };
  const takes_type = destination.events.has(event);
  // Without its type in the call a replay leaves out what the webhook does not take.
  const of_type = absence.kind === "not_subscribed" || !takes_type ? { events: [event] satisfies EventType[] } : {};
  const body = JSON.stringify({ ...range, states: ["missing"], ...of_type });
  const replay = `POST /api/webhooks/${id}/replays ${body}`;
  const change = !takes_type ? `Add ${event} to its events for those to come. ` : "";
  const what = `what it lacks of that second with ${replay}.`;
  if (state === "disabled") return `${change}${stepWhenDisabled(id)} Or, when it is on, send ${what}`;
  const send = state === "off" ? `Turn the webhook on with ${enable(id)}, then send` : "Send";
  return `${change}${send} ${what}`;
}

const LOOK_FOR_DISPATCHER =
  "See that a process with the role dispatcher runs (LINKME_ROLE): only those send. While one does, a backlog or a limit of the webhook keeps it.";

function enable(id: string): string {
  return `PATCH /api/webhooks/${id} {"enabled": true}`;
}
