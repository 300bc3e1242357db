// SQL over replays, and over the deliveries that are under way for one. What a step does to deliveries commits together
// with what the replay's row says of it, so that a crash at any moment loses nothing and counts nothing twice; the
// revision of the row lets one process at a time make a step. Called by replays.ts and replay-runner.ts.
import type { ReplayState } from "#contract/replays.ts";
import type { Destination } from "../destinations/destination.ts";
import type { Database, Query } from "../platform/database.ts";
import { insertJournal } from "../platform/journal.ts";
import { assign, eachRow, list, rows, SKIP_LOCKED, type SqlValue, type Statement, sql } from "../platform/sql.ts";
import { changeEntry } from "./changes.ts";
import { PICKED } from "./claim-store.ts";
import {
  afterStep,
  FAILING_ATTEMPTS_MIN,
  FAILING_WINDOW_MS,
  type ReplayFacts,
  type ReplayRow,
  STEP_MAX,
  type StepPlan,
  type Uncounted,
} from "./replay.ts";
import type { Found, Match } from "./replay-walk-store.ts";
import { orderKeyOf } from "./turn.ts";
import { lockTurns, passTurns, turnsOf } from "./turns-store.ts";

/** Replays of one webhook that are not at their end, at the most. */
export const OPEN_REPLAYS_MAX = 10;
/** Attempts that say how it goes, the newest first. */
const RECENT_ATTEMPTS_MAX = 2_000;

export interface Step {
  row: ReplayRow;
  plan: StepPlan;
  waiting: number;
  /** What to hand out. */
  found: Found;
  ordering: Destination["ordering"];
  now: number;
}

export type ReplayStore = ReturnType<typeof createReplayStore>;

/**
 * By the index deliveries_replay alone: with the plain state, PostgreSQL takes one over all deliveries of that state for empty
 * when its statistics are from a time when it was, and reads the backlog.
 */
const UNCOUNTED = sql`
  (select count(*) from deliveries as d where d.replay_id = r.id and d.state || '' = 'succeeded') as uncounted_succeeded,
  (select count(*) from deliveries as d where d.replay_id = r.id and d.state || '' in ('failed', 'canceled', 'skipped'))
    as uncounted_failed,
  (select count(*) from deliveries as d where d.replay_id = r.id and d.state || '' = 'pending') as pending`;

export function createReplayStore(database: Pick<Database, "query" | "transaction">) {
  const { query } = database;

  /** Unless so many to that webhook are open. Who loses a place to another one that asks at the same moment takes the next. */
  async function insert(row: ReplayRow): Promise<"inserted" | "too_many"> {
    if (row.finished_at !== null) {
      await query(insertRow(row));
      return "inserted";
    }
    for (let slot = 1; slot <= OPEN_REPLAYS_MAX; slot++) {
      const inserted = await query(
        sql`${insertRow({ ...row, slot })} on conflict (target_id, slot) where slot is not null do nothing returning id`,
      );
      if (inserted.length > 0) return "inserted";
    }
    return "too_many";
  }

  function find(id: string): Promise<(ReplayRow & Uncounted) | undefined> {
    return query<ReplayRow & Uncounted>(
      sql`select r.*, ${UNCOUNTED} from (select * from replays where id = ${id}) as r`,
    ).then((found) => found[0]);
  }

  /** Newest first. */
  function page(destination_id: string, before: string | null, limit: number): Promise<(ReplayRow & Uncounted)[]> {
    const range = before === null ? sql`true` : sql`id < ${before}`;
    // Two seeks, each in its own index; those of other webhooks come second.
    return query(sql`select r.*, ${UNCOUNTED} from (
        select * from (select * from replays where destination_id = ${destination_id} and ${range}
          order by id desc limit ${limit}) as asked
        union all
        select * from (select * from replays where target_id = ${destination_id} and destination_id <> ${destination_id}
          and ${range} order by id desc limit ${limit}) as sent
      ) as r order by r.id desc limit ${limit}`);
  }

  /** Changes a replay that is in one of these states; false when it is not. */
  async function change(
    id: string,
    from: readonly ReplayState[],
    changes: Partial<
      Pick<ReplayRow, "state" | "reason" | "rate_per_second" | "paced_at" | "resumed_at" | "due_at" | "slot">
    >,
  ): Promise<boolean> {
    const changed = await query(sql`update replays set revision = revision + 1, ${assign(changes)}
      where id = ${id} and state in (${list(from)}) and finished_at is null returning id`);
    return changed.length > 0;
  }

  /** Those to a webhook that are paused, at most as many as may be open: how many, and the oldest. */
  async function findPaused(target_id: string): Promise<{ count: number; first: string | null }> {
    const [found] = await query<{ count: number; first: string | null }>(sql`select count(*) as count, min(id) as first
      from replays where target_id = ${target_id} and slot is not null and state = 'paused'`);
    return found ?? { count: 0, first: null };
  }

  function findDue(now: number, limit: number): Promise<ReplayRow[]> {
    return query(
      sql`select * from replays where due_at is not null and due_at <= ${now} order by due_at limit ${limit}`,
    );
  }

  async function factsOf(row: ReplayRow, now: number): Promise<ReplayFacts> {
    const since = Math.max(now - FAILING_WINDOW_MS, row.resumed_at);
    const [waiting, lately] = await Promise.all([
      query<{ count: number }>(sql`select count(*) as count from (select 1 as one from deliveries
        where replay_id = ${row.id} and state = 'pending' and failures = 0 limit ${2 * STEP_MAX}) as waiting`),
      recentOf(row, since, RECENT_ATTEMPTS_MAX),
    ]);
    // So few say nothing, and what is slow may never make more within a minute: then those before them count as well.
    const is_sparse = lately.attempts < FAILING_ATTEMPTS_MIN && row.walked === 0;
    const recent = is_sparse ? await recentOf(row, row.resumed_at, FAILING_ATTEMPTS_MIN) : lately;
    return { waiting: waiting[0]?.count ?? 0, ...recent };
  }

  /** How the newest attempts of replays to its target have gone; those that a stop of a server has cut off say nothing. */
  async function recentOf({ target_id }: ReplayRow, since: number, limit: number) {
    const [recent] = await query<Omit<ReplayFacts, "waiting">>(sql`select count(*) as attempts,
        count(case when outcome in ('accepted', 'accepted_unverified', 'skipped') then null else 1 end) as failures
      from (select outcome from attempts where destination_id = ${target_id} and trigger = 'replay'
        and started_at >= ${since} and (cause is null or cause <> 'aborted') order by started_at desc limit ${limit}) as recent`);
    return recent ?? { attempts: 0, failures: 0 };
  }

  /** Makes one step, and answers the row after it; null when somebody else has changed the replay meanwhile. */
  async function step(made: Step): Promise<ReplayRow | null> {
    const after = await database.transaction((within) => stepWithin(within, made));
    // By itself, for two replays may wait for each other. What has nothing but retries to wait for looks rarely, and who
    // waits for several such replays in turn would stand still for the sum of it.
    const waits_for = made.found.waits_for ?? null;
    if (waits_for !== null) {
      await query(sql`update replays set due_at = ${made.now} where id = ${waits_for} and due_at > ${made.now}`);
    }
    return after;
  }

  return { insert, find, page, change, findPaused, findDue, factsOf, step };
}

async function stepWithin(
  within: Query,
  { row, plan, waiting, found, ordering, now }: Step,
): Promise<ReplayRow | null> {
  const held = await within(sql`update replays set revision = revision + 1
    where id = ${row.id} and revision = ${row.revision} and finished_at is null returning id`);
  if (held.length === 0) return null;
  // Others may wait for what is taken back.
  if (plan.state === "canceled") await within(lockTurns(row.target_id));
  const counted = await countEnded(within, row.id);
  const back = plan.state === "canceled" ? await takeBack(within, row, now) : { taken_back: 0, failed: 0 };
  const created = await handOut(within, row, withKeys(found.matches, ordering), now);
  const left = await within(sql`select 1 as one from deliveries where replay_id = ${row.id} limit 1`);
  const { at_position, walked } = found;
  const failed = counted.failed + back.failed;
  const result = {
    ...counted,
    failed,
    created,
    taken_back: back.taken_back,
    at_position,
    walked,
    waiting,
    is_under_way: left.length > 0,
  };
  const changes = afterStep(row, plan, result, now);
  await within(sql`update replays set ${assign(changes)} where id = ${row.id}`);
  return { ...row, ...changes, revision: row.revision + 1 };
}

/**
 * Counts what has ended, and takes the replay's name off it in the same statement, so that nothing is counted twice. What
 * had been delivered before says so.
 */
async function countEnded(within: Query, replay_id: string) {
  const over = sql`replay_id = ${replay_id} and state in ('succeeded', 'failed', 'canceled', 'skipped')`;
  const ended = await within<{ state: string }>(sql`${pick(over)} update deliveries set
      reason = case when state = 'failed' and replay_from = 'succeeded'
        then 'Delivered before; a replay of it failed. ' || coalesce(reason, '') else reason end,
      replay_id = null, replay_from = null
    where ${PICKED} returning state`);
  const succeeded = ended.filter(({ state }) => state === "succeeded").length;
  return { succeeded, failed: ended.length - succeeded };
}

/**
 * Puts back what waits, as it was before. What was missing is missing again, unless an attempt of it is on record: then it
 * has failed. What somebody is sending at this moment ends by itself, and what a person asked for stays.
 */
async function takeBack(within: Query, { id, target_id }: ReplayRow, now: number) {
  const idle = sql`replay_id = ${id} and state = 'pending' and trigger <> 'manual' and (leased = 0 or due_at <= ${now})`;
  const untried = sql`${idle} and replay_from = 'missing' and attempt = 0`;
  const tried = sql`${idle} and (replay_from <> 'missing' or attempt > 0)`;
  const removed = await within<PassedRow>(
    sql`${pick(untried)} delete from deliveries where ${PICKED} returning destination_id, order_key`,
  );
  const restored = await within<
    PassedRow & { position: string; has_failed: number }
  >(sql`${pick(tried)} update deliveries set
      state = case when replay_from = 'missing' then 'failed' else replay_from end,
      reason = case when replay_from = 'succeeded' then null when replay_from <> 'missing' then reason
        else 'The replay was canceled.' || coalesce(' ' || reason, '') end,
      settled_at = case when replay_from = 'missing' then cast(${now} as bigint) else settled_at end,
      due_at = null, leased = 0, resume_state = null, resume_at = null, replay_id = null, replay_from = null
    where ${PICKED} returning position, destination_id, order_key,
      case when state = 'failed' and settled_at = ${now} then 1 else 0 end as has_failed`);
  const turns = turnsOf([...removed, ...restored]);
  if (turns.length > 0) await within(passTurns(turns, now));
  const changed = await journal(within, restored, { kind: "canceled", destination_id: target_id, at: now });
  // What was settled by now, and not before, was missing and has been tried.
  return { taken_back: removed.length + changed, failed: restored.filter((one) => one.has_failed === 1).length };
}

/** Chosen first, once, then found by key, for the reason that `claim` gives in store.ts. */
function pick(condition: Statement): Statement {
  return sql`with picked as materialized (select destination_id, position from deliveries
    where ${condition} limit ${STEP_MAX} ${SKIP_LOCKED})`;
}

interface PassedRow {
  destination_id: string;
  order_key: string | null;
}

type KeyedMatch = Match & { order_key: string | null };

function withKeys(matches: readonly Match[], ordering: Destination["ordering"]): KeyedMatch[] {
  return matches.map((match) => ({ ...match, order_key: orderKeyOf({ ordering }, match) }));
}

/** Answers how many there are: what somebody else has changed since it was found is left alone. */
async function handOut(within: Query, row: ReplayRow, matches: readonly KeyedMatch[], now: number): Promise<number> {
  const missing = matches.filter(({ target_state }) => target_state === "missing");
  const settled = matches.filter(({ target_state }) => target_state !== "missing");
  const changed: { position: string }[] = [];
  if (missing.length > 0) {
    const values = missing.map(({ position, event, order_key }): SqlValue[] => [
      ...[row.target_id, position, row.app_id, event, "pending", 0, 0, 0, now, "replay", row.id, "missing", now],
      ...[order_key, now, 0],
    ]);
    const inserted = await within<{
      position: string;
    }>(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt,
        failures, leased, due_at, trigger, replay_id, replay_from, created_at,
        order_key, armed_at, armed_attempt)
      values ${rows(values)} on conflict do nothing returning position`);
    changed.push(...inserted);
  }
  if (settled.length > 0) {
    const values = settled.map(({ position, target_state, order_key }): SqlValue[] => [
      ...[row.target_id, position, target_state, row.created_at, now, row.id, order_key],
    ]);
    // What its last state said stays until there is something new to say, and comes back when the replay is canceled.
    const armed = await within<{
      position: string;
    }>(sql`update deliveries set state = 'pending', failures = 0, leased = 0, due_at = column5,
        trigger = 'replay', resume_state = null, resume_at = null, replay_id = column6, replay_from = column3, order_key = column7,
        armed_at = column5, armed_attempt = attempt
      ${eachRow(values, ["text", "text", "text", "bigint", "bigint", "text", "text"])}
      where destination_id = column1 and position = column2 and state = column3 and coalesce(settled_at, created_at) <= column4
        and replay_id is null and erased_at is null returning position`);
    changed.push(...armed);
  }
  return journal(within, changed, { kind: "replayed", destination_id: row.target_id, at: now });
}

/** Answers how many there are. */
async function journal(
  within: Query,
  changed: readonly { position: string }[],
  { kind, destination_id, at }: { kind: "replayed" | "canceled"; destination_id: string; at: number },
): Promise<number> {
  const positions = changed.map(({ position }) => position);
  if (positions.length > 0) await within(insertJournal(changeEntry(kind, destination_id, positions, at)));
  return changed.length;
}

function insertRow(row: ReplayRow) {
  const columns = [
    ...[row.id, row.destination_id, row.app_id, row.state, row.reason, row.since, row.until, row.states, row.events],
    ...[row.missing_events, row.link_id, row.rate_per_second, row.total, row.created, row.succeeded, row.failed],
    ...[row.at_position, row.end_position, row.walked, row.paced_at, row.resumed_at, row.revision, row.due_at],
    ...[row.created_at, row.finished_at, row.target_id, row.slot, row.parts],
  ];
  return sql`insert into replays (id, destination_id, app_id, state, reason, since, until, states, events, missing_events,
      link_id, rate_per_second, total, created, succeeded, failed, at_position, end_position, walked, paced_at,
      resumed_at, revision, due_at, created_at, finished_at, target_id, slot, parts) values (${list(columns)})`;
}
