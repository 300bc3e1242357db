// What the management API shows of a limit: how much a receiver is sent at present, and why that is less than its settings
// allow. Pure; called by lanes.ts.
import type { Destination } from "../destinations/destination.ts";
import type { Limits } from "../destinations/health.ts";
import { timeText } from "../platform/time-text.ts";
import { type Because, heldFor, type Limit, rateOf } from "./limit.ts";

const REASONS: Record<Because, string> = {
  too_many: "The receiver asked for less (429 or Retry-After).",
  silent: "The receiver did not answer in time, or could not be reached.",
  slower: "The receiver answers more slowly with more requests at a time.",
  resumed: "It goes on after a stop: slowly at first, faster with each step that goes well.",
};
const SLOW = "The receiver takes longer than a second to answer, so it shares the slots of slow receivers.";

export function showLimit(
  limit: Limit,
  { max_in_flight, rate_per_second }: Pick<Destination, "max_in_flight" | "rate_per_second">,
  is_slow: boolean,
  now: number,
): Limits {
  const cap = Math.min(Math.floor(limit.cap), max_in_flight);
  const held_ms = heldFor(limit, now);
  const rate = rateOf(limit, rate_per_second);
  const is_paced = limit.pace !== null && rate !== rate_per_second;
  const is_limited = (limit.is_cut && cap < max_in_flight) || is_paced || held_ms > 0;
  const reason = is_limited && limit.because !== null ? REASONS[limit.because] : null;
  return {
    concurrency_limit: cap,
    rate_limit_per_second: rate === null ? null : Math.round(rate * 100) / 100,
    held_until: held_ms > 0 ? timeText(now + held_ms) : null,
    limited_because: reason ?? (is_slow && cap < max_in_flight ? SLOW : null),
  };
}
