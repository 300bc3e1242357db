// Replays as the management API uses them: preview, start, list, watch, pause, resume, cancel. Created once by compose-pipeline.ts.
// What is started here is carried on by the runner of any process that dispatches. An id of another app, of a deleted
// webhook or of no replay is the same refusal.
import type { z } from "zod";
import type { Replay, ReplayCreate, ReplayPreview, ReplayResume, ReplayState, ReplaysPage } from "#contract/replays.ts";
import { REPLAY_SAMPLE_MAX } from "#contract/replays.ts";
import type { Destination } from "../destinations/destination.ts";
import { positionBounds, type TimeRange } from "../destinations/missed.ts";
import { callOf } from "../destinations/replay-step.ts";
import { type AppError, invalid, notFound, refuse } from "../errors.ts";
import { decodeCursor, encodeCursor } from "../platform/cursor.ts";
import { type Ids, uuidFloor } from "../platform/ids.ts";
import { timeText } from "../platform/time-text.ts";
import { type AppScope, findDestination } from "./app-scope.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { PresentLimits } from "./present-limits.ts";
import { isToMove, nothingFound, obstacleOf, paceAtStart, pausedByHand, type ReplayRow, showReplay } from "./replay.ts";
import { findTarget, type ReplayDestinations } from "./replay-destination.ts";
import { OPEN_REPLAYS_MAX, type ReplayStore } from "./replay-store.ts";
import type { ReplayWalk } from "./replay-walk-store.ts";

export interface ReplaysOptions {
  store: ReplayStore;
  walk: Pick<ReplayWalk, "count">;
  destinations: ReplayDestinations;
  dispatcher: Pick<Dispatcher, "forgetReplay">;
  ids: Pick<Ids, "prefixed">;
  /** Why no replay moves at all, as far as this process can know. */
  lookUpStandstill: PresentLimits["lookUpStandstill"];
  now(): number;
  /** A hint: a replay has something to do now. */
  wake(): void;
}

export function createReplays(options: ReplaysOptions) {
  const { store, walk, destinations, dispatcher, ids, now, wake } = options;

  /** What a replay would send, exact, and a sample. @throws AppError not_found, invalid_request */
  async function previewReplay(
    destination_id: string,
    app_scope: AppScope,
    input: ReplayCreate,
  ): Promise<ReplayPreview> {
    const { source, target } = await findBoth(destination_id, app_scope, input);
    const row = newRow("", source, { ...input, target_id: target.id }, now());
    const { total, sample } = await walk.count(row, row.at_position, REPLAY_SAMPLE_MAX, source.filter);
    return {
      count: total,
      sample: sample.map(({ event_id, event, state, created_at }) => {
        return { event_id, event, state, created_at: timeText(created_at) };
      }),
    };
  }

  /**
   * @param ranges the parts of the range that are looked at, in order; none: all of it
   * @throws AppError not_found, invalid_request, conflict when the webhook takes nothing or has too many replays
   */
  async function startReplay(
    destination_id: string,
    app_scope: AppScope,
    input: ReplayCreate,
    ranges: readonly TimeRange[] = [],
  ): Promise<Replay> {
    const { source, target } = await findBoth(destination_id, app_scope, input);
    const at = now();
    const row = newRow(ids.prefixed("rpl"), source, { ...input, target_id: target.id }, at);
    const obstacle = await obstacleTo(target);
    if (obstacle !== null) throw refuse("conflict", obstacle);
    // Of what was missed: what comes since the webhook is on has a delivery, and clocks of other nodes may be ahead.
    if (ranges.length > 0) row.end_position = uuidFloor(row.until);
    // One part is the range itself.
    if (ranges.length > 1) row.parts = JSON.stringify(ranges.map(positionBounds));
    row.total = (await walk.count(row, row.at_position, 0, source.filter)).total;
    if (row.total === 0) {
      const reason = nothingFound(row, source.filter !== null);
      Object.assign(row, { state: "done", reason, walked: 1, due_at: null, finished_at: at });
    }
    if ((await store.insert(row)) === "too_many") {
      throw refuse("conflict", fullSentence(await store.findPaused(target.id)));
    }
    wake();
    return showReplay({ ...row, uncounted_succeeded: 0, uncounted_failed: 0, pending: 0 }, await standstillOf([row]));
  }

  /** @throws AppError not_found, invalid_request (cursor) */
  async function listReplays(
    destination_id: string,
    app_scope: AppScope,
    page: { limit: number; cursor?: string | undefined },
  ): Promise<z.infer<typeof ReplaysPage>> {
    await findDestination(destinations, destination_id, app_scope);
    const before = page.cursor === undefined ? null : String(decodeCursor(page.cursor, ["string"])[0]);
    const found = await store.page(destination_id, before, page.limit + 1);
    const shown = found.slice(0, page.limit);
    const last = found.length > page.limit ? shown.at(-1) : undefined;
    const standstill = await standstillOf(shown);
    const items = shown.map((row) => showReplay(row, standstill));
    return { items, next_cursor: last === undefined ? null : encodeCursor([last.id]) };
  }

  /** @throws AppError not_found */
  async function getReplay(id: string, app_scope: AppScope): Promise<Replay> {
    const row = await findReplay(id, app_scope);
    return showReplay(row, await standstillOf([row]));
  }

  /** Looked up only where something is to move. */
  async function standstillOf(rows: readonly ReplayRow[]): Promise<string | null> {
    return rows.some(isToMove) ? options.lookUpStandstill() : null;
  }

  /** Hands out nothing more; what is handed out goes on. @throws AppError not_found, conflict */
  async function pauseReplay(id: string, app_scope: AppScope): Promise<Replay> {
    await findReplay(id, app_scope);
    const at = now();
    const changed = await store.change(id, ["running"], { state: "paused", reason: pausedByHand(id, at), due_at: at });
    if (!changed) await refuseState(id, app_scope, "Only a running replay can be paused");
    return getReplay(id, app_scope);
  }

  /** @throws AppError not_found, conflict */
  async function resumeReplay(id: string, app_scope: AppScope, input: ReplayResume): Promise<Replay> {
    const row = await findReplay(id, app_scope);
    const target = await findDestination(destinations, row.target_id, app_scope);
    const obstacle = row.state === "paused" ? await obstacleTo(target) : null;
    if (obstacle !== null) throw refuse("conflict", obstacle);
    const at = now();
    const rate_per_second = input?.rate_per_second === undefined ? row.rate_per_second : input.rate_per_second;
    const paced_at = paceAtStart(rate_per_second, at);
    const changes = { state: "running", reason: null, rate_per_second, paced_at, resumed_at: at, due_at: at } as const;
    if (!(await store.change(id, ["paused"], changes))) {
      await refuseState(id, app_scope, "Only a paused replay can be resumed");
    }
    wake();
    return getReplay(id, app_scope);
  }

  /** From now on nothing begins to be sent; what waits goes back to what it was, step by step. @throws AppError not_found, conflict */
  async function cancelReplay(id: string, app_scope: AppScope): Promise<Replay> {
    await findReplay(id, app_scope);
    const open: ReplayState[] = ["running", "paused"];
    const at = now();
    const reason = `Canceled by hand at ${timeText(at)}.`;
    const canceled = { state: "canceled", reason, due_at: at, slot: null } as const;
    const changed = await store.change(id, open, canceled);
    if (!changed) await refuseState(id, app_scope, "Only a running or paused replay can be canceled");
    dispatcher.forgetReplay(id);
    wake();
    return getReplay(id, app_scope);
  }

  async function refuseState(id: string, app_scope: AppScope, rule: string): Promise<never> {
    const { state } = await findReplay(id, app_scope);
    throw refuse("conflict", `${rule}; this one is ${state}.`);
  }

  async function findReplay(id: string, app_scope: AppScope) {
    const row = await store.find(id);
    if (row === undefined) throw noReplay();
    // Each of the two lists it, also when the other was deleted.
    const destination = (await destinations.find(row.destination_id)) ?? (await destinations.find(row.target_id));
    if (destination === null || (app_scope !== null && row.app_id !== app_scope)) throw noReplay();
    return row;
  }

  /** Read anew before it is refused. */
  async function obstacleTo(target: Destination): Promise<string | null> {
    return obstacleOf((await findTarget(destinations, target.id)) ?? target);
  }

  /** An event never leaves its app, not even for the operator. */
  async function findBoth(destination_id: string, app_scope: AppScope, { target_id = destination_id }: ReplayCreate) {
    const source = await findDestination(destinations, destination_id, app_scope);
    const target =
      target_id === destination_id ? source : await findDestination(destinations, target_id, app_scope, "target_id");
    if (target.app_id !== source.app_id) throw notFound("webhook", "target_id");
    return { source, target };
  }

  return { previewReplay, startReplay, listReplays, getReplay, pauseReplay, resumeReplay, cancelReplay };
}

/** The same of one that another app has. */
function noReplay(): AppError {
  const { message } = notFound("replay");
  return refuse(
    "not_found",
    `${message} The replays of a webhook that was deleted are gone with it, and one that ended long ago is not kept.`,
  );
}

/** What is paused keeps its place until somebody resumes or cancels it: waiting may wait for ever. */
function fullSentence({ count, first }: { count: number; first: string | null }): string {
  const full = `A webhook has at most ${OPEN_REPLAYS_MAX} replays at a time`;
  if (first === null) return `${full}: wait for one, or cancel one.`;
  const paused = `${count === OPEN_REPLAYS_MAX ? "all of them" : count} ${count === 1 ? "is" : "are"} paused`;
  return `${full}, and ${paused}, which does not end by itself: resume the oldest with ${callOf(first, "resume")} or cancel it with ${callOf(first, "cancel")}.`;
}

/** @throws AppError invalid_request when the range ends before it begins */
function newRow(
  id: string,
  destination: Pick<Destination, "id" | "app_id" | "events">,
  input: ReplayCreate & { target_id: string },
  at: number,
): ReplayRow {
  const since = Date.parse(input.since);
  const until = Date.parse(input.until);
  if (since > until) throw invalid("since", "a time before until");
  const events = input.events === undefined ? null : JSON.stringify(input.events);
  return {
    ...{ id, destination_id: destination.id, target_id: input.target_id, app_id: destination.app_id, slot: null },
    ...{ state: "running", reason: null, since, until },
    ...{ states: JSON.stringify([...new Set(input.states)]), events, link_id: input.link_id ?? null },
    missing_events: events ?? JSON.stringify([...destination.events]),
    parts: null,
    ...{ rate_per_second: input.rate_per_second, total: 0, created: 0, succeeded: 0, failed: 0 },
    at_position: uuidFloor(since),
    // What is accepted from now on is no part of it.
    end_position: uuidFloor(Math.min(until, at + 1)),
    ...{ walked: 0, paced_at: paceAtStart(input.rate_per_second, at), resumed_at: at, revision: 0 },
    ...{ due_at: at, created_at: at, finished_at: null },
  };
}
