// What one of several dispatchers may send of what a webhook may be sent. The limits are the webhook's, so the shares of all
// who know of the same dispatchers add up to no more; nothing is agreed on but the list of who is there. Pure; called by
// presence.ts.
import { createHash } from "node:crypto";
import type { Destination } from "../destinations/destination.ts";

export type Bound = Pick<Destination, "max_in_flight" | "rate_per_second">;

/** With a rate, no dispatcher's part of it is smaller than this: each of them may be early by one request. */
const RATE_PART_MIN_PER_SECOND = 1;

/**
 * The part of `self`. One with `max_in_flight` 0 leaves the webhook to the others: as many send as both limits have whole parts.
 * @param nodes all dispatchers, `self` included
 */
export function shareOf(
  { id, max_in_flight, rate_per_second }: Bound & Pick<Destination, "id">,
  nodes: readonly string[],
  self: string,
): Bound {
  const parts = rate_per_second === null ? nodes.length : Math.floor(rate_per_second / RATE_PART_MIN_PER_SECOND);
  const senders = Math.min(nodes.length, max_in_flight, Math.max(1, parts));
  const rank = rankOf(id, nodes, self);
  if (rank >= senders) return { max_in_flight: 0, rate_per_second };
  const rest = max_in_flight % senders;
  return {
    max_in_flight: Math.floor(max_in_flight / senders) + (rank < rest ? 1 : 0),
    rate_per_second: rate_per_second === null ? null : rate_per_second / senders,
  };
}

/** Rendezvous hashing: each webhook has an order of its own, and who comes or goes leaves the order of the others. */
function rankOf(id: string, nodes: readonly string[], self: string): number {
  const weightOf = (node: string) => createHash("sha256").update(`${id} ${node}`).digest("hex");
  const own = weightOf(self);
  return nodes.filter((node) => weightOf(node) < own).length;
}
