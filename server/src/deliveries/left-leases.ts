// What the process before had leased, taken up at the start of a dispatcher beside which there is no other: those leases are dead,
// and what is under them would wait for their ends. Used by dispatcher.ts before it leases anything itself.
import { isDatabaseError } from "../platform/database.ts";
import { POLL_MS } from "./claiming.ts";
import { LEASE_MS } from "./leases.ts";
import type { DeliveryStore } from "./store.ts";
import { createStrays, type StraysOptions } from "./strays.ts";
import type { Timers } from "./timers.ts";

export interface LeftLeasesOptions extends StraysOptions {
  store: StraysOptions["store"] & Pick<DeliveryStore, "releaseAll">;
  /** For what is tried again every second. */
  logSeldom: StraysOptions["log"];
  timers: Pick<Timers, "schedule">;
}

export function createLeftLeases(options: LeftLeasesOptions) {
  const { store, now, logSeldom, timers, isWanted } = options;
  const strays = createStrays(options);

  /** Waits for a database that is away or takes no writes: nothing else would send what is left before its leases end. */
  async function takeUp(): Promise<void> {
    while (isWanted() && !(await isTakenUp())) {
      await new Promise<void>((resolve) => timers.schedule("start", POLL_MS, resolve));
    }
    await strays.look();
  }

  async function isTakenUp(): Promise<boolean> {
    try {
      // Twice the length: the clock of the process before may have been ahead. What ends later still, strays.ts finds.
      for (const { destination_id } of await store.findDue())
        await store.releaseAll(destination_id, now(), 2 * LEASE_MS);
      return true;
    } catch (error) {
      if (!isDatabaseError(error, "unavailable")) throw error;
      logSeldom("database.waiting", { error, retry_ms: POLL_MS }, "warn");
      return false;
    }
  }

  return { takeUp };
}
