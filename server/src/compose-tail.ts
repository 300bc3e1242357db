// Puts together what follows events and deliveries live: the journal's upkeep, the sources, the streams. Called by
// compose-pipeline.ts.
import { createStreams, streamHandlers } from "./api/streams.ts";
import { createDeliveryTail, type DeliveryTailOptions } from "./deliveries/tail.ts";
import { createDeliveryTailStore } from "./deliveries/tail-store.ts";
import { createEventTail } from "./events/tail.ts";
import { createEventTailStore } from "./events/tail-store.ts";
import type { Clock } from "./platform/clock.ts";
import { type Database, isDatabaseError } from "./platform/database.ts";
import { createFollowing } from "./platform/following.ts";
import { createJournalStore } from "./platform/journal-store.ts";
import { log } from "./platform/log.ts";
import { createSeldomLog } from "./platform/seldom-log.ts";

const PRUNE_EVERY_MS = 10_000;
/** Between two tries at a start that finds the database away. */
const RETRY_MS = 500;

export interface TailParts {
  db: Database;
  destinations: DeliveryTailOptions["destinations"];
  clock: Clock;
}

export function composeTail({ db, destinations, clock }: TailParts) {
  const { now } = clock;
  const journal = createJournalStore(db);
  const logSeldom = createSeldomLog(log, now);
  const failed = (error: unknown) => log("journal.not_read", { error }, "warn");
  const following = createFollowing({ journal, clock, failed });
  const streams = createStreams({ follow: following.follow, clock, log });
  const events = createEventTail({ store: createEventTailStore(db), journal, now });
  const deliveries = createDeliveryTail({ store: createDeliveryTailStore(db), journal, destinations, now });
  let is_stopped = false;
  let cancelPrune = () => {};
  let pruning: Promise<void> | undefined;

  async function pruneAll(): Promise<void> {
    while (!is_stopped && (await journal.prune(now())));
  }

  function schedule(): void {
    if (is_stopped) return;
    cancelPrune = clock.after(PRUNE_EVERY_MS, () => {
      // It runs again soon, so a failure only has to be seen.
      pruning = pruneAll()
        .catch((error) => log("background.failed", { what: "journal", error }, "warn"))
        .finally(schedule);
    });
  }

  /** To be awaited before this process writes events or deliveries; waits for a database that is away. */
  async function start(): Promise<void> {
    while (!is_stopped && !(await isPrepared())) await new Promise<void>((resolve) => clock.after(RETRY_MS, resolve));
    schedule();
  }

  async function isPrepared(): Promise<boolean> {
    try {
      await journal.prepare(now());
      return true;
    } catch (error) {
      if (!isDatabaseError(error, "unavailable")) throw error;
      logSeldom("database.waiting", { error, retry_ms: RETRY_MS }, "warn");
      return false;
    }
  }

  /** Ends the streams at once. */
  function stop(): Promise<void> {
    is_stopped = true;
    cancelPrune();
    streams.stop();
    return Promise.resolve(pruning);
  }

  return { handlers: streamHandlers(streams, events, deliveries), hint: following.hint, start, stop };
}
