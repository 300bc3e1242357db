// The loop that sends: takes deliveries from memory or from the table, makes attempts, settles them. One for each
// process with the role `dispatcher`. The table is the truth: a hint that is lost costs at most one poll, and a process
// that dies costs its leases. Every step is idempotent under the fencing token.
import type { Destination } from "../destinations/destination.ts";
import type { Committer, Submit } from "../platform/committer.ts";
import { isDatabaseError } from "../platform/database.ts";
import { type AttemptContext, attempt, giveUp, type Ready, wasInterruptedTooOften } from "./attempt.ts";
import { createLanes, type Flight, type Lane } from "./lanes.ts";
import { type DeliveryStore, type Settlement, settle } from "./store.ts";

/** A lease is renewed while its holder lives, so this bounds only how long a crash delays what was in flight. */
export const LEASE_MS = 45_000;
const RENEW_BEFORE_MS = 25_000;
const POLL_MS = 1_000;
const SLOW_CHECK_MS = 250;
const CLAIM_MAX = 100;
/** Finished attempts that wait to be recorded; beyond it nothing new is sent, so that memory stays bounded. */
const UNSETTLED_MAX = 2_000;
const SETTLE_RETRY_MS = 500;
const SETTLEMENTS_MAX = 500;

export interface Clock {
  now(): number;
  /** Calls back once; the answer cancels it. */
  after(delay_ms: number, callback: () => void): () => void;
}

export interface DispatcherOptions {
  store: DeliveryStore;
  committer: Pick<Committer, "channel">;
  destinations: {
    find(id: string): Promise<Destination | null>;
    disable(id: string, reason: string): Promise<void>;
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
  /** How many fresh deliveries may be inserted with this process's lease on them. */
  allowance(destination: Destination): number;
  /** Takes fresh deliveries whose lease was committed. */
  accept(destination: Destination, ready: readonly Ready[]): void;
  /** A hint: something of this destination is due at that time. */
  wake(destination_id: string, due_at: number): void;
  /** Takes a delivery back that was canceled or claimed anew. */
  forget(destination_id: string, position: string): void;
  start(): Promise<void>;
  /** Stops sending, gives leases back and waits for what is in flight, at most so long. */
  stop(deadline_ms: number): Promise<void>;
  counts(): { queued: number; in_flight: number; unsettled: number };
}

export function createDispatcher(options: DispatcherOptions): Dispatcher {
  const { store, destinations, clock, log } = options;
  const lanes = createLanes();
  const submit: Submit<Settlement, void> = options.committer.channel({ compose: settle, max_items: SETTLEMENTS_MAX });
  const context: AttemptContext = { egress: options.egress, now: clock.now, random: options.random };
  const timers = new Map<string, () => void>();
  let unsettled = 0;
  let state: "idle" | "running" | "stopping" = "idle";
  let last_renewal = 0;
  let drained = () => {};

  destinations.onChange((id) => {
    const lane = lanes.get(id);
    if (lane !== undefined) void reload(lane);
  });

  // Starting.

  function pump(): void {
    for (let lane = nextLane(); lane !== undefined; lane = nextLane()) {
      const now = clock.now();
      if (!lanes.mayStart(lane, now)) {
        waitForRate(lane, now);
        continue;
      }
      launch(lane, lanes.start(lane, now));
      refill(lane);
    }
  }

  function nextLane(): Lane | undefined {
    return state === "running" && unsettled < UNSETTLED_MAX ? lanes.next() : undefined;
  }

  function waitForRate(lane: Lane, now: number): void {
    if (lane.next_start_at <= now || lane.queue.length === 0) return;
    schedule(`rate ${lane.id}`, lane.next_start_at - now, () => {
      lanes.awaitTurn(lane);
      pump();
    });
  }

  function launch(lane: Lane, flight: Flight): void {
    const { destination } = lane;
    if (destination === null) return;
    unsettled++;
    attempt(context, flight.ready, destination)
      .then(record, (error: unknown) => {
        // A bug of ours, never of the receiver: the lease runs out, and the delivery is due again.
        log("delivery.unrecorded", { destination_id: lane.id, position: flight.ready.position, error }, "error");
        forgetSettlement();
      })
      .finally(() => {
        lanes.finish(lane, flight, clock.now());
        pump();
        refill(lane);
      });
  }

  // Settling.

  function record(settlement: Settlement): void {
    submit(settlement).then(
      () => recorded(settlement),
      (error: unknown) => {
        if (!isDatabaseError(error, "unavailable")) {
          // Nothing is lost: the lease runs out and the delivery is due again.
          log("delivery.unrecorded", { ...settlement.key, error }, "error");
          return forgetSettlement();
        }
        clock.after(SETTLE_RETRY_MS, () => record(settlement));
      },
    );
  }

  function recorded({ key, decision, outcome }: Settlement): void {
    forgetSettlement();
    if (decision.due_at !== null) wake(key.destination_id, decision.due_at);
    if (decision.state === "failed") log("delivery.failed", { ...key, reason: decision.reason }, "warn");
    if (outcome === undefined || outcome.kind === "accepted" || outcome.disable === undefined) return;
    destinations.disable(key.destination_id, outcome.disable).catch((error: unknown) => {
      // The next answer of this kind disables it.
      log("destination.not_disabled", { destination_id: key.destination_id, error }, "error");
    });
  }

  function forgetSettlement(): void {
    unsettled--;
    if (unsettled === UNSETTLED_MAX - 1) pump();
    if (state === "stopping" && unsettled === 0) drained();
  }

  // Claiming.

  function refill(lane: Lane): void {
    if (state !== "running" || lane.claiming || lane.due_at > clock.now() || unsettled >= UNSETTLED_MAX) return;
    const { destination } = lane;
    if (destination !== null && lane.queue.length > 0 && lanes.room(lane, destination) < CLAIM_MAX / 2) return;
    lane.claiming = true;
    void claim(lane)
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
    const room = destination === null ? 0 : lanes.room(lane, destination);
    if (destination === null || room === 0) {
      lane.due_at = destination === null ? Number.POSITIVE_INFINITY : clock.now() + SLOW_CHECK_MS;
      return;
    }
    const now = clock.now();
    const lease_until = now + LEASE_MS;
    const limit = Math.min(room, CLAIM_MAX);
    const bounds = { now, lease_until, limit, first_only: !isSending(destination) };
    const { claimed, next_due_at } = await store.claim(lane.id, bounds);
    lane.due_at = next_due_at === null || bounds.first_only ? Number.POSITIVE_INFINITY : next_due_at;
    const bodies = new Map(
      (await store.readBodies(destination.app_id, positionsOf(claimed))).map((one) => [one.position, one]),
    );
    const ready: Ready[] = [];
    for (const row of claimed) {
      const event = bodies.get(row.position);
      const one = { ...row, destination_id: lane.id, lease_until };
      if (event === undefined) abandon(one, "The event was erased before it could be delivered.");
      else if (wasInterruptedTooOften(row)) abandon(one, "Given up: the server ended too often during its attempts.");
      else ready.push({ ...one, event_id: event.id, body: event.body });
    }
    lanes.push(lane, ready);
    pump();
  }

  function abandon(ready: Omit<Ready, "body" | "event_id">, reason: string): void {
    unsettled++;
    record(giveUp(ready, reason, clock.now()));
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

  function allowance(destination: Destination): number {
    return state === "running" && unsettled < UNSETTLED_MAX ? lanes.room(lanes.get(destination.id), destination) : 0;
  }

  function accept(destination: Destination, ready: readonly Ready[]): void {
    const lane = lanes.open(destination.id);
    lane.destination ??= destination;
    lanes.push(lane, ready);
    pump();
  }

  function forget(destination_id: string, position: string): void {
    const lane = lanes.get(destination_id);
    if (lane !== undefined) lanes.clear(lane, (ready) => ready.position === position);
  }

  async function reload(lane: Lane): Promise<void> {
    lane.destination = null;
    const destination = await destinations.find(lane.id).catch(() => null);
    lane.destination = destination;
    if (destination === null || !isSending(destination)) {
      // What a person asked for is sent even while it is off; the rest waits in the table.
      giveBack(
        lanes.clear(lane, (ready) => destination === null || ready.trigger === "auto" || ready.trigger === "replay"),
      );
    }
    lanes.awaitTurn(lane);
    pump();
  }

  function giveBack(ready: readonly Ready[]): void {
    if (ready.length === 0) return;
    store.release(ready, clock.now()).catch((error: unknown) => {
      // Their leases run out by themselves.
      log("deliveries.not_released", { count: ready.length, error }, "warn");
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
        lane.due_at = lane.claiming ? lane.due_at : due_at;
        refill(lane);
        watch(lane);
      }
      for (const lane of lanes.all()) if (lane.queue.length > 0) void destinations.find(lane.id).catch(() => null);
      lanes.prune();
    } catch (error) {
      log("deliveries.not_polled", { error }, "warn");
    }
    if (state === "running") schedule("poll", POLL_MS, () => void poll());
  }

  async function checkSlow(): Promise<void> {
    const now = clock.now();
    giveBack(lanes.demoteSlow(now));
    pump();
    if (now - last_renewal >= LEASE_MS - RENEW_BEFORE_MS) await renew(now);
    if (state !== "idle") schedule("slow", SLOW_CHECK_MS, () => void checkSlow());
  }

  async function renew(now: number): Promise<void> {
    last_renewal = now;
    const held: Ready[] = [];
    for (const lane of lanes.all()) held.push(...lane.queue, ...[...lane.flights].map((flight) => flight.ready));
    const ending = held.filter((ready) => ready.lease_until < now + RENEW_BEFORE_MS);
    if (ending.length === 0) return;
    try {
      await store.renew(ending, now + LEASE_MS);
      for (const ready of ending) ready.lease_until = now + LEASE_MS;
    } catch (error) {
      // A lease that is lost means a second attempt by somebody else, never a lost delivery.
      log("deliveries.not_renewed", { count: ending.length, error }, "warn");
      last_renewal = 0;
    }
  }

  async function start(): Promise<void> {
    state = "running";
    if (options.exclusive) await takeUpLeft();
    await poll();
    await checkSlow();
  }

  async function takeUpLeft(): Promise<void> {
    for (const { destination_id } of await store.findDue())
      await store.releaseAll(destination_id, clock.now(), LEASE_MS);
  }

  async function stop(deadline_ms: number): Promise<void> {
    if (state !== "running") return;
    state = "stopping";
    for (const lane of lanes.all()) giveBack(lanes.clear(lane));
    if (unsettled > 0) {
      await new Promise<void>((resolve) => {
        drained = resolve;
        schedule("stop", deadline_ms, resolve);
      });
    }
    state = "idle";
    for (const cancel of timers.values()) cancel();
    timers.clear();
  }

  const counts = () => ({ ...lanes.counts(), unsettled });
  return { allowance, accept, wake, forget, start, stop, counts };
}

function isSending(destination: Destination): boolean {
  return destination.state === "active" || destination.state === "paused";
}

function positionsOf(rows: readonly { position: string }[]): string[] {
  return rows.map((row) => row.position);
}
