// One step of each walk: reads a stretch of rows, has plan.ts decide, and answers the statements that remove what has
// expired. Nothing is written here: retention.ts commits the statements together with how far the walk has come.
import { type AppEventExpiry, removeAppEvents } from "../claims/app-event-store.ts";
import { type IdentityExpiry, removeIdentities } from "../claims/identity-store.ts";
import { cutoffOf, DAY_MS } from "../deliveries/expiry.ts";
import {
  type ExpiryStore,
  endPending,
  removeDeliveries,
  removeOrphans,
  removeRecords,
  removeReplays,
} from "../deliveries/expiry-store.ts";
import { removeHistory, removeHours } from "../destinations/expiry-store.ts";
import { type EventExpiry, removeEvents } from "../events/expiry-store.ts";
import { type ClickExpiry, removeClicks } from "../links/expiry-store.ts";
import { uuidFloor } from "../platform/ids.ts";
import type { Statement } from "../platform/sql.ts";
import { ASKED_STAYS_MS, leavingClicks, planDeliveries, planEvents, STAYS_MS } from "./plan.ts";
import type { KeptApp, KeptDestination, RetentionStore, WalkKind } from "./store.ts";

/** Rows that a step looks at for one that it may remove: those behind a walk that begins anew have mostly been done. */
const LOOKS_PER_ROW = 4;
/** Hourly counts make a day's figures; beyond this they are of no use to anybody. */
const HOURS_KEPT_DAYS = 90;
/** For replays of apps that keep their events for ever. */
const REPLAYS_KEPT_DAYS = 395;
const TIDY_ROWS = 500;
const UNDELIVERED = "The event expired before it could be delivered.";

export interface Removed {
  events: number;
  deliveries: number;
  records: number;
  clicks: number;
  app_events: number;
  identities: number;
}

export interface Step {
  /** Up to where everything was looked at. */
  at_key: string;
  is_end: boolean;
  statements: Statement[];
  removed: Partial<Removed>;
  /** How many pending deliveries were ended, by destination. */
  ended: ReadonlyMap<string, number>;
}

export interface Walk {
  kind: WalkKind;
  id: string;
  next(after: string, rows_max: number, now: number): Promise<Step>;
}

export interface StepParts {
  store: Pick<RetentionStore, "destinationsOf">;
  deliveries: ExpiryStore;
  events: EventExpiry;
  clicks: ClickExpiry;
  app_events: AppEventExpiry;
  identities: IdentityExpiry;
}

const NONE: ReadonlyMap<string, number> = new Map();

export function createSteps({ store, deliveries, events, clicks, app_events, identities }: StepParts) {
  /** Records of attempts go, and their deliveries stay until the event goes. */
  function walkDeliveries(destination: KeptDestination): Walk {
    async function next(after: string, rows_max: number, now: number): Promise<Step> {
      const cutoffs = {
        now,
        records: cutoffOf(destination.delivery_retention_days, now),
        events: cutoffOf(destination.event_retention_days, now),
      };
      const end = uuidFloor(Math.max(cutoffs.records ?? 0, cutoffs.events ?? 0) + 1);
      const limit = LOOKS_PER_ROW * rows_max;
      const rows = await deliveries.readAged(destination.id, after, end, limit);
      const { expired, old, at_key } = planDeliveries(rows, cutoffs, rows_max);
      const present = await events.findPositions(
        destination.app_id,
        old.map(({ position }) => position),
      );
      const orphans = old.filter(({ position }) => !present.has(position));
      const kept = expired.filter((one) => !orphans.includes(one));
      return {
        at_key: at_key ?? after,
        is_end: rows.length < limit && at_key === (rows.at(-1)?.position ?? null),
        statements: [...removeRecords(destination.id, kept), ...removeOrphans(destination.id, orphans)],
        removed: { records: kept.length, deliveries: orphans.length },
        ended: NONE,
      };
    }
    return { kind: "deliveries", id: destination.id, next };
  }

  /** An event goes with all its deliveries at once, so that none is ever taken for missing. */
  function walkEvents(app: KeptApp & { event_retention_days: number }): Walk {
    async function next(after: string, rows_max: number, now: number): Promise<Step> {
      const cutoff = now - app.event_retention_days * DAY_MS;
      const destinations = await store.destinationsOf(app.id);
      const limit = Math.max(1, Math.floor(rows_max / (1 + destinations.length)));
      const positions = await events.readPositions(app.id, after, uuidFloor(cutoff + 1), limit);
      const found = await deliveries.ofEvents(destinations, positions);
      const { leaving, deliveries: count, ended } = planEvents(positions, found, { now, cutoff });
      return {
        at_key: positions.at(-1) ?? after,
        is_end: positions.length < limit,
        statements: [
          ...endPending(ended, UNDELIVERED, now),
          ...removeDeliveries(destinations, leaving, count),
          ...removeEvents(app.id, leaving),
        ],
        removed: { events: leaving.length, deliveries: count },
        ended: countBy(ended.map(({ destination_id }) => destination_id)),
      };
    }
    return { kind: "events", id: app.id, next };
  }

  /** @param shortest_days the shortest limit of any app */
  function walkClicks(shortest_days: number): Walk {
    async function next(after: string, rows_max: number, now: number): Promise<Step> {
      const end = Math.max(0, now - shortest_days * DAY_MS + 1)
        .toString(16)
        .padStart(12, "0");
      const found = await clicks.readClicks(after, end, rows_max);
      const leaving = leavingClicks(found, now);
      return {
        at_key: found.at(-1)?.cid ?? after,
        is_end: found.length < rows_max,
        statements: removeClicks(leaving),
        removed: { clicks: leaving.length },
        ended: NONE,
      };
    }
    return { kind: "clicks", id: "", next };
  }

  /** Nothing waits for one, so all of them go when their time is over. */
  function walkAppEvents(app: KeptApp & { event_retention_days: number }): Walk {
    async function next(after: string, rows_max: number, now: number): Promise<Step> {
      const end = uuidFloor(now - app.event_retention_days * DAY_MS + 1);
      const ids = await app_events.readIds(app.id, after, end, rows_max);
      return {
        at_key: ids.at(-1) ?? after,
        is_end: ids.length < rows_max,
        statements: removeAppEvents(app.id, ids),
        removed: { app_events: ids.length },
        ended: NONE,
      };
    }
    return { kind: "app_events", id: app.id, next };
  }

  /** One goes when nothing of it has been heard for as long as the app keeps its events. */
  function walkIdentities(app: KeptApp & { event_retention_days: number }): Walk {
    async function next(after: string, rows_max: number, now: number): Promise<Step> {
      const cutoff = now - app.event_retention_days * DAY_MS;
      // A kind is one word; a key is anything.
      const [kind = ""] = after.split(" ", 1);
      const limit = LOOKS_PER_ROW * rows_max;
      const found = await identities.readIdentities(app.id, { kind, key: after.slice(kind.length + 1) }, limit);
      const aged = found.filter(({ seen_at }) => seen_at <= cutoff).slice(0, rows_max);
      const is_whole = aged.length < rows_max;
      const last = is_whole ? found.at(-1) : aged.at(-1);
      return {
        at_key: last === undefined ? after : `${last.kind} ${last.key}`,
        is_end: is_whole && found.length < limit,
        statements: removeIdentities(app.id, aged, cutoff),
        removed: { identities: aged.length },
        ended: NONE,
      };
    }
    return { kind: "identities", id: app.id, next };
  }

  return { walkDeliveries, walkEvents, walkClicks, walkAppEvents, walkIdentities };
}

/** What has no walk of its own, for there is little of it. What a destination was set to explains events as long as they stay. */
export function tidy({ id, event_retention_days: days }: KeptDestination, now: number): Statement[] {
  const statements = [
    removeHours(id, now - HOURS_KEPT_DAYS * DAY_MS, TIDY_ROWS),
    removeReplays(id, now - (days ?? REPLAYS_KEPT_DAYS) * DAY_MS - ASKED_STAYS_MS, TIDY_ROWS),
  ];
  if (days === null) return statements;
  return [...statements, removeHistory(id, now - days * DAY_MS - ASKED_STAYS_MS - STAYS_MS, TIDY_ROWS)];
}

function countBy(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}
