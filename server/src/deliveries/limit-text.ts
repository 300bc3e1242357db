// What a limit comes to: how much a receiver is sent at present by one dispatcher, and why that is less than its part of the
// settings allows, in the words of the management API. Pure; called by lanes.ts, and by told-limits.ts for all of them together.
import { IN_FLIGHT_MAX } from "#contract/destinations.ts";
import type { Destination } from "../destinations/destination.ts";
import type { Limits } from "../destinations/health.ts";
import { timeText } from "../platform/time-text.ts";
import { type Because, heldFor, type Limit, rateOf } from "./limit.ts";
import type { Bound } from "./share.ts";

/** What is to come sooner is as good as now: others hear of it a beat of presence.ts later. */
const NOW_MS = 2_000;
/** One that lives tells of a new time by then: that of its beat after next, with what that may be late. */
const TOLD_AGAIN_MS = 4_000;

/** What was learned, or what a dispatcher has for each receiver, whatever that bears. */
export type Reason = Because | "slow" | "slots" | "beginning";

/** What one dispatcher sends one webhook at present. */
export interface Allowed {
  cap: number;
  per_second: number | null;
  held_until: number | null;
  /** Null: as much as its part of the settings. */
  because: Reason | null;
  /** What its part of the settings, and requests that are under way, keep back; absent: nothing. */
  own?: Own;
}

/** In ms since 1970; null: that does not keep anything. */
export interface Own {
  /** When the webhook's own rate allows the next request. */
  next_at: number | null;
  /** Since when the oldest request is under way, where as many are as may be at a time. */
  full_since: number | null;
}

/** What keeps the deliveries of a webhook back. */
export interface Holds extends Limits {
  /**
   * Of its settings and of requests that are under way, and what to do about it; absent or null: nothing that is known.
   * `rate`: what of the reason is about its rate alone; `is_single`: it may have one request at a time, which is under way.
   */
  own?: { reason: string; step: string; rate?: string | null; is_single?: boolean } | null;
  /** A sentence about the request of a delivery that this process is sending; null of every other. */
  sending?(position: string): string | null;
  /** The same of one that waits for another one of the webhook, for certain; null of every other. */
  behind?(position: string): string | null;
  /** No dispatcher is known, so nothing of any webhook is sent, and what to do about it; absent or null: one is, or nobody can tell. */
  nobody?: { reason: string; step: string } | null;
}

/** Requests at a time of a dispatcher to all receivers, and the most to one that is slow. */
export interface Slots {
  slots: number;
  slow_slots: number;
}

export interface Circumstances extends Slots {
  is_slow: boolean;
  /** Its part of what the webhook allows. */
  share: Bound;
}

export function allowedBy(limit: Limit, around: Circumstances, now: number): Allowed {
  const { share } = around;
  // Others alone send to it. What was learned of it here may be of use again, and keeps nothing now.
  if (share.max_in_flight === 0) return { cap: 0, per_second: 0, held_until: null, because: null };
  const cap = Math.min(Math.floor(limit.cap), share.max_in_flight);
  const held_ms = heldFor(limit, now);
  const rate = rateOf(limit, share.rate_per_second);
  const is_paced = limit.pace !== null && rate !== share.rate_per_second;
  const is_learned = (limit.is_cut && cap < share.max_in_flight) || is_paced || held_ms > 0;
  return {
    cap,
    per_second: rate === null ? null : round(rate),
    held_until: held_ms > 0 ? now + held_ms : null,
    because: is_learned && limit.because !== null ? limit.because : unlearned(cap, around),
  };
}

/** Of what no answer has asked for. */
function unlearned(cap: number, { share, is_slow, slots }: Circumstances): Reason | null {
  if (cap >= share.max_in_flight) return null;
  if (is_slow) return "slow";
  return cap >= slots ? "slots" : "beginning";
}

export function showLimits({ cap, per_second, held_until, because }: Allowed, slots: Slots): Limits {
  return {
    concurrency_limit: cap,
    rate_limit_per_second: per_second === null ? null : round(per_second),
    held_until: timeText(held_until),
    limited_because: because === null ? null : sentence(because, slots),
  };
}

/** What keeps a delivery that is due, in sentences; null: nothing that is known. */
export function limitReason(limits: Limits | null): string | null {
  const because = limits?.limited_because ?? null;
  if (limits === null || because === null) return null;
  const { concurrency_limit, rate_limit_per_second, held_until } = limits;
  if (held_until !== null) return `The webhook is sent nothing until ${held_until}. ${because}`;
  if (concurrency_limit === null) return because;
  const rate = rate_limit_per_second === null ? "" : ` and ${rate_limit_per_second} a second`;
  return `The webhook is sent at most ${concurrency_limit} at a time${rate}. ${because}`;
}

/** The same with what the settings themselves keep back. */
export function holdReason(holds: Holds | null): string | null {
  const sentences = [limitReason(holds), holds?.own?.reason ?? null].filter((one) => one !== null);
  return sentences.length === 0 ? null : sentences.join(" ");
}

/** Of what is due for long while somebody sends: dispatchers do not tell of all their limits (told-limits.ts). */
export function behindReason(what: "it" | "them"): string {
  return `though a dispatcher runs, which tells of nothing that keeps ${what}: it may be behind, or keep to the webhook's rate_per_second, where it has one`;
}

export const STEP_WHEN_BEHIND =
  "Wait while `health.pending` of the webhook goes down, or raise its rate_per_second, where it has one; if it does not go down, look into the dispatcher's log, and whether the database keeps up.";

export type Slowed = Pick<Destination, "id" | "max_in_flight" | "rate_per_second" | "timeout_ms">;

/** @param cap how many requests to it may be under way */
export function showOwn(
  webhook: Slowed,
  { next_at, full_since }: Own,
  { cap, now }: { cap: number; now: number },
): Holds["own"] {
  // A dispatcher that lives tells of a new time with each beat: one that is long over keeps nothing.
  const rate = next_at === null || next_at < now - TOLD_AGAIN_MS ? null : rateSentence(webhook, next_at, now);
  const full = full_since === null ? null : fullSentence(webhook, full_since, cap);
  const sentences = [rate, full].filter((one) => one !== null);
  if (sentences.length === 0) return null;
  const is_single = full !== null && webhook.max_in_flight === 1;
  return { reason: sentences.join(" "), step: ownStep(webhook, rate !== null, cap), rate, is_single };
}

/** The time is left out where it is as good as now. */
function rateSentence({ rate_per_second: rate }: Slowed, next_at: number, now: number): string | null {
  if (rate === null) return null;
  const pace = rate < 1 ? `one in ${round(1 / rate)} s` : `${rate} a second`;
  const next = next_at - now > NOW_MS ? `; the next one goes at about ${timeText(next_at)}` : "";
  return `The webhook's own rate_per_second of ${rate} lets ${pace} go${next}.`;
}

function fullSentence({ timeout_ms }: Slowed, since: number, cap: number): string {
  const until = `until about ${timeText(since + timeout_ms)} at the latest (timeout_ms)`;
  if (cap === 1) return `The one request at a time that it may have is under way since ${timeText(since)}, ${until}.`;
  return `All ${cap} requests at a time that it may have are under way, the oldest since ${timeText(since)}, ${until}.`;
}

export function sendingSentence({ timeout_ms }: Slowed, since: number): string {
  return `It is being sent since ${timeText(since)}, and its receiver has until about ${timeText(since + timeout_ms)} to answer (timeout_ms).`;
}

/** Where one request at a time may be, and another delivery has it. */
export function behindSentence({ timeout_ms }: Slowed, first: string, since: number): string {
  return `A dispatcher has it, and it waits for ${first}: the webhook takes one request at a time (max_in_flight), and that one is being sent since ${timeText(since)}, until about ${timeText(since + timeout_ms)} at the latest (timeout_ms).`;
}

function ownStep({ id, max_in_flight }: Slowed, is_rate: boolean, cap: number): string {
  const patch = `PATCH /api/webhooks/${id}`;
  if (is_rate)
    return `Nothing, if that rate is wanted; ${patch} {"rate_per_second": null} ends it, and a higher one raises it.`;
  const sooner = "Let the receiver answer sooner: store the event, answer 2xx, and do the rest afterwards.";
  const more = Math.min(2 * max_in_flight, IN_FLIGHT_MAX);
  if (cap < max_in_flight || more === max_in_flight) return sooner;
  return `${sooner} Or allow more at a time, for instance with ${patch} {"max_in_flight": ${more}}.`;
}

function sentence(because: Reason, { slots, slow_slots }: Slots): string {
  switch (because) {
    case "too_many":
      return "The receiver asked for less (429 or Retry-After).";
    case "silent":
      return "The receiver did not answer in time, or could not be reached.";
    case "slower":
      return "The receiver answers more slowly with more requests at a time.";
    case "resumed":
      return "It goes on after a stop, or after a change that began it anew: slowly at first, faster with each step that goes well.";
    case "slow":
      return `The receiver takes longer than a second to answer: such a one gets at most ${slow_slots} at a time of each dispatcher.`;
    case "slots":
      return `A dispatcher has at most ${slots} requests at a time, to all receivers together.`;
    case "beginning":
      // At first, and after its share has grown because another dispatcher went: from whatever number that was.
      return "It is still growing: each answer allows one more at a time.";
    default:
      // While processes are replaced one after another, a dispatcher may have a reason that this version does not know.
      return "A dispatcher of another version limits it.";
  }
}

function round(rate: number): number {
  return Math.round(rate * 100) / 100;
}
