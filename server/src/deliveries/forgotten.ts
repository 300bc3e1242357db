// What was canceled or claimed anew while an earlier claim of it was still on its way from the database to this process:
// when that claim arrives, its attempt must not be made any more; nor one of a replay that was canceled meanwhile. Pure; used
// by the dispatcher.
import { createBoundedMap } from "../platform/bounded-map.ts";
import { type DeliveryKey, type DeliveryRow, deliveryId } from "./delivery.ts";

/** Longer than any answer of the database takes. Not for ever: a lease that is given back frees the number of its attempt. */
const REMEMBERED_MS = 15_000;
/** Deliveries: people do not cancel or retry more within that time. */
const REMEMBERED_MAX = 10_000;
/** Replays: one that is pushed out is found by the look at the table that comes with each claim. */
const REPLAYS_MAX = 1_000;

interface Attempt extends DeliveryKey {
  attempt: number;
}

export function createForgotten(now: () => number) {
  const known = createBoundedMap<{ attempt: number; at: number }>(REMEMBERED_MAX);
  const replays = createBoundedMap<number>(REPLAYS_MAX);

  let last_at = Number.NEGATIVE_INFINITY;

  /** This attempt of a delivery, and every earlier one, is not to be made. */
  function note({ attempt, ...key }: Attempt): void {
    last_at = now();
    known.set(deliveryId(key), { attempt, at: last_at });
  }

  function has({ attempt, destination_id, position }: Attempt): boolean {
    // Asked for every delivery, and hardly ever is there anything to find.
    if (Math.abs(now() - last_at) > REMEMBERED_MS) return false;
    const noted = known.get(deliveryId({ destination_id, position }));
    return noted !== undefined && attempt <= noted.attempt && Math.abs(now() - noted.at) <= REMEMBERED_MS;
  }

  function noteReplay(replay_id: string): void {
    replays.set(replay_id, now());
  }

  /** Whether its replay was canceled. What a person asked for stays, and what a probe may try is taken back with the rest. */
  function isOfCanceled({ replay_id = null, trigger }: Pick<DeliveryRow, "replay_id" | "trigger">): boolean {
    if (replay_id === null || trigger === "manual") return false;
    const at = replays.get(replay_id);
    return at !== undefined && Math.abs(now() - at) <= REMEMBERED_MS;
  }

  return { note, has, noteReplay, isOfCanceled };
}
