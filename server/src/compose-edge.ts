// Puts together what visitors and apps talk to: links, the recorder with its spool, and claims. Called by compose.ts.
// Has no effect before `start`.
import type { Accounts } from "./accounts/accounts.ts";
import { createAnalytics } from "./analytics/analytics.ts";
import { createRobots } from "./analytics/robots.ts";
import { insertTallies } from "./analytics/tally-store.ts";
import { analyticsHandlers } from "./api/analytics.ts";
import { registerAssociation } from "./api/association.ts";
import { registerEdge } from "./api/edge.ts";
import { linkCsvHandlers } from "./api/link-csv.ts";
import { linkListHandlers } from "./api/link-lists.ts";
import { appEventHandlers, sdkHandlers } from "./api/linkme.ts";
import { linkHandlers } from "./api/links.ts";
import { utmPresetHandlers } from "./api/utm-presets.ts";
import { createAppEvents } from "./claims/app-events.ts";
import { createCallers } from "./claims/callers.ts";
import { createClaims } from "./claims/claims.ts";
import { createIdentities } from "./claims/identities.ts";
import { createDeviceHash } from "./claims/identity.ts";
import { createStoring } from "./claims/storing.ts";
import type { EventLog } from "./events/append.ts";
import { composeEvent, type NewEvent } from "./events/event.ts";
import { createDrainWatch } from "./links/drain-watch.ts";
import { createFingerprints } from "./links/fingerprint.ts";
import { createForgetting } from "./links/forget.ts";
import { createLinks } from "./links/links.ts";
import { createRecorder } from "./links/recorder.ts";
import { createRedirect } from "./links/redirect.ts";
import type { RecorderNote } from "./links/spool-drain.ts";
import { selectClickFate } from "./links/store.ts";
import type { Database } from "./platform/database.ts";
import type { IdSource, Ids } from "./platform/ids.ts";
import { log } from "./platform/log.ts";
import { createSeldomLog } from "./platform/seldom-log.ts";
import { createSpool } from "./platform/spool.ts";
import { createTimeText } from "./platform/time-text.ts";

const FORGET_EVERY_MS = 60_000;

export interface EdgeParts {
  db: Database;
  ids: Ids;
  source: IdSource;
  accounts: Accounts;
  event_log: EventLog;
  seal_key: Buffer;
  /** Where the spool lives. */
  data_dir: string;
  /** That place, for people who run several machines. */
  node: string;
  publicUrl(): string;
  /** How many links an app may have. */
  links_max: number;
  /** Further words of User-Agents that only crawlers send. */
  crawlers: readonly string[];
  /** Two letters, or null. */
  countryOf(ip: string): string | null;
}

export function composeEdge(parts: EdgeParts) {
  const { db, ids, source, accounts, event_log } = parts;
  const { now } = source;
  const timeText = createTimeText();
  const compose = (event: NewEvent) => composeEvent(event, ids, event.ts ?? now(), timeText);
  const fingerprints = createFingerprints(parts.seal_key);
  const links = createLinks({ db, ids, source, accounts, publicUrl: parts.publicUrl, links_max: parts.links_max });
  const logFailure = createSeldomLog(log, now);
  const logClaim = createSeldomLog(log, now, "claims");
  const store = createStoring(event_log, ids.uuid);
  const identities = createIdentities({ db, store, hashDevice: createDeviceHash(parts.seal_key), now });
  const callers = createCallers({ db, links, accounts });
  const claims = createClaims({
    ...{ db, store, identities, links, accounts, fingerprints, compose, now },
    note: ({ event, ...fields }) => logClaim(event, { ...fields }),
  });
  const app_events = createAppEvents({
    ...{ db, store, identities, accounts, ids, compose, now },
    failed: (error) => logFailure("app_event.lost", { error }, "warn"),
  });
  const spool = createSpool(parts.data_dir);
  const drain = createDrainWatch({ spool, node: parts.node, now });
  const analytics = createAnalytics({ db, findLink: links.findLink, now });
  const robots = createRobots({
    write: (tallies) => db.query(insertTallies(tallies, ids.uuid)),
    now,
    failed: (error) => log("background.failed", { what: "counts of bots", error }, "warn"),
  });
  const recorder = createRecorder({
    log: event_log,
    spool,
    now,
    newId: ids.uuid,
    note(event) {
      logNote(event);
      if (event.event === "spool.failed") drain.noteLost(event.clicks ?? 0);
    },
    fateOf: (click) => selectClickFate(db, click.row),
  });
  const redirect = createRedirect({
    resolve: links.resolve,
    resolveRoot: links.resolveRoot,
    addressOf: links.addressOf,
    record: recorder.record,
    cid: ids.cid,
    compose,
    fingerprints,
    now,
    crawlers: parts.crawlers,
    countryOf: parts.countryOf,
    countRobot: robots.count,
  });
  const visitors = createForgetting(db);
  let forgetting: NodeJS.Timeout | undefined;
  let is_stopped = false;

  async function start(): Promise<void> {
    await recorder.start();
    if (is_stopped) return;
    robots.start();
    const run = () => {
      // Both run again in a minute, so a failure only has to be seen.
      void visitors.forget(now()).catch((error) => log("background.failed", { what: "fingerprints", error }, "warn"));
      void analytics
        .removeOldHours()
        .catch((error) => log("background.failed", { what: "hours of clicks", error }, "warn"));
    };
    run();
    forgetting = setInterval(run, FORGET_EVERY_MS);
  }

  /** To be called when no request is left; waits for clicks that are being written. */
  async function stop(): Promise<void> {
    is_stopped = true;
    clearInterval(forgetting);
    await Promise.all([visitors.stop(), analytics.stop(), robots.stop()]);
    await recorder.stop();
    await spool.close();
  }

  async function findAppOf(hostname: string) {
    const domain = await accounts.findDomain(hostname);
    return domain === null ? null : accounts.findApp(domain.app_id);
  }

  return {
    sdk_handlers: sdkHandlers({ accounts, callers, claims, app_events }),
    app_event_handlers: appEventHandlers(app_events),
    link_handlers: {
      ...linkHandlers(links),
      ...linkListHandlers(links),
      ...utmPresetHandlers(links),
      ...linkCsvHandlers({ db, links, publicUrl: parts.publicUrl, log }),
      ...analyticsHandlers(analytics),
    },
    pages: (app: Parameters<typeof registerEdge>[0]) => {
      const { isOwnHost } = links;
      registerAssociation(app, { isOwnHost, findAppOf, listApps: accounts.listAllApps, now });
      registerEdge(app, { ...redirect, isOwnHost });
    },
    drain,
    start,
    stop,
  };
}

function logNote(note: RecorderNote): void {
  const { event, ...fields } = note;
  const is_failure = event === "spool.failed" || event === "click.failed";
  log(event, fields, is_failure ? "error" : "info");
}
