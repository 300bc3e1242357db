// A destination's health as the API shows it, from counters that the settling of attempts keeps. Pure.
import type { DestinationState, Health } from "#contract/destinations.ts";
import { timeText } from "../platform/time-text.ts";
import type { Failing } from "./failed.ts";
import { classUpperMs } from "./latency.ts";

/** What is stored about one destination; a part without rows is absent. */
export interface HealthFacts {
  last_success_at: number | null;
  last_failure_at: number | null;
  consecutive_failures: number;
  /** Attempts of the last day by result and latency class. */
  attempts: readonly AttemptCount[];
  pending: number;
  oldest_pending_at: number | null;
  /** Stays from the last pause where that did not end with a success. */
  probe_at: number | null;
}

export interface AttemptCount {
  succeeded: number;
  latency_class: number;
  attempts: number;
}

/** What the process that answers allows at present; each process that sends learns for itself. */
export type Limits = Pick<Health, "concurrency_limit" | "rate_limit_per_second" | "held_until" | "limited_because">;

export const NO_LIMITS: Limits = {
  concurrency_limit: null,
  rate_limit_per_second: null,
  held_until: null,
  limited_because: null,
};

export const NO_FACTS: HealthFacts = {
  last_success_at: null,
  last_failure_at: null,
  consecutive_failures: 0,
  attempts: [],
  pending: 0,
  oldest_pending_at: null,
  probe_at: null,
};

export function composeHealth(facts: HealthFacts, state: DestinationState): Health {
  return {
    last_success_at: timeText(facts.last_success_at),
    last_failure_at: timeText(facts.last_failure_at),
    consecutive_failures: facts.consecutive_failures,
    success_rate_24h: successRate(facts.attempts),
    p95_ms_24h: percentileMs(facts.attempts, 0.95),
    pending: facts.pending,
    oldest_pending_at: timeText(facts.oldest_pending_at),
    next_probe_at: state === "paused" ? timeText(facts.probe_at) : null,
    ...NO_LIMITS,
  };
}

/** The same as decides whether it fails. */
export function failingOf(facts: HealthFacts): Failing {
  const { consecutive_failures, last_failure_at, attempts } = facts;
  const rate = { success_rate_24h: successRate(attempts), attempts_24h: sum(attempts) };
  return { consecutive_failures, last_failure_at, ...rate };
}

function successRate(counts: readonly AttemptCount[]): number | null {
  const total = sum(counts);
  return total === 0 ? null : sum(counts.filter((count) => count.succeeded === 1)) / total;
}

/** The duration that this share of all attempts, failed ones included, did not exceed. */
function percentileMs(counts: readonly AttemptCount[], share: number): number | null {
  const total = sum(counts);
  let seen = 0;
  for (const count of [...counts].sort((a, b) => a.latency_class - b.latency_class)) {
    seen += count.attempts;
    if (seen >= total * share && count.attempts > 0) return classUpperMs(count.latency_class);
  }
  return null;
}

function sum(counts: readonly AttemptCount[]): number {
  return counts.reduce((total, count) => total + count.attempts, 0);
}
