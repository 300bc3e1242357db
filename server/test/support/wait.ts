// Waiting for something to become true, for tests: never a sleep of a guessed length, and a failure that says what
// was awaited. Called by tests and by the other files of this folder.
import { setTimeout as pause } from "node:timers/promises";
import type { Database } from "../../src/platform/database.ts";
import { sql } from "../../src/platform/sql.ts";

const POLL_MS = 10;
/** Generous, for a busy machine: it bounds a failure and says nothing about how fast the product is. */
const TIMEOUT_MS = 30_000;

/**
 * Resolves with the first value of `condition` that is not false, null or undefined.
 * @param what completes the sentence "Waited 30 s for ...", such as "the delivery to succeed"
 */
export async function waitUntil<Value>(
  condition: () => Value | Promise<Value>,
  what: string,
  { timeout_ms = TIMEOUT_MS, poll_ms = POLL_MS } = {},
): Promise<NonNullable<Exclude<Value, false>>> {
  const deadline = performance.now() + timeout_ms;
  for (;;) {
    const value = await condition();
    // The comparison excludes what the return type excludes, which TypeScript does not follow through a type parameter.
    if (value !== undefined && value !== null && value !== false) return value as NonNullable<Exclude<Value, false>>;
    if (performance.now() >= deadline) throw new Error(`Waited ${timeout_ms / 1_000} s for ${what}.`);
    await pause(poll_ms);
  }
}

/** Whether a statement on this database of PostgreSQL waits for the lock of another one. */
export async function isSomebodyBlocked({ query }: Pick<Database, "query">): Promise<boolean> {
  const waiting = await query(
    sql`select 1 as one from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return waiting.length > 0;
}
