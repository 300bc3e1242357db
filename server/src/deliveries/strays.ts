// Leases that were given while a clock was ahead, by a process that is gone since: they would hold their deliveries until the
// right time has caught up. Looked for by each dispatcher at its start and now and then. A process that lives corrects its
// own leases within seconds (leases.ts), so what ends much later than any lease can is held by nobody.
import { LEASE_MS } from "./leases.ts";
import type { DeliveryStore } from "./store.ts";
import type { StrayCursor } from "./stray-store.ts";

export const LOOK_EVERY_MS = 10 * 60_000;

export interface StraysOptions {
  store: Pick<DeliveryStore, "findDue" | "findStrays" | "releaseStrays">;
  now(): number;
  log(event: string, fields: Record<string, unknown>, level: "warn"): void;
  wake(destination_id: string, due_at: number): void;
  isRunning(): boolean;
}

export function createStrays({ store, now, log, wake, isRunning }: StraysOptions) {
  /** Looks at every destination with something pending; a failure is left to the next look. */
  async function look(): Promise<void> {
    try {
      for (const { destination_id } of await store.findDue()) await lookAt(destination_id);
    } catch (error) {
      log("deliveries.not_released", { error }, "warn");
    }
  }

  async function lookAt(destination_id: string): Promise<void> {
    let after: StrayCursor | null = { due_at: now() + 2 * LEASE_MS, created_at: 0, position: "" };
    while (after !== null && isRunning()) {
      const { strays, next } = await store.findStrays(destination_id, after);
      after = next;
      const released = strays.length === 0 ? 0 : await store.releaseStrays(strays, now());
      if (released > 0) wake(destination_id, now());
    }
  }

  return { look };
}
