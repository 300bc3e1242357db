// The loop that sends: takes deliveries from memory or from the table, makes attempts, settles them. One for each
// process with the role `dispatcher`. The table is the truth: a hint that is lost costs at most one poll, and a process
// that dies costs its leases. Every step is idempotent under the fencing token.
import type { Destination } from "../destinations/destination.ts";
import type { Committer } from "../platform/committer.ts";
import { type AttemptContext, attempt, type Claimed, giveUp, type Ready, wasInterruptedTooOften } from "./attempt.ts";
import { deliveryId } from "./delivery.ts";
import { createLanes, type Flight, type Lane, type Lanes } from "./lanes.ts";
import { createLeases, type Held, isHeld, LEASE_MS } from "./leases.ts";
import { NOTHING_SAID, reactionOf } from "./pressure.ts";
import { createReviews, type ReviewsOptions } from "./reviews.ts";
import type { Settlement } from "./settle-store.ts";
import { createSettling, UNSETTLED_MAX } from "./settling.ts";
import { claimShared } from "./sharing.ts";
import type { DeliveryStore } from "./store.ts";

const POLL_MS = 1_000;
const SLOW_CHECK_MS = 250;
const CLAIM_MAX = 100;

export interface Clock {
  now(): number;
  /** Calls back once; the answer cancels it. */
  after(delay_ms: number, callback: () => void): () => void;
}

export interface DispatcherOptions {
  store: DeliveryStore;
  committer: Pick<Committer, "channel">;
  destinations: ReviewsOptions["destinations"] & {
    find(id: string): Promise<Destination | null>;
    onChange(listener: (id: string) => void): void;
  };
  egress: AttemptContext["egress"];
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
  /** A hint: something of this destination is due at that time. */
  wake(destination_id: string, due_at: number): void;
  /** Drops a delivery that was canceled or claimed anew: it is not sent as this attempt, nor as an earlier one. */
  forget(destination_id: string, position: string, attempt: number): void;
  start(): Promise<void>;
  /** Stops sending, gives leases back and waits for what is in flight, at most so long; false when that was too short. */
  stop(deadline_ms: number): Promise<boolean>;
  counts(): { queued: number; in_flight: number; unsettled: number };
  limitsOf(destination_id: string): ReturnType<Lanes["limitsOf"]>;
}

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { store, destinations, clock, log } = options;
  const lanes = createLanes();
  const context: AttemptContext = { egress: options.egress, now: clock.now, random: options.random };
  const timers = new Map<string, () => void>();
  let state: "idle" | "starting" | "running" | "stopping" = "idle";
  /** Claims and returns under way: a stop waits for them. */
  let working = 0;
  let drained = () => {};
  const settling = createSettling({ committer: options.committer, clock, log, recorded, changed: settlingChanged });
  const reviews = createReviews({ destinations, clock, log });
  const leases = createLeases({
    ...{ store, log, held, now: clock.now },
    lost: ({ destination_id, position, attempt }) => forget(destination_id, position, attempt),
  });

  destinations.onChange((id) => {
    const lane = lanes.get(id);
    if (lane !== undefined) void reload(lane);
  });

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
    schedule(`rate ${lane.id}`, delay_ms, () => {
      lanes.awaitTurn(lane);
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

  function recorded({ key, decision, outcome, counts, record }: Settlement): void {
    const { destination_id } = key;
    if (decision.due_at !== null) wake(destination_id, decision.due_at);
    if (decision.state === "failed" && !decision.restored) {
      log("delivery.failed", { delivery_id: deliveryId(key), destination_id, reason: decision.reason }, "warn");
    }
    if (outcome === undefined || !counts) return;
    if (outcome.kind !== "accepted" && outcome.disable !== undefined) reviews.refused(destination_id, outcome.disable);
    else if (outcome.kind !== "accepted") reviews.failed(destination_id);
    else if (record.trigger === "probe" || lanes.get(destination_id)?.destination?.state === "paused") {
      reviews.succeeded(destination_id);
    }
  }

  function settlingChanged(): void {
    if (settling.count() === UNSETTLED_MAX - 1) pump();
    if (isDrained()) drained();
  }

  // Claiming.

  function refill(lane: Lane): void {
    if (state !== "running" || lane.claiming || lane.due_at > clock.now()) return;
    if (settling.isFull() || settling.isBehind()) return;
    const { destination } = lane;
    if (destination !== null && lane.queue.length > 0 && lanes.room(lane, destination) < CLAIM_MAX / 2) return;
    lane.claiming = true;
    void work(claim(lane))
      .catch((error: unknown) => {
        // The poll tries again; until then the lane rests.
        log("deliveries.not_claimed", { destination_id: lane.id, error }, "warn");
        lane.due_at = clock.now() + POLL_MS;
      })
      .finally(() => {
        lane.claiming = false;
        if (lane.due_at <= clock.now()) refill(lane);
        else watch(lane);
      });
  }

  async function claim(lane: Lane): Promise<void> {
    const destination = await destinations.find(lane.id);
    lane.destination = destination;
    // When the clock jumped, what is in flight here would look left by somebody.
    await leases.keep();
    const room = destination === null ? 0 : Math.min(lanes.room(lane, destination), CLAIM_MAX);
    if (destination === null || room === 0 || state !== "running") {
      lane.due_at = destination === null ? Number.POSITIVE_INFINITY : clock.now() + SLOW_CHECK_MS;
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
    take(lane, destination, ready);
  }

  async function claimUpTo(limit: number, lane: Lane, destination: Destination): Promise<Ready[]> {
    const now = clock.now();
    const lease_until = now + LEASE_MS;
    const bounds = { now, lease_until, limit, asked_only: !isSending(destination) };
    // A hint that comes meanwhile may be about what this claim does not see.
    lane.due_at = Number.POSITIVE_INFINITY;
    const { claimed, next_due_at } = await claimShared(store, lane, bounds);
    if (next_due_at !== null && !bounds.asked_only) lane.due_at = Math.min(lane.due_at, next_due_at);
    const is_paused = destination.state === "paused";
    if (is_paused && claimed.length < limit) claimed.push(...(await store.claimProbe(lane.id, bounds)));
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
    const events = new Map((await store.readBodies(app_id, positions)).map((one) => [one.position, one]));
    const hopeless = new Set<Claimed>();
    for (const one of held) if (await wasInterruptedTooOften(one, () => store.countRecords(one))) hopeless.add(one);
    const ready: Ready[] = [];
    for (const one of held) {
      const event = events.get(one.position);
      if (event === undefined) abandon(one, "The event was erased before it could be delivered.");
      else if (hopeless.has(one)) abandon(one, "Given up: the server ended too often during its attempts.");
      else ready.push({ ...one, event_id: event.id, body: event.body, is_test: event.target_id !== null });
    }
    return ready;
  }

  /** What arrives while it stops goes back at once, and so does what others have taken the room for. */
  function take(lane: Lane, destination: Destination, ready: readonly Ready[]): void {
    const room = state === "running" ? lanes.room(lane, destination) : 0;
    lanes.push(lane, ready.slice(0, room));
    giveBack(ready.slice(room));
    pump();
  }

  function abandon(ready: Claimed, reason: string): void {
    settling.record(ready, giveUp(ready, reason, clock.now()));
  }

  /** A hint for later needs a timer of its own only when it comes before the next poll. */
  function watch(lane: Lane): void {
    const delay_ms = lane.due_at - clock.now();
    if (delay_ms > 0 && delay_ms < POLL_MS) schedule(`due ${lane.id}`, delay_ms, () => refill(lane));
  }

  // Hints.

  function wake(destination_id: string, due_at: number): void {
    if (state !== "running") return;
    const lane = lanes.open(destination_id);
    lane.due_at = Math.min(lane.due_at, due_at);
    refill(lane);
    watch(lane);
  }

  function reserve(destination: Destination, wanted: number): number {
    // What is paused takes nothing into memory: it is tried by probes.
    if (state !== "running" || settling.isFull() || destination.state === "paused") return 0;
    const count = Math.min(wanted, lanes.room(lanes.get(destination.id), destination));
    if (count > 0) lanes.reserve(lanes.open(destination.id), count);
    return count;
  }

  function release(destination: Destination, reserved: number): void {
    lanes.reserve(lanes.open(destination.id), -reserved);
  }

  function accept(destination: Destination, ready: readonly Ready[], reserved: number): void {
    release(destination, reserved);
    const lane = lanes.open(destination.id);
    lane.destination ??= destination;
    take(lane, destination, ready);
  }

  function forget(destination_id: string, position: string, attempt: number): void {
    const lane = lanes.get(destination_id);
    if (lane !== undefined) lanes.clear(lane, (ready) => ready.position === position && ready.attempt <= attempt);
  }

  async function reload(lane: Lane): Promise<void> {
    const was_stopped = lane.destination !== null && !isSending(lane.destination);
    lane.destination = null;
    const destination = await destinations.find(lane.id).catch(() => null);
    lane.destination = destination;
    if (was_stopped && destination?.state === "active") lanes.slowDown(lane, clock.now());
    // What a person asked for is sent even while it is off; the rest waits in the table.
    giveBack(lanes.clear(lane, (ready) => destination === null || !isSendable(ready, destination)));
    lanes.awaitTurn(lane);
    pump();
  }

  function giveBack(unsent: readonly Held[]): void {
    if (unsent.length > 0) void work(leases.giveBack(unsent));
  }

  function work(promise: Promise<void>): Promise<void> {
    working++;
    return promise.finally(() => {
      working--;
      if (isDrained()) drained();
    });
  }

  // Time.

  function schedule(name: string, delay_ms: number, callback: () => void): void {
    timers.get(name)?.();
    const run = () => {
      timers.delete(name);
      callback();
    };
    timers.set(name, clock.after(delay_ms, run));
  }

  async function poll(): Promise<void> {
    try {
      for (const { destination_id, due_at } of await store.findDue()) {
        const lane = lanes.open(destination_id);
        // Probes have times of their own, and what is not known yet may be paused.
        const may_probe = lane.destination === null || lane.destination.state === "paused";
        lane.due_at = lane.claiming ? lane.due_at : may_probe ? clock.now() : due_at;
        refill(lane);
        watch(lane);
      }
      for (const lane of lanes.all()) if (lane.queue.length > 0) void destinations.find(lane.id).catch(() => null);
      lanes.prune(clock.now());
    } catch (error) {
      log("deliveries.not_polled", { error }, "warn");
    }
    if (state === "running") schedule("poll", POLL_MS, () => void poll());
  }

  async function checkSlow(): Promise<void> {
    const now = clock.now();
    giveBack(lanes.demoteSlow(now));
    pump();
    await leases.keep();
    if (state !== "idle") schedule("slow", SLOW_CHECK_MS, () => void checkSlow());
  }

  function* held(): Iterable<Held> {
    for (const lane of lanes.all()) yield* lane.queue;
    yield* settling.held();
  }

  async function start(): Promise<void> {
    state = "starting";
    // Before it runs: what it leases itself is not left by anybody.
    if (options.exclusive) await takeUpLeft();
    if (state !== "starting") return;
    state = "running";
    await poll();
    await checkSlow();
  }

  async function takeUpLeft(): Promise<void> {
    for (const { destination_id: id } of await store.findDue()) await store.releaseAll(id, clock.now(), LEASE_MS);
  }

  async function stop(deadline_ms: number): Promise<boolean> {
    // A start that is still under way then ends without running.
    if (state === "starting") state = "idle";
    if (state !== "running") return true;
    state = "stopping";
    for (const lane of lanes.all()) giveBack(lanes.clear(lane));
    if (!isDrained()) {
      await new Promise<void>((resolve) => {
        drained = resolve;
        schedule("stop", deadline_ms, resolve);
      });
    }
    const is_drained = isDrained();
    state = "idle";
    reviews.stop();
    for (const cancel of timers.values()) cancel();
    timers.clear();
    return is_drained;
  }

  const isDrained = () => state === "stopping" && settling.count() === 0 && working === 0;
  const counts = () => ({ ...lanes.counts(), unsettled: settling.count() });
  const limitsOf = (id: string) => lanes.limitsOf(id, clock.now());
  return { reserve, release, accept, wake, forget, start, stop, counts, limitsOf };
}

/** Nothing is sent without a lease. */
function maySend(ready: Ready, destination: Destination, now: number): boolean {
  return isHeld(ready, now) && isSendable(ready, destination);
}

/** What a person asked for is sent even while the destination is off, and a probe while it is paused. */
function isSendable({ trigger }: Ready, destination: Destination): boolean {
  if (isSending(destination) || trigger === "manual" || trigger === "test") return true;
  return trigger === "probe" && destination.state === "paused";
}

function isSending(destination: Destination): boolean {
  return destination.state === "active";
}
