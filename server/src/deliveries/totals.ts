// What many finished attempts add up to, for each destination: its health and its counters by the hour. Pure; called by
// settle-store.ts for every group that is recorded. Both lists are in one order in every process, so that two transactions that
// change the same rows never wait for each other in a circle.

import assert from "node:assert/strict";
import { isAccepted } from "#destination-types/definition.ts";
import { hourOf, LATENCY_CLASSES, latencyClass } from "../destinations/latency.ts";
import type { AttemptRow, DeliveryKey } from "./delivery.ts";

interface Finished {
  readonly key: DeliveryKey;
  readonly attempt: number;
  readonly record: Pick<AttemptRow, "started_at" | "duration_ms" | "outcome">;
  readonly era?: number;
}

export interface HealthChange {
  destination_id: string;
  /** The newest of these: who fails by settings that a person has changed since says nothing about the present ones. */
  era: number;
  /** Of this era, for a success is what ends its run. */
  success_at: number | null;
  /** Of any era. */
  failure_at: number | null;
  /** Failures of this era since the last success among these, and when the first of them ended. */
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

/** Of what was not sent, and of a change of nothing: no later one, so that it begins no run. */
const NO_ERA = 0;

export function healthChanges(finished: readonly Finished[]): HealthChange[] {
  const changes = new Map<string, HealthChange>();
  for (const { key, record, era = NO_ERA } of [...finished].sort(byEnd)) {
    const change = changeOf(changes, key.destination_id);
    const at = endOf({ record });
    if (era > change.era) Object.assign(change, { era, success_at: null, failures: 0, failing_since: null });
    if (!isAccepted(record.outcome)) change.failure_at = at;
    if (era < change.era) continue;
    if (isAccepted(record.outcome)) {
      change.success_at = at;
      change.failures = 0;
      change.failing_since = null;
    } else {
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
  const change = { destination_id, era: NO_ERA, success_at: null, failure_at: null, failures: 0, failing_since: null };
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
  const together = new Map(healthChanges(finished).map((change) => [change.destination_id, change]));
  return [...finished]
    .sort((a, b) => byDestination(a.key, b.key) || byEnd(a, b))
    .map((one) => {
      const [hour] = hourCounts([one]);
      const all = together.get(one.key.destination_id);
      assert(all !== undefined && hour !== undefined, "each attempt is part of what they are together");
      return { key: one.key, attempt: one.attempt, health: partOf(all, one), hour };
    });
}

/** All of one destination say the same era: where those that begin it are on record already, so is it. */
function partOf(all: HealthChange, one: Finished): HealthChange {
  const [alone] = healthChanges([one]);
  assert(alone !== undefined, "one attempt is one change");
  if (alone.era < all.era) return { ...alone, era: all.era, success_at: null, failures: 0, failing_since: null };
  const is_over = all.success_at !== null && endOf(one) < all.success_at;
  return is_over ? { ...alone, failures: 0, failing_since: null } : alone;
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
  const succeeded = isAccepted(record.outcome) ? 1 : 0;
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
