// What is left of deleted apps, destinations and links goes here, step by step, in whichever process comes to it. A transaction
// that had read an app before it was deleted may commit long after, for appending locks no app: so what has come since a
// removal was done is looked for as well. Used by accounts.ts.
import type { Database } from "../platform/database.ts";
import * as store from "./store.ts";

/** How often what is left of removals that were done is looked for, and how much of it is removed at a time. */
const LEFT_EVERY_MS = 10 * 60_000;
const LEFT_MAX = 1_000;
/** How long a call waits for the id of a deleted app to become free. */
const WAIT_MS = 5_000;

export function createRemovals({ db, now }: { db: Database; now(): number }) {
  let removing: Promise<void> | null = null;
  let looked_at = Number.NEGATIVE_INFINITY;

  /** Calls that overlap share one run. */
  function finish(): Promise<void> {
    removing ??= removeAll().finally(() => {
      removing = null;
    });
    return removing;
  }

  /** What belonged to a deleted app must not be found in a new one: false when some of it is left for now. */
  async function waitFor(app_id: string): Promise<boolean> {
    await store.recordLeftOf(db, app_id, now());
    if (!(await store.isBeingRemoved(db, app_id))) return true;
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, WAIT_MS);
    });
    await Promise.race([finish(), limit]).finally(() => clearTimeout(timer));
    return !(await store.isBeingRemoved(db, app_id));
  }

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
    if (left.length > 0) await db.batch(left.map((one) => store.recordLeft(one, at)));
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

  return { finish, waitFor };
}
