// The leases that a dispatcher holds: renewed while it lives, given back when nothing will be sent under them.
// Used by dispatcher.ts. A lease that is lost costs a second attempt by somebody else, never a delivery.
import type { Listed } from "../platform/linked-list.ts";
import type { DeliveryKey } from "./delivery.ts";
import type { DeliveryStore } from "./store.ts";

/** A lease is renewed while its holder lives, so this bounds only how long a crash delays what was in flight. */
export const LEASE_MS = 45_000;
const RENEW_BEFORE_MS = 25_000;
/** Nothing is sent under less: the clock of whoever takes over may be ahead by so much. */
const SENDABLE_MS = 5_000;

/** A claim of this process, and its place among those whose results are not recorded. */
export interface Leased extends DeliveryKey, Listed<Leased> {
  attempt: number;
  /** When the lease runs out unless it is renewed. */
  lease_until: number;
}

export interface LeasesOptions {
  store: Pick<DeliveryStore, "renew" | "release">;
  now(): number;
  log(event: string, fields: Record<string, unknown>, level: "warn"): void;
  /** Everything under a lease of this process. */
  leased(): Iterable<Leased>;
  /** Called for what somebody else has taken over, so that it is not sent from here. */
  lost(leased: Leased): void;
}

export type Leases = ReturnType<typeof createLeases>;

export function createLeases({ store, now, log, leased, lost }: LeasesOptions) {
  let last_renewal = 0;
  let renewing: Promise<void> | undefined;

  /** Renews what must be renewed; resolves when this process holds what it believes to hold, or could not find out. */
  function keep(): Promise<void> {
    const at = now();
    // A clock that was set back and is put right again must not hide that time has passed.
    last_renewal = Math.min(last_renewal, at);
    if (at - last_renewal >= LEASE_MS - RENEW_BEFORE_MS) {
      renewing ??= renew(at).finally(() => {
        renewing = undefined;
      });
    }
    return renewing ?? Promise.resolve();
  }

  /** To be told of leases that were not claimed here but came with what was stored: when the first of them ends. */
  function took(lease_until: number): void {
    // The clock may have been set back since the last renewal, and be put right again before the next look.
    last_renewal = Math.min(last_renewal, lease_until - LEASE_MS);
  }

  async function renew(at: number): Promise<void> {
    last_renewal = at;
    const ending = [...leased()].filter((one) => one.lease_until < at + RENEW_BEFORE_MS);
    if (ending.length === 0) return;
    try {
      const kept = new Set((await store.renew(ending, at + LEASE_MS)).map(nameOf));
      for (const one of ending) {
        if (kept.has(nameOf(one))) one.lease_until = at + LEASE_MS;
        else lost(one);
      }
    } catch (error) {
      log("deliveries.not_renewed", { count: ending.length, error }, "warn");
      last_renewal = 0;
    }
  }

  /** @param due_at when they are due again */
  async function giveBack(unsent: readonly Leased[], due_at = now()): Promise<void> {
    if (unsent.length === 0) return;
    try {
      await store.release(unsent, due_at);
    } catch (error) {
      // Their leases run out by themselves.
      log("deliveries.not_released", { count: unsent.length, error }, "warn");
    }
  }

  return { keep, took, giveBack };
}

/** Whether nobody else can have taken it over when the request arrives. */
export function isLeased(claim: Pick<Leased, "lease_until">, now: number): boolean {
  return claim.lease_until - now >= SENDABLE_MS;
}

function nameOf({ destination_id, position }: DeliveryKey): string {
  return `${destination_id} ${position}`;
}
