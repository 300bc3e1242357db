// What is done about turns beside claiming and settling: an order that is not wanted any more is ended step by step, and a
// look at each poll whether a link stands still, which nothing should ever make it do. Used by the dispatcher.
import type { Destination } from "../destinations/destination.ts";
import { createBoundedMap } from "../platform/bounded-map.ts";
import type { Clock } from "../platform/clock.ts";
import type { TurnStore } from "./turns-store.ts";

/** Destinations whose keys are walked through at the same time; one that is forgotten begins anew. */
const WALKS_MAX = 10_000;

export interface TurnsOptions {
  store: Pick<TurnStore, "letGo" | "mendTurns">;
  destinations: { endOrdering(id: string): Promise<void> };
  clock: Pick<Clock, "now">;
  log(event: string, fields: Record<string, unknown>, level: "error"): void;
}

export type Turns = ReturnType<typeof createTurns>;

export function createTurns({ store, destinations, clock, log }: TurnsOptions) {
  /** Up to where the keys of a destination have been looked at; absent: from the first on. */
  const looked_at = createBoundedMap<string>(WALKS_MAX);

  /** One step; true when there may be more. */
  async function letGo({ id, ordering }: Destination): Promise<boolean> {
    if (ordering !== "leaving") return false;
    if ((await store.letGo(id, clock.now())) > 0) return true;
    await destinations.endOrdering(id);
    return false;
  }

  /** A look at the keys of a destination at each poll; true when something is due by it. */
  async function look({ id, ordering }: Destination): Promise<boolean> {
    if (ordering === "link") return mend(id);
    // Stored by somebody who had not heard that the order has ended. While it ends, claims let go.
    return ordering === "none" && (await store.letGo(id, clock.now())) > 0;
  }

  /** Looks at some of the keys; true when there was something to mend, which is a mistake of ours. */
  async function mend(id: string): Promise<boolean> {
    const { mended, after } = await store.mendTurns(id, looked_at.get(id) ?? "", clock.now());
    looked_at.set(id, after ?? "");
    if (mended > 0) log("deliveries.turn_missed", { destination_id: id, count: mended }, "error");
    return mended > 0;
  }

  return { letGo, look };
}
