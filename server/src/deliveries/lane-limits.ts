// What lanes are sent at present, for whoever asks. Reads them alone. Pure; used by lanes.ts.
import type { Destination } from "../destinations/destination.ts";
import type { Limits } from "../destinations/health.ts";
import { createLinkedList, each, type LinkedList, type Listed } from "../platform/linked-list.ts";
import { type Limit, rateOf } from "./limit.ts";
import { type Allowed, allowedBy, type Slots, showLimits } from "./limit-text.ts";
import type { Presence } from "./presence.ts";
import type { Bound } from "./share.ts";
import type { Told } from "./told-limits.ts";

interface Flight extends Listed<Flight> {
  readonly ready: { readonly position: string };
  readonly started_at: number;
}

/** A lane as far as its limits go. */
interface LimitedLane {
  readonly id: string;
  readonly destination: Destination | null;
  readonly limit: Limit;
  readonly slow: boolean;
  readonly next_start_at: number;
  readonly flights: LinkedList<Flight>;
}

/** Requests that last shorter come and go while they are being told. */
const TOLD_AFTER_MS = 1_000;

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
    const share = shareOf(destination);
    const allowed = allowedBy(lane.limit, { ...slots, is_slow: lane.slow, share }, now);
    const own = { next_at: nextAt(lane, share, now), full_since: fullSince(lane, allowed.cap, now) };
    return own.next_at === null && own.full_since === null ? allowed : { ...allowed, own };
  }

  /** When the request of a delivery began, if this process is sending it. */
  function begunAt(id: string, position: string): number | null {
    const flights = lanes.get(id)?.flights ?? createLinkedList<Flight>();
    for (const { ready, started_at } of each(flights)) {
      if (ready.position === position) return started_at;
    }
    return null;
  }

  /** The oldest request to a destination that this process has under way. */
  function firstBegun(id: string): { position: string; started_at: number } | null {
    const oldest = lanes.get(id)?.flights.first ?? null;
    return oldest === null ? null : { position: oldest.ready.position, started_at: oldest.started_at };
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

  return { allowedOf, begunAt, firstBegun, limitsOf, told };
}

/** Null where nothing has to wait for the webhook's own rate. */
function nextAt({ limit, next_start_at }: LimitedLane, share: Bound, now: number): number | null {
  const rate = share.max_in_flight === 0 ? null : share.rate_per_second;
  if (rate === null || rateOf(limit, rate) !== rate) return null;
  // As lanes.ts has it: a clock that was set back makes it no later than it is.
  const next_at = Math.min(next_start_at, now + 1_000 / rate);
  return next_at > now ? Math.round(next_at) : null;
}

function fullSince({ flights }: LimitedLane, cap: number, now: number): number | null {
  const oldest = flights.first;
  if (oldest === null || cap === 0 || flights.size < cap) return null;
  return now - oldest.started_at >= TOLD_AFTER_MS ? oldest.started_at : null;
}
