// Which destinations have deliveries that should have been sent long ago. Read once a minute by backlog.ts.
import type { Database } from "../platform/database.ts";
import { list, sql } from "../platform/sql.ts";

/** A destination that is behind, and since when. */
export interface Late {
  destination_id: string;
  app_id: string;
  waiting_since: number;
}

/** Leases end at the latest so long after now. */
const LEASE_MAX_MS = 60_000;

export function createBacklogStore(db: Pick<Database, "query">) {
  /**
   * Active destinations with a delivery that was due before `before`, those first that wait longest. What waits for its next
   * attempt by the schedule is not late, nor is what waited while the destination was paused or off: it was due when
   * that ended. What a person asks for is due at 0 from its first moment on, which says nothing about how long it waits.
   */
  async function findLate(now: number, before: number, limit: number): Promise<Late[]> {
    // One seek in deliveries_due for each destination, however much is pending.
    const overdue = await db.query<Late>(
      sql`select destination_id, app_id, waiting_since from (
          select destinations.id as destination_id, destinations.app_id as app_id,
            (select min(deliveries.due_at) from deliveries where deliveries.destination_id = destinations.id
              and deliveries.state = 'pending' and deliveries.due_at > 0 and deliveries.due_at <= ${before}) as waiting_since
          from destinations
          where destinations.state = 'active' and destinations.state_changed_at <= ${before}) as looked_at
        where waiting_since is not null order by waiting_since, destination_id limit ${limit}`,
    );
    if (overdue.length >= limit) return overdue;
    const held = await findHeld(now, before, limit);
    const others = held.filter((one) => overdue.every(({ destination_id }) => destination_id !== one.destination_id));
    return [...overdue, ...others].slice(0, limit);
  }

  /** What a dispatcher has claimed and goes on holding, for want of its turn: its lease is renewed, so it is never overdue. */
  function findHeld(now: number, before: number, limit: number): Promise<Late[]> {
    return db.query<Late>(
      sql`select deliveries.destination_id as destination_id, destinations.app_id as app_id,
          min(deliveries.created_at) as waiting_since
        from destinations join deliveries on deliveries.destination_id = destinations.id
        where destinations.state = 'active' and destinations.state_changed_at <= ${before}
          and deliveries.state = 'pending' and deliveries.due_at > ${now} and deliveries.due_at <= ${now + LEASE_MAX_MS}
          and deliveries.created_at <= ${before} and deliveries.leased = 1 and deliveries.failures = 0
          and deliveries.attempt <= 1 and deliveries.trigger = 'auto'
        group by deliveries.destination_id, destinations.app_id
        order by waiting_since, deliveries.destination_id limit ${limit}`,
    );
  }

  /** The apps of destinations that are there. */
  async function appsOf(ids: readonly string[]): Promise<Map<string, string>> {
    if (ids.length === 0) return new Map();
    const found = await db.query<{ id: string; app_id: string }>(
      sql`select id, app_id from destinations where id in (${list(ids)})`,
    );
    return new Map(found.map(({ id, app_id }) => [id, app_id]));
  }

  return { findLate, appsOf };
}
