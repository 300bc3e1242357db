// Removes the hashes of visitors whose match window has passed: afterwards nothing of them is kept. Called every minute
// or so by the composition root, in as many processes as there are; each looks at a range of clicks once, by token, for
// tokens begin with their time.
import type { Database } from "../platform/database.ts";
import { clearFingerprints, selectMatchWindows, selectOldestFingerprint } from "./store.ts";

/** Rows that one statement changes at most, so that it never holds the writer for long. */
const BATCH_ROWS = 1_000;
const BATCHES_MAX = 1_000;
/** The longest window that an app can have: beyond it hashes go, whatever became of the app or its window. */
export const WINDOW_MAX_SECONDS = 24 * 3600;
const CID_TAIL = "0".repeat(20);

export interface Forgetting {
  /** Clears what is due; calls that overlap share one run. */
  forget(now: number): Promise<void>;
  /** Ends a run after the statement that it is at. */
  stop(): Promise<void>;
}

export function createForgetting(db: Database): Forgetting {
  /** Where each window's range ends that was cleared; by seconds, null for every app. */
  const done = new Map<number | null, string>();
  /** Before it nothing was left to clear when this process began. */
  let start: string | null = null;
  let running: Promise<void> | null = null;
  let stopped = false;

  async function run(now: number): Promise<void> {
    start ??= cidFloor((await selectOldestFingerprint(db)) ?? now);
    for (const window of await selectMatchWindows(db)) await clear(window, start, now - window * 1_000);
    // An app whose window was shortened, or that is gone, is in no range above.
    await clear(null, start, now - WINDOW_MAX_SECONDS * 1_000);
  }

  async function clear(window_seconds: number | null, first: string, until: number): Promise<void> {
    const to = cidFloor(until);
    // A window that came up later begins where the longest one ends: what is older has been cleared.
    let from = done.get(window_seconds) ?? done.get(null) ?? first;
    for (let left = BATCHES_MAX; left > 0 && from < to && !stopped; left--) {
      const cleared = await clearFingerprints(db, { from, to, window_seconds, limit: BATCH_ROWS });
      from = cleared.length < BATCH_ROWS ? to : (cleared.at(-1) ?? to);
      done.set(window_seconds, from);
    }
  }

  function forget(now: number): Promise<void> {
    running ??= run(now).finally(() => {
      running = null;
    });
    return running;
  }

  async function stop(): Promise<void> {
    stopped = true;
    // Whoever asked for the run is told when it failed.
    await running?.catch(() => {});
  }

  return { forget, stop };
}

/** The smallest token of a millisecond. */
function cidFloor(at_ms: number): string {
  return Math.max(0, at_ms).toString(16).padStart(12, "0") + CID_TAIL;
}
