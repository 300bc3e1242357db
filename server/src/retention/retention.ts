// Removes what has expired, in one process at a time of those with the role `dispatcher`: short steps along primary keys,
// with a rest after each that grows when the database is busy. How far a walk has come commits with what it removed, so a
// process that dies costs nothing; a walk begins anew once a day, for what it had to leave. Created once by compose.ts.

import type { Clock } from "../platform/clock.ts";
import { isDatabaseError } from "../platform/database.ts";
import { createRounds } from "../platform/rounds.ts";
import { FIRST_PACE, nextPace } from "./plan.ts";
import { createSteps, type Removed, type Step, type StepParts, tidy, type Walk } from "./steps.ts";
import { type KeptDestination, type Progress, type RetentionStore, saveProgress } from "./store.ts";

/** After the start, which has better things to do. */
const FIRST_ROUND_MS = 30_000;
const ROUND_MS = 10 * 60_000;
/** Before the next round when the last one left something. */
const NEXT_ROUND_MS = 1_000;
/** A walk begins anew so long after it began, if it has come to its end. */
export const LAP_MS = 24 * 3_600_000;
/** Steps of one walk in a row, before the others go on. */
const STEPS_IN_A_ROW_MAX = 50;
const PAGE_ROWS = 200;
/** Longer than the longest rest; a process that dies holds up the removal for so long. */
const LEASE_MS = 120_000;
const RENEW_MS = 40_000;

export interface RetentionOptions extends Omit<StepParts, "store"> {
  store: RetentionStore;
  clock: Clock;
  /** Milliseconds that only go forward. */
  elapsed(): number;
  /** Another one for each process. */
  holder: string;
  log(event: string, fields: Record<string, unknown>, level?: "info" | "warn"): void;
}

export function createRetention(options: RetentionOptions) {
  const { store, clock, elapsed, holder, log } = options;
  const steps = createSteps(options);
  const rounds = createRounds({
    ...{ clock, poll_ms: ROUND_MS, next_ms: NEXT_ROUND_MS, run: runRound },
    // The next round goes on where this one stood.
    failed: (error) => log("retention.failed", { error }, "warn"),
  });
  let pace = FIRST_PACE;
  let held_at = Number.NEGATIVE_INFINITY;
  let endRest = () => {};

  /** Lets every walk go on for some steps; answers whether something is left. False too when another process does it. */
  async function runRound(): Promise<boolean> {
    const removed: Removed = { events: 0, deliveries: 0, records: 0, clicks: 0, app_events: 0, identities: 0 };
    let is_left = false;
    const take = async (walk: Walk) => {
      is_left = (await carryOn(walk, removed)) || is_left;
    };
    // Records first: there is most of them, and events that go then find fewer.
    await eachPage(store.destinationsAfter, async (destination) => {
      if (await isNew(destination.id)) await tidyUp(destination);
      await take(steps.walkDeliveries(destination));
    });
    await eachPage(store.appsAfter, async ({ event_retention_days, ...app }) => {
      if (event_retention_days === null) return;
      await take(steps.walkEvents({ ...app, event_retention_days }));
      await take(steps.walkAppEvents({ ...app, event_retention_days }));
      await take(steps.walkIdentities({ ...app, event_retention_days }));
    });
    const days = await store.shortestDays();
    if (days !== null && (await mayGoOn())) await take(steps.walkClicks(days));
    if (await mayGoOn()) await store.forgetWalks();
    if (Object.values(removed).some((count) => count > 0)) log("retention.removed", { ...removed });
    return is_left;
  }

  async function eachPage<Kept extends { id: string }>(
    read: (after: string, limit: number) => Promise<Kept[]>,
    work: (one: Kept) => Promise<void>,
  ): Promise<void> {
    for (let after: string | undefined = ""; after !== undefined; ) {
      const page: Kept[] = await read(after, PAGE_ROWS);
      for (const one of page) {
        if (!(await mayGoOn())) return;
        await work(one);
      }
      after = page.length < PAGE_ROWS ? undefined : page.at(-1)?.id;
    }
  }

  /** Whether its walk is at the beginning. */
  async function isNew(destination_id: string): Promise<boolean> {
    return ((await store.progressOf("deliveries", destination_id))?.at_key ?? "") === "";
  }

  /** A few rows a day, or what a day's worth of steps removes of more. */
  async function tidyUp(destination: KeptDestination): Promise<void> {
    await paced(() => store.commit(tidy(destination, clock.now())));
  }

  /** Some steps of a walk; answers whether it has to go on. */
  async function carryOn(walk: Walk, removed: Removed): Promise<boolean> {
    const now = clock.now();
    const saved = await store.progressOf(walk.kind, walk.id);
    // A beginning in the future is of a clock that was wrong.
    let progress = saved !== undefined && saved.began_at <= now ? saved : { at_key: "", began_at: now };
    for (let left = STEPS_IN_A_ROW_MAX; left > 0 && (await mayGoOn()); left--) {
      const step = await paced(() => makeStep(walk, progress, { saved, is_last: left === 1 }));
      if (step === null) continue;
      progress = { ...progress, at_key: step.at_key };
      note(step, removed);
      if (step.is_end) return false;
    }
    return true;
  }

  /** Null when a row changed under it: what was to go may be wanted again, so it is looked at anew. */
  async function makeStep(
    walk: Walk,
    progress: Progress,
    { saved, is_last }: { saved: Progress | undefined; is_last: boolean },
  ): Promise<Step | null> {
    const now = clock.now();
    const step = await walk.next(progress.at_key, pace.rows, now);
    const is_over = step.is_end && now - progress.began_at >= LAP_MS;
    const after = is_over ? { at_key: "", began_at: now } : { ...progress, at_key: step.at_key };
    const has_moved = after.at_key !== (saved?.at_key ?? "") || after.began_at !== saved?.began_at;
    // A look that removes nothing is worth a commit as the last of these steps only.
    const is_due = step.statements.length > 0 || ((step.is_end || is_last) && has_moved);
    if (!is_due) return step;
    try {
      await store.commit([...step.statements, saveProgress(walk.kind, walk.id, after)]);
    } catch (error) {
      if (isDatabaseError(error, "unmet")) return null;
      throw error;
    }
    return step;
  }

  function note(step: Step, removed: Removed): void {
    removed.events += step.removed.events ?? 0;
    removed.deliveries += step.removed.deliveries ?? 0;
    removed.records += step.removed.records ?? 0;
    removed.clicks += step.removed.clicks ?? 0;
    removed.app_events += step.removed.app_events ?? 0;
    removed.identities += step.removed.identities ?? 0;
    for (const [destination_id, count] of step.ended) log("deliveries.expired", { destination_id, count }, "warn");
  }

  async function paced<Result>(work: () => Promise<Result>): Promise<Result> {
    const began_at = elapsed();
    const result = await work();
    pace = nextPace(pace, elapsed() - began_at);
    await rest(pace.rest_ms);
    return result;
  }

  function rest(rest_ms: number): Promise<void> {
    if (rounds.isStopping()) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = clock.after(rest_ms, resolve);
      endRest = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Whether this process is the one, and is not to stop. */
  async function mayGoOn(): Promise<boolean> {
    if (rounds.isStopping()) return false;
    const now = clock.now();
    if (now >= held_at && now - held_at < RENEW_MS) return true;
    const is_held = await store.hold(holder, now, LEASE_MS);
    held_at = is_held ? now : Number.NEGATIVE_INFINITY;
    return is_held;
  }

  /** Resolves when the step under way has ended. */
  async function stop(): Promise<void> {
    const was_running = rounds.isRunning();
    const stopped = rounds.stop();
    endRest();
    await stopped;
    if (!was_running || held_at === Number.NEGATIVE_INFINITY) return;
    // A lease that stays runs out by itself.
    await store.giveBack(holder).catch(() => {});
  }

  return { runRound, start: () => rounds.start(FIRST_ROUND_MS), stop };
}
