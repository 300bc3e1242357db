// What the management API shows of a limit: how much a receiver is sent at present by this process, and why that is less than
// its settings allow. Pure; called by lanes.ts.
import type { Limits } from "../destinations/health.ts";
import { timeText } from "../platform/time-text.ts";
import { type Because, heldFor, type Limit, rateOf } from "./limit.ts";
import type { Bound } from "./share.ts";

const REASONS: Record<Because, string> = {
  too_many: "The receiver asked for less (429 or Retry-After).",
  silent: "The receiver did not answer in time, or could not be reached.",
  slower: "The receiver answers more slowly with more requests at a time.",
  resumed: "It goes on after a stop: slowly at first, faster with each step that goes well.",
};

/** What this process has, whatever the receiver bears. */
export interface Standing {
  /** Requests at a time to all receivers, and the most to one that is slow. */
  slots: number;
  slow_slots: number;
  is_slow: boolean;
  /** Its part of what the webhook allows. */
  share: Bound;
  dispatchers: number;
}

export function showLimit(limit: Limit, settings: Bound, standing: Standing, now: number): Limits {
  const { share } = standing;
  const cap = Math.min(Math.floor(limit.cap), share.max_in_flight);
  const held_ms = heldFor(limit, now);
  const own_rate = rateOf(limit, share.rate_per_second);
  const is_paced = limit.pace !== null && own_rate !== share.rate_per_second;
  const is_learned = (limit.is_cut && cap < share.max_in_flight) || is_paced || held_ms > 0;
  const rate = cap === 0 && own_rate !== null ? 0 : own_rate;
  return {
    concurrency_limit: cap,
    rate_limit_per_second: rate === null ? null : Math.round(rate * 100) / 100,
    held_until: held_ms > 0 ? timeText(now + held_ms) : null,
    limited_because:
      is_learned && limit.because !== null ? REASONS[limit.because] : reasonOf({ cap, rate }, settings, standing),
  };
}

/** Of what no answer has asked for. */
function reasonOf({ cap, rate }: { cap: number; rate: number | null }, settings: Bound, of: Standing): string | null {
  const { share, slots, slow_slots, dispatchers } = of;
  if (cap === 0) return `Its limits are shared by ${dispatchers} dispatchers, and others of them send to it.`;
  if (cap < share.max_in_flight) {
    if (of.is_slow) {
      return `The receiver takes longer than a second to answer: such a one gets at most ${slow_slots} at a time of each dispatcher.`;
    }
    if (cap >= slots) return `A dispatcher has at most ${slots} requests at a time, to all receivers together.`;
    return `It begins with ${slow_slots} at a time, and each answer allows one more.`;
  }
  const is_part = cap < settings.max_in_flight || rate !== settings.rate_per_second;
  return is_part
    ? `Its limits are shared by ${dispatchers} dispatchers: this is the part of the one that answers.`
    : null;
}
