// An app with a webhook, rows of any age, and the removal of what has expired, carried on round by round with a clock of its
// own. Used by the tests of server/src/retention.
import { randomFillSync } from "node:crypto";
import { createAppEventExpiry } from "../../src/claims/app-event-store.ts";
import { createIdentityExpiry } from "../../src/claims/identity-store.ts";
import { createDeliveries } from "../../src/deliveries/deliveries.ts";
import { type DeliveryRow, deliveryId } from "../../src/deliveries/delivery.ts";
import { DAY_MS, type Keeping } from "../../src/deliveries/expiry.ts";
import { createExpiryStore } from "../../src/deliveries/expiry-store.ts";
import { createDeliveryStore, insertDeliveries } from "../../src/deliveries/store.ts";
import type { Destination } from "../../src/destinations/destination.ts";
import { createEventExpiry } from "../../src/events/expiry-store.ts";
import { insertEvents } from "../../src/events/store.ts";
import { createClickExpiry } from "../../src/links/expiry-store.ts";
import type { Clock } from "../../src/platform/clock.ts";
import type { Database, Row } from "../../src/platform/database.ts";
import { createIds } from "../../src/platform/ids.ts";
import { rows, type Statement, sql } from "../../src/platform/sql.ts";
import { createRetention } from "../../src/retention/retention.ts";
import { createRetentionStore } from "../../src/retention/store.ts";
import type { Engine } from "./engines.ts";

export const START = Date.UTC(2027, 0, 31, 9, 30);
const ROUNDS_MAX = 50;
const TABLES = ["apps", "deliveries", "attempts", "events", "clicks", "replays", "destination_history"].concat([
  ...["destination_hours", "app_events", "identities", "retention_walks", "retention_lease", "journal"],
]);

/** One database for each engine, emptied before each test. */
const databases = new Map<string, Promise<Database>>();

export interface Aged extends Partial<Omit<DeliveryRow, "replay_id">> {
  replay_id?: string;
  /** Attempts on record, in the table. */
  attempts?: number;
  /** When these began; left out: with the event. */
  attempted_at?: number;
  has_first?: boolean;
  /** False: only the event. */
  is_delivered?: boolean;
}

export type RetentionWorld = Awaited<ReturnType<typeof openRetentionWorld>>;

export async function openRetentionWorld(engine: Engine, keeping: Partial<Keeping> = {}) {
  const opening = databases.get(engine.name) ?? engine.open();
  databases.set(engine.name, opening);
  const db = await opening;
  await db.batch(
    TABLES.map((table): Statement => ({ kind: "statement", parts: [`delete from ${table}`], values: [] })),
  );
  const clock = { at: START };
  const now = () => clock.at;
  const kept: Keeping = { event_retention_days: 395, delivery_retention_days: 30, ...keeping };
  await insertApp(db, "shop", kept);
  const destination_id = await insertDestination(db, "shop", "dst_a");
  const logged: Record<string, unknown>[] = [];
  const rests: number[] = [];

  const soon: Clock["after"] = (rest_ms, callback) => {
    rests.push(rest_ms);
    queueMicrotask(callback);
    return () => {};
  };

  /** The same database as one process of several sees it, with what it commits in its hands. */
  function openProcess(holder: string, seen: Database = db, elapsed = () => 0, after: Clock["after"] = soon) {
    const retention = createRetention({
      ...{ deliveries: createExpiryStore(seen), events: createEventExpiry(seen), clicks: createClickExpiry(seen) },
      app_events: createAppEventExpiry(seen),
      identities: createIdentityExpiry(seen),
      ...{ store: createRetentionStore(seen), holder, elapsed },
      clock: { now, after },
      log: (event, fields) => void logged.push({ event, ...fields }),
    });
    async function finish(): Promise<void> {
      for (let left = ROUNDS_MAX; left > 0; left--) if (!(await retention.runRound())) return;
      throw new Error(`something is left after ${ROUNDS_MAX} rounds`);
    }
    return { ...retention, finish };
  }

  /** Stores an event of that time with its delivery, attempts and all; answers its position. */
  async function add(at: number, aged: Aged = {}, place = { app_id: "shop", destination_id }): Promise<string> {
    const position = createIds({ now: () => at, random: (bytes) => void randomFillSync(bytes) }).uuid();
    const { app_id } = place;
    const event = { app_id, position, id: position, event: "link.click", link_id: null, target_id: null } as const;
    await db.batch([insertEvents([{ ...event, created_at: at, body: `{"id":"${position}"}` }])]);
    if (aged.is_delivered !== false) await addDelivery(db, { ...place, position, at }, aged);
    return position;
  }

  const deliveries = createDeliveries({
    store: createDeliveryStore(db),
    destinations: { find: async (id) => (id === destination_id ? STUB : null) },
    dispatcher: { wake: () => {}, forget: () => {} },
    positionOf: async (_, id) => id,
    lookUpHolds: async () => () => null,
    keepingOf: async () => kept,
    now,
  });

  const detail = (position: string) => deliveries.getDelivery(deliveryId({ destination_id, position }), null);
  const count = async (table: string): Promise<number> => {
    const [row] = await db.query<Row>({ kind: "statement", parts: [`select count(*) as n from ${table}`], values: [] });
    return Number(row?.["n"]);
  };

  return {
    db,
    clock,
    kept,
    destination_id,
    logged,
    rests,
    deliveries,
    openProcess,
    add,
    detail,
    count,
    ...openProcess("one"),
  };
}

async function addDelivery(
  db: Database,
  { app_id, destination_id, position, at }: { app_id: string; destination_id: string; position: string; at: number },
  { attempts = 0, attempted_at = at, has_first = false, ...changes }: Aged,
): Promise<void> {
  const state = changes.state ?? "succeeded";
  const row: DeliveryRow = {
    ...{ destination_id, position, app_id, event: "link.click", state, reason: null, failures: 0, leased: 0 },
    ...{ attempt: Math.max(attempts, has_first ? 1 : 0), due_at: state === "pending" ? at : null, trigger: "auto" },
    ...{ resume_state: null, resume_at: null, created_at: at, settled_at: state === "pending" ? null : at, ...changes },
  };
  await db.batch([insertDeliveries([row])]);
  const of_delivery = sql`destination_id = ${destination_id} and position = ${position}`;
  await db.query(sql`update deliveries set settled_at = ${row.settled_at}, resume_state = ${row.resume_state},
    replay_id = ${row.replay_id ?? null} where ${of_delivery}`);
  if (has_first) {
    await db.query(sql`update deliveries set first_started_at = ${at}, first_duration_ms = 5, first_status_code = 200,
      first_response_headers = '{}', first_response_snippet = 'ok', first_response_truncated = 0 where ${of_delivery}`);
  }
  if (attempts === 0) return;
  const list = Array.from({ length: attempts }, (_, index) => [
    ...[destination_id, position, index + 1, "auto", attempted_at, 5, "refused", 500, "no", "{}", "body", 0],
  ]);
  await db.query(sql`insert into attempts (destination_id, position, number, trigger, started_at, duration_ms, outcome,
    status_code, error, response_headers, response_snippet, response_truncated) values ${rows(list)}`);
}

export async function insertApp(db: Database, id: string, keeping: Keeping): Promise<void> {
  await db.query(sql`insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key,
      match_window_seconds, event_retention_days, delivery_retention_days, destinations_version, created_at, updated_at)
    values (${id}, ${id}, 0, '[]', 0, 3600, ${keeping.event_retention_days}, ${keeping.delivery_retention_days}, 0, 0, 0)`);
}

export async function insertDestination(db: Database, app_id: string, id: string): Promise<string> {
  await db.query(sql`insert into destinations (id, app_id, type, config, secrets, events, description, enabled, state,
      state_changed_at, retry_schedule, timeout_ms, max_in_flight, retry_on, created_at, updated_at)
    values (${id}, ${app_id}, 'webhook', '{}', '', '["link.click"]', '', 1, 'active', 0, '[]', 1000, 5, 'retriable', 0, 0)`);
  return id;
}

export async function insertClick(db: Database, app_id: string, at: number): Promise<string> {
  const cid = createIds({ now: () => at, random: (bytes) => void randomFillSync(bytes) }).cid();
  await db.query(sql`insert into clicks (cid, app_id, link_id, platform, dest_url, created_at, expires_at)
    values (${cid}, ${app_id}, 'lnk_1', 'web', '', ${at}, ${at + 30 * DAY_MS})`);
  return cid;
}

/** What an app reported of itself at that time; answers its id. */
export async function insertReport(db: Database, app_id: string, at: number): Promise<string> {
  const id = createIds({ now: () => at, random: (bytes) => void randomFillSync(bytes) }).uuid();
  await db.query(sql`insert into app_events (app_id, id, type, platform, created_at)
    values (${app_id}, ${id}, 'install', 'ios', ${at})`);
  return id;
}

// What a detail needs of a destination; nothing is sent here.
const STUB = {
  ...{ state: "active", misconfigured: null },
  build: ({ body }: { body: string }) => ({ url: "https://example.com/in", headers: { "x-body": body }, body }),
  show: (request: object) => request,
} as unknown as Destination;
