// Records finished attempts: in groups, again and again while the database is out of reach, and never forgets one.
// Used by dispatcher.ts, which starts nothing new while too many wait here.
import type { Committer, Submit } from "../platform/committer.ts";
import { isDatabaseError } from "../platform/database.ts";
import { append, createLinkedList, each, has, remove } from "../platform/linked-list.ts";
import { deliveryId } from "./delivery.ts";
import type { Leased } from "./leases.ts";
import { type Settlement, settle } from "./settle-store.ts";

/** Attempts that were started and are not recorded; beyond it nothing new is sent, so that memory stays bounded. */
export const UNSETTLED_MAX = 2_000;
const SETTLE_RETRY_MS = 500;
/** Recorded in one transaction, at the most. */
export const SETTLEMENTS_MAX = 500;

export interface SettlingOptions {
  committer: Pick<Committer, "channel">;
  clock: { after(delay_ms: number, callback: () => void): unknown };
  log(event: string, fields: Record<string, unknown>, level: "warn" | "error"): void;
  recorded(settlement: Settlement): void;
  /** Called whenever there is room for one more. */
  changed(): void;
}

export type Settling = ReturnType<typeof createSettling>;

export function createSettling({ committer, clock, log, recorded, changed }: SettlingOptions) {
  const submit: Submit<Settlement, void> = committer.channel({
    compose: settle,
    max_items: SETTLEMENTS_MAX,
    // One of them was settled or canceled meanwhile; which one, the next try need not know.
    async refresh(settlements) {
      for (const settlement of settlements) settlement.set_apart = true;
    },
  });
  const unsettled = createLinkedList<Leased>();
  /** Those that the database did not take at first. */
  const overdue = new Set<Leased>();

  /** Counts an attempt from its start. */
  function begin(leased: Leased): void {
    if (!has(unsettled, leased)) append(unsettled, leased);
  }

  function record(leased: Leased, settlement: Settlement): void {
    begin(leased);
    submit(settlement).then(
      () => {
        forget(leased);
        recorded(settlement);
      },
      (error: unknown) => {
        if (!isDatabaseError(error, "unavailable")) return abandon(leased, error);
        // Once for all that wait: an operator is to know that what was sent cannot be written down.
        if (overdue.size === 0) log("deliveries.not_recorded", { error }, "warn");
        overdue.add(leased);
        // Nobody knows whether it was stored: the connection may have been lost after the commit.
        settlement.set_apart = true;
        clock.after(SETTLE_RETRY_MS, () => record(leased, settlement));
      },
    );
  }

  /** Nothing is lost: the lease runs out and the delivery is due again. */
  function abandon(leased: Leased, error: unknown): void {
    const { destination_id } = leased;
    log("delivery.unrecorded", { delivery_id: deliveryId(leased), destination_id, error }, "error");
    forget(leased);
  }

  function forget(leased: Leased): void {
    remove(unsettled, leased);
    overdue.delete(leased);
    changed();
  }

  return {
    ...{ record, abandon },
    begin,
    leased: () => each(unsettled),
    count: () => unsettled.size,
    isFull: () => unsettled.size >= UNSETTLED_MAX,
    /** True while claiming could only repeat attempts whose results are known here. */
    isBehind: () => overdue.size > 0,
  };
}
