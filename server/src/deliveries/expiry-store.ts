// SQL that removes what has expired of deliveries and attempts. Called by the retention module, which decides what goes.
// All walk along primary keys, so no index pays for them; writes name rows by key, in lists of few lengths, so that both
// engines seek. Each repeats what was read before: a row that changed meanwhile undoes the step, which is made anew.
import type { Database } from "../platform/database.ts";
import { insertJournal } from "../platform/journal.ts";
import { eachRow, expectRows, paddedList, type SqlValue, type Statement, sql } from "../platform/sql.ts";
import { changeEntry } from "./changes.ts";
import type { DeliveryKey, DeliveryRow } from "./delivery.ts";
import { lockTurns, passTurns, turnsOf } from "./turns-store.ts";

/** A delivery on the walk that looks for expired records. */
export interface AgedDelivery
  extends Pick<DeliveryRow, "position" | "app_id" | "state" | "settled_at" | "attempt" | "expired_attempt"> {
  /** 1 when the record of its only attempt is in its own row. */
  has_first: number;
  /** Rows in `attempts`, and when the newest of them began. */
  records: number;
  last_attempt_at: number | null;
}

/** A delivery of an event that is about to go. */
export type LeavingDelivery = Pick<
  DeliveryRow,
  "destination_id" | "position" | "state" | "attempt" | "leased" | "due_at" | "trigger" | "resume_state" | "settled_at"
> & { replay_id: string | null; order_key: string | null };

export function createExpiryStore({ query }: Pick<Database, "query">) {
  /** In the order of their positions. Of what has been done with already, and of most others, no attempt is looked for. */
  function readAged(destination_id: string, after: string, before: string, limit: number): Promise<AgedDelivery[]> {
    const of_row = sql`from attempts as a where a.destination_id = ${destination_id} and a.position = d.position`;
    const has_none = sql`attempt = 0 or expired_attempt = attempt or (attempt = 1 and has_first = 1)`;
    return query(sql`select position, app_id, state, settled_at, attempt, expired_attempt, has_first,
        case when ${has_none} then 0 else (select count(*) ${of_row}) end as records,
        case when ${has_none} then null else (select max(started_at) ${of_row}) end as last_attempt_at
      from (select position, app_id, state, settled_at, attempt, expired_attempt,
          case when first_started_at is null then 0 else 1 end as has_first
        from deliveries where destination_id = ${destination_id} and position > ${after} and position < ${before}
        order by position limit ${limit}) as d
      order by position`);
  }

  function ofEvents(destination_ids: readonly string[], positions: readonly string[]): Promise<LeavingDelivery[]> {
    if (destination_ids.length === 0 || positions.length === 0) return Promise.resolve([]);
    return query(sql`select destination_id, position, state, attempt, leased, due_at, trigger, resume_state, settled_at,
        replay_id, order_key
      from deliveries where ${named(destination_ids, positions)}`);
  }

  return { readAged, ofEvents };
}

export type ExpiryStore = ReturnType<typeof createExpiryStore>;

/** Takes the records off settled deliveries, which stay: what became of each event is known as long as the event is. */
export function removeRecords(
  destination_id: string,
  deliveries: readonly Pick<AgedDelivery, "position" | "attempt">[],
): Statement[] {
  if (deliveries.length === 0) return [];
  const values = deliveries.map(({ position, attempt }): SqlValue[] => [destination_id, position, attempt]);
  const positions = deliveries.map(({ position }) => position);
  return [
    expectRows(
      deliveries.length,
      sql`update deliveries set expired_attempt = column3, first_started_at = null, first_duration_ms = null,
          first_status_code = null, first_response_headers = null, first_response_snippet = null,
          first_response_truncated = null
        ${eachRow(values, ["text", "text", "bigint"])}
        where destination_id = column1 and position = column2 and attempt = column3 and state <> 'pending'`,
    ),
    sql`delete from attempts where ${named([destination_id], positions)}`,
  ];
}

/**
 * Ends pending deliveries whose event is about to go. What a person asked for after the delivery had ended is called off:
 * what had become of it stays true. Under a lease that has not run out somebody may be sending it, which undoes the step.
 */
export function endPending(
  deliveries: readonly Pick<LeavingDelivery, "destination_id" | "position" | "attempt" | "order_key">[],
  reason: string,
  now: number,
): Statement[] {
  if (deliveries.length === 0) return [];
  const values = deliveries.map(({ destination_id, position, attempt }): SqlValue[] => [
    ...[destination_id, position, attempt, reason, now],
  ]);
  // Only what is pending has a time at which it is due; why its state is not asked for, store.ts says.
  const ended = sql`update deliveries set
      state = case when resume_state <> 'pending' then resume_state else 'failed' end,
      reason = case when resume_state <> 'pending' then reason else column4 end,
      settled_at = case when resume_state <> 'pending' then settled_at else column5 end,
      due_at = null, leased = 0, resume_state = null, resume_at = null
    ${eachRow(values, ["text", "text", "bigint", "text", "bigint"])}
    where destination_id = column1 and position = column2 and attempt = column3
      and due_at is not null and (leased = 0 or due_at <= column5)`;
  const told = journalExpired(deliveries, now);
  const turns = turnsOf(deliveries);
  if (turns.length === 0) return [expectRows(deliveries.length, ended), ...told];
  // What waited for them goes next.
  const locked = [...new Set(turns.map(({ destination_id }) => destination_id))].sort();
  return [...locked.map(lockTurns), expectRows(deliveries.length, ended), passTurns(turns, now), ...told];
}

/** Streams show what was ended: it stays for a day. */
function journalExpired(deliveries: readonly DeliveryKey[], now: number): Statement[] {
  return [...Map.groupBy(deliveries, ({ destination_id }) => destination_id)].map(([destination_id, own]) => {
    const positions = own.map(({ position }) => position);
    return insertJournal(changeEntry("expired", destination_id, positions, now));
  });
}

/** Removes everything of these events at these destinations: `count` deliveries, all of them settled. */
export function removeDeliveries(
  destination_ids: readonly string[],
  positions: readonly string[],
  count: number,
): Statement[] {
  if (destination_ids.length === 0 || positions.length === 0) return [];
  return [
    expectRows(
      count,
      sql`delete from deliveries where ${named(destination_ids, positions)} and state <> 'pending' returning position`,
    ),
    sql`delete from attempts where ${named(destination_ids, positions)}`,
  ];
}

/** Settled deliveries whose event is gone already. */
export function removeOrphans(destination_id: string, keys: readonly Pick<DeliveryKey, "position">[]): Statement[] {
  const positions = keys.map(({ position }) => position);
  return removeDeliveries([destination_id], positions, positions.length);
}

/** Replays that ended before this time: their ids begin with the time at which they were asked for. */
export function removeReplays(destination_id: string, before: number, limit: number): Statement {
  const id_before = `rpl_${Math.max(0, before).toString(16).padStart(12, "0")}`;
  return sql`delete from replays where id in (select id from replays where destination_id = ${destination_id}
    and id < ${id_before} and finished_at is not null and finished_at < ${before} order by id limit ${limit})
    returning id`;
}

function named(destination_ids: readonly string[], positions: readonly string[]): Statement {
  return sql`destination_id in (${paddedList(destination_ids)}) and position in (${paddedList(positions)})`;
}
