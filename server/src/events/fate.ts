// What became of an event at a destination, in one word and one sentence, and what to do about it: there is an answer for
// every pair. Pure; fates.ts counts by the same words.
import type { EventType, Fate } from "#contract/events.ts";
import {
  type DeliveryRow,
  DUE_FIRST,
  deliveryId,
  heldReason,
  isUnderWay,
  reasonOf,
  waitsForDestination,
} from "../deliveries/delivery.ts";
import { waitsForTurn } from "../deliveries/turn.ts";
import type { Destination } from "../destinations/destination.ts";
import type { EventRow } from "./event.ts";
import { type Absence, absenceOf, type PastSettings } from "./past-settings.ts";

/** A replay takes a range: from the event's date, so long. */
const REPLAYED_MS = 1_000;

type KnownEvent = Pick<EventRow, "event" | "target_id" | "created_at">;
type KnownDestination = Pick<Destination, "id" | "created_at" | "state">;

/** @param history what the destination was set to around the event's date, oldest first; needed without a delivery only */
export function fateOf(
  event: KnownEvent,
  destination: KnownDestination,
  { delivery, history }: { delivery: DeliveryRow | undefined; history: readonly PastSettings[] },
  now: number,
): Fate {
  const destination_id = destination.id;
  if (delivery !== undefined) {
    return {
      destination_id,
      state: delivery.state,
      reason: explain(delivery, destination, now),
      delivery_id: deliveryId(delivery),
      next_step: stepWith(delivery, destination, now),
    };
  }
  if (isForAnother(event, destination_id)) {
    const reason = "A test event for another destination.";
    return { destination_id, state: "not_subscribed", reason, next_step: null };
  }
  const absence = absenceOf(event, history);
  const reason = reasonFor(absence, destination);
  return { destination_id, state: absence.kind, reason, next_step: stepWithout(event, destination, absence) };
}

/** Of an event that was erased while deliveries of it are on record; null when nothing of it is left to tell. */
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

function explain(delivery: DeliveryRow, { state }: KnownDestination, now: number): string | null {
  if (delivery.state === "succeeded" && delivery.settled_at !== null) {
    return `Delivered at ${time(delivery.settled_at)}.`;
  }
  if (delivery.state !== "pending" || delivery.due_at === null) return delivery.reason;
  if (isUnderWay(delivery, now)) return "An attempt is under way.";
  if (waitsForDestination(delivery, state)) return heldReason(delivery, state);
  if (waitsForTurn(delivery)) return reasonOf(delivery);
  const due_at = Math.max(delivery.due_at, delivery.created_at);
  const next = delivery.due_at === DUE_FIRST ? "An attempt is due now." : `Next attempt at ${time(due_at)}.`;
  const reason = reasonOf(delivery);
  return reason === null ? next : `${sentence(reason)} ${next}`;
}

function stepWith(delivery: DeliveryRow, { id, state }: KnownDestination, now: number): string | null {
  const retry = `POST /api/deliveries/${deliveryId(delivery)}/retry`;
  if (delivery.state === "failed") return `Mend what the reason says, then send it again with ${retry}.`;
  if (delivery.state === "canceled") return `Send it after all with ${retry}.`;
  if (delivery.state === "skipped") {
    return `Send it all the same with ${retry}; change the webhook's filter if such events should arrive.`;
  }
  if (delivery.state === "succeeded" || isUnderWay(delivery, now) || !waitsForDestination(delivery, state)) return null;
  if (state === "paused") return `Mend the receiver: it is sent by itself then. To try this one now: ${retry}.`;
  return `Turn the webhook on with ${enable(id)}, or send this one now with ${retry}.`;
}

function reasonFor(absence: Absence, { created_at }: KnownDestination): string {
  if (absence.kind === "not_yet_created") return `The destination was created at ${time(created_at)}, after the event.`;
  if (absence.kind === "not_subscribed") return `It was set to ${absence.types.join(", ")} only.`;
  if (absence.kind === "missed") return "It has no delivery, and nothing on record says why.";
  const stopped = `${absence.state} since ${time(absence.since)}: ${absence.cause}`;
  return absence.beside ? `It was stored when the destination was ${stopped}` : `It was ${stopped}`;
}

function stepWithout({ event, created_at }: KnownEvent, { id, state }: KnownDestination, absence: Absence): string {
  const range = { since: time(created_at), until: time(created_at + REPLAYED_MS) };
  const of_type = absence.kind === "not_subscribed" ? { events: [event] satisfies EventType[] } : {};
  const body = JSON.stringify({ ...range, states: ["missing"], ...of_type });
  const replay = `POST /api/webhooks/${id}/replays ${body}`;
  const send = state === "off" || state === "disabled" ? `Turn the webhook on with ${enable(id)}, then send` : "Send";
  const change = absence.kind === "not_subscribed" ? `Add ${event} to its events for those to come. ` : "";
  return `${change}${send} what it lacks of that second with ${replay}.`;
}

function enable(id: string): string {
  return `PATCH /api/webhooks/${id} {"enabled": true}`;
}

function sentence(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}

function time(at_ms: number): string {
  return new Date(at_ms).toISOString();
}
