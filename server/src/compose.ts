// Puts the modules together, each with what it needs of the others. Called by main.ts, and by tests that talk to the whole
// server in their own process. Nothing runs before `open` but the egress gate's own timer, and nothing after `stop`.
import type { Server as HttpServer } from "node:http";
import type { FastifyInstance } from "fastify";
import { createAccounts } from "./accounts/accounts.ts";
import { createGate } from "./api/access.ts";
import { createApp } from "./api/app.ts";
import { appHandlers } from "./api/apps.ts";
import type { Handlers } from "./api/bind.ts";
import { deliveryHandlers } from "./api/deliveries.ts";
import { serverVersion } from "./api/docs.ts";
import { eventHandlers } from "./api/events.ts";
import { healthHandlers } from "./api/health.ts";
import { keyHandlers } from "./api/keys.ts";
import { noticeHandlers } from "./api/notices.ts";
import { replayHandlers } from "./api/replays.ts";
import { signingKeyHandlers } from "./api/signing-keys.ts";
import { webhookHandlers } from "./api/webhooks.ts";
import { composeEdge } from "./compose-edge.ts";
import { composeNotices } from "./compose-notices.ts";
import { composeTail } from "./compose-tail.ts";
import type { Config } from "./config.ts";
import type { Secrets } from "./data-dir.ts";
import { createDeliveries, type DeliveriesOptions } from "./deliveries/deliveries.ts";
import { createDispatcher, type Dispatcher } from "./deliveries/dispatcher.ts";
import { createExpiryStore } from "./deliveries/expiry-store.ts";
import { ALONE, createPresence } from "./deliveries/presence.ts";
import { createPresenceStore } from "./deliveries/presence-store.ts";
import { createPresentLimits } from "./deliveries/present-limits.ts";
import { createRecovery } from "./deliveries/recovery.ts";
import { createReplayRunner } from "./deliveries/replay-runner.ts";
import { createReplayStore } from "./deliveries/replay-store.ts";
import { createReplayWalk } from "./deliveries/replay-walk-store.ts";
import { createReplays } from "./deliveries/replays.ts";
import { createDeliveryStore } from "./deliveries/store.ts";
import { createDestinations } from "./destinations/destinations.ts";
import { createEventLog } from "./events/append.ts";
import { createChecks } from "./events/checks.ts";
import { createErasing } from "./events/erasing.ts";
import { createErasingStore } from "./events/erasing-store.ts";
import { createEvents } from "./events/events.ts";
import { createEventExpiry } from "./events/expiry-store.ts";
import { createFates } from "./events/fates.ts";
import { createFatesStore } from "./events/fates-store.ts";
import { createFilterChecks } from "./events/filter-check.ts";
import { createEventStore } from "./events/store.ts";
import { createClickExpiry } from "./links/expiry-store.ts";
import { createCommitter } from "./platform/committer.ts";
import type { Database } from "./platform/database.ts";
import { createEgress } from "./platform/egress.ts";
import { createHints, type Hints } from "./platform/hints.ts";
import { createIds, type Ids, SYSTEM_IDS } from "./platform/ids.ts";
import { log } from "./platform/log.ts";
import { createReadiness } from "./platform/readiness.ts";
import { createSealer } from "./platform/sealing.ts";
import { createWriteWatch } from "./platform/write-watch.ts";
import { createRetention } from "./retention/retention.ts";
import { createRetentionStore } from "./retention/store.ts";

const REMOVALS_EVERY_MS = 60_000;
/** Of the time that a stop may take, what is kept for the work after the last delivery: commits and closing. */
const STOP_RESERVE_MS = 1_500;

const IDLE_CHECK_MS = 50;
/** How long requests that are under way at a stop may take; what is cut off was not answered, and comes again. */
const CLOSE_MAX_MS = 5_000;

export type Server = Awaited<ReturnType<typeof composeServer>>;

/** Builds every module; nothing listens or runs until the database is migrated and `open` was called. */
export async function composeServer(config: Config, secrets: Pick<Secrets, "seal_key" | "admin_token">, db: Database) {
  const source = SYSTEM_IDS;
  const ids = createIds(source);
  /** Open answers; ready has begun all that it does as well. */
  const state = { is_open: false, is_ready: false, is_stopping: false };
  const { event_retention_days, delivery_retention_days } = config;
  const accounts = createAccounts({ db, ids, source, keeping: { event_retention_days, delivery_retention_days } });
  const askDatabase = createReadiness(db);
  const parts = { db, ids, keepingOf: accounts.findApp, isAnswering: askDatabase };
  const pipeline = composePipeline(config, secrets, parts);
  const retention = composeRetention(db, ids);
  const { destinations, dispatcher, notices } = pipeline;
  // One that the end of the process cuts short goes on at the next start.
  const removeRest = () => runInBackground("removals", accounts.finishRemovals(), () => !state.is_stopping);
  const edge = composeEdge({
    db,
    ids,
    source,
    accounts,
    event_log: pipeline.event_log,
    seal_key: secrets.seal_key,
    data_dir: config.data_dir,
    node: notices.node,
    publicUrl: () => config.public_url ?? addressOf(app.server, config),
  });

  if (config.roles.includes("edge")) notices.watchDrain(edge.drain.look);

  const isReady = async () => state.is_ready && !pipeline.writes.isFailing() && (await askDatabase());
  const handlers: Partial<Handlers> = { ...healthHandlers(isReady), ...signingKeyHandlers(destinations) };
  if (config.roles.includes("api")) {
    const forgetApp = async (app_id: string) => {
      pipeline.hints.changed(app_id);
      await destinations.refresh(app_id);
      removeRest();
    };
    Object.assign(
      handlers,
      appHandlers(accounts, forgetApp),
      keyHandlers(accounts),
      webhookHandlers({
        webhooks: { ...destinations, ...pipeline.recovery },
        tests: pipeline.events,
        checks: { ...pipeline.checks, ...pipeline.filter_checks },
        lookUpLimits: pipeline.lookUpLimits,
      }),
      deliveryHandlers(pipeline.deliveries),
      replayHandlers(pipeline.replays),
      eventHandlers(pipeline.events, pipeline.erasing, pipeline.fates),
      noticeHandlers(notices.notices),
      pipeline.tail.handlers,
      edge.link_handlers,
    );
  }
  if (config.roles.includes("edge")) Object.assign(handlers, edge.sdk_handlers);
  const app = await createApp({
    gate: createGate(accounts, secrets.admin_token),
    handlers,
    urlProblem: pipeline.egress.checkAtOnce,
    roles: config.roles,
    pages: config.roles.includes("edge") ? [edge.pages] : [],
    trusted_proxies: config.trusted_proxies,
    isOpen: () => state.is_open,
  });

  let removals: NodeJS.Timeout | undefined;
  /** To be called once, when the schema is current and the server listens. A stop may come at any of its awaits, and ends it. */
  async function open(): Promise<void> {
    await begin();
    state.is_ready = !state.is_stopping;
  }

  async function begin(): Promise<void> {
    await pipeline.tail.start();
    if (state.is_stopping) return;
    state.is_open = true;
    notices.start();
    if (config.roles.includes("dispatcher")) {
      await dispatcher.start();
      if (state.is_stopping) return;
      pipeline.replay_runner.start();
      retention.start();
    }
    listenToOthers(pipeline);
    if (config.roles.includes("edge")) await edge.start();
    if (state.is_stopping || !config.roles.includes("api")) return;
    removeRest();
    removals = setInterval(removeRest, REMOVALS_EVERY_MS);
  }

  /**
   * Stops accepting, lets what is in flight end, at most so long, then lets go of the database. False when attempts were left
   * that could not be finished and recorded: they are made again.
   */
  async function stop(deadline_ms: number): Promise<boolean> {
    state.is_stopping = true;
    clearInterval(removals);
    pipeline.checks.stop();
    const tail_stopped = pipeline.tail.stop();
    const replaying = pipeline.replay_runner.stop();
    const removing = retention.stop();
    const draining = dispatcher.stop(Math.max(0, deadline_ms - STOP_RESERVE_MS));
    const telling = notices.stop();
    await closeApp(app);
    const is_drained = await draining;
    await Promise.all([replaying, tail_stopped]);
    await removing;
    await pipeline.hints.stop();
    await telling;
    await edge.stop();
    await pipeline.committer.idle();
    await pipeline.egress.close();
    await db.close();
    return is_drained;
  }

  return { app, open, stop, address: () => addressOf(app.server, config) };
}

interface PipelineParts {
  db: Database;
  ids: Ids;
  keepingOf: DeliveriesOptions["keepingOf"];
  isAnswering(): Promise<boolean>;
}

/** From an event to its deliveries and out: the modules that every role shares. */
function composePipeline(config: Config, secrets: Pick<Secrets, "seal_key">, parts: PipelineParts) {
  const { db, ids, keepingOf, isAnswering } = parts;
  const { now } = Date;
  const clock = { now, after: runAfter };
  const writes = createWriteWatch({ database: db, log, now });
  const committer = createCommitter({ engine: db.engine, batch: batchAndTell });
  const egress = createEgress({ allow: config.egress_allow });
  const hints = createHints({ wire: db.wire, sender: ids.cid(), after: runAfter, log });
  const { seal_key } = secrets;
  const version = serverVersion();
  const notices = composeNotices({ config, seal_key, version, db, ids, clock, egress, writes, isAnswering });
  const destinations = createDestinations({
    db,
    ids,
    now,
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
    announce: hints.changed,
  });
  destinations.onChange(notices.wake);
  const tail = composeTail({ db, destinations, clock });
  const transaction: Database["transaction"] = async (work, limits) => {
    const result = await db.transaction(work, limits);
    tail.hint();
    return result;
  };
  const told_db: Database = { ...db, transaction };
  const store = createDeliveryStore(told_db);
  async function batchAndTell(statements: Parameters<Database["batch"]>[0]) {
    const rows = await writes.batch(statements);
    tail.hint();
    return rows;
  }
  // An SQLite file has one process; with PostgreSQL there may be others, whose leases are alive and who share the limits.
  const exclusive = db.engine === "sqlite";
  const nodes = exclusive ? null : createPresenceStore(db);
  const presence =
    nodes === null ? ALONE : createPresence({ store: nodes, clock, id: ids.uuid(), tell: hints.dispatchers, log });
  const dispatcher = createDispatcher({
    store,
    committer,
    destinations,
    egress,
    presence,
    log,
    clock,
    random: Math.random,
    exclusive,
  });
  const is_dispatcher = config.roles.includes("dispatcher");
  const { lookUpLimits } = createPresentLimits({ is_dispatcher, dispatcher, presence, store: nodes, now });
  const waking = wakeOthersToo(dispatcher, hints);
  const event_log = createEventLog({ committer, destinations, dispatcher: waking, now });
  const event_store = createEventStore(db);
  const events = createEvents({ event_log, store: event_store, deliveries: store, destinations, ids, now });
  const erasing = createErasing({
    ...{ store: createErasingStore(told_db), events: event_store, dispatcher: waking, log, now },
  });
  const fates = createFates({ store: createFatesStore(db), history: event_store, destinations });
  const filter_checks = createFilterChecks({ store: event_store });
  const checks = createChecks({ destinations, egress, ids, now });
  const deliveries = createDeliveries({
    ...{ store, destinations, dispatcher: waking, positionOf: events.positionOf, keepingOf, now },
  });
  const replaying = { store: createReplayStore(told_db), walk: createReplayWalk(db), destinations };
  const replay_runner = createReplayRunner({ ...replaying, dispatcher: waking, clock, log });
  const wakeReplays = () => {
    replay_runner.wake();
    hints.replays();
  };
  const replays = createReplays({ ...replaying, dispatcher: waking, ids, now, wake: wakeReplays });
  const recovery = createRecovery({ webhooks: destinations, replays, now });
  const looking = { fates, filter_checks, recovery, lookUpLimits };
  const recording = { writes, committer, egress, hints, event_log, events, erasing, checks, tail };
  const delivering = { store, destinations, presence, dispatcher, deliveries, replays, replay_runner };
  return { ...recording, ...looking, ...delivering, notices };
}

function composeRetention(db: Database, ids: Ids) {
  return createRetention({
    store: createRetentionStore(db),
    deliveries: createExpiryStore(db),
    events: createEventExpiry(db),
    clicks: createClickExpiry(db),
    clock: { now: Date.now, after: runAfter },
    elapsed: () => performance.now(),
    holder: ids.uuid(),
    log,
  });
}

/** What is due and in no memory here may be delivered by any process, and what is claimed may wait in the memory of another. */
function wakeOthersToo(dispatcher: Dispatcher, hints: Hints): Dispatcher {
  return {
    ...dispatcher,
    wake(destination_id, due_at) {
      dispatcher.wake(destination_id, due_at);
      hints.due(destination_id);
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

function listenToOthers(pipeline: ReturnType<typeof composePipeline>): void {
  const { hints, store, destinations, presence, dispatcher, replay_runner } = pipeline;
  const wakeAll = async () => {
    for (const { destination_id, due_at } of await store.findDue()) dispatcher.wake(destination_id, due_at);
  };
  hints.listen({
    due: (destination_id) => dispatcher.wake(destination_id, Date.now()),
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

/** Where the server can be reached while no LINKME_PUBLIC_URL says otherwise. */
function addressOf(server: HttpServer, { host, port }: Config): string {
  const address = server.address();
  const bound_port = typeof address === "object" && address !== null ? address.port : port;
  return `http://${host.includes(":") ? `[${host}]` : host}:${bound_port}`;
}

/** Ends when the last request was answered: connections that clients keep open are closed as they fall idle. */
async function closeApp(app: FastifyInstance): Promise<void> {
  const idle = setInterval(() => app.server.closeIdleConnections(), IDLE_CHECK_MS);
  // A client that connected and sends nothing, or no more, is idle to nobody and would hold up everything behind this.
  const late = setTimeout(() => app.server.closeAllConnections(), CLOSE_MAX_MS);
  await app.close();
  clearInterval(idle);
  clearTimeout(late);
}

function runAfter(delay_ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, delay_ms);
  return () => clearTimeout(timer);
}

function runInBackground(what: string, work: Promise<void>, matters: () => boolean): void {
  // It runs again with the next tick, so a failure only has to be seen.
  work.catch((error) => {
    if (matters()) log("background.failed", { what, error }, "warn");
  });
}
