// Erasing one event: what it said goes, and a tombstone tells that it was there and what became of it. Created once by
// compose-pipeline.ts; called by the API.
import type { AppScope } from "../deliveries/app-scope.ts";
import type { Dispatcher } from "../deliveries/dispatcher.ts";
import { isPending } from "../deliveries/erasing-store.ts";
import { invalid, notFound } from "../errors.ts";
import type { ErasingStore } from "./erasing-store.ts";
import type { EventRow } from "./event.ts";
import type { EventStore } from "./store.ts";

export type Erasing = ReturnType<typeof createErasing>;

export interface ErasingOptions {
  store: ErasingStore;
  events: Pick<EventStore, "find" | "isShared">;
  dispatcher: Pick<Dispatcher, "wake" | "forget">;
  log(event: string, fields: Record<string, unknown>): void;
  now(): number;
}

export function createErasing({ store, events, dispatcher, log, now }: ErasingOptions) {
  /** Erasing it again changes nothing. @throws AppError not_found, invalid_request (app_id) when the id names two events */
  async function eraseEvent(id: string, app_scope: AppScope): Promise<void> {
    const event = await events.find(id.toLowerCase(), app_scope);
    if (event === undefined) throw notFound("event");
    if (app_scope === null && (await events.isShared(event))) {
      throw invalid("app_id", "the id of the event's app: another app has an event with the same id");
    }
    const { is_first, ended } = await eraseStored(event);
    if (is_first) log("event.erased", { event_id: event.id, app_id: event.app_id, ended });
  }

  /** The same of one that was found already, without a word. */
  async function eraseStored(event: EventRow): Promise<{ is_first: boolean; ended: number }> {
    const first = await erase(event);
    // Once more: a delivery that was made meanwhile may have been claimed while the event could still be read. What is
    // claimed from now on finds the tombstone.
    const late = await erase(event);
    return { is_first: first.is_first, ended: [...first.deliveries, ...late.deliveries].filter(isPending).length };
  }

  async function erase(event: EventRow) {
    const at = now();
    const erased = await store.erase(event, at);
    for (const { destination_id, position, attempt, order_key } of erased.deliveries.filter(isPending)) {
      dispatcher.forget(destination_id, position, attempt);
      // Its turn has been passed on.
      if (order_key !== null) dispatcher.wake(destination_id, at);
    }
    return erased;
  }

  return { eraseEvent, eraseStored };
}
