// What lanes are sent at present, for whoever asks. Reads them alone. Pure; used by lanes.ts.
import type { Destination } from "../destinations/destination.ts";
import type { Limits } from "../destinations/health.ts";
import type { Limit } from "./limit.ts";
import { type Allowed, allowedBy, type Slots, showLimits } from "./limit-text.ts";
import type { Presence } from "./presence.ts";
import type { Told } from "./told-limits.ts";

/** A lane as far as its limits go. */
interface LimitedLane {
  readonly id: string;
  readonly destination: Destination | null;
  readonly limit: Limit;
  readonly slow: boolean;
}

export function createLaneLimits(
  lanes: ReadonlyMap<string, LimitedLane>,
  { shareOf }: Pick<Presence, "shareOf">,
  slots: Slots,
) {
  /** What a destination is sent at present; null when nothing was lately. */
  function allowedOf(id: string, now: number): Allowed | null {
    const lane = lanes.get(id);
    const destination = lane?.destination ?? null;
    if (lane === undefined || destination === null) return null;
    return allowedBy(lane.limit, { ...slots, is_slow: lane.slow, share: shareOf(destination) }, now);
  }

  function limitsOf(id: string, now: number): Limits | null {
    const allowed = allowedOf(id, now);
    return allowed === null ? null : showLimits(allowed, slots);
  }

  /** The same of all. */
  function* told(now: number): Iterable<Told> {
    for (const { id, destination } of lanes.values()) {
      const allowed = allowedOf(id, now);
      if (allowed !== null && destination !== null) yield { destination_id: id, allowed, share: shareOf(destination) };
    }
  }

  return { allowedOf, limitsOf, told };
}
