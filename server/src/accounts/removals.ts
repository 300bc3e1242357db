// Removes, step by step, what is left of apps, destinations and links that were deleted. Created once by accounts.ts; called
// from time to time, and at once by whoever waits for the id of a deleted app.
import type { Database } from "../platform/database.ts";
import * as store from "./store.ts";

/** How often what is left of removals that were done is looked for, and how much of it is removed at a time. */
const LEFT_EVERY_MS = 10 * 60_000;
const LEFT_MAX = 1_000;

export function createRemovals({ db, now }: { db: Database; now(): number }) {
  let removing: Promise<void> | null = null;

  /** Removes what is left of what was deleted; calls that overlap share one run. Safe to run in several processes. */
  function finishRemovals(): Promise<void> {
    removing ??= removeAll().finally(() => {
      removing = null;
    });
    return removing;
  }

  let looked_at = Number.NEGATIVE_INFINITY;

  async function removeAll(): Promise<void> {
    await removeLeft();
    for (;;) {
      const removals = await store.selectRemovals(db);
      if (removals.length === 0) return;
      for (const removal of removals) await remove(removal);
    }
  }

  /** What has come since a removal was done is to be removed as well; at the start, and now and then. */
  async function removeLeft(): Promise<void> {
    const at = now();
    // A clock that was set back makes the time negative.
    if (Math.abs(at - looked_at) < LEFT_EVERY_MS) return;
    const left = await store.findLeft(db, LEFT_MAX);
    if (left.length > 0) await db.batch(left.map((id) => store.recordRemoval("destination", id, at)));
    // What there was no room for is found the next time.
    if (left.length < LEFT_MAX) looked_at = at;
  }

  /** Does one step after another until nothing is left, then notes that it is done. */
  async function remove(removal: store.Removal): Promise<void> {
    for (const step of store.removalSteps(removal)) while ((await db.query(step)).length > 0);
    if (removal.kind === "app") {
      let range = await store.selectClickRange(db, "", removal.removed_at);
      while (range !== null) {
        await store.deleteClicks(db, removal.id, range);
        range = await store.selectClickRange(db, range.to, removal.removed_at);
      }
    }
    await store.deleteRemoval(db, removal);
  }

  return { finishRemovals };
}
