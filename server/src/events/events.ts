// Events as the management API uses them: ingest, list, one event with its fates, test events. Created once by compose-pipeline.ts.
// An id of another app is the same refusal as an unknown one.
import assert from "node:assert/strict";
import type { z } from "zod";
import type { TestBody } from "#contract/destinations.ts";
import type { EventInput, EventsQuery, EventType, EventWithFates, StoredEvent } from "#contract/events.ts";
import type { AppScope } from "../deliveries/app-scope.ts";
import { aheadOf, type DeliveryRow, deliveryId } from "../deliveries/delivery.ts";
import type { LookUpHolds } from "../deliveries/present-limits.ts";
import { readRule } from "../deliveries/replay.ts";
import type { DeliveryStore } from "../deliveries/store.ts";
import type { Destination } from "../destinations/destination.ts";
import { type Subject, subjectOf } from "../destinations/filter.ts";
import { type AppDestinations, NO_VERSION } from "../destinations/registry.ts";
import { type AppError, notFound, refuse, unavailable } from "../errors.ts";
import { encodeCursor, positionRange } from "../platform/cursor.ts";
import { isDatabaseError } from "../platform/database.ts";
import type { Ids } from "../platform/ids.ts";
import { createTimeText } from "../platform/time-text.ts";
import type { EventLog } from "./append.ts";
import { aboutOf, composeEvent, type EventRow, type NewEvent } from "./event.ts";
import { erasedFate, fateOf, stepWithoutWebhooks } from "./fate.ts";
import { sampleData } from "./sample.ts";
import type { EventFilter, EventStore, OpenReplay } from "./store.ts";

const RETRY_AFTER_SECONDS = 1;
/** Conditions of filters that one call may ask of its events, all together: they are asked at one go, while others wait. */
const CONDITIONS_OF_CALL_MAX = 200_000;
/** Deliveries that one call may make: they are stored in one transaction, and are in memory until then. */
const DELIVERIES_OF_CALL_MAX = 50_000;
const GONE_EVENT = "One that is older than its app keeps events is gone.";

export type Events = ReturnType<typeof createEvents>;

export interface EventsOptions {
  event_log: EventLog;
  store: EventStore;
  deliveries: Pick<DeliveryStore, "ofEvent" | "lastAttempts" | "find" | "probeAt" | "hasBehind">;
  destinations: {
    find(id: string): Promise<Destination | null>;
    ofApp(app_id: string): Promise<AppDestinations>;
  };
  /** The limits that may keep a delivery waiting (present-limits.ts). */
  lookUpHolds: LookUpHolds;
  /** Whether an app's events are to be found by whom they are about; absent: of none. */
  hasConsent?(app_id: string): Promise<boolean>;
  ids: Pick<Ids, "uuid">;
  now(): number;
}

export function createEvents(options: EventsOptions) {
  const { store, destinations, ids, now } = options;
  const timeText = createTimeText();
  const append = options.event_log.channel<readonly EventRow[]>((events) => events);

  /**
   * Stores events that a backend imports or emits itself, all or nothing; resolves when they are durable.
   * @throws AppError too_large, not_found, temporarily_unavailable; DatabaseError unavailable
   */
  async function ingest(app_id: string, inputs: readonly z.infer<typeof EventInput>[]) {
    refuseTooMany(inputs, await destinations.ofApp(app_id));
    const is_traced = (await options.hasConsent?.(app_id)) ?? false;
    const at = now();
    const { first, repeated } = splitRepeated(inputs);
    const events = first.map((input) => toEvent(app_id, input, at, is_traced));
    const stored = await storeAll(app_id, events);
    const accepted: string[] = [];
    const duplicates: string[] = [];
    for (const { id, position } of events) {
      if (id === position || stored.has(position)) accepted.push(id);
      else duplicates.push(id);
    }
    return { accepted, duplicates: duplicates.concat(repeated) };
  }

  /** The positions of given ids that were new. */
  async function storeAll(app_id: string, events: readonly EventRow[]): Promise<ReadonlySet<string>> {
    try {
      return await append(events);
    } catch (error) {
      if (!isDatabaseError(error, "unmet")) throw error;
      // The guard of an app that was deleted a moment ago can never hold; another app's can, when its changes are over.
      if ((await destinations.ofApp(app_id)).version === NO_VERSION) throw notFound("app");
      throw unavailable("The app's webhooks keep changing. Send the same request again.", RETRY_AFTER_SECONDS);
    }
  }

  function toEvent(app_id: string, input: z.infer<typeof EventInput>, at: number, is_traced: boolean): EventRow {
    const link_id = typeof input.data["link_id"] === "string" ? input.data["link_id"] : undefined;
    const ts = input.ts === undefined ? undefined : Date.parse(input.ts);
    const about = is_traced ? aboutOf(input.data) : undefined;
    const event: NewEvent = { app_id, event: input.event, data: input.data, link_id, id: input.id, ts, about };
    return composeEvent(event, ids, at, timeText);
  }

  /** @throws AppError invalid_request (cursor) */
  async function listEvents(
    app_id: string,
    query: z.infer<typeof EventsQuery>,
    page: { limit: number; cursor?: string | undefined },
  ): Promise<{ items: StoredEvent[]; next_cursor: string | null }> {
    const filter: EventFilter = { event: query.event, link_id: query.link_id, ...positionRange(query, page.cursor) };
    const { found, end } = await store.page(app_id, filter, page.limit);
    return {
      items: found.map((row) => parseEnvelope(row.body)),
      next_cursor: end === null ? null : encodeCursor([end]),
    };
  }

  /** The envelope and what became of it at every destination of its app. @throws AppError not_found */
  async function getEvent(id: string, app_scope: AppScope): Promise<EventWithFates> {
    const event = await store.find(id.toLowerCase(), app_scope);
    if (event === undefined) throw await goneEvent(id.toLowerCase(), app_scope);
    const { destinations: all } = await destinations.ofApp(event.app_id);
    const deliveries = await options.deliveries.ofEvent(
      event.position,
      all.map((destination) => destination.id),
    );
    const unhappy = deliveries.filter(({ state, attempt }) => attempt > 0 && state !== "succeeded");
    const tried = await options.deliveries.lastAttempts(
      event.position,
      unhappy.map(({ destination_id }) => destination_id),
    );
    const at = now();
    // Of what has arrived everywhere nobody asks what keeps it.
    const is_open = deliveries.length < all.length || deliveries.some(({ state }) => state !== "succeeded");
    const limitsOf = is_open ? await options.lookUpHolds() : () => null;
    const subject = subjectOf(event);
    const fates = await Promise.all(
      all.map(async (destination) => {
        const delivery = deliveries.find((one) => one.destination_id === destination.id);
        const around = { from: event.created_at, until: event.created_at };
        const last = tried.find((one) => one.destination_id === destination.id);
        const known = { ...destination, limits: limitsOf(destination) };
        if (delivery?.state === "pending") {
          const key = aheadOf(delivery);
          const ahead = key === null ? null : ((await options.deliveries.find(key)) ?? null);
          const probe_at = destination.state === "paused" ? await options.deliveries.probeAt(destination.id) : null;
          const has_behind = key === null && (await options.deliveries.hasBehind(delivery));
          return fateOf(event, known, { delivery, history: [], tried: last, ahead, probe_at, has_behind }, at);
        }
        if (delivery?.state === "succeeded" || (event.erased_at ?? null) !== null)
          return fateOf(event, known, { delivery, history: [], tried: last }, at);
        const refusal = delivery === undefined ? (destination.filter?.refusal(subject) ?? null) : null;
        const open =
          refusal === null && event.target_id === null ? await store.replaysBefore(destination.id, event) : [];
        const replay = open.find((one) => takes(one, event, { all, deliveries, delivery, subject })) ?? null;
        if (delivery !== undefined) return fateOf(event, known, { delivery, history: [], tried: last, replay }, at);
        const history = await store.historyAround(destination.id, around);
        return fateOf(event, known, { delivery, history, refusal, elsewhere: deliveries[0], replay }, at);
      }),
    );
    const next_step = all.length === 0 ? stepWithoutWebhooks(event) : null;
    return { ...parseEnvelope(event.body), fates, ...(next_step === null ? {} : { next_step }) };
  }

  /** Deliveries are found by destination, so only where the app is known something is left to tell. */
  async function goneEvent(id: string, app_scope: AppScope): Promise<AppError> {
    if (app_scope === null) {
      const message = `There is no such event in any app. Check the id. ${GONE_EVENT} GET /api/apps/{app_id}/events lists those of an app, the newest first. If somebody has deleted events from the database itself, GET /api/events/{id}?app_id= with the id of its app tells what became of this one.`;
      return refuse("not_found", message);
    }
    const { version, destinations: all } = await destinations.ofApp(app_scope);
    if (version === NO_VERSION) return notFound("app");
    const of_app = all.map((destination) => destination.id);
    const told = erasedFate(await options.deliveries.ofEvent(id, of_app));
    const look = `GET /api/apps/${app_scope}/events lists those it has, the newest first.`;
    return refuse("not_found", told ?? `The app ${app_scope} has no such event. Check the id. ${GONE_EVENT} ${look}`);
  }

  /**
   * Sends a sample, or the data that is given, through the normal pipeline to this destination alone, also while it is off.
   * @throws AppError not_found, too_large, temporarily_unavailable
   */
  async function sendTest(destination_id: string, app_scope: AppScope, test: TestBody = {}) {
    const destination = await destinations.find(destination_id);
    if (destination === null || (app_scope !== null && destination.app_id !== app_scope)) throw notFound("webhook");
    const event = test.event ?? [...destination.events][0];
    assert(event !== undefined, "a destination has at least one event type");
    const at = now();
    // Marked last, so that no receiver takes it for a real one.
    const data = { ...(test.data ?? sampleData(event, at)), test: true };
    const row = composeEvent({ app_id: destination.app_id, event, data, target_id: destination_id }, ids, at);
    await storeAll(destination.app_id, [row]);
    return { event_id: row.id, delivery_id: deliveryId({ destination_id, position: row.position }) };
  }

  async function positionOf(app_id: string, event_id: string): Promise<string | null> {
    return (await store.find(event_id.toLowerCase(), app_id))?.position ?? null;
  }

  return { ingest, listEvents, getEvent, sendTest, positionOf };
}

/** One event is never too many. @throws AppError too_large */
function refuseTooMany(
  inputs: readonly { event: EventType }[],
  { conditions, takers }: Pick<AppDestinations, "conditions" | "takers">,
): void {
  const events = inputs.length;
  if (events === 1) return;
  if (events * conditions > CONDITIONS_OF_CALL_MAX) {
    throw tooMany(CONDITIONS_OF_CALL_MAX / conditions, `the filters of this app have ${conditions} conditions`);
  }
  let deliveries = 0;
  let most = 0;
  for (const { event } of inputs) {
    const webhooks = takers.get(event) ?? 0;
    deliveries += webhooks;
    most = Math.max(most, webhooks);
  }
  if (deliveries > DELIVERIES_OF_CALL_MAX) {
    throw tooMany(DELIVERIES_OF_CALL_MAX / most, `up to ${most} webhooks of this app take each of them`);
  }
}

function tooMany(events: number, why: string): AppError {
  const message = `at most ${Math.max(1, Math.floor(events))} events a call: ${why}`;
  return refuse("too_large", `events: ${message}`, [{ path: "events", message }]);
}

/** What a replay is held against. */
interface AroundEvent {
  all: readonly Destination[];
  deliveries: readonly DeliveryRow[];
  /** That of the webhook that gets what the replay sends. */
  delivery: DeliveryRow | undefined;
  subject: Subject;
}

/** Whether a replay goes by the state that the event has where the replay was asked for, and has had since. */
function takes(replay: OpenReplay, event: EventRow, known: AroundEvent): boolean {
  const { destination_id, created_at } = replay;
  const isSince = (row: DeliveryRow) => (row.settled_at ?? row.created_at) > created_at;
  // What was sent since has been sent.
  if (known.delivery !== undefined && isSince(known.delivery)) return false;
  const there = known.deliveries.find((one) => one.destination_id === destination_id);
  if (there !== undefined && isSince(there)) return false;
  const state = there?.state ?? "missing";
  const { states, missing_events, parts } = readRule(replay);
  const isWithin = ([from, end]: [string, string]) => event.position > from && event.position < end;
  if (parts !== null && !parts.some(isWithin)) return false;
  if (state === "missing") {
    // It has to be of a type and pass the filter of the webhook that misses it, whoever gets it.
    const source = known.all.find(({ id }) => id === destination_id);
    if (!missing_events.includes(event.event)) return false;
    if (source === undefined || (source.filter?.refusal(known.subject) ?? null) !== null) return false;
  }
  return states.some((one) => one === state);
}

/** Of events with the same given id the first counts. */
function splitRepeated<Input extends { id?: string | undefined }>(inputs: readonly Input[]) {
  const repeated: string[] = [];
  // The common call has one event, and nothing to compare it with.
  if (inputs.length === 1) return { first: inputs, repeated };
  const seen = new Set<string>();
  const first: Input[] = [];
  for (const input of inputs) {
    if (input.id !== undefined && seen.has(input.id)) {
      repeated.push(input.id);
      continue;
    }
    if (input.id !== undefined) seen.add(input.id);
    first.push(input);
  }
  return { first, repeated };
}

/** Bodies are written by composeEvent and tombstoneOf alone. */
function parseEnvelope(body: string): StoredEvent {
  return JSON.parse(body) as StoredEvent;
}
