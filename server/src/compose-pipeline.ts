// Puts together the modules that every role shares: from an event to its deliveries and out. Called by compose.ts. Nothing
// runs before its parts are started but the egress gate's own timer.
import { serverVersion } from "./api/docs.ts";
import { composeNotices } from "./compose-notices.ts";
import { composeTail } from "./compose-tail.ts";
import type { Config } from "./config.ts";
import type { Secrets } from "./data-dir.ts";
import { nextStepOf } from "./deliveries/advice.ts";
import { createDeliveries, type DeliveriesOptions } from "./deliveries/deliveries.ts";
import { createDispatcher, type Dispatcher } from "./deliveries/dispatcher.ts";
import { ALONE, createPresence } from "./deliveries/presence.ts";
import { createPresenceStore } from "./deliveries/presence-store.ts";
import { createPresentLimits, type LookUpHolds, type PresentLimits } from "./deliveries/present-limits.ts";
import { createPresentWebhooks } from "./deliveries/present-webhooks.ts";
import { createRecovery } from "./deliveries/recovery.ts";
import { createReplayRunner } from "./deliveries/replay-runner.ts";
import { createReplayStore } from "./deliveries/replay-store.ts";
import { createReplayWalk } from "./deliveries/replay-walk-store.ts";
import { createReplays } from "./deliveries/replays.ts";
import { createDeliveryStore } from "./deliveries/store.ts";
import { createWebhookWaitsStore } from "./deliveries/webhook-waits-store.ts";
import { createDestinations } from "./destinations/destinations.ts";
import { createEventLog } from "./events/append.ts";
import { createChecks } from "./events/checks.ts";
import { createErasing } from "./events/erasing.ts";
import { createErasingStore } from "./events/erasing-store.ts";
import { createEvents } from "./events/events.ts";
import { createFates } from "./events/fates.ts";
import { createFatesStore } from "./events/fates-store.ts";
import { createFilterChecks } from "./events/filter-check.ts";
import { createEventStore } from "./events/store.ts";
import { createVendorTrials } from "./events/vendor-trials.ts";
import type { Clock } from "./platform/clock.ts";
import { type Committer, createCommitter } from "./platform/committer.ts";
import type { Database } from "./platform/database.ts";
import { createEgress, type Egress } from "./platform/egress.ts";
import { createHints, type Hints } from "./platform/hints.ts";
import type { Ids } from "./platform/ids.ts";
import { log } from "./platform/log.ts";
import { createSealer } from "./platform/sealing.ts";
import { createWriteWatch } from "./platform/write-watch.ts";

export type Pipeline = ReturnType<typeof composePipeline>;
interface PipelineParts {
  db: Database;
  ids: Ids;
  keepingOf: DeliveriesOptions["keepingOf"];
  hasConsent(app_id: string): Promise<boolean>;
  isAnswering(): Promise<boolean>;
}

/** From an event to its deliveries and out: the modules that every role shares. */
export function composePipeline(config: Config, secrets: Pick<Secrets, "seal_key">, parts: PipelineParts) {
  const { db, ids, keepingOf, hasConsent, isAnswering } = parts;
  const { now } = Date;
  const clock = { now, after: runAfter };
  const writes = createWriteWatch({ database: db, log, now });
  const egress = createEgress({ allow: config.egress_allow });
  const hints = createHints({ wire: db.wire, sender: ids.cid(), after: runAfter, log });
  const { seal_key } = secrets;
  const version = serverVersion();
  const notices = composeNotices({ config, seal_key, version, db, ids, clock, egress, writes, isAnswering });
  const destinations = composeDestinations(config, { db, ids, egress, seal_key, version, notices, hints });
  destinations.onChange(notices.wake);
  const tail = composeTail({ db, destinations, clock });
  const { told_db, batch } = tellStreams(db, writes, tail);
  const committer = createCommitter({ engine: db.engine, batch });
  const shared = { db, told_db, ids, clock, hints, egress, destinations, committer };
  const { store, waking, ...sending } = composeSending(config, shared);
  const { lookUpLimits, lookUpHolds, lookUpStandstill } = sending;
  const recording = composeEvents({ ...shared, deliveries: store, dispatcher: waking, lookUpHolds, hasConsent });
  const { positionOf } = recording.events;
  const deliveries = createDeliveries({
    store,
    destinations,
    dispatcher: waking,
    positionOf,
    keepingOf,
    lookUpHolds,
    now,
  });
  const replaying = composeReplays({ ...shared, dispatcher: waking, lookUpStandstill });
  const recovering = composeRecovery(destinations, replaying.replays, now);
  const showPresent = createPresentWebhooks({ store: createWebhookWaitsStore(db), lookUpLimits, lookUpHolds, now });
  const delivering = { store, ...sending, deliveries, ...replaying, recovering, showPresent };
  return { writes, committer, egress, hints, notices, destinations, tail, ...recording, ...delivering };
}

/** What turns a destination on again, and asks for what it missed. */
function composeRecovery(
  destinations: ReturnType<typeof composeDestinations>,
  replays: ReturnType<typeof composeReplays>["replays"],
  now: () => number,
) {
  const webhooks = createRecovery({
    ...{ replays, now, change: destinations.patchWebhook, get: destinations.getWebhook },
    openStops: destinations.openStops,
  });
  const vendors = createRecovery({
    ...{ replays, now, change: destinations.patchDestination, get: destinations.getDestination },
    openStops: destinations.openDestinationStops,
  });
  return { patchWebhook: webhooks.patch, patchDestination: vendors.patch };
}

/** The two ways to write that make streams look for what is new. */
function tellStreams(db: Database, writes: Pick<Database, "batch">, tail: ReturnType<typeof composeTail>) {
  const transaction: Database["transaction"] = async (work, limits) => {
    const result = await db.transaction(work, limits);
    tail.hint();
    return result;
  };
  const batch: Database["batch"] = async (statements) => {
    const rows = await writes.batch(statements);
    tail.hint();
    return rows;
  };
  const told_db: Database = { ...db, transaction };
  return { told_db, batch };
}

interface SharedParts {
  db: Database;
  /** The same, which tells streams what it stores. */
  told_db: Database;
  ids: Ids;
  clock: Clock;
  hints: Hints;
  egress: Egress;
  destinations: ReturnType<typeof createDestinations>;
  committer: Committer;
}

/** What sends. Who changes deliveries does so with `waking`, the same dispatcher: other processes hear of it, too. */
function composeSending(config: Config, parts: SharedParts) {
  const { db, told_db, ids, clock, hints, egress, destinations, committer } = parts;
  const store = createDeliveryStore(told_db);
  // An SQLite file has one dispatcher; with PostgreSQL there may be others, whose leases are alive and who share the limits.
  const exclusive = db.engine === "sqlite";
  const nodes = exclusive ? null : createPresenceStore(db);
  const presence =
    nodes === null ? ALONE : createPresence({ store: nodes, clock, id: ids.uuid(), tell: hints.dispatchers, log });
  const sending = { store, committer, destinations, egress, presence, log, clock, random: Math.random, exclusive };
  const dispatcher = createDispatcher(sending);
  const is_dispatcher = config.roles.includes("dispatcher");
  const limits = createPresentLimits({ is_dispatcher, dispatcher, presence, store: nodes, now: clock.now });
  return { store, presence, dispatcher, waking: wakeOthersToo(dispatcher, hints), ...limits };
}

interface EventParts extends SharedParts {
  deliveries: ReturnType<typeof createDeliveryStore>;
  dispatcher: Dispatcher;
  lookUpHolds: LookUpHolds;
  hasConsent(app_id: string): Promise<boolean>;
}

/** What takes events in, shows and erases them, and checks a receiver with some. */
function composeEvents(parts: EventParts) {
  const { db, told_db, ids, clock, egress, destinations, committer, deliveries, dispatcher, lookUpHolds, hasConsent } =
    parts;
  const { now } = clock;
  const store = createEventStore(db);
  const checks = createChecks({ destinations, egress, ids, now });
  const event_log = createEventLog({ committer, destinations, dispatcher, now });
  return {
    event_log,
    events: createEvents({ event_log, store, deliveries, destinations, lookUpHolds, hasConsent, ids, now }),
    erasing: createErasing({ store: createErasingStore(told_db), events: store, dispatcher, log, now }),
    fates: createFates({ store: createFatesStore(db), history: store, destinations }),
    checks,
    filter_checks: createFilterChecks({ store }),
    vendor_trials: createVendorTrials({ destinations, egress, ids, now, bound: checks.bound }),
  };
}

interface DestinationParts {
  db: Database;
  ids: Ids;
  egress: Egress;
  seal_key: Secrets["seal_key"];
  version: string;
  notices: Pick<ReturnType<typeof composeNotices>, "composeNotice">;
  hints: Hints;
}

const NEVER = Number.POSITIVE_INFINITY;

function composeDestinations(config: Config, parts: DestinationParts) {
  const { db, ids, egress, seal_key, version, notices, hints } = parts;
  return createDestinations({
    db,
    ids,
    now: Date.now,
    egress,
    sealer: createSealer(seal_key),
    version,
    composeNotice: notices.composeNotice,
    default_retry_schedule: config.retry_schedule,
    failure_rules: {
      pause_after_failures: config.pause_after_failures,
      pause_after_ms: config.pause_after_seconds * 1_000,
      disable_after_ms: config.disable_after_seconds * 1_000,
    },
    announce(app_id) {
      hints.changed(app_id);
      return hints.flush();
    },
    advise: nextStepOf,
  });
}

interface ReplayParts extends SharedParts {
  dispatcher: Dispatcher;
  lookUpStandstill: PresentLimits["lookUpStandstill"];
}

function composeReplays(parts: ReplayParts) {
  const { db, told_db, destinations, dispatcher, lookUpStandstill, hints, ids, clock } = parts;
  const replaying = { store: createReplayStore(told_db), walk: createReplayWalk(db), destinations };
  const replay_runner = createReplayRunner({ ...replaying, dispatcher, clock, log });
  const wake = () => {
    replay_runner.wake();
    hints.replays();
  };
  const asking = { ...replaying, dispatcher, lookUpStandstill, ids, now: clock.now, wake };
  return { replays: createReplays(asking), replay_runner };
}

/** What is due and in no memory here may be delivered by any process, and what is claimed may wait in the memory of another. */
function wakeOthersToo(dispatcher: Dispatcher, hints: Hints): Dispatcher {
  return {
    ...dispatcher,
    wake(destination_id, due_at, asked_at = due_at) {
      dispatcher.wake(destination_id, due_at, asked_at);
      hints.due(destination_id, asked_at !== NEVER);
    },
    forget(destination_id, position, attempt) {
      dispatcher.forget(destination_id, position, attempt);
      hints.dropped({ destination_id, position, attempt });
    },
    forgetReplay(replay_id) {
      dispatcher.forgetReplay(replay_id);
      hints.canceled(replay_id);
    },
  };
}

export function listenToOthers(pipeline: Pipeline): void {
  const { hints, store, destinations, presence, dispatcher, replay_runner } = pipeline;
  const wakeAll = async () => {
    for (const { destination_id, due_at, asked_at } of await store.findDue())
      dispatcher.wake(destination_id, due_at, asked_at ?? NEVER);
  };
  hints.listen({
    due(destination_id, is_asked) {
      const now = Date.now();
      dispatcher.wake(destination_id, now, is_asked ? now : NEVER);
    },
    changed: destinations.hearOf,
    replays: replay_runner.wake,
    dispatchers: presence.hear,
    dropped: ({ destination_id, position, attempt }) => dispatcher.forget(destination_id, position, attempt),
    canceled: dispatcher.forgetReplay,
    all() {
      // The next poll finds the same.
      wakeAll().catch(() => {});
      replay_runner.wake();
      presence.hear();
    },
  });
}

export function runAfter(delay_ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delay_ms);
  return () => clearTimeout(timer);
}
