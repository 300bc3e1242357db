// Conditions come and go: a full disk, a backlog. Each is told once when it begins and once when it has ended for a while,
// over all processes: a row of the database says that it was told. Called by watches at each look.
// While the database takes nothing, a process that has seen a beginning tells it by itself, and remembers that.

import type { Clock } from "../platform/clock.ts";
import { isDatabaseError } from "../platform/database.ts";
import type { NewNotice } from "./notice.ts";
import type { Outbox } from "./outbox.ts";
import type { Condition, NoticeStore } from "./store.ts";

/** What one look has found. */
export type Reading =
  /** It holds; the notice is sent when this is the beginning. */
  | { state: "holds"; begin: NewNotice }
  /** Neither: it goes on if it had begun. */
  | { state: "between" }
  | { state: "gone"; end(since: number): NewNotice };

/** A condition has ended when nobody has seen it for so long: three looks. */
export const QUIET_MS = 150_000;
/** Conditions that this process has told without the database. */
const TOLD_MAX = 100;

export type Conditions = ReturnType<typeof createConditions>;

export interface ConditionsOptions {
  store: Pick<NoticeStore, "open" | "touch" | "close" | "openSubjects">;
  outbox: Pick<Outbox, "compose" | "post" | "sendDirectly">;
  clock: Pick<Clock, "now">;
  /** A hint: a notice was kept. */
  kept(): void;
}

export function createConditions({ store, outbox, clock, kept }: ConditionsOptions) {
  /** When this process told it by itself. */
  const told = new Map<string, number>();

  /** Takes what a look has found, and tells what is new about it. */
  async function report(condition: Condition, reading: Reading): Promise<void> {
    const name = `${condition.kind} ${condition.subject}`;
    const now = clock.now();
    if (reading.state === "between") await store.touch(condition, now);
    else if (reading.state === "holds") await begin(condition, name, reading.begin);
    else await end(condition, name, reading.end);
  }

  async function begin(condition: Condition, name: string, notice: NewNotice): Promise<void> {
    const now = clock.now();
    const is_told = told.has(name);
    try {
      const has_begun = await store.open(condition, now, is_told ? [] : outbox.compose(notice));
      if (has_begun && !is_told) kept();
    } catch (error) {
      if (!isDatabaseError(error, "unavailable")) throw error;
      if (is_told || told.size >= TOLD_MAX) return;
      told.set(name, now);
      outbox.sendDirectly(notice);
    }
  }

  async function end(condition: Condition, name: string, compose: (since: number) => NewNotice): Promise<void> {
    const has_ended = await store.close(condition, clock.now() - QUIET_MS, (since) => outbox.compose(compose(since)));
    if (has_ended) kept();
    const told_at = told.get(name);
    if (told_at === undefined) return;
    // Begun and gone while the database was away: there is no row that would say so.
    if (!has_ended && clock.now() - told_at < QUIET_MS) return;
    told.delete(name);
    if (!has_ended) await outbox.post(compose(told_at));
  }

  return { report, openSubjects: store.openSubjects };
}
