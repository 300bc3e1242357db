// A database with two apps, `shop` and `blog`, and the destinations module on it, for the tests of that module.
// Used by the tests beside server/src/destinations.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { WebhookCreate } from "#contract/destinations.ts";
import type { ErrorCode } from "#contract/errors.ts";
import { type BuiltRequest, isUnsent, type Outgoing } from "#destination-types/definition.ts";
import type { Destination } from "../../src/destinations/destination.ts";
import { createDestinations, type Destinations } from "../../src/destinations/destinations.ts";
import type { Advise } from "../../src/destinations/last-tries.ts";
import { AppError } from "../../src/errors.ts";
import type { Channel } from "../../src/notices/channels.ts";
import { createOutbox } from "../../src/notices/outbox.ts";
import { createNoticeStore } from "../../src/notices/store.ts";
import type { Database } from "../../src/platform/database.ts";
import { createIds } from "../../src/platform/ids.ts";
import { createSealer } from "../../src/platform/sealing.ts";
import { rows, sql } from "../../src/platform/sql.ts";
import type { Engine } from "./engines.ts";
import { FAILURE_RULES } from "./failing.ts";

export const START = Date.UTC(2026, 0, 31, 9, 30);
export const HOUR_MS = 3_600_000;
export const URL_OK = "https://hooks.example.com/in";

export interface World {
  db: Database;
  clock: { at: number };
  destinations: Destinations;
  /** The same database as another process sees it. */
  another(
    key?: Uint8Array,
    advise?: Advise,
    announce?: (app_id: string) => Promise<void>,
    reached?: Database,
  ): Destinations;
}

/** One database for each engine, emptied before each test: making one takes longer than most tests. */
const databases = new Map<string, Promise<Database>>();
const NOTICE_TABLES = ["notices", "notice_sends", "notice_conditions"];
const TABLES = [
  ...NOTICE_TABLES,
  "apps",
  "destination_history",
  "destination_health",
  "destination_hours",
  "deliveries",
  "removals",
];

async function openDatabase(engine: Engine): Promise<Database> {
  const opening = databases.get(engine.name) ?? engine.open();
  databases.set(engine.name, opening);
  const db = await opening;
  // Names of our own tables, so they may stand in the text; destinations go with their apps.
  await db.batch(TABLES.map((table) => ({ kind: "statement", parts: [`delete from ${table}`], values: [] })));
  return db;
}

export async function openWorld(engine: Engine): Promise<World> {
  const db = await openDatabase(engine);
  const clock = { at: START };
  const now = () => clock.at;
  const key = randomBytes(32);
  const store = createNoticeStore(db);
  const channel: Channel = { name: "log", batch: 1, send: async () => null };
  const clock_of_notices = { now, after: () => () => {} };
  const outbox = createOutbox({
    ...{ store, channels: [channel], ids: createIds(), clock: clock_of_notices, log: () => {}, kept: () => {} },
  });
  const another = (
    other_key: Uint8Array = key,
    advise: Advise = () => null,
    announce: (app_id: string) => Promise<void> = async () => {},
    reached: Database = db,
  ) =>
    createDestinations({
      announce,
      composeNotice: outbox.compose,
      advise,
      db: reached,
      now,
      ids: createIds(),
      sealer: createSealer(other_key),
      egress: { check: async (url) => (url.startsWith("https://") ? null : "an https URL") },
      default_retry_schedule: [5, 300],
      failure_rules: FAILURE_RULES,
      version: "1.2.3",
    });
  for (const app_id of ["shop", "blog"]) await insertApp(db, app_id);
  return { db, clock, destinations: another(), another };
}

async function insertApp(db: Database, id: string): Promise<void> {
  await db.query(
    sql`insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key, match_window_seconds,
        destinations_version, created_at, updated_at)
      values (${id}, ${id}, 0, ${"[]"}, 0, 3600, 0, ${START}, ${START})`,
  );
}

export function input(changes: Partial<WebhookCreate> = {}): WebhookCreate {
  return { ...WebhookCreate.parse({ url: URL_OK, events: ["link.click"] }), ...changes };
}

export async function refused(promise: Promise<unknown>, code: ErrorCode, path?: string): Promise<AppError> {
  const error: unknown = await promise.then(() => null, (reason) => reason); // biome-ignore format: one line reads better
  assert.ok(error instanceof AppError, `refused, not ${String(error)}`);
  assert.equal(error.code, code);
  assert.equal(error.details?.[0]?.path, path);
  return error;
}

export async function versionOf(db: Database, app_id = "shop"): Promise<number> {
  const found = await db.query<{ version: number }>(
    sql`select destinations_version as version from apps where id = ${app_id}`,
  );
  return found[0]?.version ?? Number.NaN;
}

export function historyOf(db: Database, id: string) {
  return db.query<{ at: number; state: string; events: string; cause: string; actor: string | null }>(
    sql`select at, state, events, cause, actor from destination_history where destination_id = ${id} order by at`,
  );
}

export async function insertDeliveries(
  db: Database,
  destination_id: string,
  list: [state: string, created_at: number][],
) {
  const values = list.map(([state, at], index) => [
    destination_id,
    `p${index}`,
    "shop",
    "link.click",
    state,
    0,
    0,
    0,
    at,
    "auto",
    at,
  ]);
  await db.query(
    sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased, due_at, trigger,
      created_at) values ${rows(values)}`,
  );
}

export const outgoing = { event_id: "e1", delivery_id: "d1", body: '{"id":"e1"}', attempt: 1, at: Date.now() };

/** What a destination sends for it. */
export function builtBy(destination: Destination | null | undefined, delivery: Outgoing): BuiltRequest {
  const built = destination?.build(delivery);
  assert.ok(built !== undefined && !isUnsent(built));
  return built;
}

export function headersOf(request: { headers: string[] }): Record<string, string> {
  return Object.fromEntries(
    request.headers.flatMap((name, i) => (i % 2 === 0 ? [[name, request.headers[i + 1] ?? ""]] : [])),
  );
}
