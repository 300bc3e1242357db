// Carries replays on, step by step, in every process that dispatches. The table says what is due, so a hint that is lost
// costs one poll, and what a process that dies has begun another one, or the next start, goes on with.
import type { Clock } from "../platform/clock.ts";
import { createRounds } from "../platform/rounds.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { planStep, type ReplayRow } from "./replay.ts";
import { findTarget, type ReplayDestinations } from "./replay-destination.ts";
import type { ReplayStore } from "./replay-store.ts";
import type { ReplayWalk } from "./replay-walk-store.ts";

const POLL_MS = 1_000;
/** After a round in which something moved. */
const NEXT_MS = 100;
/** Replays that one round carries on, those first that wait longest. */
const ROUND_MAX = 20;
/** Steps of one replay in a row that find nothing, before the others go on. */
const EMPTY_STEPS_MAX = 20;

export interface ReplayRunnerOptions {
  store: Pick<ReplayStore, "findDue" | "factsOf" | "step">;
  walk: Pick<ReplayWalk, "next">;
  destinations: ReplayDestinations;
  dispatcher: Pick<Dispatcher, "wake">;
  clock: Clock;
  log(event: string, fields: Record<string, unknown>, level?: "info" | "warn"): void;
}

export function createReplayRunner({ store, walk, destinations, dispatcher, clock, log }: ReplayRunnerOptions) {
  const rounds = createRounds({
    ...{ clock, poll_ms: POLL_MS, next_ms: NEXT_MS, run: runRound },
    failed: (error) => log("replays.not_polled", { error }, "warn"),
  });

  /** Carries on what is due; answers whether anything was. */
  async function runRound(): Promise<boolean> {
    const due = await store.findDue(clock.now(), ROUND_MAX);
    for (const row of due) {
      if (rounds.isStopping()) return false;
      try {
        await carryOn(row);
      } catch (error) {
        // The others go on; the next round tries again.
        log("replay.not_continued", { replay_id: row.id, error }, "warn");
      }
    }
    return due.length > 0;
  }

  async function carryOn(row: ReplayRow): Promise<void> {
    let current: ReplayRow | null = row;
    for (let steps = 0; current !== null && steps < EMPTY_STEPS_MAX; steps++) {
      current = await stepOnce(current);
      if (current?.due_at === null || (current?.due_at ?? 0) > clock.now()) return;
    }
  }

  async function stepOnce(row: ReplayRow): Promise<ReplayRow | null> {
    const now = clock.now();
    const [source, target, facts] = await Promise.all([
      destinations.find(row.destination_id),
      findTarget(destinations, row.target_id),
      store.factsOf(row, now),
    ]);
    // Without the one there is nothing to choose by, without the other nothing to send to.
    const plan = planStep(row, source && target, facts, now);
    const found =
      plan.take > 0
        ? await walk.next(row, row.at_position, plan.take, source?.filter ?? null)
        : { matches: [], at_position: row.at_position, walked: row.walked === 1 };
    const after = await store.step({
      row,
      plan,
      waiting: facts.waiting,
      found,
      ordering: target?.ordering ?? "none",
      now,
    });
    if (after === null) return null;
    // What is taken back passes its turn on.
    if (after.created > row.created || plan.state === "canceled") dispatcher.wake(row.target_id, now);
    if (after.state !== row.state) note(after);
    return after;
  }

  /** The webhook that is named is the one that is sent to. */
  function note({ id: replay_id, target_id: destination_id, state: now_state, reason, ...counts }: ReplayRow) {
    const { created, succeeded, failed } = counts;
    if (now_state === "paused") log("replay.paused", { replay_id, destination_id, reason }, "warn");
    if (now_state === "done") log("replay.done", { replay_id, destination_id, created, succeeded, failed });
  }

  const { wake, start, stop } = rounds;
  return { runRound, wake, start, stop };
}
