// Takes what is due from the table into the lanes of this process: when a lane has room, asks the store for so much, reads
// the events, and hands over what can be sent. Used by dispatcher.ts. Nothing is lost when a claim fails: its leases are
// given back or run out, and the next poll finds the lane again.
import type { Destination } from "../destinations/destination.ts";
import type { Clock } from "../platform/clock.ts";
import { type Claimed, giveUp, type Ready, wasInterruptedTooOften } from "./attempt.ts";
import { claimBothEnds } from "./both-ends.ts";
import type { ClaimBounds, Envelope } from "./claim-store.ts";
import { ERASED_BEFORE } from "./delivery.ts";
import { hasLarge, SHORTAGES, type Shortage, SMALL_BODY_BYTES, weightOf } from "./lane-memory.ts";
import type { Lane, Lanes } from "./lanes.ts";
import { LEASE_MS, type Leased, type Leases } from "./leases.ts";
import { createRoomLines } from "./room-lines.ts";
import type { Settling } from "./settling.ts";
import type { DeliveryStore } from "./store.ts";
import type { Timers } from "./timers.ts";
import type { Turns } from "./turns.ts";

/** Between two looks at the table; a lane whose claim failed rests as long. */
export const POLL_MS = 1_000;
/** Between two looks for lanes that have become slow; a lane that found no room looks again after so long. */
export const SLOW_CHECK_MS = 250;
const CLAIM_MAX = 100;

export interface ClaimingOptions {
  store: Pick<DeliveryStore, "claim" | "claimProbe" | "readBodies" | "canceledOf" | "countRecords">;
  destinations: { find(id: string): Promise<Destination | null> };
  clock: Pick<Clock, "now">;
  log(event: string, fields: Record<string, unknown>, level: "warn"): void;
  lanes: Pick<
    Lanes,
    | "room"
    | "claimable"
    | "setDestination"
    | "isNearlyFull"
    | "shortageOf"
    | "isShort"
    | "fitting"
    | "reserve"
    | "isLeft"
    | "isResting"
  >;
  leases: Pick<Leases, "keep">;
  turns: Pick<Turns, "letGo">;
  settling: Pick<Settling, "isFull" | "isBehind" | "record">;
  timers: Pick<Timers, "schedule">;
  isRunning(): boolean;
  /** Puts what was claimed into the lane. */
  take(lane: Lane, destination: Destination, ready: readonly Ready[]): void;
  giveBack(unsent: readonly Leased[]): void;
  /** Gives back what there is no room for, to be claimed again. */
  putBack(lane: Lane, unsent: readonly Leased[]): void;
  forgetReplay(replay_id: string): void;
  /** A stop waits for it. */
  work(promise: Promise<void>): Promise<void>;
}

/** What a claim brings: what can be sent, the bytes that are reserved for it, and what there is no room for. */
interface Found {
  ready: Ready[];
  bytes: number;
  unread: Claimed[];
}

export type Claiming = ReturnType<typeof createClaiming>;

export function createClaiming(options: ClaimingOptions) {
  const { store, destinations, clock, lanes, settling, isRunning, giveBack } = options;
  const lines = createRoomLines<Lane>();

  /** Claims for the lane when something is due and there is room, after those that wait for room; goes on until one of both ends. */
  function refill(lane: Lane): void {
    if (!isRunning() || settling.isFull() || settling.isBehind()) return;
    if (!lines.isEmpty()) serveLines(lane);
    if (lane.claiming || lane.due_at > clock.now()) return;
    if (lane.queue.length > 0 && hasLittleRoom(lane)) return;
    const shortage = SHORTAGES.find((one) => isWaitedFor(lane, one) && lines.first(lane, one) !== lane);
    if (shortage === undefined) begin(lane);
    else wait(lane, shortage);
  }

  /** Lets those claim that have waited longest for the room of this lane's kind: when there is enough of it, and else when it is time to look. */
  function serveLines(lane: Lane): void {
    for (const shortage of SHORTAGES) {
      const first = lines.first(lane, shortage);
      if (first === undefined || first.claiming) continue;
      if (first.due_at <= clock.now() || !lanes.isShort(first, shortage)) begin(first);
    }
  }

  /** Whether what is stored now should wait in the table, for others have waited longer. */
  function isCrowded(lane: Lane): boolean {
    return !lines.isEmpty() && SHORTAGES.some((shortage) => isWaitedFor(lane, shortage));
  }

  /** Whether lanes of its kind stand in line for what it needs too: places and, where its bodies are large, characters. */
  function isWaitedFor(lane: Lane, shortage: Shortage): boolean {
    return lines.first(lane, shortage) !== undefined && (shortage === "places" || hasLarge(lane));
  }

  function wait(lane: Lane, shortage: Shortage): void {
    lines.join(lane, shortage);
    lane.due_at = clock.now() + SLOW_CHECK_MS;
    watch(lane);
  }

  function begin(lane: Lane): void {
    lane.claiming = true;
    void options
      .work(claim(lane))
      .catch((error: unknown) => {
        // The poll tries again; until then the lane rests.
        options.log("deliveries.not_claimed", { destination_id: lane.id, error }, "warn");
        lines.leave(lane);
        lane.due_at = clock.now() + POLL_MS;
      })
      .finally(() => {
        lane.claiming = false;
        if (lane.due_at > clock.now()) watch(lane);
        // Those in line behind it may find room as well.
        refill(lane);
      });
  }

  /** Claims are worth their price when they take several. */
  function hasLittleRoom(lane: Lane): boolean {
    const { destination } = lane;
    return destination !== null && (lanes.room(lane, destination) < CLAIM_MAX / 2 || lanes.isNearlyFull(lane));
  }

  /** A hint for later needs a timer of its own only when it comes before the next poll. */
  function watch(lane: Lane): void {
    const delay_ms = lane.due_at - clock.now();
    if (delay_ms > 0 && delay_ms < POLL_MS) options.timers.schedule(`due ${lane.id}`, delay_ms, () => refill(lane));
  }

  async function claim(lane: Lane): Promise<void> {
    const destination = await destinations.find(lane.id);
    lanes.setDestination(lane, destination, clock.now());
    // When the clock jumped, what is in flight here would look left by somebody.
    await options.leases.keep();
    const most = Math.min(lanes.claimable(lane), CLAIM_MAX);
    const room = destination === null ? 0 : Math.min(lanes.room(lane, destination), most);
    if (destination === null || room === 0 || !isRunning()) {
      // What others send to is theirs to look at.
      const is_nothing = destination === null || lanes.isLeft(destination);
      lane.due_at = is_nothing ? Number.POSITIVE_INFINITY : clock.now() + SLOW_CHECK_MS;
      const shortage = is_nothing ? null : lanes.shortageOf(lane);
      if (shortage === null) lines.leave(lane);
      else lines.join(lane, shortage);
      return;
    }
    lines.leave(lane);
    lanes.reserve(lane, room);
    let found: Found = { ready: [], bytes: 0, unread: [] };
    try {
      found = await claimUpTo(room, lane, destination);
    } finally {
      // Nothing is awaited between this and `take`: else somebody else would be given that room.
      lanes.reserve(lane, -room, -found.bytes);
    }
    options.take(lane, destination, found.ready);
    options.putBack(lane, found.unread);
  }

  async function claimUpTo(limit: number, lane: Lane, destination: Destination): Promise<Found> {
    const now = clock.now();
    const lease_until = now + LEASE_MS;
    const is_resting = lanes.isResting(lane, now);
    const bounds = {
      now,
      lease_until,
      limit,
      asked_only: destination.state !== "active" || is_resting,
      in_turn: destination.ordering !== "none",
    };
    // Each poll and each event that is stored comes here, and a claim is a transaction: none where nothing can be found.
    const is_in_vain = bounds.asked_only && lane.asked_at > now + POLL_MS;
    // A hint that comes meanwhile may be about what this claim does not see.
    lane.due_at = Number.POSITIVE_INFINITY;
    lane.asked_at = Number.POSITIVE_INFINITY;
    if (bounds.in_turn && (await options.turns.letGo(destination))) lane.due_at = now;
    const { claimed, next_due_at } = is_in_vain ? { claimed: [], next_due_at: null } : await claimDue(lane, bounds);
    if (next_due_at !== null && !bounds.asked_only) lane.due_at = Math.min(lane.due_at, next_due_at);
    // A probe that is taken is used up, so none is taken that would have to be given back.
    const may_probe = destination.state === "paused" && !is_resting && claimed.length < limit;
    if (may_probe) claimed.push(...(await store.claimProbe(lane.id, bounds)));
    const leased = claimed.map((row) => ({ ...row, destination_id: lane.id, lease_until, previous: null, next: null }));
    try {
      return await readEvents(destination.app_id, lane, leased);
    } catch (error) {
      giveBack(leased);
      throw error;
    }
  }

  function claimDue(lane: Lane, bounds: ClaimBounds): ReturnType<DeliveryStore["claim"]> {
    return bounds.in_turn ? store.claim(lane.id, bounds) : claimBothEnds(store, lane, bounds);
  }

  /** What is small comes with the first look; what is large is read when its size is known and there is room for it. */
  async function readEvents(app_id: string, lane: Lane, leased: readonly Claimed[]): Promise<Found> {
    const reading = store.readBodies(app_id, leased.map(positionOf), SMALL_BODY_BYTES);
    const [events] = await Promise.all([reading, forgetCanceled(leased)]);
    const sizes = new Map(events.map(({ position, bytes }) => [position, bytes]));
    const sizeOf = ({ position }: Claimed) => sizes.get(position) ?? 0;
    const hopeless = new Set<Claimed>();
    for (const one of leased) if (await wasInterruptedTooOften(one, () => store.countRecords(one))) hopeless.add(one);
    const wanted = leased.filter((one) => !hopeless.has(one));
    const sizes_of_wanted = wanted.map(sizeOf);
    if (wanted.length > 0) lane.body_bytes = sum(sizes_of_wanted) / wanted.length;
    const fit = lanes.fitting(lane, wanted.length, (index) => sizes_of_wanted[index] ?? 0);
    const bytes = sum(sizes_of_wanted.slice(0, fit).map(weightOf));
    const admitted = wanted.slice(0, fit);
    lanes.reserve(lane, 0, bytes);
    try {
      const large = admitted.filter((one) => sizeOf(one) > SMALL_BODY_BYTES);
      events.push(...(await store.readBodies(app_id, large.map(positionOf))));
    } catch (error) {
      lanes.reserve(lane, 0, -bytes);
      throw error;
    }
    for (const one of hopeless) abandon(one, "Given up: the server ended too often during its attempts.");
    return { ready: readyOf(admitted, events), bytes, unread: wanted.slice(fit) };
  }

  function readyOf(leased: readonly Claimed[], events: readonly Envelope[]): Ready[] {
    const found = new Map(events.map((one) => [one.position, one]));
    return leased.flatMap((one): Ready[] => {
      const { id: event_id, body = null, target_id = null, erased_at = null } = found.get(one.position) ?? {};
      if (event_id !== undefined && body !== null && erased_at === null) {
        return [{ ...one, event_id, body, is_test: target_id !== null }];
      }
      abandon(one, ERASED_BEFORE);
      return [];
    });
  }

  /** Looks whether replays of what is leased were canceled, for a hint may be lost; `take` asks for what is noted here. */
  async function forgetCanceled(leased: Iterable<Pick<Claimed, "replay_id">>): Promise<void> {
    const replay_ids = new Set([...leased].flatMap(({ replay_id }) => replay_id ?? []));
    if (replay_ids.size === 0) return;
    for (const replay_id of await store.canceledOf([...replay_ids])) options.forgetReplay(replay_id);
  }

  function abandon(ready: Claimed, reason: string): void {
    settling.record(ready, giveUp(ready, reason, clock.now()));
  }

  return { refill, watch, forgetCanceled, isCrowded };
}

function positionOf({ position }: Claimed): string {
  return position;
}

function sum(sizes: readonly number[]): number {
  return sizes.reduce((all, size) => all + size, 0);
}
