// Puts the modules together, each with what it needs of the others. Called by main.ts, and by tests that talk to the whole
// server in their own process. Nothing runs before `open` but the egress gate's own timer, and nothing after `stop`.
import type { Server as HttpServer } from "node:http";
import type { FastifyInstance } from "fastify";
import { createAccounts } from "./accounts/accounts.ts";
import { openCountries } from "./analytics/country.ts";
import { createFolding } from "./analytics/folding.ts";
import { createTallyStore } from "./analytics/tally-store.ts";
import { createGate } from "./api/access.ts";
import { createApp } from "./api/app.ts";
import { appHandlers } from "./api/apps.ts";
import type { Handlers } from "./api/bind.ts";
import { deliveryHandlers } from "./api/deliveries.ts";
import { destinationHandlers } from "./api/destinations.ts";
import { eventHandlers } from "./api/events.ts";
import { ga4SetupHandlers } from "./api/ga4-setup.ts";
import { healthHandlers } from "./api/health.ts";
import { keyHandlers } from "./api/keys.ts";
import { noticeHandlers } from "./api/notices.ts";
import { createRateLimits } from "./api/rate-limits.ts";
import { replayHandlers } from "./api/replays.ts";
import { signingKeyHandlers } from "./api/signing-keys.ts";
import { webhookHandlers } from "./api/webhooks.ts";
import { createAppEventExpiry } from "./claims/app-event-store.ts";
import { createIdentityExpiry } from "./claims/identity-store.ts";
import { composeEdge } from "./compose-edge.ts";
import { composePersons } from "./compose-persons.ts";
import { composePipeline, listenToOthers, type Pipeline, runAfter } from "./compose-pipeline.ts";
import type { Config } from "./config.ts";
import type { Secrets } from "./data-dir.ts";
import { createExpiryStore } from "./deliveries/expiry-store.ts";
import { typeInfos } from "./destinations/types.ts";
import { createEventExpiry } from "./events/expiry-store.ts";
import { createLinkCounting } from "./links/count-store.ts";
import { createClickExpiry } from "./links/expiry-store.ts";
import type { Database } from "./platform/database.ts";
import { createIds, type Ids, SYSTEM_IDS } from "./platform/ids.ts";
import { log } from "./platform/log.ts";
import { createReadiness } from "./platform/readiness.ts";
import { createRetention } from "./retention/retention.ts";
import { createRetentionStore } from "./retention/store.ts";
import { createGa4Arrival } from "./setup/ga4-arrival.ts";
import { createGa4Setup } from "./setup/ga4-setup.ts";
import { GOOGLE, type GoogleAddresses } from "./setup/google.ts";

const REMOVALS_EVERY_MS = 60_000;
/** Of the time that a stop may take, what is kept for the work after the last delivery: commits and closing. */
const STOP_RESERVE_MS = 1_500;
/** Of that, to record what was cut off. */
const RECORD_LIMIT_MS = 500;

const IDLE_CHECK_MS = 50;
/** How long requests that are under way at a stop may take; what is cut off was not answered, and comes again. */
const CLOSE_MAX_MS = 5_000;

export type Server = Awaited<ReturnType<typeof composeServer>>;

/** Builds every module; nothing listens or runs until the database is migrated and `open` was called. */
/** @param google where Google's APIs are: a test has its own */
export async function composeServer(
  config: Config,
  secrets: Pick<Secrets, "seal_key" | "admin_token">,
  db: Database,
  google: GoogleAddresses = GOOGLE,
) {
  const source = SYSTEM_IDS;
  const ids = createIds(source);
  /** Open answers; ready has begun all that it does as well. */
  const state = { is_open: false, is_ready: false, is_stopping: false };
  const { event_retention_days, delivery_retention_days } = config;
  const accounts = createAccounts({
    ...{ db, ids, source, keeping: { event_retention_days, delivery_retention_days } },
    domains_max: config.domains_per_app,
  });
  const askDatabase = createReadiness(db);
  const hasConsent = async (app_id: string) => (await accounts.findApp(app_id))?.analytics_consent ?? false;
  const parts = { db, ids, keepingOf: accounts.findApp, hasConsent, isAnswering: askDatabase };
  const pipeline = composePipeline(config, secrets, parts);
  const retention = composeRetention(db, ids);
  const folding = composeFolding(db);
  const { destinations, notices } = pipeline;
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
    links_max: config.links_per_app,
    crawlers: config.crawlers,
    publicUrl: publicUrlOf(() => app.server, config),
    countryOf: await openCountries(config.roles.includes("edge") ? config.geoip_database : null),
  });

  const persons = composePersons({
    ...{ db, ids, accounts, erasing: pipeline.erasing },
    ...{ clock: { now: Date.now, after: runAfter }, seal_key: secrets.seal_key },
  });

  if (config.roles.includes("edge")) notices.watchDrain(edge.drain.look);

  const isReady = async () => state.is_ready && !pipeline.writes.isFailing() && (await askDatabase());
  const forgetApp = async (app_id: string) => {
    pipeline.hints.changed(app_id);
    await destinations.refresh(app_id);
    removeRest();
  };
  const handlers = composeHandlers(config, { accounts, pipeline, edge, persons, isReady, forgetApp, google });
  const app = await createApp({
    gate: createGate(accounts, secrets.admin_token),
    limits: createRateLimits(config, source.now),
    handlers,
    urlProblem: pipeline.egress.checkAtOnce,
    roles: config.roles,
    pages: config.roles.includes("edge") ? [edge.pages] : [],
    trusted_proxies: config.trusted_proxies,
    isOpen: () => state.is_open,
  });

  const life = composeLife(config, { db, app, state, pipeline, retention, folding, edge, persons, removeRest });
  return { app, ...life, address: () => addressOf(app.server, config) };
}

interface HandlerParts {
  accounts: ReturnType<typeof createAccounts>;
  pipeline: Pipeline;
  edge: Edge;
  persons: PersonsPart;
  isReady(): Promise<boolean>;
  forgetApp(app_id: string): Promise<void>;
  google: GoogleAddresses;
}

/** What answers calls, by the roles of the process. */
function composeHandlers(config: Config, parts: HandlerParts) {
  const { accounts, pipeline, edge, persons, isReady, forgetApp, google } = parts;
  const { destinations, notices } = pipeline;
  const ga4 = {
    ...{ egress: pipeline.egress, addresses: google, now: Date.now, findApp: accounts.findApp },
    ...{ createDestination: destinations.createDestination, listDestinations: destinations.listDestinations },
    bound: pipeline.checks.bound,
  };
  const handlers: Partial<Handlers> = { ...healthHandlers(isReady), ...signingKeyHandlers(destinations) };
  if (config.roles.includes("api")) {
    Object.assign(
      handlers,
      appHandlers(accounts, forgetApp),
      keyHandlers(accounts),
      webhookHandlers({
        webhooks: { ...destinations, ...pipeline.recovering },
        tests: pipeline.events,
        checks: { ...pipeline.checks, ...pipeline.filter_checks },
        showPresent: pipeline.showPresent,
      }),
      destinationHandlers({
        ...{ types: typeInfos, destinations: { ...destinations, ...pipeline.recovering } },
        ...{ trials: pipeline.vendor_trials, tests: pipeline.events, ledger: pipeline.deliveries },
        ...{ replays: pipeline.replays, showPresent: pipeline.showPresent },
      }),
      ga4SetupHandlers({ ...createGa4Setup(ga4), ...createGa4Arrival(ga4) }),
      deliveryHandlers(pipeline.deliveries),
      replayHandlers(pipeline.replays),
      eventHandlers(pipeline.events, pipeline.erasing, pipeline.fates),
      noticeHandlers(notices.notices),
      pipeline.tail.handlers,
      edge.app_event_handlers,
      edge.link_handlers,
      persons.handlers,
    );
  }
  if (config.roles.includes("edge")) Object.assign(handlers, edge.sdk_handlers);
  return handlers;
}

interface LifeParts {
  db: Database;
  app: FastifyInstance;
  state: { is_open: boolean; is_ready: boolean; is_stopping: boolean };
  pipeline: Pipeline;
  retention: ReturnType<typeof composeRetention>;
  folding: ReturnType<typeof composeFolding>;
  edge: Edge;
  persons: PersonsPart;
  removeRest(): void;
}

/** How all of it starts and stops. */
function composeLife(config: Config, parts: LifeParts) {
  const { db, app, state, pipeline, retention, folding, edge, persons, removeRest } = parts;
  const { dispatcher, notices } = pipeline;
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
      persons.start();
      folding.start();
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
    const removing = Promise.all([retention.stop(), persons.stop()]);
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
    await folding.stop();
    await pipeline.egress.close();
    await dispatcher.waitForRecords(RECORD_LIMIT_MS);
    await db.close();
    return is_drained;
  }

  return { open, stop };
}

type Edge = ReturnType<typeof composeEdge>;
type PersonsPart = ReturnType<typeof composePersons>;

function composeRetention(db: Database, ids: Ids) {
  return createRetention({
    store: createRetentionStore(db),
    deliveries: createExpiryStore(db),
    events: createEventExpiry(db),
    clicks: createClickExpiry(db),
    app_events: createAppEventExpiry(db),
    identities: createIdentityExpiry(db),
    clock: { now: Date.now, after: runAfter },
    elapsed: () => performance.now(),
    holder: ids.uuid(),
    log,
  });
}

function composeFolding(db: Database) {
  const clock = { now: Date.now, after: runAfter };
  const beside = createLinkCounting(db).foldSome;
  return createFolding({ store: createTallyStore(db), beside, clock, elapsed: () => performance.now(), log });
}

/** The address under which people know the server; asked for at every redirect. */
function publicUrlOf(server: () => HttpServer, config: Config): () => string {
  let known = config.public_url;
  return () => {
    if (known !== null) return known;
    const url = addressOf(server(), config);
    // Before it listens the port may be any.
    if (server().listening) known = url;
    return url;
  };
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

function runInBackground(what: string, work: Promise<void>, matters: () => boolean): void {
  // It runs again with the next tick, so a failure only has to be seen.
  work.catch((error) => {
    if (matters()) log("background.failed", { what, error }, "warn");
  });
}
