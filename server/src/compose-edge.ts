// Puts together what visitors and apps talk to: links, the recorder with its spool, and claims. Called by compose.ts.
// Has no effect before `start`.
import type { Accounts } from "./accounts/accounts.ts";
import { registerEdge } from "./api/edge.ts";
import { sdkHandlers } from "./api/linkme.ts";
import { linkHandlers } from "./api/links.ts";
import { createClaims } from "./claims/claims.ts";
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
}

export function composeEdge(parts: EdgeParts) {
  const { db, ids, source, accounts, event_log } = parts;
  const { now } = source;
  const timeText = createTimeText();
  const compose = (event: NewEvent) => composeEvent(event, ids, event.ts ?? now(), timeText);
  const fingerprints = createFingerprints(parts.seal_key);
  const links = createLinks({ db, ids, source, accounts, publicUrl: parts.publicUrl, links_max: parts.links_max });
  const claims = createClaims({ db, log: event_log, links, accounts, fingerprints, compose, now });
  const spool = createSpool(parts.data_dir);
  const drain = createDrainWatch({ spool, node: parts.node, now });
  const recorder = createRecorder({
    log: event_log,
    spool,
    now,
    note(event) {
      logNote(event);
      if (event.event === "spool.failed") drain.noteLost(event.clicks ?? 0);
    },
    fateOf: (click) => selectClickFate(db, click.row),
  });
  const redirect = createRedirect({
    resolve: links.resolve,
    record: recorder.record,
    cid: ids.cid,
    compose,
    fingerprints,
    now,
  });
  const visitors = createForgetting(db);
  let forgetting: NodeJS.Timeout | undefined;
  let is_stopped = false;

  async function start(): Promise<void> {
    await recorder.start();
    if (is_stopped) return;
    const run = () =>
      // It runs again in a minute, so a failure only has to be seen.
      void visitors.forget(now()).catch((error) => log("background.failed", { what: "fingerprints", error }, "warn"));
    run();
    forgetting = setInterval(run, FORGET_EVERY_MS);
  }

  /** To be called when no request is left; waits for clicks that are being written. */
  async function stop(): Promise<void> {
    is_stopped = true;
    clearInterval(forgetting);
    await visitors.stop();
    await recorder.stop();
    await spool.close();
  }

  return {
    sdk_handlers: sdkHandlers({ accounts, claims }),
    link_handlers: linkHandlers(links),
    pages: (app: Parameters<typeof registerEdge>[0]) => registerEdge(app, { ...redirect, isOwnHost: links.isOwnHost }),
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
