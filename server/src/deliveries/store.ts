// SQL over deliveries and attempts; settle-store.ts has what records them, probe-store.ts what tries paused destinations,
// ledger-store.ts what people look at.
// `deliveries_due (destination_id, due_at, …) where state = 'pending'` carries the queue: claims seek in it by destination, so
// a backlog of millions at one costs the others nothing. Statements that name deliveries by their key do not ask for
// `state = 'pending'`: PostgreSQL, whose statistics are always older than a backlog, would read that whole index for each
// of them. `leased = 1` says as much, for only what is pending is leased.
import type { Database } from "../platform/database.ts";
import { insertJournal } from "../platform/journal.ts";
import { eachRow, list, rows, SKIP_LOCKED, type SqlValue, type Statement, sql } from "../platform/sql.ts";
import { changeEntry } from "./changes.ts";
import {
  ASKED,
  CLAIMED_COLUMNS,
  type ClaimBounds,
  type ClaimedRow,
  claimInTurn,
  dueAgain,
  NO_PROBE,
  readEnvelopes,
} from "./claim-store.ts";
import type { DeliveryKey, DeliveryRow } from "./delivery.ts";
import { DUE_FIRST } from "./due.ts";
import { createLedgerStore } from "./ledger-store.ts";
import { createProbeStore } from "./probe-store.ts";
import { createStrayStore } from "./stray-store.ts";
import { WAITS_FOR_TURN } from "./turn.ts";
import { createTurnStore, lockTurns, passTurns } from "./turns-store.ts";

type Ended = Pick<DeliveryRow, "destination_id" | "position" | "order_key">;

export type DeliveryStore = ReturnType<typeof createDeliveryStore>;

/** Inserts new deliveries; one that exists already is left alone, so that draining a spool twice is harmless. */
export function insertDeliveries(deliveries: readonly DeliveryRow[]): Statement {
  // Most have no key, and the column costs a thirtieth of storing an event.
  if (deliveries.some(({ order_key }) => (order_key ?? null) !== null)) return insertOrdered(deliveries);
  return sql`insert into deliveries (destination_id, position, app_id, event, state, reason, attempt, failures, leased,
    due_at, trigger, created_at) values ${rows(deliveries.map(fields))} on conflict do nothing`;
}

function insertOrdered(deliveries: readonly DeliveryRow[]): Statement {
  const values = deliveries.map((row) => [...fields(row), row.order_key ?? null]);
  return sql`insert into deliveries (destination_id, position, app_id, event, state, reason, attempt, failures, leased,
    due_at, trigger, created_at, order_key) values ${rows(values)} on conflict do nothing`;
}

/** The same, for events whose id the caller gave: only where the event itself was stored, so never for a duplicate. */
export function insertDeliveriesOfStored(deliveries: readonly DeliveryRow[]): Statement {
  const values = deliveries.map((row) => [...fields(row), row.order_key ?? null]);
  return sql`insert into deliveries (destination_id, position, app_id, event, state, reason, attempt, failures, leased,
      due_at, trigger, created_at, order_key)
    select column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11, column12,
      column13
    from (values ${rows(values, DELIVERY_TYPES)}) as v
    where exists (select 1 from events where app_id = column3 and position = column2) on conflict do nothing`;
}

/** Deliveries that a filter refused, and that end as they begin; only where the event itself was stored. */
export function insertSkipped(deliveries: readonly DeliveryRow[]): Statement {
  const values = deliveries.map((row): SqlValue[] => [
    ...[row.destination_id, row.position, row.app_id, row.event, row.state, row.reason, row.trigger],
    ...[row.created_at, row.settled_at],
  ]);
  return sql`insert into deliveries (destination_id, position, app_id, event, state, reason, trigger, created_at,
      settled_at, attempt, failures, leased, due_at)
    select column1, column2, column3, column4, column5, column6, column7, column8, column9, 0, 0, 0, null
    from (values ${rows(values, SKIPPED_TYPES)}) as v
    where exists (select 1 from events where app_id = column3 and position = column2) on conflict do nothing`;
}

const SKIPPED_TYPES = [
  ...(["text", "text", "text", "text", "text", "text", "text"] as const),
  ...(["bigint", "bigint"] as const),
];

const DELIVERY_TYPES = [
  ...(["text", "text", "text", "text", "text", "text"] as const),
  ...(["bigint", "bigint", "bigint", "bigint", "text", "bigint", "text"] as const),
];

function fields(row: DeliveryRow): SqlValue[] {
  const { destination_id, position, app_id, event, state, reason, attempt, failures, leased } = row;
  return [
    destination_id,
    position,
    app_id,
    event,
    state,
    reason,
    attempt,
    failures,
    leased,
    row.due_at,
    row.trigger,
    row.created_at,
  ];
}

const HELD_TYPES = ["text", "text", "bigint", "bigint"] as const;

export function createDeliveryStore(database: Pick<Database, "query" | "batch" | "transaction">) {
  const { query } = database;

  /**
   * Takes what is due, oldest first, and the time of what is due next. `asked_only`: just what a person asked for; `newest`:
   * so many of the limit from the other end.
   */
  async function claim(
    destination_id: string,
    bounds: ClaimBounds,
  ): Promise<{ claimed: ClaimedRow[]; next_due_at: number | null }> {
    if (bounds.in_turn) return claimInTurn(database, destination_id, bounds);
    const { claimed, next_due_at, has_key_due } = await claimWithoutKey(destination_id, bounds);
    const limit = bounds.limit - claimed.length;
    if (!has_key_due || limit === 0) return { claimed, next_due_at };
    // It is ordered by now, or was until a moment ago, and whoever asks has not heard of it.
    const in_turn = await claimInTurn(database, destination_id, { ...bounds, limit });
    return { claimed: [...claimed, ...in_turn.claimed], next_due_at: in_turn.next_due_at };
  }

  /** What has a key is left alone, and said when it is next: it goes in turn, whatever whoever asks knows of its destination. */
  async function claimWithoutKey(destination_id: string, bounds: ClaimBounds) {
    // With the words of the index deliveries_asked: what was asked for may stand behind a lease that somebody lost.
    const asked = bounds.asked_only ? sql`and ${ASKED}` : sql``;
    const { now, limit, newest = 0 } = bounds;
    const due = sql`select destination_id, position from deliveries
      where destination_id = ${destination_id} and state = 'pending' ${asked} and due_at <= ${now} and order_key is null`;
    const oldest_first = (count: number) => sql`${due} order by due_at limit ${count} ${SKIP_LOCKED}`;
    // Both ends of the index; where they meet, a delivery is there twice and taken once.
    const chosen =
      newest === 0
        ? oldest_first(limit)
        : sql`select * from (${oldest_first(limit - newest)}) as oldest union
            select * from (${due} order by due_at desc limit ${newest} ${SKIP_LOCKED}) as newest`;
    const [claimed, next] = await database.batch([
      // Chosen first, once, then found by key: joined the other way round, PostgreSQL would choose anew for every row of
      // the backlog, beyond the limit and for minutes.
      sql`with due as materialized (${chosen})
        update deliveries set attempt = attempt + 1, leased = 1, due_at = ${bounds.lease_until}, ${NO_PROBE}
        where (destination_id, position) in (select destination_id, position from due)
        returning ${CLAIMED_COLUMNS}`,
      sql`select due_at, order_key from deliveries where destination_id = ${destination_id} and state = 'pending'
        order by due_at limit 1`,
    ]);
    // A column of bigint.
    const next_due_at = (next?.[0]?.["due_at"] as number | undefined) ?? null;
    const has_key_due = next_due_at !== null && next_due_at <= now && (next?.[0]?.["order_key"] ?? null) !== null;
    // The columns are those of ClaimedRow.
    return { claimed: claimed as unknown as ClaimedRow[], next_due_at, has_key_due };
  }

  const readBodies = (app_id: string, positions: readonly string[], largest_bytes?: number) =>
    readEnvelopes(database, app_id, positions, largest_bytes);

  /** Of these replays those that were canceled: for them nothing is sent any more. */
  async function canceledOf(replay_ids: readonly string[]): Promise<string[]> {
    const found = await query<{ id: string }>(
      sql`select id from replays where id in (${list(replay_ids)}) and state = 'canceled'`,
    );
    return found.map(({ id }) => id);
  }

  /**
   * Every destination with pending deliveries and when the first is due, of all and of those that a person asked for: three
   * index seeks each, whatever the backlog.
   */
  function findDue(): Promise<{ destination_id: string; due_at: number; asked_at: number | null }[]> {
    const first = (condition: Statement) => sql`(select due_at from deliveries as x
      where x.destination_id = d.destination_id and x.state = 'pending' and ${condition} order by due_at limit 1)`;
    return query(sql`select destination_id, ${first(sql`true`)} as due_at, ${first(ASKED)} as asked_at
      from (with recursive d (destination_id) as (
          select (select destination_id from deliveries where state = 'pending' order by destination_id limit 1)
          union all
          select (select x.destination_id from deliveries as x where x.state = 'pending'
            and x.destination_id > d.destination_id order by x.destination_id limit 1)
          from d where d.destination_id is not null)
        select destination_id from d where destination_id is not null) as d`);
  }

  /** Makes what a process that died had in flight due at once. Only where no other process can hold a lease. */
  async function releaseAll(destination_id: string, now: number, lease_ms: number): Promise<void> {
    await query(sql`update deliveries set leased = 0,
      due_at = ${dueAgain(sql`cast(${now} as bigint)`)}, ${NO_PROBE}
      where destination_id = ${destination_id} and state = 'pending' and due_at > ${now} and due_at <= ${now + lease_ms} and leased = 1`);
  }

  /** Moves the end of leases, and answers those that were still held. */
  function renew(held: readonly (DeliveryKey & { attempt: number })[], lease_until: number): Promise<DeliveryKey[]> {
    const values = held.map((one): SqlValue[] => [one.destination_id, one.position, one.attempt, lease_until]);
    return query(sql`update deliveries set due_at = column4 ${eachRow(values, HELD_TYPES)}
      where destination_id = column1 and position = column2 and attempt = column3 and leased = 1
      returning destination_id, position`);
  }

  /** Gives back leases under which nothing was sent: as if the claim had not been. What a person asked for stays first. */
  async function release(held: readonly (DeliveryKey & { attempt: number })[], due_at: number): Promise<void> {
    const values = held.map((one): SqlValue[] => [one.destination_id, one.position, one.attempt, due_at]);
    await query(sql`update deliveries set leased = 0, attempt = attempt - 1,
        due_at = ${dueAgain(sql`column4`)}, ${NO_PROBE}
      ${eachRow(values, HELD_TYPES)}
      where destination_id = column1 and position = column2 and attempt = column3 and leased = 1`);
  }

  /** How many attempts have a result, or had one that has expired. */
  async function countRecords(key: DeliveryKey): Promise<number> {
    const { destination_id, position } = key;
    // The key in each part by itself: SQLite reads the whole history for one that it has to take from another table.
    const [counted] = await query<{ count: number }>(sql`select
        (select count(*) from attempt_history where destination_id = ${destination_id} and position = ${position})
        + coalesce((select expired_attempt from deliveries
            where destination_id = ${destination_id} and position = ${position}), 0) as count`);
    return counted?.count ?? 0;
  }

  /** Attempts behind so many claims that say something of the receiver: it was asked, and no stop of a server has cut that off. */
  async function countTries({ destination_id, position }: DeliveryKey, after: number): Promise<number> {
    const [counted] = await query<{ count: number }>(sql`select count(*) as count from attempts
      where destination_id = ${destination_id} and position = ${position} and number > ${after}
        and outcome <> 'misconfigured' and (cause is null or cause <> 'aborted')`);
    return counted?.count ?? 0;
  }

  /** A delivery that a person asked for; undefined when there is one already. */
  function insertAsked(row: DeliveryRow): Promise<DeliveryRow | undefined> {
    return change("asked_for", row, row.created_at, sql`${insertDeliveries([row])} returning *`);
  }

  /** Undefined when its event was erased. Grants one attempt now, in any state, and remembers what to put back when it fails: the turn is decided anew then. */
  function grantAttempt(key: DeliveryKey, now: number): Promise<DeliveryRow | undefined> {
    return change(
      "asked_for",
      key,
      now,
      sql`update deliveries set
        resume_state = coalesce(resume_state, state),
        resume_at = case when resume_state is not null or state <> 'pending' then resume_at
          when due_at = ${WAITS_FOR_TURN} then created_at else due_at end,
        state = 'pending', trigger = 'manual', due_at = ${DUE_FIRST}, leased = 0
      where destination_id = ${key.destination_id} and position = ${key.position} and erased_at is null returning *`,
    );
  }

  /**
   * Undefined when it is not pending. Where a person or a replay asked for what had ended before, only that is canceled:
   * what had become of the delivery stays true.
   */
  function cancel(key: Ended, reason: string, now: number): Promise<DeliveryRow | undefined> {
    const canceled = sql`update deliveries set
        state = case when resume_state <> 'pending' then resume_state
          when replay_from <> 'missing' then replay_from else 'canceled' end,
        reason = case when resume_state <> 'pending' then reason
          when replay_from = 'succeeded' then null when replay_from <> 'missing' then reason else ${reason} end,
        settled_at = case when resume_state <> 'pending' or replay_from <> 'missing' then settled_at else ${now} end,
        trigger = case when resume_state <> 'pending' or replay_from is not null then 'auto' else trigger end,
        due_at = null, leased = 0, resume_state = null, resume_at = null, replay_id = null, replay_from = null
      where destination_id = ${key.destination_id} and position = ${key.position} and state = 'pending' returning *`;
    return change("canceled", key, now, canceled);
  }

  /** With its line in the journal, unless nothing is changed. What ends in this way passes its turn on. */
  function change(kind: "asked_for" | "canceled", key: Ended, now: number, update: Statement) {
    const { destination_id, position, order_key = null } = key;
    const passes = kind === "canceled" && order_key !== null;
    return database.transaction(async (within) => {
      if (passes) await within(lockTurns(destination_id));
      const [changed] = await within<DeliveryRow>(update);
      if (changed === undefined) return undefined;
      if (passes) await within(passTurns([{ destination_id, order_key }], now));
      await within(insertJournal(changeEntry(kind, destination_id, [position], now)));
      return changed;
    });
  }

  return {
    ...createProbeStore(database),
    ...createStrayStore(database),
    ...createLedgerStore(database),
    ...{ claim, readBodies, canceledOf, countRecords, countTries, findDue, releaseAll, renew, release },
    ...{ insertAsked, grantAttempt, cancel },
    ...createTurnStore(database),
  };
}
