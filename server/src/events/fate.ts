// What became of an event at a destination, in one word and one sentence, and what to do about it: there is an answer for
// every pair. Pure; fates.ts counts by the same words.
import type { EventType, Fate } from "#contract/events.ts";
import { nextStepAt, READ_AGAIN_STEP } from "../deliveries/advice.ts";
import {
  aheadOf,
  type DeliveryKey,
  type DeliveryRow,
  deliveryId,
  erasedReason,
  isReadAgain,
  reasonOf,
  type Standing,
  waitReason,
  waitsForDestination,
  withErasure,
} from "../deliveries/delivery.ts";
import { DUE_FIRST, isOverdue, isUnderWay } from "../deliveries/due.ts";
import type { LastAttempt } from "../deliveries/ledger-store.ts";
import { holdReason, STEP_WHEN_BEHIND } from "../deliveries/limit-text.ts";
import { isPausedByFailures, WHEN_WELL } from "../deliveries/replay.ts";
import { lookForDispatcher } from "../deliveries/webhook-waits.ts";
import type { Destination } from "../destinations/destination.ts";
import { enable, stepWhenDisabled } from "../destinations/missed.ts";
import { callOf } from "../destinations/replay-step.ts";
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

/** What is on record of an event at a destination; `history`, `refusal` and `elsewhere` are needed without a delivery only. */
export interface Found {
  delivery: DeliveryRow | undefined;
  /** What the destination was set to around the event's date, oldest first. */
  history: readonly PastSettings[];
  /** What the destination's present filter says against the event; null: nothing. */
  refusal?: string | null;
  /** The last attempt of `delivery` that is on record, unless that has succeeded. */
  tried?: LastAttempt | undefined;
  /** When a destination that is paused is tried next. */
  probe_at?: number | null;
  /** The delivery that `delivery` waits for (aheadOf). */
  ahead?: DeliveryRow | null;
  /** A replay to the destination that is to come to the event. */
  replay?: OpenedReplay | null;
  /** Whether others wait until `delivery` has ended. */
  has_behind?: boolean;
  /** A delivery of the event at another destination, from which it can be sent here. */
  elsewhere?: DeliveryRow | undefined;
}

type OpenedReplay = Pick<OpenReplay, "id" | "state" | "reason">;

export function fateOf(event: KnownEvent, destination: KnownDestination, found: Found, now: number): Fate {
  const { delivery, history } = found;
  const destination_id = destination.id;
  const erased = erasedReason(event.erased_at);
  if (delivery !== undefined) {
    const { ahead = null, tried } = found;
    const reason = explain(delivery, { ...destination, ahead, tried }, now);
    return {
      destination_id,
      state: delivery.state,
      reason: withErasure(reason, event.erased_at),
      delivery_id: deliveryId(delivery),
      // There is nothing left to send.
      next_step: erased === null ? stepWith(event, destination, { ...found, delivery }, now) : null,
    };
  }
  if (erased !== null) return { destination_id, state: "erased", reason: erased, next_step: null };
  if (isForAnother(event, destination_id)) {
    const reason = "A test event for another webhook.";
    return { destination_id, state: "not_subscribed", reason, next_step: null };
  }
  const absence = absenceOf(event, history);
  const reason = reasonFor(absence, destination);
  const next_step = stepFirst(destination, stepWithout(event, destination, absence, found));
  return { destination_id, state: absence.kind, reason, next_step };
}

/** Of an event of an app without webhooks, in place of its fates; null when nothing is left to send. */
export function stepWithoutWebhooks({ event, created_at, erased_at, target_id, app_id }: EventRow): string | null {
  if (erasedReason(erased_at) !== null) return null;
  const events = JSON.stringify({ url: "https://…", events: [event] });
  const make = `The app has no webhook, so this event is sent to nobody. Make one with POST /api/apps/${app_id}/webhooks ${events}`;
  // Tests are for one webhook, which is gone.
  if (target_id !== null) return `${make}.`;
  const range = { since: timeText(created_at), until: timeText(created_at + REPLAYED_MS), states: ["missing"] };
  return `${make}; it gets this event, too, with POST /api/webhooks/{id}/replays ${JSON.stringify(range)}.`;
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

function explain(delivery: DeliveryRow, destination: Standing, now: number): string | null {
  if (delivery.state === "succeeded" && delivery.settled_at !== null) {
    return `Delivered at ${timeText(delivery.settled_at)}.`;
  }
  if (delivery.state !== "pending" || delivery.due_at === null) return reasonOf(delivery, destination, now);
  return waitReason(delivery, destination, now);
}

/** While nobody sends, that is what to mend first: nothing else that is pressed does anything. */
function stepFirst({ limits = null }: Pick<Standing, "limits">, step: string | null): string | null {
  const nobody = limits?.nobody ?? null;
  if (nobody === null) return step;
  return step === null ? nobody.step : `${nobody.step} When one runs: ${step}`;
}

/** What came of a delivery, and what is known beside it. */
type Settled = Found & { delivery: DeliveryRow };

function stepWith(event: KnownEvent, destination: KnownDestination, found: Settled, now: number): string | null {
  const { delivery, tried } = found;
  const advice = adviceOn(tried, destination);
  const retry = retryOf(delivery);
  switch (delivery.state) {
    case "succeeded":
      return null;
    case "failed":
      return stepFirst(destination, stepWhenFailed(event, destination, found, now));
    case "canceled":
      return stepFirst(destination, mendFirst(found, advice, `Send it after all with ${retry}.`, destination));
    case "skipped": {
      const change = "change the webhook's filter if such events should arrive.";
      const send = mendFirst(found, advice, `Send it all the same with ${retry}.`, destination);
      return stepFirst(destination, `${send.replace(/\.$/, "")}; ${change}`);
    }
    default:
      return stepFirst(destination, stepWhenPending(destination, found, advice, now));
  }
}

/** Where what a person sent again has failed, that comes first: sent once more, it would fail again. */
function mendFirst(found: Settled, advice: string | null, send: string, destination: KnownDestination): string {
  const by_replay = replayed(destination, found);
  // What went wrong here and not there mends itself, or is told by the webhook; nothing that has ended is tried by itself.
  const is_ours = found.tried?.outcome === "misconfigured" || found.tried?.cause === "aborted";
  if (advice === null || is_ours || found.tried?.trigger !== "manual") return by_replay ?? send;
  return by_replay === null ? `${advice} Then ${send.replace(/^S/, "s")}` : `${advice} ${by_replay}`;
}

function stepWhenFailed(event: KnownEvent, destination: KnownDestination, found: Settled, now: number): string {
  const { id, state } = destination;
  const retry = retryOf(found.delivery);
  const advice = adviceOn(found.tried, destination);
  const by_replay = replayed(destination, found);
  if (by_replay !== null) return `${advice ?? "Mend what the reason says."} ${by_replay}`;
  const send = advice === null ? "Mend what the reason says, then" : `${advice} Then`;
  const one = `${send} send it again with ${retry}.`;
  // Tests are no part of a replay, and one to a webhook that is stopped would wait.
  if (event.target_id !== null || state === "off" || state === "disabled") return one;
  // From the beginning: a replay may have brought a webhook what is older than itself.
  const body = JSON.stringify({ since: timeText(0), until: timeText(now), states: ["failed"] });
  return `${one} All that failed at this webhook go again with POST /api/webhooks/${id}/replays ${body}; "dry_run": true beside that counts them first.`;
}

/** Of what has ended and comes with a replay by itself; null: none is to come to it. */
function replayed(destination: KnownDestination, { delivery, replay = null }: Settled): string | null {
  if (replay === null) return null;
  const step = stepOfReplay(replay, destination);
  return replay.state === "paused" ? `${step} Or send this one alone with ${retryOf(delivery)}.` : step;
}

function stepWhenPending(
  destination: KnownDestination,
  found: Settled,
  advice: string | null,
  now: number,
): string | null {
  const { id, state, limits = null } = destination;
  const { delivery, probe_at = null } = found;
  const is_nobody = (limits?.nobody ?? null) !== null;
  if (isUnderWay(delivery, now)) {
    return (limits?.sending?.(delivery.position) ?? null) === null ? (limits?.own?.step ?? null) : null;
  }
  if (!waitsForDestination(delivery, state)) return stepBeforeItsTime(found, advice, limits, now);
  const ahead = aheadOf(delivery);
  const retry = retryOf(delivery);
  // Nothing that is asked for is sent while nobody sends.
  const behind = ahead === null || is_nobody ? "" : ` ${stepBehind(ahead, delivery)}`;
  const is_alone = ahead === null && !is_nobody;
  if (state === "disabled")
    return `${stepWhenDisabled(id)}${is_alone ? ` Or send this one now with ${retry}.` : behind}`;
  if (state === "off") {
    const turn = advice === null ? "Turn" : `${advice} Then turn`;
    return `${turn} the webhook on with ${enable(id)}${is_alone ? `, or send this one now with ${retry}` : ""}.${behind}`;
  }
  const mend = advice === null ? "Mend the receiver: it is" : `${advice} The delivery is`;
  const next = probe_at !== null && probe_at > now ? `at about ${timeText(probe_at)}` : "as soon as may be";
  const due_at = ahead === null ? (delivery.due_at ?? now) : now;
  const own = due_at > now ? `, not before ${timeText(due_at)}` : "";
  const to_try = is_alone
    ? ` To try this one now: ${retry}.${stepForBehind(found, "is tried instead, the next time")}`
    : behind;
  return `${mend} sent by itself then${own}; the webhook is tried next ${next}.${to_try}`;
}

function stepBeforeItsTime(
  found: Settled,
  advice: string | null,
  limits: KnownDestination["limits"] | null,
  now: number,
): string | null {
  if ((limits?.nobody ?? null) !== null) return advice;
  const { delivery } = found;
  const ahead = aheadOf(delivery);
  if (ahead !== null) return stepBehind(ahead, delivery);
  const own_step = limits?.own?.step ?? null;
  if (isOverdue(delivery, now)) {
    if (holdReason(limits ?? null) === null)
      return (limits ?? null) === null ? lookForDispatcher("it") : STEP_WHEN_BEHIND;
    if (own_step !== null) return own_step;
  }
  const is_due = delivery.due_at !== null && Math.max(delivery.due_at, delivery.created_at) < now;
  if (advice === null) return is_due ? own_step : null;
  // What a person has asked for already is due now.
  return delivery.due_at === DUE_FIRST
    ? advice
    : `${advice} To try it at once: ${retryOf(delivery)}.${stepForBehind(found, "has its turn")}`;
}

/** One that fails again and again keeps those behind it. */
function stepForBehind({ delivery, has_behind = false }: Settled, what_follows: string): string {
  if (!has_behind || delivery.attempt === 0) return "";
  return ` Later events of its link wait behind it: POST /api/deliveries/${deliveryId(delivery)}/cancel gives it up, and the next one ${what_follows}.`;
}

function stepBehind(ahead: DeliveryKey, delivery: DeliveryRow): string {
  const id = deliveryId(ahead);
  const first = `POST /api/deliveries/${id}`;
  return `This one goes when ${id} has ended: try that one at once with ${first}/retry, or give it up with ${first}/cancel. To send this one before it, out of order: ${retryOf(delivery)}.`;
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

function stepOfReplay({ id, state, reason }: OpenedReplay, destination: KnownDestination): string {
  const replay = `The replay ${id}, which has yet to come to this event,`;
  const look = `GET /api/replays/${id}`;
  const resume = callOf(id, "resume");
  const is_stopped = destination.state === "off" || destination.state === "disabled";
  const on = `the webhook on with ${enable(destination.id)}, then`;
  if (state !== "paused") {
    if (!is_stopped) return `${replay} is under way: ${look} says how far it is.`;
    return `${replay} is under way, and pauses itself, for the webhook is ${destination.state}: turn ${on} see with ${look} whether it has, and go on with ${resume} where it has.`;
  }
  const is_failing = isPausedByFailures(reason);
  const go_on = is_stopped ? `Turn ${on}${is_failing ? ", when the receiver is well," : ""} go on` : "Go on";
  return `${replay} is paused: ${look} says why. ${is_failing && !is_stopped ? WHEN_WELL : go_on} with ${resume}.`;
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
