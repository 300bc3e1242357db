// Takes what is due from the table into the lanes of this process: when a lane has room, asks the store for so much, reads
// the events, and hands over what can be sent. Used by dispatcher.ts. Nothing is lost when a claim fails: its leases are
// given back or run out, and the next poll finds the lane again.
import type { Destination } from "../destinations/destination.ts";
import type { Clock } from "../platform/clock.ts";
import { type Claimed, ERASED_BEFORE, giveUp, type Ready, wasInterruptedTooOften } from "./attempt.ts";
import type { Lane, Lanes } from "./lanes.ts";
import { type Held, LEASE_MS, type Leases } from "./leases.ts";
import type { Settling } from "./settling.ts";
import { claimShared } from "./sharing.ts";
import type { DeliveryStore } from "./store.ts";
import type { Timers } from "./timers.ts";
import type { Turns } from "./turns.ts";

export const POLL_MS = 1_000;
export const SLOW_CHECK_MS = 250;
const CLAIM_MAX = 100;

export interface ClaimingOptions {
  store: Pick<DeliveryStore, "claim" | "claimProbe" | "readBodies" | "canceledOf" | "countRecords">;
  destinations: { find(id: string): Promise<Destination | null> };
  clock: Pick<Clock, "now">;
  log(event: string, fields: Record<string, unknown>, level: "warn"): void;
  lanes: Pick<Lanes, "room" | "reserve" | "isLeft">;
  leases: Pick<Leases, "keep">;
  turns: Pick<Turns, "letGo">;
  settling: Pick<Settling, "isFull" | "isBehind" | "record">;
  timers: Pick<Timers, "schedule">;
  isRunning(): boolean;
  /** Puts what was claimed into the lane. */
  take(lane: Lane, destination: Destination, ready: readonly Ready[]): void;
  giveBack(unsent: readonly Held[]): void;
  forgetReplay(replay_id: string): void;
  /** A stop waits for it. */
  work(promise: Promise<void>): Promise<void>;
}

export type Claiming = ReturnType<typeof createClaiming>;

export function createClaiming(options: ClaimingOptions) {
  const { store, destinations, clock, lanes, settling, isRunning, giveBack } = options;

  /** Claims for the lane when something is due and there is room; goes on until one of both ends. */
  function refill(lane: Lane): void {
    if (!isRunning() || lane.claiming || lane.due_at > clock.now()) return;
    if (settling.isFull() || settling.isBehind()) return;
    const { destination } = lane;
    if (destination !== null && lane.queue.length > 0 && lanes.room(lane, destination) < CLAIM_MAX / 2) return;
    lane.claiming = true;
    void options
      .work(claim(lane))
      .catch((error: unknown) => {
        // The poll tries again; until then the lane rests.
        options.log("deliveries.not_claimed", { destination_id: lane.id, error }, "warn");
        lane.due_at = clock.now() + POLL_MS;
      })
      .finally(() => {
        lane.claiming = false;
        if (lane.due_at <= clock.now()) refill(lane);
        else watch(lane);
      });
  }

  /** A hint for later needs a timer of its own only when it comes before the next poll. */
  function watch(lane: Lane): void {
    const delay_ms = lane.due_at - clock.now();
    if (delay_ms > 0 && delay_ms < POLL_MS) options.timers.schedule(`due ${lane.id}`, delay_ms, () => refill(lane));
  }

  async function claim(lane: Lane): Promise<void> {
    const destination = await destinations.find(lane.id);
    lane.destination = destination;
    // When the clock jumped, what is in flight here would look left by somebody.
    await options.leases.keep();
    const room = destination === null ? 0 : Math.min(lanes.room(lane, destination), CLAIM_MAX);
    if (destination === null || room === 0 || !isRunning()) {
      // What others send to is theirs to look at.
      const is_nothing = destination === null || lanes.isLeft(destination);
      lane.due_at = is_nothing ? Number.POSITIVE_INFINITY : clock.now() + SLOW_CHECK_MS;
      return;
    }
    lanes.reserve(lane, room);
    let ready: Ready[];
    try {
      ready = await claimUpTo(room, lane, destination);
    } finally {
      // In the same turn as `take`: in between somebody else would be given that room.
      lanes.reserve(lane, -room);
    }
    options.take(lane, destination, ready);
  }

  async function claimUpTo(limit: number, lane: Lane, destination: Destination): Promise<Ready[]> {
    const now = clock.now();
    const lease_until = now + LEASE_MS;
    const bounds = {
      now,
      lease_until,
      limit,
      asked_only: destination.state !== "active",
      in_turn: destination.ordering !== "none",
    };
    // A hint that comes meanwhile may be about what this claim does not see.
    lane.due_at = Number.POSITIVE_INFINITY;
    if (bounds.in_turn && (await options.turns.letGo(destination))) lane.due_at = now;
    const claiming = bounds.in_turn ? store.claim(lane.id, bounds) : claimShared(store, lane, bounds);
    const { claimed, next_due_at } = await claiming;
    if (next_due_at !== null && !bounds.asked_only) lane.due_at = Math.min(lane.due_at, next_due_at);
    const may_probe = destination.state === "paused" && claimed.length < limit;
    if (may_probe) claimed.push(...(await store.claimProbe(lane.id, bounds)));
    const held = claimed.map((row) => ({ ...row, destination_id: lane.id, lease_until, previous: null, next: null }));
    try {
      return await readEvents(destination.app_id, held);
    } catch (error) {
      giveBack(held);
      throw error;
    }
  }

  async function readEvents(app_id: string, held: readonly Claimed[]): Promise<Ready[]> {
    const positions = held.map((one) => one.position);
    const [bodies] = await Promise.all([store.readBodies(app_id, positions), forgetCanceled(held)]);
    const events = new Map(bodies.map((one) => [one.position, one]));
    const hopeless = new Set<Claimed>();
    for (const one of held) if (await wasInterruptedTooOften(one, () => store.countRecords(one))) hopeless.add(one);
    const ready: Ready[] = [];
    for (const one of held) {
      const event = events.get(one.position);
      if (event === undefined || event.erased_at !== null) abandon(one, ERASED_BEFORE);
      else if (hopeless.has(one)) abandon(one, "Given up: the server ended too often during its attempts.");
      else ready.push({ ...one, event_id: event.id, body: event.body, is_test: event.target_id !== null });
    }
    return ready;
  }

  /** Looks whether replays of what is held were canceled, for a hint may be lost; `take` asks for what is noted here. */
  async function forgetCanceled(held: Iterable<Pick<Claimed, "replay_id">>): Promise<void> {
    const replay_ids = new Set([...held].flatMap(({ replay_id }) => replay_id ?? []));
    if (replay_ids.size === 0) return;
    for (const replay_id of await store.canceledOf([...replay_ids])) options.forgetReplay(replay_id);
  }

  function abandon(ready: Claimed, reason: string): void {
    settling.record(ready, giveUp(ready, reason, clock.now()));
  }

  return { refill, watch, forgetCanceled };
}
