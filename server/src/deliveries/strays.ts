// What was given a time while a clock was ahead would wait until the right time has caught up: leases of a process that is gone
// since, and first attempts. Looked for by a dispatcher at its start where no other process can hold a lease. Planned retries
// keep their times: nothing tells a wrong one from a long delay.
import { LEASE_MS } from "./leases.ts";
import type { DeliveryStore } from "./store.ts";
import type { StrayCursor } from "./stray-store.ts";

export interface StraysOptions {
  store: Pick<DeliveryStore, "findDue" | "findStrays" | "releaseStrays">;
  now(): number;
  log(event: string, fields: Record<string, unknown>, level: "warn"): void;
  /** False when the start is called off. */
  isWanted(): boolean;
}

export function createStrays({ store, now, log, isWanted }: StraysOptions) {
  /** Looks at every destination with something pending; a failure is left to the next start. */
  async function look(): Promise<void> {
    if (!isWanted()) return;
    try {
      for (const { destination_id } of await store.findDue()) await lookAt(destination_id);
    } catch (error) {
      log("deliveries.not_released", { error }, "warn");
    }
  }

  async function lookAt(destination_id: string): Promise<void> {
    let after: StrayCursor | null = { due_at: now() + 2 * LEASE_MS, created_at: 0, position: "" };
    while (after !== null && isWanted()) {
      const { strays, next } = await store.findStrays(destination_id, after);
      after = next;
      if (strays.length > 0) await store.releaseStrays(strays, now());
    }
  }

  return { look };
}
