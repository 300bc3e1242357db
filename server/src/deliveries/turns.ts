// What is done about turns beside claiming and settling: an order that is not wanted any more is ended step by step, and a
// look now and then whether a link stands still, which nothing should ever make it do. Used by the dispatcher.
import type { Destination } from "../destinations/destination.ts";
import { createBoundedMap } from "../platform/bounded-map.ts";
import type { Clock } from "../platform/clock.ts";
import type { TurnStore } from "./turns-store.ts";

/** Destinations whose keys are walked through at the same time; one that is forgotten begins anew. */
const WALKS_MAX = 10_000;

/** A look at the turns of all destinations is followed by a rest of so many times what it took, up to the longest. */
const LOOK_REST = 10;
const LOOK_REST_MAX_MS = 60_000;

export interface TurnsOptions {
  store: Pick<TurnStore, "letGo" | "mendTurns" | "findKeyed">;
  destinations: { endOrdering(id: string): Promise<void> };
  clock: Pick<Clock, "now">;
  log(event: string, fields: Record<string, unknown>, level: "error"): void;
  logSeldom(event: string, fields: Record<string, unknown>, level: "warn"): void;
  isRunning(): boolean;
  /** Null where it is not known yet. */
  find(destination_id: string): Destination | null;
  /** Something is due by a look. */
  found(destination_id: string): void;
}

export type Turns = ReturnType<typeof createTurns>;

export function createTurns(options: TurnsOptions) {
  const { store, destinations, clock, log } = options;
  /** Up to where the keys of a destination have been looked at; absent: from the first on. */
  const looked_at = createBoundedMap<string>(WALKS_MAX);
  let looking = false;
  let next_look_at = 0;

  /** One step; true when there may be more. */
  async function letGo({ id, ordering }: Destination): Promise<boolean> {
    if (ordering !== "leaving") return false;
    if ((await store.letGo(id, clock.now())) > 0) return true;
    await destinations.endOrdering(id);
    return false;
  }

  /** Asked at each poll. */
  function isDue(): boolean {
    const rest_ms = next_look_at - clock.now();
    // A clock that was set back makes no rest longer than the longest.
    return options.isRunning() && !looking && (rest_ms <= 0 || rest_ms > LOOK_REST_MAX_MS);
  }

  /** One after another, and then a rest: it is never to take what claims need. */
  async function lookAtAll(): Promise<void> {
    looking = true;
    const started_at = clock.now();
    try {
      for (const { destination_id } of await store.findKeyed()) {
        const destination = options.find(destination_id);
        if (options.isRunning() && destination !== null && (await look(destination))) options.found(destination_id);
      }
    } catch (error) {
      options.logSeldom("deliveries.turns_not_looked_at", { error }, "warn");
    }
    const now = clock.now();
    next_look_at = now + Math.min(LOOK_REST_MAX_MS, Math.max(0, now - started_at) * LOOK_REST);
    looking = false;
  }

  /** A look at the keys of one destination; true when something is due by it. */
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

  return { letGo, isDue, lookAtAll };
}
