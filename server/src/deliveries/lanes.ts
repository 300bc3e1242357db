// Who may send next. Each destination has a lane: its queue in memory and its requests in flight. Lanes are served in
// rotation, and one that is slow is moved to slots of its own, at most a tenth each, so that it can never hold up the
// others. How much each receiver bears is learned in limit.ts.
// Pure state without clock or network; driven by the dispatcher.
import assert from "node:assert/strict";
import type { Destination } from "../destinations/destination.ts";
import { append, createLinkedList, type LinkedList, type Listed, remove } from "../platform/linked-list.ts";
import type { Ready } from "./attempt.ts";
import type { Ends } from "./both-ends.ts";
import { isAsked } from "./due.ts";
import { createLaneLimits } from "./lane-limits.ts";
import { createLaneMemory, emptyLoad, hasLarge, type LaneLoad, QUEUE_MAX, weightOf } from "./lane-memory.ts";
import {
  type Bounds,
  COUNTED_MS,
  createLimit,
  heldFor,
  isLearned,
  type Limit,
  noteStart,
  type Reaction,
  rateOf,
  react,
  startOver,
} from "./limit.ts";
import type { Slots } from "./limit-text.ts";
import { ALONE, type Presence } from "./presence.ts";
import { createRotation } from "./rotation.ts";
import { isSending } from "./sendable.ts";

/** Concurrent requests to destinations that answer fast. */
export const SLOTS = 512;
/** Concurrent requests to slow destinations, beside the others. */
export const SLOW_SLOTS = 256;
/** The most that one slow destination may hold, and what a new one starts with. */
export const SLOW_SHARE = Math.floor(SLOTS / 10);
export const SLOTS_OF_EACH: Slots = { slots: SLOTS, slow_slots: SLOW_SHARE };
/** A request that takes longer than this makes its destination slow. */
export const SLOW_AFTER_MS = 1_000;
/** What was learned of a destination is forgotten after so long without a request. */
const MEMORY_MS = 10 * 60_000;
/** Who may start nothing for longer keeps nothing in memory. No less than two polls, which find it in time for its next start. */
const REST_MAX_MS = 2_000;
/** How late a timer may fire without slowing a paced lane down. */
const LATE_MAX_MS = 50;
/** The most that wait here, in rounds of requests, where others send to it too: it would wait for one of several. */
const PART_ROUNDS = 4;

export interface Flight extends Listed<Flight> {
  readonly ready: Ready;
  readonly started_at: number;
  /** Of the limit under which it started. */
  readonly round: number;
  /** How many were in flight then, itself included. */
  readonly started_with: number;
}

export interface Lane {
  readonly id: string;
  /** Null until it is read, and again after it was changed. */
  destination: Destination | null;
  /** That of the destination under which its limit was learned; null: nothing was. */
  era: number | null;
  /** Whether its destination was stopped when it was last known. */
  was_stopped: boolean;
  queue: Ready[];
  /** What waits, is being sent, and what room is kept free for. */
  readonly load: LaneLoad;
  /** What a body of what it was given last had on average; 0: not known. */
  body_bytes: number;
  /** In the order in which they started. */
  readonly flights: LinkedList<Flight>;
  /** How much its receiver bears. */
  readonly limit: Limit;
  slow: boolean;
  /** When the table has something due; infinity when nothing is known. */
  due_at: number;
  /** The same of what a person asked for, which is all that may be due where it rests, is paused or is off. */
  asked_at: number;
  claiming: boolean;
  readonly ends: Ends;
  /** Earliest start under a rate limit. */
  next_start_at: number;
  /** When its last request ended. */
  ended_at: number;
  in_rotation: boolean;
}

export type Lanes = ReturnType<typeof createLanes>;

/** @param presence what is this process's of the limits of a webhook */
export function createLanes(presence: Pick<Presence, "shareOf"> = ALONE) {
  const { shareOf } = presence;
  const lanes = new Map<string, Lane>();
  const in_flight = { fast: 0, slow: 0 };
  const memory = createLaneMemory();
  const rotation = createRotation<Lane>(memory.maySendLarge);

  function open(id: string): Lane {
    const known = lanes.get(id);
    if (known !== undefined) return known;
    const lane: Lane = {
      ...{ id, destination: null, era: null, was_stopped: false, queue: [], flights: createLinkedList(), slow: false },
      ...{ load: emptyLoad(), body_bytes: 0 },
      ...{ due_at: Number.POSITIVE_INFINITY, asked_at: Number.POSITIVE_INFINITY, claiming: false, next_start_at: 0 },
      ...{ ended_at: 0, in_rotation: false, limit: createLimit(SLOW_SHARE), ends: { is_behind: false, singles: 0 } },
    };
    lanes.set(id, lane);
    return lane;
  }

  /** To be called with what was read anew. */
  function setDestination(lane: Lane, destination: Destination | null, now: number): void {
    lane.destination = destination;
    if (destination === null) return;
    // What waited while it was stopped goes out one by one at first, and faster with each success.
    if (lane.was_stopped && isSending(destination)) startOver(lane.limit, now);
    lane.was_stopped = !isSending(destination);
    if (destination.era === lane.era) return;
    // What was asked for before a person corrected it, at another address for instance, says little of what it bears now.
    if (lane.era !== null && isLearned(lane.limit)) startOver(lane.limit, now);
    lane.era = destination.era;
  }

  /** How many more deliveries the lane may keep in memory. */
  function room(lane: Lane | undefined, destination: Destination): number {
    const left = memory.deliveriesLeft(lane);
    if (left <= 0 || isLeft(destination)) return 0;
    if (lane !== undefined && hasLarge(lane) && memory.charsLeft(lane) <= 0) return 0;
    // A slow or paced lane keeps little, so that no lease is held for longer than it must be.
    const { max_in_flight, rate_per_second } = shareOf(destination);
    const rate = lane === undefined ? rate_per_second : rateOf(lane.limit, rate_per_second);
    const is_part = max_in_flight < destination.max_in_flight;
    const most = is_part ? Math.min(PART_ROUNDS * max_in_flight, QUEUE_MAX) : QUEUE_MAX;
    const few = lane?.slow === true || rate !== null;
    const capacity = few ? Math.min(capOf(lane, destination), Math.ceil(rate ?? most)) : most;
    return Math.max(0, Math.min(capacity - (lane?.load.deliveries ?? 0), left));
  }

  /** How many to claim, by what the bodies of the last claim had: what does not fit has to be given back. */
  function claimable(lane: Lane): number {
    return hasLarge(lane) ? Math.max(1, Math.floor(memory.charsLeft(lane) / lane.body_bytes)) : QUEUE_MAX;
  }

  /** Keeps room free while something is being claimed or stored; negative numbers end that. */
  function reserve(lane: Lane, deliveries: number, chars = 0): void {
    memory.add(lane, deliveries, chars);
  }

  function capOf(lane: Lane | undefined, destination: Destination): number {
    return Math.min(Math.floor(lane?.limit.cap ?? SLOW_SHARE), shareOf(destination).max_in_flight);
  }

  /** Whether other dispatchers alone send to it: its limits have fewer parts than there are dispatchers. */
  function isLeft(destination: Destination): boolean {
    return shareOf(destination).max_in_flight === 0;
  }

  function ownRateOf({ limit, destination }: Lane): number | null {
    return rateOf(limit, destination === null ? null : shareOf(destination).rate_per_second);
  }

  function push(lane: Lane, ready: readonly Ready[]): void {
    const [head] = lane.queue;
    for (const one of ready) {
      // What a person asked for waits behind nothing.
      if (isAsked(one)) lane.queue.unshift(one);
      else lane.queue.push(one);
      count(lane, one, 1);
    }
    lookAtHead(lane, head);
  }

  /** A lane that waits aside for the body at its head need not, when that is another one now. */
  function lookAtHead(lane: Lane, before: Ready | undefined): void {
    if (lane.queue[0] !== before) rotation.leave(lane);
    rotation.enter(lane);
  }

  /** As one that waits in the queue, or, with -1, does not any more. */
  function count(lane: Lane, { body }: Ready, more: 1 | -1): void {
    memory.add(lane, more, more * weightOf(body.length));
  }

  /** The next lane of the rotation, or undefined when the slots are taken. It must be asked `mayStart`. */
  function next(): Lane | undefined {
    const lane = in_flight.fast < SLOTS ? rotation.next({ slow: false }) : undefined;
    return lane ?? (in_flight.slow < SLOW_SLOTS ? rotation.next({ slow: true }) : undefined);
  }

  function mayStart(lane: Lane, now: number): boolean {
    const { destination, queue, flights } = lane;
    if (destination === null || queue.length === 0 || delayOf(lane, now) > 0) return false;
    return flights.size < capOf(lane, destination) && memory.maySendMore(lane);
  }

  /** Milliseconds until the rate and the receiver let it start; a clock that was set back makes that no longer than it is. */
  function delayOf(lane: Lane, now: number): number {
    const [first] = lane.queue;
    const held_ms = first === undefined || isAsked(first) ? 0 : heldFor(lane.limit, now);
    return Math.max(held_ms, rateDelayOf(lane, now));
  }

  function rateDelayOf(lane: Lane, now: number): number {
    const rate = ownRateOf(lane);
    if (rate === null) return 0;
    lane.next_start_at = Math.min(lane.next_start_at, now + 1_000 / rate);
    return lane.next_start_at - now;
  }

  /** Whether it may start nothing for a while, but what a person asked for: the table is where the rest waits. */
  function isResting(lane: Lane, now: number): boolean {
    return Math.max(heldFor(lane.limit, now), rateDelayOf(lane, now)) > REST_MAX_MS;
  }

  /** Takes from the head of the queue what may not be sent any more; answers what must be given back. */
  function skip(lane: Lane, maySend: (ready: Ready) => boolean): Ready[] {
    const skipped: Ready[] = [];
    for (let first = lane.queue[0]; first !== undefined && !maySend(first); first = lane.queue[0]) {
      skipped.push(take(lane));
    }
    return skipped;
  }

  function start(lane: Lane, now: number): Flight {
    const ready = take(lane);
    const rate = ownRateOf(lane);
    noteStart(lane.limit, now);
    if (rate !== null) {
      // A timer that fired late is made up for, so that the rate is reached; a pause is not, so that there is no burst.
      const from = now - lane.next_start_at <= LATE_MAX_MS ? lane.next_start_at : now;
      lane.next_start_at = from + 1_000 / rate;
    }
    const started_with = lane.flights.size + 1;
    const { round } = lane.limit;
    const flight: Flight = { ready, started_at: now, round, started_with, previous: null, next: null };
    append(lane.flights, flight);
    memory.addSent(lane, ready.body.length);
    in_flight[lane.slow ? "slow" : "fast"]++;
    rotation.enter(lane);
    return flight;
  }

  /** What was taken from its queue: by itself, the first. */
  function take(lane: Lane, ready = lane.queue.shift()): Ready {
    assert(ready !== undefined, "there is something to take");
    count(lane, ready, -1);
    return ready;
  }

  /** What its answer says is learned, whoever asked for the request; a slow lane is fast again when all of it is. */
  function finish(lane: Lane, flight: Flight, now: number, reaction: Reaction): void {
    remove(lane.flights, flight);
    memory.addSent(lane, -flight.ready.body.length);
    lane.ended_at = now;
    in_flight[lane.slow ? "slow" : "fast"]--;
    const fast = now - flight.started_at < SLOW_AFTER_MS;
    if (!fast) setSlow(lane, true);
    else if (lane.slow && !hasSlowFlight(lane, now)) setSlow(lane, false);
    const { round, started_with } = flight;
    const flown = { round, started_with, ended_with: lane.flights.size + 1 };
    react(lane.limit, reaction, flown, { now, bounds: boundsOf(lane) });
    rotation.enter(lane);
  }

  function boundsOf({ destination, limit, slow }: Lane): Bounds {
    const share = destination === null ? null : shareOf(destination);
    // Where others send, what is still in flight here must not leave a limit under which nothing ever starts.
    const wanted = Math.min(SLOTS, Math.max(1, share?.max_in_flight ?? limit.cap));
    const most = slow ? Math.min(wanted, SLOW_SHARE) : wanted;
    return { wanted, most, rate: share?.rate_per_second ?? null };
  }

  /** Finds the lanes whose oldest request has been in flight for too long; answers what must be given back. */
  function demoteSlow(now: number): Ready[] {
    const given_back: Ready[] = [];
    for (const lane of lanes.values()) {
      if (lane.slow || !hasSlowFlight(lane, now)) continue;
      setSlow(lane, true);
      const isTooLong = () => lane.queue.length > lane.limit.cap || memory.isOver(lane);
      while (lane.queue.length > 0 && isTooLong()) given_back.push(take(lane, lane.queue.pop()));
    }
    return given_back;
  }

  /**
   * Takes from lanes what they cannot send soon, for it would hold the room of those that can: what they had taken before
   * their receivers asked for less. Answers what must be given back.
   */
  function lighten(now: number): Ready[] {
    const given_back: Ready[] = [];
    for (const lane of lanes.values()) {
      if (lane.queue.length === 0) continue;
      const rate = ownRateOf(lane);
      const most = rate === null ? Number.POSITIVE_INFINITY : Math.min(lane.limit.cap, Math.ceil(rate));
      if (isResting(lane, now)) given_back.push(...clear(lane, (ready) => !isAsked(ready)));
      while (lane.queue.length > most) given_back.push(take(lane, lane.queue.pop()));
    }
    return given_back;
  }

  function hasSlowFlight(lane: Lane, now: number): boolean {
    const oldest = lane.flights.first;
    return oldest !== null && now - oldest.started_at >= SLOW_AFTER_MS;
  }

  function setSlow(lane: Lane, slow: boolean): void {
    if (lane.slow === slow) return;
    in_flight[slow ? "fast" : "slow"] -= lane.flights.size;
    in_flight[slow ? "slow" : "fast"] += lane.flights.size;
    rotation.leave(lane);
    lane.slow = slow;
    memory.move(lane);
    // What was cut for another reason stays cut.
    lane.limit.cap = Math.min(lane.limit.cap, SLOW_SHARE);
    rotation.enter(lane);
  }

  /** Empties the queue in memory, or takes out what `select` names; answers what must be given back. */
  function clear(lane: Lane, select: (ready: Ready) => boolean = () => true): Ready[] {
    const [head] = lane.queue;
    const out = lane.queue.filter(select);
    if (out.length > 0) lane.queue = lane.queue.filter((ready) => !select(ready));
    for (const ready of out) count(lane, ready, -1);
    lookAtHead(lane, head);
    return out;
  }

  /** Forgets a lane with nothing to do, so that lanes are as many as destinations that are busy, or were limited lately. */
  function prune(now: number): void {
    for (const [id, lane] of lanes) {
      const idle = lane.queue.length === 0 && lane.flights.size === 0 && !lane.claiming;
      const rest_ms = Math.abs(now - lane.ended_at);
      if ((lane.slow || isLearned(lane.limit)) && rest_ms < MEMORY_MS) continue;
      // A new one would begin its rate anew, and not know how much its receiver was sent in the last second.
      if (rest_ms < 2 * COUNTED_MS || delayOf(lane, now) > 0) continue;
      if (idle && lane.load.deliveries === 0 && lane.due_at === Number.POSITIVE_INFINITY) lanes.delete(id);
    }
  }

  function counts() {
    const queued = [...lanes.values()].reduce((sum, { queue }) => sum + queue.length, 0);
    return { queued, in_flight: in_flight.fast + in_flight.slow, lanes: lanes.size };
  }

  return {
    ...{
      open,
      setDestination,
      room,
      claimable,
      isNearlyFull: memory.isNearlyFull,
      shortageOf: (lane: Lane) => memory.shortageOf(lane, hasLarge(lane)),
      isShort: memory.isShort,
      fitting: memory.fitting,
      reserve,
      push,
      enterRotation: rotation.enter,
      next,
      skip,
      delayOf,
      mayStart,
      start,
      finish,
      demoteSlow,
      lighten,
      isResting,
      clear,
      prune,
      isLeft,
    },
    ...createLaneLimits(lanes, presence, SLOTS_OF_EACH),
    get: (id: string) => lanes.get(id),
    all: () => lanes.values(),
    counts,
    /** What lanes hold in memory altogether. */
    used: memory.counts,
  };
}
