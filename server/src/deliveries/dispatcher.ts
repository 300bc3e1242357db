// The loop that sends: takes deliveries from memory or from the table, makes attempts, settles them. One for each
// process with the role `dispatcher`. The table is the truth: a hint that is lost costs at most one poll, and a process
// that dies costs its leases. Every step is idempotent under the fencing token.
import { failureOf } from "#destination-types/definition.ts";
import type { Destination } from "../destinations/destination.ts";
import type { Clock } from "../platform/clock.ts";
import type { Committer } from "../platform/committer.ts";
import { createSeldomLog } from "../platform/seldom-log.ts";
import { type AttemptContext, attempt, type Ready } from "./attempt.ts";
import { noteOldest } from "./both-ends.ts";
import { createClaiming, POLL_MS, SLOW_CHECK_MS } from "./claiming.ts";
import { deliveryId } from "./delivery.ts";
import { DUE_FIRST } from "./due.ts";
import { createForgotten } from "./forgotten.ts";
import { createLanes, type Flight, type Lane, type Lanes } from "./lanes.ts";
import { createLeases, LEASE_MS, type Leased } from "./leases.ts";
import { createLeftLeases } from "./left-leases.ts";
import type { Presence } from "./presence.ts";
import { NOTHING_SAID, reactionOf } from "./pressure.ts";
import { createReviews, type ReviewsOptions } from "./reviews.ts";
import { isSendable, maySend } from "./sendable.ts";
import type { Settlement } from "./settle-store.ts";
import { createSettling, UNSETTLED_MAX } from "./settling.ts";
import type { DeliveryStore } from "./store.ts";
import { createTimers } from "./timers.ts";
import { writeTold } from "./told-limits.ts";
import { createTurns, type TurnsOptions } from "./turns.ts";

export interface DispatcherOptions {
  store: DeliveryStore;
  committer: Pick<Committer, "channel">;
  destinations: ReviewsOptions["destinations"] &
    TurnsOptions["destinations"] & {
      find(id: string): Promise<Destination | null>;
      onChange(listener: (id: string) => void): void;
    };
  egress: AttemptContext["egress"];
  presence: Presence;
  clock: Clock;
  random(): number;
  log(event: string, fields: Record<string, unknown>, level?: "info" | "warn" | "error"): void;
  /** True when no other process dispatches from this database: leases found at the start are then dead. */
  exclusive: boolean;
}

export interface Dispatcher {
  /**
   * How many of the wanted fresh deliveries may be inserted with this process's lease on them. Room is kept for so many,
   * until `accept` or `release`, for several transactions may be under way.
   */
  reserve(destination: Destination, wanted: number): number;
  /** Takes fresh deliveries whose lease was committed, in place of what was reserved for them. */
  accept(destination: Destination, ready: readonly Ready[], reserved: number): void;
  /** Nothing was committed of what was reserved. */
  release(destination: Destination, reserved: number): void;
  /**
   * A hint: something of this destination is due at that time.
   * @param asked_at the same of what a person asked for, which may be sent when nothing else is; infinity: nothing is known
   */
  wake(destination_id: string, due_at: number, asked_at?: number): void;
  /** Drops a delivery that was canceled or claimed anew: it is not sent as this attempt, nor as an earlier one. */
  forget(destination_id: string, position: string, attempt: number): void;
  /** Lets go of what has not begun of a replay that was canceled, so that it can be taken back. */
  forgetReplay(replay_id: string): void;
  start(): Promise<void>;
  /** Stops sending, gives leases back and waits for what is in flight, at most so long; false when that was too short. */
  stop(deadline_ms: number): Promise<boolean>;
  /** After `stop`, when what it left in flight was cut off: waits until that is on record, at most so long. */
  waitForRecords(deadline_ms: number): Promise<void>;
  counts(): { queued: number; in_flight: number; unsettled: number };
  /** What this process sends it at present, for people and for told-limits.ts; null when nothing was sent lately. */
  limitsOf(destination_id: string): ReturnType<Lanes["limitsOf"]>;
  allowedOf(destination_id: string): ReturnType<Lanes["allowedOf"]>;
  begunAt: Lanes["begunAt"];
  firstBegun: Lanes["firstBegun"];
}

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { store, destinations, clock, log, presence } = options;
  /** For what is tried again every second. */
  const logSeldom = createSeldomLog(log, clock.now);
  const lanes = createLanes(presence);
  const context: AttemptContext = { egress: options.egress, store, now: clock.now, random: options.random };
  const timers = createTimers(clock);
  const forgotten = createForgotten(clock.now);
  let state: "idle" | "starting" | "running" | "stopping" = "idle";
  /** Claims and returns under way: a stop waits for them. */
  let working = 0;
  let drained = () => {};
  const settling = createSettling({ committer: options.committer, clock, log, recorded, changed: settlingChanged });
  const reviews = createReviews({ destinations, clock, log });
  const leases = createLeases({
    ...{ store, log: logSeldom, leased, now: clock.now },
    lost: ({ destination_id, position, attempt }) => forget(destination_id, position, attempt),
  });
  const left = createLeftLeases({
    store,
    log,
    logSeldom,
    timers,
    now: clock.now,
    isWanted: () => state === "starting",
  });
  const turns = createTurns({
    ...{ store, destinations, clock, log, logSeldom },
    isRunning: () => state === "running",
    find: (id) => lanes.open(id).destination,
    found: (id) => wake(id, clock.now()),
  });
  const { refill, watch, forgetCanceled, isCrowded } = createClaiming({
    ...{ store, destinations, clock, log: logSeldom, lanes, leases, settling, turns, timers },
    ...{ take, giveBack, putBack, work, forgetReplay },
    isRunning: () => state === "running",
  });

  destinations.onChange((id) => {
    const lane = lanes.get(id);
    if (lane !== undefined) void reload(lane);
  });
  presence.onChange(shareAnew);

  // Starting.

  function pump(): void {
    for (let lane = nextLane(); lane !== undefined; lane = nextLane()) {
      const now = clock.now();
      const { destination } = lane;
      const first = lane.queue[0];
      if (destination !== null && first !== undefined && !maySend(first, destination, now)) {
        giveBack(lanes.skip(lane, (ready) => maySend(ready, destination, now)));
      }
      if (destination === null || !lanes.mayStart(lane, now)) {
        waitForRate(lane, now);
        continue;
      }
      void launch(lane, destination, lanes.start(lane, now));
      refill(lane);
    }
  }

  function nextLane(): Lane | undefined {
    return state === "running" && !settling.isFull() ? lanes.next() : undefined;
  }

  function waitForRate(lane: Lane, now: number): void {
    const delay_ms = lanes.delayOf(lane, now);
    if (delay_ms === 0 || lane.queue.length === 0) return;
    timers.schedule(`rate ${lane.id}`, delay_ms, () => {
      lanes.enterRotation(lane);
      pump();
    });
  }

  async function launch(lane: Lane, destination: Destination, flight: Flight): Promise<void> {
    const { ready } = flight;
    settling.begin(ready);
    let reaction = NOTHING_SAID;
    try {
      const settlement = await attempt(context, ready, destination);
      reaction = reactionOf(settlement);
      settling.record(ready, settlement);
    } catch (error) {
      // A bug of ours, never of the receiver.
      settling.abandon(ready, error);
    }
    lanes.finish(lane, flight, clock.now(), reaction);
    pump();
    refill(lane);
  }

  function recorded({ key, order_key, decision, outcome, era, counts, record }: Settlement): void {
    const { destination_id } = key;
    // What comes next of its link may be due.
    if ((order_key ?? null) !== null) wake(destination_id, clock.now());
    if (decision.due_at !== null) wake(destination_id, decision.due_at);
    if (decision.state === "failed" && !decision.restored) {
      log("delivery.failed", { delivery_id: deliveryId(key), destination_id, reason: decision.reason }, "warn");
    }
    if (outcome === undefined || era === undefined || !counts) return;
    const was_probed = record.trigger === "probe";
    const failure = failureOf(outcome);
    if (failure?.disable !== undefined) reviews.refused(destination_id, failure.disable, era);
    else if (failure !== null) {
      reviews.failed(destination_id, { last_error: failure.message, is_hopeless: failure.pause, was_probed, era });
    } else if (was_probed || lanes.get(destination_id)?.destination?.state === "paused") {
      reviews.succeeded(destination_id, era);
    }
  }

  function settlingChanged(): void {
    if (settling.count() === UNSETTLED_MAX - 1) pump();
    if (isDrained()) drained();
  }

  // Claiming.

  /**
   * What arrives while it stops goes back at once, and so does what others have taken the room for, and what is of a replay
   * that was canceled.
   */
  function take(lane: Lane, destination: Destination, claimed: readonly Ready[]): void {
    const room = state === "running" ? lanes.room(lane, destination) : 0;
    const wanted = claimed.filter((one) => !forgotten.has({ ...one, destination_id: lane.id }));
    const ready = wanted.filter((one) => !forgotten.isOfCanceled(one));
    if (ready.length < wanted.length) letGo(wanted.filter(forgotten.isOfCanceled));
    const fit = lanes.fitting(lane, Math.min(room, ready.length), (index) => ready[index]?.body.length ?? 0);
    // What comes next is likely as large, and is not to be taken in vain.
    if (fit < ready.length && ready[fit] !== undefined)
      lane.body_bytes = Math.max(lane.body_bytes, ready[fit].body.length);
    lanes.push(lane, ready.slice(0, fit));
    putBack(lane, ready.slice(fit));
    pump();
  }

  function putBack(lane: Lane, unsent: readonly Leased[]): void {
    if (unsent.length > 0) void work(leases.giveBack(unsent).then(() => wake(lane.id, clock.now())));
  }

  // Hints.

  function wake(destination_id: string, due_at: number, asked_at = due_at): void {
    if (state !== "running") return;
    const lane = lanes.open(destination_id);
    lane.due_at = Math.min(lane.due_at, due_at);
    lane.asked_at = Math.min(lane.asked_at, asked_at);
    refill(lane);
    watch(lane);
  }

  function reserve(destination: Destination, wanted: number): number {
    // What is paused takes nothing into memory: it is tried by probes.
    if (state !== "running" || settling.isFull() || destination.state === "paused") return 0;
    const lane = lanes.get(destination.id);
    if (lane !== undefined && (lanes.isResting(lane, clock.now()) || isCrowded(lane))) return 0;
    const count = Math.min(wanted, lanes.room(lane, destination));
    if (count > 0) lanes.reserve(lanes.open(destination.id), count);
    return count;
  }

  function release(destination: Destination, reserved: number): void {
    lanes.reserve(lanes.open(destination.id), -reserved);
  }

  function accept(destination: Destination, ready: readonly Ready[], reserved: number): void {
    release(destination, reserved);
    const [first] = ready;
    if (first !== undefined) leases.took(first.lease_until);
    const lane = lanes.open(destination.id);
    if (lane.destination === null) lanes.setDestination(lane, destination, clock.now());
    take(lane, destination, ready);
  }

  function forget(destination_id: string, position: string, attempt: number): void {
    forgotten.note({ destination_id, position, attempt });
    const lane = lanes.get(destination_id);
    if (lane !== undefined) lanes.clear(lane, (ready) => ready.position === position && ready.attempt <= attempt);
  }

  function forgetReplay(replay_id: string): void {
    forgotten.noteReplay(replay_id);
    letGo([...lanes.all()].flatMap((lane) => lanes.clear(lane, forgotten.isOfCanceled)));
  }

  /** What it holds waits until it is known where to, and is not given back to a database that does not answer. */
  async function reload(lane: Lane): Promise<void> {
    lanes.setDestination(lane, null, clock.now());
    const destination = await destinations.find(lane.id).catch(() => undefined);
    if (destination === undefined) {
      if (state === "running") timers.schedule(`reload ${lane.id}`, POLL_MS, () => void reload(lane));
      return;
    }
    lanes.setDestination(lane, destination, clock.now());
    // What a person asked for is sent even while it is off; the rest waits in the table.
    const is_left = destination === null || lanes.isLeft(destination);
    giveBack(lanes.clear(lane, (ready) => is_left || !isSendable(ready, destination)));
    lanes.enterRotation(lane);
    pump();
  }

  /** A dispatcher has joined or left. What others alone may send now goes back; what they left is looked for. */
  function shareAnew(): void {
    if (state !== "running") return;
    for (const lane of lanes.all()) {
      if (lane.destination !== null && lanes.isLeft(lane.destination)) giveBack(lanes.clear(lane));
      lanes.enterRotation(lane);
    }
    pump();
    timers.schedule("poll", 0, () => void poll());
  }

  function giveBack(unsent: readonly Leased[]): void {
    if (unsent.length > 0) void work(leases.giveBack(unsent));
  }

  /** Without a lease it is taken back whenever it is due; nobody is to claim it before, and it is not to stay when nobody comes. */
  function letGo(unsent: readonly Leased[]): void {
    if (unsent.length > 0) void work(leases.giveBack(unsent, clock.now() + LEASE_MS));
  }

  function work(promise: Promise<void>): Promise<void> {
    working++;
    return promise.finally(() => {
      working--;
      if (isDrained()) drained();
    });
  }

  // Time.

  async function poll(): Promise<void> {
    try {
      for (const { destination_id, due_at, asked_at } of await store.findDue()) {
        const lane = lanes.open(destination_id);
        // A hint that came meanwhile stays.
        lane.asked_at = Math.min(lane.asked_at, asked_at ?? Number.POSITIVE_INFINITY);
        // What a person asked for is due before all else, and says nothing of the others.
        if (!lane.claiming && due_at !== DUE_FIRST) noteOldest(lane.ends, due_at, clock.now());
        const { destination } = lane;
        // Probes have times of their own, the end of an order has none, and what is not known yet may be either.
        const is_due = destination === null || destination.state === "paused" || destination.ordering === "leaving";
        lane.due_at = lane.claiming ? lane.due_at : is_due ? clock.now() : due_at;
        refill(lane);
        watch(lane);
      }
      if (turns.isDue()) void work(turns.lookAtAll());
      for (const lane of lanes.all()) if (lane.queue.length > 0) void destinations.find(lane.id).catch(() => null);
      lanes.prune(clock.now());
      await forgetCanceled([...lanes.all()].flatMap(({ queue }) => queue));
    } catch (error) {
      logSeldom("deliveries.not_polled", { error }, "warn");
    }
    if (state === "running") timers.schedule("poll", POLL_MS, () => void poll());
  }

  async function checkSlow(): Promise<void> {
    const now = clock.now();
    giveBack([...lanes.demoteSlow(now), ...lanes.lighten(now)]);
    pump();
    await leases.keep();
    if (state !== "idle") timers.schedule("slow", SLOW_CHECK_MS, () => void checkSlow());
  }

  function* leased(): Iterable<Leased> {
    for (const lane of lanes.all()) yield* lane.queue;
    yield* settling.leased();
  }

  async function start(): Promise<void> {
    state = "starting";
    await presence.join(() => writeTold(lanes.told(clock.now())));
    if (state !== "starting") return;
    // Before it runs: what it leases itself is not left by anybody.
    if (options.exclusive) await left.takeUp();
    if (state !== "starting") return;
    state = "running";
    await poll();
    await checkSlow();
  }

  async function stop(deadline_ms: number): Promise<boolean> {
    const is_drained = await drain(deadline_ms);
    // Not before: until then it sends.
    await presence.leave();
    return is_drained;
  }

  async function drain(deadline_ms: number): Promise<boolean> {
    // A start that is still under way then ends without running.
    if (state === "starting") state = "idle";
    if (state !== "running") return true;
    state = "stopping";
    for (const lane of lanes.all()) giveBack(lanes.clear(lane));
    await waitForDrained(deadline_ms);
    const is_drained = isDrained();
    state = "idle";
    reviews.stop();
    timers.clear();
    return is_drained;
  }

  async function waitForRecords(deadline_ms: number): Promise<void> {
    await waitForDrained(deadline_ms);
    timers.cancel("stop");
  }

  async function waitForDrained(deadline_ms: number): Promise<void> {
    if (isDrained()) return;
    await new Promise<void>((resolve) => {
      drained = resolve;
      timers.schedule("stop", deadline_ms, resolve);
    });
  }

  const isDrained = () => state !== "running" && settling.count() === 0 && working === 0;
  const counts = () => ({ ...lanes.counts(), unsettled: settling.count() });
  const limitsOf = (id: string) => lanes.limitsOf(id, clock.now());
  const allowedOf = (id: string) => lanes.allowedOf(id, clock.now());
  const told = { limitsOf, allowedOf, begunAt: lanes.begunAt, firstBegun: lanes.firstBegun };
  return { reserve, release, accept, wake, forget, forgetReplay, start, stop, waitForRecords, counts, ...told };
}
