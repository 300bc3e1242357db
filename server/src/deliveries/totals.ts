// What many finished attempts add up to, for each destination: its health and its counters by the hour. Pure; called by
// settle-store.ts for every group that is recorded. Both lists are in one order in every process, so that two transactions that
// change the same rows never wait for each other in a circle.
import assert from "node:assert/strict";
import { hourOf, LATENCY_CLASSES, latencyClass } from "../destinations/latency.ts";
import type { AttemptRow, DeliveryKey } from "./delivery.ts";

interface Finished {
  readonly key: DeliveryKey;
  readonly attempt: number;
  readonly record: Pick<AttemptRow, "started_at" | "duration_ms" | "outcome">;
}

export interface HealthChange {
  destination_id: string;
  success_at: number | null;
  failure_at: number | null;
  /** Failures since the last success among these, and when the first of them ended. */
  failures: number;
  failing_since: number | null;
}

/** Attempts of one destination with the same hour, result and latency class. */
export interface HourCount {
  destination_id: string;
  hour: number;
  succeeded: number;
  latency_class: number;
  attempts: number;
}

export function healthChanges(finished: readonly Finished[]): HealthChange[] {
  const changes = new Map<string, HealthChange>();
  for (const { key, record } of [...finished].sort(byEnd)) {
    const change = changeOf(changes, key.destination_id);
    const at = endOf({ record });
    if (record.outcome === "accepted") {
      change.success_at = at;
      change.failures = 0;
      change.failing_since = null;
    } else {
      change.failure_at = at;
      change.failures++;
      change.failing_since ??= at;
    }
  }
  return [...changes.values()].sort(byDestination);
}

/** With changes of nothing for the other destinations that are named, in the same order. */
export function withUnchanged(changes: HealthChange[], named: readonly { destination_id: string }[]): HealthChange[] {
  if (named.length === 0) return changes;
  const all = new Map(changes.map((change) => [change.destination_id, change]));
  for (const { destination_id } of named) changeOf(all, destination_id);
  return [...all.values()].sort(byDestination);
}

function changeOf(changes: Map<string, HealthChange>, destination_id: string): HealthChange {
  const known = changes.get(destination_id);
  if (known !== undefined) return known;
  const change = { destination_id, success_at: null, failure_at: null, failures: 0, failing_since: null };
  changes.set(destination_id, change);
  return change;
}

/** What one attempt adds, where the ones before it may be counted already. */
export interface SingleChange {
  key: DeliveryKey;
  attempt: number;
  health: HealthChange;
  hour: HourCount;
}

/** The same, attempt by attempt, in the order of destinations and ends. A failure before a success counts as none. */
export function singleChanges(finished: readonly Finished[]): SingleChange[] {
  const last_success = new Map<string, number>();
  for (const { destination_id, success_at } of healthChanges(finished)) {
    if (success_at !== null) last_success.set(destination_id, success_at);
  }
  return [...finished]
    .sort((a, b) => byDestination(a.key, b.key) || byEnd(a, b))
    .map((one) => {
      const [health] = healthChanges([one]);
      const [hour] = hourCounts([one]);
      assert(health !== undefined && hour !== undefined, "one attempt is one change");
      const { key, attempt } = one;
      const is_over = endOf(one) < (last_success.get(key.destination_id) ?? Number.NEGATIVE_INFINITY);
      return { key, attempt, health: is_over ? { ...health, failures: 0, failing_since: null } : health, hour };
    });
}

function byEnd(a: Pick<Finished, "record">, b: Pick<Finished, "record">): number {
  return endOf(a) - endOf(b);
}

export function endOf({ record }: Pick<Finished, "record">): number {
  return record.started_at + record.duration_ms;
}

export function hourCounts(finished: readonly Finished[]): HourCount[] {
  const of_destinations = new Map<string, Map<number, HourCount>>();
  for (const { key, record } of finished) count(countsOf(of_destinations, key.destination_id), key, record);
  return [...of_destinations.values()]
    .flatMap((counts) => [...counts.values()])
    .sort(
      (a, b) =>
        byDestination(a, b) || a.hour - b.hour || a.succeeded - b.succeeded || a.latency_class - b.latency_class,
    );
}

function countsOf(of_destinations: Map<string, Map<number, HourCount>>, id: string): Map<number, HourCount> {
  const known = of_destinations.get(id);
  if (known !== undefined) return known;
  const counts = new Map<number, HourCount>();
  of_destinations.set(id, counts);
  return counts;
}

function count(counts: Map<number, HourCount>, key: DeliveryKey, record: Finished["record"]): void {
  const hour = hourOf(record.started_at);
  const succeeded = record.outcome === "accepted" ? 1 : 0;
  const latency_class = latencyClass(record.duration_ms);
  // Hours are multiples of 3,600,000, so no two groups share a number; a text as the key would cost ten times as much.
  const group = hour + succeeded * LATENCY_CLASSES + latency_class;
  const known = counts.get(group);
  if (known !== undefined) known.attempts++;
  else counts.set(group, { destination_id: key.destination_id, hour, succeeded, latency_class, attempts: 1 });
}

function byDestination(a: { destination_id: string }, b: { destination_id: string }): number {
  if (a.destination_id === b.destination_id) return 0;
  return a.destination_id < b.destination_id ? -1 : 1;
}
