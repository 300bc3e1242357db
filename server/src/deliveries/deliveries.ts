// Deliveries as the management API uses them: list, look into, send again, cancel. Created once by compose-pipeline.ts.
// An id of another app, of a deleted webhook or of no delivery is the same refusal.

import type { z } from "zod";
import type { DeliveriesQuery, Delivery, DeliveryDetail } from "#contract/deliveries.ts";
import { isUnsent } from "#destination-types/definition.ts";
import type { Destination } from "../destinations/destination.ts";
import { notFound, refuse } from "../errors.ts";
import { encodeCursor, positionRange } from "../platform/cursor.ts";
import { type AppScope, findDestination } from "./app-scope.ts";
import {
  type AttemptRow,
  aheadOf,
  type DeliveryRow,
  deliveryId,
  parseDeliveryId,
  type Standing,
  showAttempts,
  showDelivery,
} from "./delivery.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { DUE_FIRST } from "./due.ts";
import { eventExpiry, type Keeping, recordsExpiry } from "./expiry.ts";
import type { DeliveryFilter } from "./ledger-store.ts";
import type { LookUpHolds } from "./present-limits.ts";
import type { DeliveryStore } from "./store.ts";
import { orderKeyOf } from "./turn.ts";

export type Deliveries = ReturnType<typeof createDeliveries>;

export interface DeliveriesOptions {
  store: DeliveryStore;
  destinations: { find(id: string): Promise<Destination | null> };
  dispatcher: Pick<Dispatcher, "wake" | "forget">;
  /** The position of an event of an app, or null. */
  positionOf(app_id: string, event_id: string): Promise<string | null>;
  /** Null when the app is gone. */
  keepingOf(app_id: string): Promise<Keeping | null>;
  /** The limits that may keep a delivery waiting (present-limits.ts). */
  lookUpHolds: LookUpHolds;
  now(): number;
}

export function createDeliveries(options: DeliveriesOptions) {
  const { store, destinations, dispatcher, now } = options;

  /** @throws AppError not_found, invalid_request (cursor) */
  async function listDeliveries(
    destination_id: string,
    app_scope: AppScope,
    query: z.infer<typeof DeliveriesQuery>,
    page: { limit: number; cursor?: string | undefined },
  ): Promise<{ items: Delivery[]; next_cursor: string | null }> {
    const destination = await findDestination(destinations, destination_id, app_scope);
    const filter = await filterOf(destination.app_id, query, page.cursor);
    if (filter === null) return { items: [], next_cursor: null };
    const { shown, end } = await store.page(destination_id, filter, page.limit);
    const at = now();
    const [standing, triedAt] = await Promise.all([standingOf(destination, shown), lookUpTried(destination_id, shown)]);
    return {
      items: shown.map((row) =>
        showDelivery(row, row.event_id ?? row.position, at, { ...standing, tried: triedAt(row) }),
      ),
      next_cursor: end === null ? null : encodeCursor([end]),
    };
  }

  /** With the limits that may keep what is pending; nothing else asks for them. */
  async function standingOf(destination: Destination, rows: readonly DeliveryRow[]): Promise<Standing> {
    const { state, state_reason, misconfigured } = destination;
    if (!rows.some((row) => row.state === "pending")) return { state, state_reason, misconfigured };
    return { state, state_reason, misconfigured, limits: (await options.lookUpHolds())(destination) };
  }

  /** The last attempts, of what says something of them: one look for all of a page. */
  async function lookUpTried(destination_id: string, rows: readonly DeliveryRow[]) {
    const unhappy = rows.filter(({ state, attempt }) => attempt > 0 && state !== "succeeded");
    const found = await store.lastAttemptsAt(
      destination_id,
      unhappy.map(({ position }) => position),
    );
    const by_position = new Map(found.map((one) => [one.position, one]));
    return ({ position }: Pick<DeliveryRow, "position">) => by_position.get(position);
  }

  /** Null when no delivery can match. */
  async function filterOf(
    app_id: string,
    query: z.infer<typeof DeliveriesQuery>,
    cursor: string | undefined,
  ): Promise<DeliveryFilter | null> {
    const filter: DeliveryFilter = { state: query.state, event: query.event, ...positionRange(query, cursor) };
    if (query.event_id === undefined) return filter;
    const position = await options.positionOf(app_id, query.event_id);
    return position === null ? null : { ...filter, position };
  }

  /** @throws AppError not_found */
  async function getDelivery(id: string, app_scope: AppScope): Promise<DeliveryDetail> {
    const { row: before, destination } = await findDelivery(id, app_scope);
    const [records, event, keeping] = await Promise.all([
      store.attemptsOf(before),
      store.eventOf(before),
      options.keepingOf(before.app_id),
    ]);
    // Its attempt was recorded between the two looks: the row says by now what came of it.
    const is_over = before.leased === 1 && records.some(({ number }) => number === before.attempt);
    const row = (is_over && (await store.find(before))) || before;
    const event_id = event?.id ?? row.position;
    const at = now();
    const last_attempt_at = records.reduce((last, { started_at }) => Math.max(last, started_at), 0);
    const records_expired = keeping && recordsExpiry(row, last_attempt_at, keeping, at);
    const expired = (keeping && eventExpiry(row.position, event, keeping, at)) ?? records_expired;
    // The attempts at an event that was erased stay: they tell what came of it.
    const attempts = records_expired !== null && event !== undefined ? [] : showAttempts(row, records, at, destination);
    const request = requestOf(row, destination, { id: event_id, body: event?.body ?? "" }, records);
    const key = aheadOf(row);
    const ahead = key === null ? null : ((await store.find(key)) ?? null);
    return {
      ...showDelivery(row, event_id, at, { ...(await standingOf(destination, [row])), ahead, tried: records.at(-1) }),
      request: expired === null ? request : { url: request.url, headers: {}, body: "" },
      attempts,
      expired,
    };
  }

  /**
   * Grants one attempt now, in any state; a pending delivery keeps its schedule.
   * @throws AppError not_found, conflict when the event was erased
   */
  async function retryDelivery(id: string, app_scope: AppScope): Promise<Delivery> {
    const { row, destination } = await findDelivery(id, app_scope);
    const event = await findEvent(row);
    dispatcher.forget(row.destination_id, row.position, row.attempt);
    const granted = await store.grantAttempt(row, now());
    if (granted === undefined) {
      // It may have been erased meanwhile.
      await findEvent(row);
      throw notFound("delivery");
    }
    // It may have been claimed meanwhile.
    dispatcher.forget(row.destination_id, row.position, granted.attempt);
    dispatcher.wake(row.destination_id, now());
    return showDelivery(granted, event.id, now(), await standingOf(destination, [granted]));
  }

  /**
   * Sends the event to another webhook of the app, which may be off or set to other types: a person asks for it. One that has
   * a delivery of it already is granted an attempt. What became of the event at the first webhook stays as it is.
   * @throws AppError not_found, conflict when the event was erased
   */
  async function resendDelivery(id: string, app_scope: AppScope, destination_id?: string): Promise<Delivery> {
    const { row } = await findDelivery(id, app_scope);
    if (destination_id === undefined || destination_id === row.destination_id) return retryDelivery(id, app_scope);
    const target = await findDestination(destinations, destination_id, app_scope, "destination_id");
    // The operator sees every app, and yet an event never leaves its own.
    if (target.app_id !== row.app_id) throw notFound("webhook", "destination_id");
    const event = await findEvent(row);
    const made = await store.insertAsked(
      resentRow(row, { destination_id, order_key: orderKeyOf(target, event) }, now()),
    );
    if (made === undefined) return retryDelivery(deliveryId({ ...row, destination_id }), app_scope);
    dispatcher.wake(destination_id, now());
    return showDelivery(made, event.id, now(), await standingOf(target, [made]));
  }

  /** @throws AppError not_found, conflict when it is settled already */
  async function cancelDelivery(id: string, app_scope: AppScope): Promise<Delivery> {
    const { row, destination } = await findDelivery(id, app_scope);
    dispatcher.forget(row.destination_id, row.position, row.attempt);
    const canceled = await store.cancel(row, "Canceled by hand.", now());
    if (canceled !== undefined) {
      dispatcher.forget(row.destination_id, row.position, canceled.attempt);
      // Its turn has been passed on.
      if ((row.order_key ?? null) !== null) dispatcher.wake(row.destination_id, now());
      return showWithEvent(canceled, destination);
    }
    const current = await store.find(row);
    throw refuse("conflict", `Only a pending delivery can be canceled; this one is ${current?.state ?? "gone"}.`);
  }

  async function findEvent(row: DeliveryRow) {
    const event = await store.eventOf(row);
    if (event === undefined || event.erased_at !== null) {
      throw refuse("conflict", "The event was erased, so there is nothing left to send.");
    }
    return event;
  }

  async function showWithEvent(row: DeliveryRow, destination: Destination): Promise<Delivery> {
    const [event, triedAt] = await Promise.all([store.eventOf(row), lookUpTried(row.destination_id, [row])]);
    return showDelivery(row, event?.id ?? row.position, now(), { ...destination, tried: triedAt(row) });
  }

  async function findDelivery(id: string, app_scope: AppScope) {
    const key = parseDeliveryId(id);
    const row = key === null ? undefined : await store.find(key);
    const destination = row === undefined ? null : await destinations.find(row.destination_id);
    const is_there = row !== undefined && destination !== null && (app_scope === null || row.app_id === app_scope);
    if (!is_there) throw refuse("not_found", noDelivery(app_scope));
    return { row, destination };
  }

  return { listDeliveries, getDelivery, retryDelivery, resendDelivery, cancelDelivery };
}

/** The same of one that another app has, and of what is no id at all. */
function noDelivery(app_scope: AppScope): string {
  const where =
    app_scope === null ? "There is no such delivery in any app." : `The app ${app_scope} has no such delivery.`;
  return `${where} Check the id, which begins with dlv_: of a webhook that was deleted, and of events that are older than their app keeps them, none is left. GET /api/webhooks/{id}/deliveries lists those of a webhook, and GET /api/events/{id} names those of an event.`;
}

/** The first attempt is by hand, and the webhook's schedule follows when it fails. */
function resentRow(
  row: DeliveryRow,
  to: { destination_id: string; order_key: string | null },
  now: number,
): DeliveryRow {
  return {
    ...{ ...to, position: row.position, app_id: row.app_id, event: row.event, state: "pending" },
    ...{ reason: `Asked for by hand, from ${deliveryId(row)}.`, attempt: 0, failures: 0, leased: 0, due_at: DUE_FIRST },
    ...{ trigger: "manual", resume_state: null, resume_at: null, created_at: now, settled_at: null },
  };
}

/** The request of the last attempt, or of the first to come, as the present settings make it; secrets are masked. */
function requestOf(
  row: DeliveryRow,
  destination: Destination,
  event: { id: string; body: string },
  attempts: readonly AttemptRow[],
): DeliveryDetail["request"] {
  const last = attempts.at(-1);
  const attempt = last?.number ?? Math.max(1, row.attempt);
  const at = last?.started_at ?? row.created_at;
  if (destination.misconfigured !== null) return { url: "", headers: {}, body: event.body };
  const built = destination.build({ event_id: event.id, delivery_id: deliveryId(row), body: event.body, attempt, at });
  if (isUnsent(built)) return { url: "", headers: {}, body: "" };
  const { url, headers, body } = destination.show(built);
  return { url, headers, body };
}
