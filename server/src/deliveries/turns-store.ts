// SQL that passes turns on (turn.ts). Called by settling, cancels, replays and expiry, in the transaction that ends a delivery,
// and by turns.ts. What holds it together: of all pending deliveries with the same key at least one is not set aside. Claims
// set aside and the ends of deliveries pass on, both under the lock of the destination, so that on PostgreSQL neither
// misses what the other is about to commit; what makes deliveries pending needs no lock, for it sets nothing aside.
import type { Database } from "../platform/database.ts";
import { eachRow, type SqlValue, type Statement, sql } from "../platform/sql.ts";
import type { DeliveryKey } from "./delivery.ts";
import { WAITS_FOR_TURN } from "./turn.ts";

/** Keys that one look for missed turns goes through. */
const LOOKED_AT_MAX = 100;
/** Deliveries that one step lets go when a destination is not ordered any more. */
const LET_GO_MAX = 1_000;

/**
 * The position of the first pending delivery of a key; null where there is no key, which costs nothing. In the words of the
 * index deliveries_first, and of no other (migration 19 says why).
 */
export function firstOf(destination_id: Statement, order_key: Statement): Statement {
  return sql`(select f.position from deliveries as f
    where case when f.state = 'pending' then f.destination_id || ' ' || f.order_key end = ${destination_id} || ' ' || ${order_key}
      and case when f.state = 'pending' then f.order_key end is not null order by f.position limit 1)`;
}

/** The position of the next pending delivery of a key behind another one, in the same words. */
export function nextOf(destination_id: Statement, order_key: Statement, position: Statement): Statement {
  return sql`(select f.position from deliveries as f
    where case when f.state = 'pending' then f.destination_id || ' ' || f.order_key end = ${destination_id} || ' ' || ${order_key}
      and case when f.state = 'pending' then f.order_key end is not null and f.position > ${position}
    order by f.position limit 1)`;
}

export interface TurnKey {
  destination_id: string;
  order_key: string;
}

/** Of ended deliveries, those whose turn has to be passed on. */
export function turnsOf(ended: readonly { destination_id: string; order_key?: string | null }[]): TurnKey[] {
  return ended.flatMap(({ destination_id, order_key = null }) =>
    order_key === null ? [] : [{ destination_id, order_key }],
  );
}

type Waited = DeliveryKey & { order_key?: string | null };

export type TurnStore = ReturnType<typeof createTurnStore>;

/**
 * Makes claims of a destination and ends of its deliveries wait for each other until the transaction ends. Settling locks
 * the same row when it counts (settle-store.ts), in the order of destinations.
 */
export function lockTurns(destination_id: string): Statement {
  return sql`update destination_health set consecutive_failures = consecutive_failures
    where destination_id = ${destination_id}`;
}

/** Whoever is first of a key is due, if it was set aside. Needs the lock; what is due without having the turn does no harm. */
export function passTurns(keys: readonly TurnKey[], now: number): Statement {
  const unique = new Map(keys.map((one) => [`${one.destination_id} ${one.order_key}`, one]));
  const values = [...unique.values()].map(({ destination_id, order_key }): SqlValue[] => [
    ...[destination_id, order_key, now, WAITS_FOR_TURN],
  ]);
  return sql`update deliveries set due_at = column3 ${eachRow(values, ["text", "text", "bigint", "bigint"])}
    where destination_id = column1 and due_at = column4
      and position = ${firstOf(sql`column1`, sql`column2`)}`;
}

export function createTurnStore(database: Pick<Database, "query" | "batch">) {
  const { query, batch } = database;

  /**
   * Makes due what waits although nothing that it could wait for is left: nothing ever does, unless there is a mistake.
   * Looks at some keys after one; answers the last of them, null behind the end.
   */
  async function mendTurns(destination_id: string, after: string, now: number) {
    // One seek for each key, whatever waits behind it; outside of a transaction, for as a rule there is nothing to do.
    const keys = await query<{ order_key: string; is_stuck: number }>(sql`select order_key,
        case when (select due_at from deliveries where destination_id = ${destination_id}
            and position = ${firstOf(sql`${destination_id}`, sql`k.order_key`)}) = ${WAITS_FOR_TURN}
          and not exists (select 1 from deliveries as b where b.destination_id = ${destination_id}
            and b.order_key = k.order_key and b.leased = 1) then 1 else 0 end as is_stuck
      from (with recursive k (order_key, number) as (
          select (select order_key from deliveries where destination_id = ${destination_id} and state = 'pending'
            and order_key > ${after} order by order_key limit 1), 1
          union all
          select (select x.order_key from deliveries as x where x.destination_id = ${destination_id}
            and x.state = 'pending' and x.order_key > k.order_key order by x.order_key limit 1), k.number + 1
          from k where k.order_key is not null and k.number < ${LOOKED_AT_MAX})
        select order_key from k where order_key is not null) as k order by order_key`);
    let mended = 0;
    for (const { order_key, is_stuck } of keys) {
      if (is_stuck === 1) mended += await mendTurn(destination_id, order_key, now);
    }
    return { mended, after: keys.length < LOOKED_AT_MAX ? null : (keys.at(-1)?.order_key ?? null) };
  }

  async function mendTurn(destination_id: string, order_key: string, now: number): Promise<number> {
    const all = sql`from deliveries where destination_id = ${destination_id} and order_key = ${order_key}
      and state = 'pending'`;
    const [, mended] = await batch([
      lockTurns(destination_id),
      sql`update deliveries set due_at = ${now} where destination_id = ${destination_id} and due_at = ${WAITS_FOR_TURN}
        and position = (select position ${all} order by position limit 1)
        and not exists (select 1 ${all} and due_at < ${WAITS_FOR_TURN}) returning position`,
    ]);
    return mended?.length ?? 0;
  }

  /** Every destination with pending deliveries that have keys: a seek for each, and one where there is none. */
  function findKeyed(): Promise<{ destination_id: string }[]> {
    const keyed = sql`state = 'pending' and order_key is not null`;
    // In the order of the index deliveries_turn, so that it is what is read, whatever waits without a key.
    return query(sql`with recursive k (destination_id) as (
        select (select destination_id from deliveries where ${keyed} order by destination_id, order_key limit 1)
        union all
        select (select x.destination_id from deliveries as x where x.state = 'pending' and x.order_key is not null
          and x.destination_id > k.destination_id order by x.destination_id, x.order_key limit 1)
        from k where k.destination_id is not null)
      select destination_id from k where destination_id is not null`);
  }

  /**
   * One step of ending an order; answers how many were let go, none when all have been, or when it is ordered after all.
   * Under the lock, for a claim that sets aside what has no key any more would set it aside for ever.
   */
  async function letGo(destination_id: string, now: number): Promise<number> {
    const [, found] = await batch([
      lockTurns(destination_id),
      sql`with picked as materialized (select destination_id, position from deliveries
        where destination_id = ${destination_id} and order_key is not null and state = 'pending'
          and not exists (select 1 from destinations where id = ${destination_id} and ordering = 'link')
        limit ${LET_GO_MAX})
      update deliveries set order_key = null, due_at = case when due_at = ${WAITS_FOR_TURN} then ${now} else due_at end
      where (destination_id, position) in (select destination_id, position from picked) returning position`,
    ]);
    return found?.length ?? 0;
  }

  /** Whether a later one of the same key is pending. */
  async function hasBehind({ destination_id, position, order_key = null }: Waited): Promise<boolean> {
    if (order_key === null) return false;
    const next = nextOf(sql`${destination_id}`, sql`${order_key}`, sql`${position}`);
    const [found] = await query<{ position: string | null }>(sql`select ${next} as position`);
    return (found?.position ?? null) !== null;
  }

  return { mendTurns, findKeyed, letGo, hasBehind };
}
