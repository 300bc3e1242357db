// Puts the modules together, each with what it needs of the others. Called by main.ts, and by tests that talk to the whole
// server in their own process. Has no effect before `open`, and none after `stop`.
import { createAccounts } from "./accounts/accounts.ts";
import { createGate } from "./api/access.ts";
import { createApp } from "./api/app.ts";
import { appHandlers } from "./api/apps.ts";
import type { Handlers } from "./api/bind.ts";
import { healthHandlers } from "./api/health.ts";
import { keyHandlers } from "./api/keys.ts";
import type { Config } from "./config.ts";
import type { Secrets } from "./data-dir.ts";
import type { Database } from "./platform/database.ts";
import { createIds, SYSTEM_IDS } from "./platform/ids.ts";
import { log } from "./platform/log.ts";
import { createReadiness } from "./platform/readiness.ts";

const REMOVALS_EVERY_MS = 60_000;

export type Server = Awaited<ReturnType<typeof composeServer>>;

/** Builds every module; nothing listens or runs until the database is migrated and `open` was called. */
export async function composeServer(config: Config, secrets: Secrets, db: Database) {
  const source = SYSTEM_IDS;
  const ids = createIds(source);
  const accounts = createAccounts({ db, ids, source });
  const state = { is_open: false };
  const askDatabase = createReadiness(db);
  const removeRest = () => runInBackground("removals", accounts.finishRemovals());
  const gate = createGate(accounts, secrets.admin_token);

  const handlers: Partial<Handlers> = { ...healthHandlers(async () => state.is_open && (await askDatabase())) };
  if (config.roles.includes("api")) {
    Object.assign(
      handlers,
      keyHandlers(accounts),
      appHandlers(accounts, async () => removeRest()),
    );
  }
  const app = await createApp({
    gate,
    handlers,
    trusted_proxies: config.trusted_proxies,
    isOpen: () => state.is_open,
  });

  let removals: NodeJS.Timeout | undefined;
  function open(): void {
    state.is_open = true;
    if (!config.roles.includes("api")) return;
    removeRest();
    removals = setInterval(removeRest, REMOVALS_EVERY_MS);
  }

  /** Stops accepting, lets what is in flight end, then lets go of the database. */
  async function stop(): Promise<void> {
    clearInterval(removals);
    await app.close();
    await db.close();
  }

  return { app, open, stop };
}

function runInBackground(what: string, work: Promise<void>): void {
  // It runs again with the next tick, so a failure only has to be seen.
  work.catch((error) => log("background.failed", { what, error }, "warn"));
}
