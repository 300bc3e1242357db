// What dispatchers tell of how much they send each webhook, where that is less than their part of its settings, and what that
// adds up to over all of them. Written with the beat of presence.ts, so the text is bounded. Pure; called by dispatcher.ts and
// present-limits.ts.
import assert from "node:assert/strict";
import type { Limits } from "../destinations/health.ts";
import { timeText } from "../platform/time-text.ts";
import {
  type Allowed,
  type Holds,
  type Own,
  type Reason,
  type Slots,
  type Slowed,
  showLimits,
  showOwn,
} from "./limit-text.ts";
import { type Bound, shareOf } from "./share.ts";

/** Webhooks in what one dispatcher tells: those that it limits most. */
export const TOLD_MAX = 100;
const TOLD_MAX_CHARS = 8 * 1024;

/** What a dispatcher sends one webhook, and the part of the settings that it could. */
export interface Told {
  destination_id: string;
  allowed: Allowed;
  share: Bound;
}

/** One line of the text: webhook, requests at a time, a second, held until, reason, and what its settings keep back. */
type Line = [
  ...[destination_id: string, Allowed["cap"], Allowed["per_second"], Allowed["held_until"], Reason | null],
  ...([] | [Own["next_at"], Own["full_since"]]),
];

/** Null when nothing is kept back. */
export function writeTold(told: Iterable<Told>): string | null {
  const limited = [...told].filter(({ allowed }) => allowed.because !== null || allowed.own !== undefined);
  const lines: string[] = [];
  let chars = 2;
  for (const { destination_id, allowed } of limited.sort(byPressure).slice(0, TOLD_MAX)) {
    const { cap, per_second, held_until, because, own } = allowed;
    const kept = own === undefined ? [] : [own.next_at, own.full_since];
    const line = JSON.stringify([destination_id, cap, per_second, held_until, because, ...kept]);
    chars += line.length + 1;
    if (chars > TOLD_MAX_CHARS) break;
    lines.push(line);
  }
  return lines.length === 0 ? null : `[${lines.join()}]`;
}

/** By webhook. */
export function readTold(text: string | null): Map<string, Allowed> {
  // Written by writeTold of this version, or of one that is being replaced.
  const lines = JSON.parse(text ?? "[]") as Line[];
  return new Map(
    lines.map(([id, cap, per_second, held_until, because, next_at, full_since]) => {
      const allowed: Allowed = { cap, per_second, held_until, because };
      return [id, next_at === undefined ? allowed : { ...allowed, own: { next_at, full_since: full_since ?? null } }];
    }),
  );
}

type Webhook = Bound & { id: string };

/** A dispatcher that is there, and what it tells of a webhook: nothing where it sends its part of the settings, or nothing at all. */
export interface Teller {
  id: string;
  told: { get(destination_id: string): Allowed | undefined };
}

interface Present {
  now: number;
  slots: Slots;
}

/** What all of them together send a webhook; @param tellers at least one */
export function limitsOver(webhook: Webhook, tellers: readonly Teller[], { now, slots }: Present): Limits {
  const { max_in_flight, rate_per_second } = webhook;
  const whole: Allowed = { cap: max_in_flight, per_second: rate_per_second, held_until: null, because: null };
  if (tellers.every(({ told }) => (told.get(webhook.id)?.because ?? null) === null)) return showLimits(whole, slots);
  const senders = sendersOf(webhook, tellers).sort(byPressure);
  const [most] = senders;
  assert(most !== undefined, "one of them has told of it");
  const allowed = senders.map((sender) => sender.allowed);
  const shown = showLimits({ ...sumOf(allowed, max_in_flight, now), because: most.allowed.because }, slots);
  const alike = allowed.filter(({ because }) => because === most.allowed.because).length;
  if (alike === senders.length || shown.limited_because === null) return shown;
  const of = `This is so for ${alike} of ${senders.length} dispatchers that send to it.`;
  return { ...shown, limited_because: `${shown.limited_because} ${of}` };
}

/** The same for whoever asks what keeps a delivery: it is sent nothing only until the first of them sends again. */
export function holdsOver(webhook: Slowed, tellers: readonly Teller[], at: Present): Holds {
  const all = sendersOf(webhook, tellers).map(({ allowed }) => allowed);
  const first = Math.min(...all.map(({ held_until }) => held_until ?? 0));
  const limits = { ...limitsOver(webhook, tellers, at), held_until: first > at.now ? timeText(first) : null };
  const cap = sum(all.map((one) => one.cap));
  return { ...limits, own: showOwn(webhook, ownOf(all), { cap, now: at.now }) };
}

/** Only what all of them keep back is kept, until the first of them sends again. */
function ownOf(all: readonly Allowed[]): Own {
  const first = (times: readonly (number | null)[]) => {
    const known = times.filter((time) => time !== null);
    return known.length === 0 || known.length < times.length ? null : Math.min(...known);
  };
  return {
    next_at: first(all.map(({ own }) => own?.next_at ?? null)),
    full_since: first(all.map(({ own }) => own?.full_since ?? null)),
  };
}

function sendersOf(webhook: Webhook, tellers: readonly Teller[]): Told[] {
  const nodes = tellers.map(({ id }) => id);
  return tellers
    .map(({ id, told }) => partOf(webhook, shareOf(webhook, nodes, id), told.get(webhook.id)))
    .filter(({ allowed, share }) => allowed.because !== null || share.max_in_flight > 0);
}

/** One that tells nothing of a webhook may send it its part. */
function partOf({ id }: { id: string }, share: Bound, told: Allowed | undefined): Told {
  const { max_in_flight: cap, rate_per_second: per_second } = share;
  return { destination_id: id, share, allowed: told ?? { cap, per_second, held_until: null, because: null } };
}

function sumOf(all: readonly Allowed[], max_in_flight: number, now: number): Omit<Allowed, "because"> {
  const rates = all.flatMap(({ per_second }) => (per_second === null ? [] : [per_second]));
  const ends = all.flatMap(({ held_until }) => (held_until !== null && held_until > now ? [held_until] : []));
  return {
    // Who has just come or gone may not be known to all of them yet.
    cap: Math.min(max_in_flight, sum(all.map(({ cap }) => cap))),
    per_second: rates.length < all.length ? null : sum(rates),
    held_until: ends.length === 0 ? null : Math.max(...ends),
  };
}

/** Those that are sent the smallest part of what they could be first. */
function byPressure(a: Told, b: Told): number {
  return easeOf(a) - easeOf(b) || paceOf(a) - paceOf(b);
}

/** What is limited comes before what is not, be it in its rate alone. */
function easeOf({ allowed, share }: Told): number {
  return allowed.because === null ? 2 : allowed.cap / Math.max(1, share.max_in_flight);
}

/** No pace at all is the fastest there is; a number, so that two of them compare. */
function paceOf({ allowed }: Told): number {
  return allowed.per_second ?? Number.MAX_VALUE;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
