// What happens to a delivery after an attempt: a total, pure function over outcomes. Called by attempt.ts.
// Source of the rules: the management API contract, "What a receiver sees".
import type { DeliveryState, Trigger } from "#contract/deliveries.ts";
import type { FailedOutcome, Outcome } from "#destination-types/definition.ts";
import { uuidTime } from "../platform/ids.ts";
import { DUE_FIRST } from "./due.ts";

/** Delays are spread by this share both ways, so that failed deliveries do not come back as one wave. */
const JITTER = 0.2;
/** The least age of what a link waits for, while its destination is paused, before it is given up. */
export const PARKED_AFTER_MS = 24 * 3_600_000;
/** Claims that ended without a result before a delivery is given up: it may be what kills the process. */
export const INTERRUPTIONS_MAX = 500;
/** Between attempts at a destination that this server cannot read: it is tried until somebody mends that. */
export const UNREADABLE_RETRY_MS = 15 * 60_000;

/** What the decision needs to know of a claimed delivery. */
export interface DecisionInput {
  failures: number;
  trigger: Trigger;
  /** A test stays a test, which says nothing about health and is sent while its destination is off. */
  is_test: boolean;
  resume_state: DeliveryState | null;
  resume_at: number | null;
  /** Of what it is sent for now, attempts that say something of the receiver, this one included; 0 where nobody has asked. */
  tries: number;
  /** Later ones of its key wait until it has ended; null: none does. */
  order_key: string | null;
  /** The replay that sends it again; null: none does. */
  replay_id: string | null;
  /** When the last replay that sends it made it pending; null: none did, or it does not tell. */
  armed_at: number | null;
  /** Begins with the time of its event. */
  position: string;
}

export interface Decision {
  state: DeliveryState;
  /** What is to be said of the state; the one that is stored stays when the decision is `restored`. */
  reason: string | null;
  /** Failed attempts that count against the schedule, this one included. */
  failures: number;
  /** When it is due again; null when it is settled. */
  due_at: number | null;
  trigger: Trigger;
  /** True when this attempt changed nothing about an earlier result. */
  restored: boolean;
}

export interface Instant {
  /** Milliseconds since 1970. */
  now: number;
  /** From 0 to 1. */
  random: number;
}

/** Nothing was sent, for this server cannot read the settings or secrets: no failure of the receiver or of its owner. */
export interface Unreadable {
  kind: "misconfigured";
  retriable: true;
  message: string;
  is_unreadable: true;
}

export function isUnreadable(outcome: Outcome | Unreadable | undefined): outcome is Unreadable {
  return outcome !== undefined && "is_unreadable" in outcome;
}

/**
 * Decides what an attempt means for its delivery.
 * @param schedule seconds before each further attempt; empty means one attempt
 * @example decide(claimed, { kind: "accepted" }, [5, 300], { now, random }).state // "succeeded"
 */
export function decide(
  claimed: DecisionInput,
  outcome: Outcome | Unreadable,
  schedule: readonly number[],
  at: Instant,
): Decision {
  if (outcome.kind === "accepted" || outcome.kind === "accepted_unverified") {
    return { ...settled(claimed, "succeeded", null), trigger: claimed.trigger };
  }
  if (outcome.kind === "skipped") {
    const is_settled = claimed.resume_state !== null && claimed.resume_state !== "pending";
    return is_settled
      ? restore(claimed, claimed.resume_state ?? "skipped")
      : settled(claimed, "skipped", outcome.message);
  }
  if (isPoison(claimed, outcome, schedule, at.now)) return park(claimed, outcome.message);
  const is_final = claimed.trigger === "probe" && !outcome.retriable;
  if (claimed.resume_state !== null && !is_final) return restore(claimed, claimed.resume_state);
  if (isUnreadable(outcome)) {
    return waitUnchanged(claimed, outcome.message, at.now + jittered(UNREADABLE_RETRY_MS, at.random));
  }
  const failures = claimed.failures + 1;
  if (!outcome.retriable) return { ...settled(claimed, "failed", outcome.message), failures };
  const delay_seconds = schedule[claimed.failures];
  if (delay_seconds === undefined) {
    return { ...settled(claimed, "failed", givenUp(failures, outcome.message)), failures };
  }
  const delay_ms = Math.max(jittered(delay_seconds * 1000, at.random), outcome.retry_after_ms ?? 0);
  const reason = outcome.message;
  return {
    ...{ state: "pending", reason, failures, due_at: at.now + delay_ms },
    ...{ trigger: triggerOf(claimed), restored: false },
  };
}

/**
 * What an attempt means that the stop of this server has cut off: it costs nothing of the schedule, and the next dispatcher makes
 * it anew, also when a person has asked for it (settle-store.ts). What a probe has tried is what it was.
 */
export function decideCutOff(claimed: DecisionInput, reason: string, now: number): Decision {
  const { trigger, failures } = claimed;
  if (trigger === "manual") return { state: "pending", reason, failures, due_at: DUE_FIRST, trigger, restored: false };
  if (claimed.resume_state !== null) return restore(claimed, claimed.resume_state);
  return waitUnchanged(claimed, reason, now);
}

/**
 * Whether a probe of a paused destination has met what may itself be why that is paused: a receiver that answers and refuses it,
 * when it was tried as often, and is as old, as its schedule says; what a replay sends again begins anew with that. Where order
 * is asked for, nothing but this one of its link can be tried, so it would keep the link, and with it the destination, for ever.
 * While a receiver is down, its proxy refuses too: so for a day nothing is given up, however short the schedule.
 */
function isPoison(
  { trigger, resume_state, order_key, tries, position, replay_id, armed_at }: DecisionInput,
  outcome: FailedOutcome | Unreadable,
  schedule: readonly number[],
  now: number,
): boolean {
  if (trigger !== "probe" || resume_state !== "pending" || order_key === null) return false;
  if (outcome.kind !== "refused" || outcome.retry_after_ms !== undefined) return false;
  // A process from before `armed_at` has begun it: how often it was tried since is not known.
  if (replay_id !== null && armed_at === null) return false;
  const schedule_ms = schedule.reduce((sum, seconds) => sum + seconds, 0) * 1_000;
  const began_at = Math.max(uuidTime(position), armed_at ?? 0);
  return tries > schedule.length && now - began_at >= Math.max(schedule_ms, PARKED_AFTER_MS);
}

function park(claimed: DecisionInput, message: string): Decision {
  const reason = `Given up so that its link can go on: its schedule is over, and a probe of the paused webhook has failed with it once more. ${message}`;
  return { ...settled(claimed, "failed", reason), failures: claimed.failures + 1 };
}

/** A manual attempt grants one try and costs nothing, and so does a probe: when it fails, the delivery is what it was. */
function restore(claimed: DecisionInput, state: DeliveryState): Decision {
  const due_at = state === "pending" ? claimed.resume_at : null;
  return { state, reason: null, failures: claimed.failures, due_at, trigger: triggerOf(claimed), restored: true };
}

/** The schedule stays as it was, for the time after. */
function waitUnchanged(claimed: DecisionInput, reason: string, due_at: number): Decision {
  const { failures } = claimed;
  return { state: "pending", reason, failures, due_at, trigger: triggerOf(claimed), restored: false };
}

/** Of the attempts that come by themselves. */
function triggerOf({ is_test, trigger }: DecisionInput): "test" | "auto" | "replay" {
  if (is_test) return "test";
  return trigger === "replay" ? "replay" : "auto";
}

function settled(claimed: DecisionInput, state: DeliveryState, reason: string | null): Decision {
  return { state, reason, failures: claimed.failures, due_at: null, trigger: triggerOf(claimed), restored: false };
}

function givenUp(failures: number, message: string): string {
  return failures === 1 ? `The only attempt failed. ${message}` : `All ${failures} attempts failed. ${message}`;
}

function jittered(delay_ms: number, random: number): number {
  return Math.round(delay_ms * (1 - JITTER + 2 * JITTER * random));
}
