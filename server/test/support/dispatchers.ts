// A dispatcher of one destination between parts that a test plays: for what it asks of them, and when. Of each part there is
// only what sending a few deliveries takes; nothing is due, and no request is answered, unless the test says so.
import { createDispatcher, type DispatcherOptions } from "../../src/deliveries/dispatcher.ts";
import { ALONE } from "../../src/deliveries/presence.ts";
import type { Destination } from "../../src/destinations/destination.ts";
import type { ManualClock } from "./manual-clock.ts";

export const NOTHING_CLAIMED = { claimed: [], next_due_at: null };
/** A delivery that was claimed, but for its position. */
export const CLAIMED = { app_id: "app_1", event: "link.click", attempt: 1, failures: 0, trigger: "auto" };

/** @param own what this test plays otherwise */
export function openDispatcher(
  clock: ManualClock,
  own: { store?: object; destination?: object } & Partial<Record<keyof DispatcherOptions, unknown>>,
) {
  const { store, destination, ...parts } = own;
  const known = {
    ...{ id: "dst_1", app_id: "app_1", state: "active", ordering: "none", max_in_flight: 50, rate_per_second: null },
    build: () => ({ url: "http://127.0.0.1/", method: "POST", headers: [], body: "" }),
    ...destination,
  };
  const options = {
    store: {
      findDue: async () => [],
      findKeyed: async () => [],
      claim: async () => NOTHING_CLAIMED,
      readBodies: async (_: string, positions: readonly string[]) =>
        positions.map((id) => ({ position: id, id, body: "{}", bytes: 2, target_id: null, erased_at: null })),
      renew: async (held: readonly object[]) => held,
      ...store,
    },
    committer: { channel: () => async () => {} },
    destinations: { find: async () => known, onChange() {} },
    egress: { send: () => new Promise(() => {}) },
    ...{ presence: ALONE, clock, random: () => 0.5, log() {}, exclusive: false },
    ...parts,
  };
  // The rest of each part is never asked for.
  const dispatcher = createDispatcher(options as unknown as DispatcherOptions);
  return { dispatcher, destination: known as unknown as Destination };
}
