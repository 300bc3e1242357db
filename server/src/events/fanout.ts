// Which destinations an event goes to: those of the version that the transaction checks. Changes nothing but the room that
// `reserve` keeps.
import type { Ready } from "../deliveries/attempt.ts";
import type { DeliveryRow } from "../deliveries/delivery.ts";
import { DUE_FIRST } from "../deliveries/due.ts";
import { LEASE_MS } from "../deliveries/leases.ts";
import { orderKeyOf } from "../deliveries/turn.ts";
import type { Destination } from "../destinations/destination.ts";
import { type CompiledFilter, type Subject, subjectOf } from "../destinations/filter.ts";
import type { EventRow } from "./event.ts";

export interface FanOut {
  deliveries: DeliveryRow[];
  /** Those that a filter refused: settled at once, with the reason. */
  skipped: DeliveryRow[];
  /** Those that were given a lease, to be handed to the dispatcher after the commit. */
  ready: Map<Destination, Ready[]>;
}

/** How many of the wanted fresh deliveries of a destination this process keeps room for. */
export type Reserve = (destination: Destination, wanted: number) => number;

/**
 * Makes the deliveries of events of one app. While the dispatcher has room they are born with its lease, so that the
 * hot path claims nothing; the others are due at once, for whoever claims them.
 */
export function fanOut(
  events: readonly EventRow[],
  destinations: readonly Destination[],
  reserve: Reserve,
  now: number,
): FanOut {
  const result: FanOut = { deliveries: [], skipped: [], ready: new Map() };
  // Shared by all filters, so that each body is read once; made when the first filter comes.
  let subjects: ReadonlyMap<EventRow, Subject> | undefined;
  for (const destination of destinations) {
    let wanted = events.filter((event) => isWanted(event, destination));
    if (wanted.length === 0) continue;
    const { filter } = destination;
    if (filter !== null) {
      subjects ??= new Map(events.map((event) => [event, subjectOf(event)]));
      const { passing, skipped } = sift(wanted, { destination, filter, subjects, now });
      for (const one of skipped) result.skipped.push(one);
      if (passing.length === 0) continue;
      wanted = passing;
    }
    // What takes turns is claimed: whose turn it is stands in the table.
    const leased = destination.ordering === "link" ? 0 : reserve(destination, wanted.length);
    wanted.forEach((event, index) => {
      result.deliveries.push(toDelivery(event, destination, index < leased, now));
    });
    const ready = wanted.slice(0, leased).map((event) => toReady(event, destination, now));
    if (ready.length > 0) result.ready.set(destination, ready);
  }
  return result;
}

function isWanted(event: EventRow, destination: Destination): boolean {
  if (event.target_id !== null) return event.target_id === destination.id;
  return isReceiving(destination) && destination.events.has(event.event);
}

interface Sieve {
  destination: Destination;
  filter: CompiledFilter;
  subjects: ReadonlyMap<EventRow, Subject>;
  now: number;
}

/** What a person sends as a test is meant to arrive. */
function sift(events: readonly EventRow[], { destination, filter, subjects, now }: Sieve) {
  const passing: EventRow[] = [];
  const skipped: DeliveryRow[] = [];
  for (const event of events) {
    const subject = event.target_id === null ? subjects.get(event) : undefined;
    const reason = subject === undefined ? null : filter.refusal(subject);
    if (reason === null) passing.push(event);
    else skipped.push(toSkipped(event, destination, reason, now));
  }
  return { passing, skipped };
}

function toSkipped(event: EventRow, destination: Destination, reason: string, now: number): DeliveryRow {
  const row = toDelivery(event, destination, false, now);
  return { ...row, state: "skipped", reason, due_at: null, settled_at: now };
}

function isReceiving(destination: Destination): boolean {
  return destination.state === "active" || destination.state === "paused";
}

function toDelivery(event: EventRow, destination: Destination, leased: boolean, now: number): DeliveryRow {
  return {
    destination_id: destination.id,
    position: event.position,
    app_id: event.app_id,
    event: event.event,
    state: "pending",
    reason: null,
    attempt: leased ? 1 : 0,
    failures: 0,
    leased: leased ? 1 : 0,
    due_at: leased ? now + LEASE_MS : dueAt(event, now),
    trigger: triggerOf(event),
    resume_state: null,
    resume_at: null,
    created_at: now,
    settled_at: null,
    order_key: orderKeyOf(destination, event),
  };
}

function toReady(event: EventRow, destination: Destination, now: number): Ready {
  return {
    destination_id: destination.id,
    position: event.position,
    app_id: event.app_id,
    event: event.event,
    event_id: event.id,
    body: event.body,
    is_test: event.target_id !== null,
    attempt: 1,
    failures: 0,
    trigger: triggerOf(event),
    resume_state: null,
    resume_at: null,
    lease_until: now + LEASE_MS,
    previous: null,
    next: null,
  };
}

/** A test is what a person asked for: sent before everything else, also while its destination is off. */
function dueAt(event: EventRow, now: number): number {
  return event.target_id === null ? now : DUE_FIRST;
}

function triggerOf(event: EventRow): "test" | "auto" {
  return event.target_id === null ? "auto" : "test";
}
