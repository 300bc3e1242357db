// The module in one piece: what an app has configured, for the hot path and for the management API.
// Created once by compose-pipeline.ts. A change is visible to this process when the call that made it answers.
import type { Database } from "../platform/database.ts";
import type { Statement } from "../platform/sql.ts";
import { type Destination, type DestinationRow, prepareDestination } from "./destination.ts";
import { type FailureRules, firstProbeMs, isOfPast, type NewestFailures, type Verdict, verdictOn } from "./failing.ts";
import { createHistory } from "./history.ts";
import { createMissedStore } from "./missed-store.ts";
import { createRegistry } from "./registry.ts";
import { createRotation } from "./rotation.ts";
import { createSigningKeys } from "./signing-keys.ts";
import { type ComposeNotice, createDestinationStore, SYSTEM } from "./store.ts";
import { createTrials } from "./trials.ts";
import { createVendors } from "./vendors.ts";
import { createWebhooks, type WebhookOptions } from "./webhooks.ts";

/** Whatever its type, whichever its app. */
const ANY = { type: null, app_id: null };

export type Destinations = ReturnType<typeof createDestinations>;

export interface DestinationsOptions extends WebhookOptions {
  db: Database;
  failure_rules: FailureRules;
  /** Told of each change that was made here and is committed, for the other processes. */
  announce?(app_id: string): Promise<void>;
  /** Without it nobody is told of changes of a state. */
  composeNotice?: ComposeNotice;
}

export function createDestinations(options: DestinationsOptions) {
  const { now, failure_rules } = options;
  const store = createDestinationStore(options.db, options.composeNotice);
  const listeners = new Set<(destination_id: string) => void>();
  const keys = createSigningKeys({ ...options, store });
  const notify = (destination_id: string, was_known = true) => {
    // Anybody may ask for all keys, and an app that is read for the first time is no reason to read them anew.
    if (was_known) keys.forgetSigningKeys();
    for (const listener of listeners) listener(destination_id);
  };
  const prepare = (row: Parameters<typeof prepareDestination>[0]): Destination => prepareDestination(row, options);
  const registry = createRegistry({ store, prepare, now, changed: notify });

  async function changed({ id, app_id }: { id: string; app_id: string }): Promise<void> {
    keys.forgetSigningKeys();
    const announced = options.announce?.(app_id);
    try {
      await registry.refresh(app_id);
    } catch {
      // The change itself is committed. The registry serves no more what it holds of the app: the next reader loads it.
    }
    notify(id);
    await announced;
  }

  /** Another process says that it has changed some. */
  function hearOf(app_id: string): void {
    keys.forgetSigningKeys();
    const known = registry.peek(app_id);
    // What is not in memory is read when it is needed.
    if (known === undefined) return;
    registry.refresh(app_id).catch(() => {
      // Any of them may be the one: whoever holds it waits until it can be read, instead of going on with what it was.
      for (const { id } of known.destinations) notify(id);
    });
  }

  /**
   * After failed attempts: pauses a destination that keeps failing, disables one that has failed for too long.
   * @param newest what the last of them ended with, which holds no secret, and whether one of them was a probe, all of one era
   */
  async function review(id: string, newest: NewestFailures = {}): Promise<Verdict | null> {
    const at = now();
    const before = await store.find(id, ANY);
    if (before === null || isOfPast(newest.era, before)) return null;
    if (verdictOn(before.state, { ...(await store.runOf(id)), ...newest }, failure_rules, at) === null) return null;
    let verdict: Verdict | null = null;
    const result = await store.change(id, ANY, { now: at, actor: SYSTEM }, (row, run) => {
      verdict = isOfPast(newest.era, row) ? null : verdictOn(row.state, { ...run, ...newest }, failure_rules, at);
      if (verdict === null) return null;
      const { state, reason } = verdict;
      const changed = { state, state_reason: reason, state_changed_at: at, updated_at: at };
      const probe = state === "paused" ? { probe_at: at + firstProbeMs(failure_rules) } : {};
      return { row: { ...row, ...changed }, cause: reason, reset_health: false, ...probe };
    });
    if (result?.changed) await changed(result.row);
    return verdict;
  }

  /** After a success of this era: what is paused goes on. False when it was not paused. */
  async function resume(id: string, era?: number): Promise<boolean> {
    const at = now();
    const result = await store.change(id, ANY, { now: at, actor: SYSTEM }, (row) => {
      if (row.state !== "paused" || isOfPast(era, row)) return null;
      const active = { state: "active", state_reason: null, state_changed_at: at, updated_at: at } as const;
      return { row: { ...row, ...active }, cause: "an attempt succeeded", reset_health: true };
    });
    if (result?.changed) await changed(result.row);
    return result?.changed ?? false;
  }

  /** Stops a destination that wanted no more in this era. Done twice, or when off, it changes nothing. */
  async function disable(id: string, reason: string, era?: number): Promise<boolean> {
    const stops = (row: DestinationRow) => (row.state === "active" || row.state === "paused") && !isOfPast(era, row);
    const before = await store.find(id, ANY);
    if (before === null || !stops(before)) return false;
    const at = now();
    const result = await store.change(id, ANY, { now: at, actor: SYSTEM }, (row) => {
      if (!stops(row)) return null;
      const stopped = { state: "disabled", state_reason: reason, state_changed_at: at, updated_at: at } as const;
      return { row: { ...row, ...stopped }, cause: reason, reset_health: false };
    });
    if (!result?.changed) return false;
    await changed(result.row);
    return true;
  }

  /** For who must know destinations that are being changed all the time. */
  function runLocked(app_ids: readonly string[], compose: () => readonly Statement[]) {
    return store.runLocked(app_ids, registry.learn, compose);
  }

  /** When nothing of it waits for its turn any more: the last step of a patch to `none`. */
  async function endOrdering(id: string): Promise<void> {
    const result = await store.change(id, ANY, { now: now(), actor: SYSTEM }, (row) => {
      if (row.ordering !== "leaving") return null;
      return { row: { ...row, ordering: "none" }, cause: "changed", reset_health: false };
    });
    if (result?.changed) await changed(result.row);
  }

  /**
   * Calls back after each change, possibly more than once for one, and where one may have been missed; those of other
   * processes when they are noticed.
   * Listeners must not throw.
   */
  function onChange(listener: (destination_id: string) => void): void {
    listeners.add(listener);
  }

  const dependencies = { ...options, store, missed_store: createMissedStore(options.db), changed };
  return {
    ...registry,
    ...createWebhooks(dependencies),
    ...createRotation(dependencies),
    ...createTrials(dependencies),
    ...keys,
    ...createVendors(dependencies),
    ...createHistory(dependencies),
    ...{ disable, review, resume, hearOf, runLocked, endOrdering, onChange },
  };
}
