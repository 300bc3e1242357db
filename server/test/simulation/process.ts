// One process of a simulated world: the real committer, destinations, event log, dispatcher and management functions,
// put together as the server does it, on a simulated clock, network and boundary. Started by story.ts.
import { createDeliveries, type Deliveries } from "../../src/deliveries/deliveries.ts";
import { createDispatcher, type Dispatcher } from "../../src/deliveries/dispatcher.ts";
import { ALONE, createPresence, type Presence } from "../../src/deliveries/presence.ts";
import { createPresenceStore } from "../../src/deliveries/presence-store.ts";
import type { LookUpLimits } from "../../src/deliveries/present-limits.ts";
import { createDeliveryStore } from "../../src/deliveries/store.ts";
import { createDestinations, type Destinations } from "../../src/destinations/destinations.ts";
import { createEventLog } from "../../src/events/append.ts";
import { createEvents, type Events } from "../../src/events/events.ts";
import { createEventStore } from "../../src/events/store.ts";
import { createCommitter } from "../../src/platform/committer.ts";
import { createIds } from "../../src/platform/ids.ts";
import { createSealer, SEAL_KEY_BYTES } from "../../src/platform/sealing.ts";
import type { Ledger } from "./ledger.ts";
import { connect, createLife, type Life } from "./life.ts";
import type { Receivers } from "./receivers.ts";
import type { World } from "./world.ts";

export interface Process {
  readonly life: Life;
  readonly dispatcher: Dispatcher;
  readonly presence: Presence;
  readonly destinations: Destinations;
  readonly events: Events;
  readonly deliveries: Deliveries;
  /** Calls of the outside that this process is still working on. */
  readonly calls: Set<Promise<unknown>>;
  /** True when it has taken up what an earlier process left. */
  started: boolean;
  /** True from the moment when it takes no more calls. */
  stopping: boolean;
}

const SEALER = createSealer(new Uint8Array(SEAL_KEY_BYTES));
/** A world lives for minutes, so its destinations are paused soon. */
const PAUSE_EARLY = { pause_after_failures: 4, pause_after_ms: 3_000, disable_after_ms: Number.MAX_SAFE_INTEGER };

export interface Surroundings {
  world: World;
  ledger: Ledger;
  receivers: Receivers;
}

export function createProcess(
  { world, ledger, receivers }: Surroundings,
  name: string,
  options: { exclusive: boolean; skewed: boolean; tell(): void },
): Process {
  const { random } = world;
  const life = createLife(world, name, options.skewed);
  const { now } = life.clock;
  const db = connect(world, life, ledger);
  const ids = createIds({ now, random: random.fill });
  const egress = { send: receivers.gateOf(life, ledger), check: async () => null };
  // A round of the event loop takes a while in a world, so that what comes meanwhile shares the transaction.
  const pause = () => new Promise<void>((resolve) => void life.clock.after(1, resolve));
  const committer = createCommitter(db, pause);
  const destinations = createDestinations({
    ...{ db, ids, egress, now, version: "0.0.0", sealer: SEALER, default_retry_schedule: [] },
    failure_rules: PAUSE_EARLY,
  });
  const store = createDeliveryStore(db);
  const log = (event: string, fields: Record<string, unknown>) => {
    world.note(`${name} ${event} ${describe(fields)}`);
    if (event === "deliveries.turn_missed") world.violate("turns are passed on where they end, not mended later");
    if (event === "delivery.unrecorded") world.violate("every attempt can be recorded");
  };
  const presence = options.exclusive
    ? ALONE
    : createPresence({ store: createPresenceStore(db), clock: life.clock, id: name, tell: losing(options.tell), log });
  const dispatcher = createDispatcher({
    ...{ store, committer, destinations, egress, presence, clock: life.clock, random: random.next, log },
    exclusive: options.exclusive,
  });
  const hinted = { ...dispatcher, wake: losing(dispatcher.wake) };
  const event_log = createEventLog({ committer, destinations, dispatcher: hinted, now });
  const lookUpHolds: LookUpLimits = async () => (webhook) => dispatcher.limitsOf(webhook.id);
  const events = createEvents({
    ...{ lookUpHolds, event_log, destinations, ids, now, store: createEventStore(db), deliveries: store },
  });
  const deliveries = createDeliveries({
    ...{ lookUpHolds, store, destinations, now, dispatcher: hinted, positionOf: events.positionOf },
    keepingOf: async () => ({ event_retention_days: null, delivery_retention_days: null }),
  });

  function losing<Args extends unknown[]>(hint: (...args: Args) => void): (...args: Args) => void {
    return (...args) => {
      if (!random.chance(world.weather.hints_lost)) hint(...args);
    };
  }

  const state = { calls: new Set<Promise<unknown>>(), started: false, stopping: false };
  return { life, dispatcher, presence, destinations, events, deliveries, ...state };
}

function describe(fields: Record<string, unknown>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}=${value instanceof Error ? value.message : String(value)}`)
    .join(" ");
}
