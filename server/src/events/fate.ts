// What became of an event at a destination, in one word and one sentence: there is an answer for every pair. Pure.
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

/** What the destination was set to when the event was accepted. */
export interface PastSettings {
  state: string;
  /** JSON text: the event types. */
  events: string;
  cause: string;
  at: number;
}

type KnownEvent = Pick<EventRow, "event" | "target_id" | "created_at">;

export function fateOf(
  event: KnownEvent,
  destination: Pick<Destination, "id" | "created_at" | "state">,
  { delivery, settings }: { delivery: DeliveryRow | undefined; settings: PastSettings | undefined },
  now: number,
): Fate {
  const destination_id = destination.id;
  if (delivery !== undefined) {
    return {
      destination_id,
      state: delivery.state,
      reason: explain(delivery, destination, now),
      delivery_id: deliveryId(delivery),
    };
  }
  if (event.target_id !== null && event.target_id !== destination_id) {
    return { destination_id, state: "not_subscribed", reason: "A test event for another destination." };
  }
  if (settings === undefined) {
    const reason = `The destination was created at ${time(destination.created_at)}, after the event.`;
    return { destination_id, state: "not_yet_created", reason };
  }
  // Written by the destinations module alone.
  const types = JSON.parse(settings.events) as EventType[];
  if (!types.includes(event.event)) {
    return { destination_id, state: "not_subscribed", reason: `It was set to ${types.join(", ")} only.` };
  }
  return {
    destination_id,
    state: "off",
    reason: `It was ${settings.state} since ${time(settings.at)}: ${settings.cause}`,
  };
}

function explain(delivery: DeliveryRow, { state }: Pick<Destination, "state">, now: number): string | null {
  if (delivery.state !== "pending" || delivery.due_at === null) return delivery.reason;
  if (isUnderWay(delivery, now)) return "An attempt is under way.";
  if (waitsForDestination(delivery, state)) return heldReason(delivery, state);
  if (waitsForTurn(delivery)) return reasonOf(delivery);
  const due_at = Math.max(delivery.due_at, delivery.created_at);
  const next = delivery.due_at === DUE_FIRST ? "An attempt is due now." : `Next attempt at ${time(due_at)}.`;
  const reason = reasonOf(delivery);
  return reason === null ? next : `${sentence(reason)} ${next}`;
}

function sentence(text: string): string {
  return text.endsWith(".") ? text : `${text}.`;
}

function time(at_ms: number): string {
  return new Date(at_ms).toISOString();
}
