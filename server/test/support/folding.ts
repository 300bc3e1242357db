// What adds up clicks, without a rhythm of its own: a test folds when it likes.
import { createFolding } from "../../src/analytics/folding.ts";
import { createTallyStore } from "../../src/analytics/tally-store.ts";
import type { Database } from "../../src/platform/database.ts";

/** @param step_ms how long a step takes: the shorter, the more the next one takes */
export function foldingOf(db: Database, step_ms = 0) {
  const clock = { now: () => 0, after: () => () => {} };
  let elapsed_ms = 0;
  const elapsed = () => (elapsed_ms += step_ms);
  return createFolding({ store: createTallyStore(db), clock, elapsed, log: () => {} });
}
