// Accounts on a real database, as their tests need them: with a clock of the test's own, and opened anew as after a start.
import { AppCreate } from "#contract/apps.ts";
import { createAccounts } from "../../src/accounts/accounts.ts";
import { createIds, type IdSource, SYSTEM_IDS } from "../../src/platform/ids.ts";
import { sql } from "../../src/platform/sql.ts";
import type { Engine } from "./engines.ts";

/** What the clock says at first, in ms. */
export const START = Date.UTC(2026, 0, 31, 9, 30);

/** `open` starts another process on the same database. */
export async function openAccounts(engine: Engine) {
  const db = await engine.open();
  const clock = { now: START };
  const source: IdSource = { ...SYSTEM_IDS, now: () => clock.now };
  const open = () => createAccounts({ db, ids: createIds(source), source });
  return { db, clock, accounts: open(), open };
}

export const appInput = (input: object = {}) => AppCreate.parse({ name: "Shop", ...input });

export function destinationOf(app_id: string, id: string) {
  return sql`insert into destinations (id, app_id, type, config, secrets, events, description, enabled, state,
      state_changed_at, retry_schedule, timeout_ms, max_in_flight, retry_on, created_at, updated_at)
    values (${id}, ${app_id}, 'webhook', '{}', '{}', '[]', '', 1, 'active', 0, '[]', 1000, 1, 'retriable', 0, 0)`;
}
