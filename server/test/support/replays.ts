// A webhook with a ledger of its own, and replays on it that a test carries on round by round, with its own clock and
// without a network: what is claimed is answered as the test says. Used by the tests of server/src/deliveries/replays.
import assert from "node:assert/strict";
import { randomFillSync } from "node:crypto";
import type { DeliveryState } from "#contract/deliveries.ts";
import type { EventType } from "#contract/events.ts";
import { type Replay, ReplayCreate } from "#contract/replays.ts";
import type { Outcome } from "#destination-types/definition.ts";
import type { ClaimedRow } from "../../src/deliveries/claim-store.ts";
import type { DeliveryRow } from "../../src/deliveries/delivery.ts";
import { decide } from "../../src/deliveries/policy.ts";
import { createReplayRunner } from "../../src/deliveries/replay-runner.ts";
import { createReplayStore } from "../../src/deliveries/replay-store.ts";
import { createReplayWalk } from "../../src/deliveries/replay-walk-store.ts";
import { createReplays } from "../../src/deliveries/replays.ts";
import { type Settlement, settle } from "../../src/deliveries/settle-store.ts";
import { createDeliveryStore, insertDeliveries } from "../../src/deliveries/store.ts";
import type { Destination } from "../../src/destinations/destination.ts";
import type { Database } from "../../src/platform/database.ts";
import { createIds } from "../../src/platform/ids.ts";
import { rows, sql } from "../../src/platform/sql.ts";
import type { Engine } from "./engines.ts";

export const START = Date.UTC(2026, 0, 31, 9, 30);
export const HOUR_MS = 3_600_000;
const LEASE_MS = 45_000;
const CLAIM_MAX = 1_000;

/** One database for each engine; every world has an app and a webhook of its own. */
const databases = new Map<string, Promise<Database>>();
let worlds = 0;

type Settings = {
  -readonly [Name in
    | "state"
    | "max_in_flight"
    | "rate_per_second"
    | "retry_schedule"
    | "filter"
    | "ordering"]: Destination[Name];
};

export interface EventOptions {
  event?: EventType;
  link_id?: string;
  target_id?: string;
  data?: Record<string, unknown>;
  /** What became of it at the webhook; left out: it has no delivery there. */
  state?: DeliveryState;
}

export type ReplayWorld = Awaited<ReturnType<typeof openReplayWorld>>;

export async function openReplayWorld(engine: Engine, changes: Partial<Settings> = {}) {
  const opening = databases.get(engine.name) ?? engine.open();
  databases.set(engine.name, opening);
  const db = await opening;
  const name = `${engine.name}_${++worlds}`;
  const clock = { at: START };
  const now = () => clock.at;
  const ids = createIds({ now, random: (bytes) => void randomFillSync(bytes) });
  const settings: Settings = {
    ...{ state: "active", max_in_flight: 50, rate_per_second: null, retry_schedule: [5], filter: null },
    ...{ ordering: "none", ...changes },
  };
  /** Destinations whose lanes were told that something is due. */
  const wakes: string[] = [];
  /** Replays that dispatchers were told to let go of. */
  const forgotten: string[] = [];
  const world = {
    ...{ is_deleted: false, is_target_deleted: false, standstill: null as string | null },
    /** The state that is remembered of its webhook until that is read anew. */
    remembered: null as Destination["state"] | null,
  };
  const key = { id: `dst_${name}`, app_id: `app_${name}` };
  /** Another webhook of the app, with a state of its own, and one of another app. */
  const target = { id: `dst_${name}t`, app_id: key.app_id, state: "active" as Destination["state"] };
  const foreign = { id: `dst_${name}f`, app_id: `app_${name}f` };
  // What replays look at; nothing is built or sent here.
  const find = async (id: string) => {
    if (id === target.id ? world.is_target_deleted : world.is_deleted) return null;
    const own = id === target.id ? target : id === foreign.id ? foreign : key;
    const state = world.remembered ?? settings.state;
    return { events: new Set(["link.click"]), ...settings, state, ...own } as unknown as Destination;
  };
  const refresh = async () => {
    world.remembered = null;
  };
  const destinations = { find, refresh };

  /** The same database as one process of several sees it. */
  function openProcess(seen: Database = db) {
    const dispatcher = {
      wake: (id: string) => void wakes.push(id),
      forgetReplay: (id: string) => void forgotten.push(id),
    };
    const parts = { store: createReplayStore(seen), walk: createReplayWalk(seen), destinations, dispatcher };
    const runner = createReplayRunner({
      ...parts,
      clock: { now, after: () => () => {} },
      log: () => {},
    });
    const lookUpStandstill = async () => world.standstill;
    return { runner, replays: createReplays({ ...parts, lookUpStandstill, ids, now, wake: () => {} }) };
  }

  /** Stores so many events of this moment; a millisecond later nothing of the next ones is older. */
  async function addEvents(
    count: number,
    { event = "link.click", link_id, target_id, data = {}, state }: EventOptions = {},
  ) {
    const positions = Array.from({ length: count }, () => ids.uuid());
    const at = now();
    await db.query(sql`insert into events (app_id, position, id, event, link_id, target_id, created_at, body) values
      ${rows(positions.map((id) => [key.app_id, id, id, event, link_id ?? null, target_id ?? null, at, JSON.stringify({ id, data })]))}`);
    if (state !== undefined) await addDeliveries(key.id, positions, state, event);
    clock.at++;
    return positions;
  }

  /** What has become of events at a webhook, as of this moment. */
  async function addDeliveries(
    destination_id: string,
    positions: readonly string[],
    state: DeliveryState,
    event: EventType = "link.click",
  ) {
    const at = now();
    const due_at = state === "pending" ? at + HOUR_MS : null;
    const settled_at = state === "pending" ? null : at;
    await db.query(sql`insert into deliveries (destination_id, position, app_id, event, state, reason, attempt, failures,
          leased, due_at, trigger, created_at, settled_at) values
        ${rows(positions.map((id) => [destination_id, id, key.app_id, event, state, `was ${state}`, 1, 1, 0, due_at, "auto", at, settled_at]))}`);
  }

  const store = createDeliveryStore(db);

  /** Claims what is due, and settles each as the answer says; answers the positions. */
  async function deliver(
    answer: (position: string, index: number) => Outcome,
    limit = CLAIM_MAX,
    destination_id = key.id,
  ): Promise<string[]> {
    const bounds = { now: now(), lease_until: now() + LEASE_MS, limit, asked_only: false };
    const in_turn = settings.ordering !== "none";
    const { claimed } = await store.claim(destination_id, { ...bounds, in_turn });
    const settlements = claimed.map((row, index) => settlementOf(row, answer(row.position, index), destination_id));
    if (settlements.length > 0) await db.batch(settle(settlements));
    return claimed.map(({ position }) => position);
  }

  /** Settles what was claimed by itself. */
  async function record(row: ClaimedRow, outcome: Outcome): Promise<void> {
    const before = await store.countTries({ destination_id: key.id, position: row.position }, row.armed_attempt ?? 0);
    await db.batch(settle([settlementOf(row, outcome, key.id, before + 1)]));
  }

  function settlementOf(row: ClaimedRow, outcome: Outcome, destination_id: string, tries = 0): Settlement {
    const at = { now: now(), random: 0.5 };
    const { order_key = null, replay_id = null, armed_at = null } = row;
    const decision = decide(
      { ...row, is_test: false, order_key, replay_id, armed_at, tries },
      outcome,
      settings.retry_schedule,
      at,
    );
    return {
      ...{ key: { destination_id, position: row.position }, attempt: row.attempt, decision, outcome },
      order_key,
      ...{ settled_at: decision.state === "pending" || decision.restored ? null : now(), set_apart: false },
      counts: row.trigger === "auto" || row.trigger === "manual",
      record: {
        ...{ destination_id, position: row.position, number: row.attempt, trigger: row.trigger },
        ...{ started_at: now(), duration_ms: 5, outcome: outcome.kind, status_code: 200, error: null, cause: null },
        ...{ response_headers: "{}", response_snippet: "", response_truncated: 0 },
      },
    };
  }

  /** A request that takes in everything that is there, unless it says otherwise. */
  function request(fields: Partial<ReplayCreate> = {}): ReplayCreate {
    const range = { since: new Date(START - HOUR_MS).toISOString(), until: new Date(START + HOUR_MS).toISOString() };
    return { ...ReplayCreate.parse(range), ...fields };
  }

  return {
    ...{ db, clock, key, target, foreign, settings, world, store, wakes, forgotten, openProcess },
    ...{ addEvents, addDeliveries, deliver, record, request },
    ...openProcess(),
  };
}

export function startReplay(world: ReplayWorld, fields: Partial<ReplayCreate> = {}): Promise<Replay> {
  return world.replays.startReplay(world.key.id, null, world.request(fields));
}

/** The delivery of an event at the webhook, which has to be there. */
export async function deliveryOf({ store, key }: ReplayWorld, position = ""): Promise<DeliveryRow> {
  const row = await store.find({ destination_id: key.id, position });
  assert.ok(row !== undefined, `no delivery of ${position}`);
  return row;
}

/** An event of a link that comes in now, with a delivery that is due; answers its position. */
export async function addFresh(world: ReplayWorld, link_id: string): Promise<string> {
  const [position] = await world.addEvents(1, { link_id });
  assert.ok(position !== undefined);
  const now = world.clock.at;
  const fresh = {
    ...{ destination_id: world.key.id, position, app_id: world.key.app_id, event: "link.click" as const },
    ...{ state: "pending" as const, reason: null, attempt: 0, failures: 0, leased: 0 as const, due_at: now },
    ...{ trigger: "auto" as const, resume_state: null, resume_at: null, created_at: now, settled_at: null },
    order_key: link_id,
  };
  await world.db.batch([insertDeliveries([fresh])]);
  return position;
}

export const ACCEPTED: Outcome = { kind: "accepted" };
export const DOWN: Outcome = { kind: "unreachable", retriable: true, message: "down" };
export const REFUSED: Outcome = { kind: "refused", retriable: false, message: "no" };
