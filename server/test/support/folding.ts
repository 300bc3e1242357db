// What adds up clicks, without a rhythm of its own: a test folds when it likes. And what removes what is counted.
import { createAccounts } from "../../src/accounts/accounts.ts";
import { createFolding } from "../../src/analytics/folding.ts";
import { createTallyStore } from "../../src/analytics/tally-store.ts";
import { createLinkCounting } from "../../src/links/count-store.ts";
import type { Database } from "../../src/platform/database.ts";
import { createIds, SYSTEM_IDS } from "../../src/platform/ids.ts";

/** @param step_ms how long a step takes: the shorter, the more the next one takes */
export function foldingOf(db: Database, step_ms = 0) {
  const clock = { now: () => 0, after: () => () => {} };
  let elapsed_ms = 0;
  const elapsed = () => (elapsed_ms += step_ms);
  const beside = createLinkCounting(db).foldSome;
  return createFolding({ store: createTallyStore(db), beside, clock, elapsed, log: () => {} });
}

/** Deletes apps, and removes what is left of them and of links, as of that time. */
export function accountsAt(db: Database, at: number) {
  const keeping = { event_retention_days: null, delivery_retention_days: null };
  return createAccounts({ db, ids: createIds(), source: { ...SYSTEM_IDS, now: () => at }, keeping });
}
