// SQL that finds what was given a time by a clock that was ahead: leases which nobody can hold, and first attempts, which are
// due as soon as there is a delivery. Part of store.ts; called by strays.ts. A look reads pending deliveries in the order of
// their index, a page at a time, for these have no index of their own: it would cost every event two entries.
import type { Database } from "../platform/database.ts";
import { eachRow, type SqlValue, sql } from "../platform/sql.ts";
import { dueAgain, NO_PROBE } from "./claim-store.ts";
import type { DeliveryKey } from "./delivery.ts";
import { WAITS_FOR_TURN } from "./turn.ts";

const PAGE_ROWS = 5_000;

/** Where a look goes on: behind this delivery in the order of the index. */
export interface StrayCursor {
  due_at: number;
  created_at: number;
  position: string;
}

export interface Stray extends DeliveryKey {
  /** The end of its lease, or when it is due, as it stands there. */
  due_at: number;
}

export function createStrayStore({ query }: Pick<Database, "query">) {
  /** Those behind the cursor, among so many deliveries; `next` is null at the end. */
  async function findStrays(destination_id: string, after: StrayCursor) {
    const page = await query<
      StrayCursor & { leased: number; failures: number }
    >(sql`select due_at, created_at, position, leased, failures
      from deliveries where destination_id = ${destination_id} and state = 'pending' and due_at < ${WAITS_FOR_TURN}
        and (due_at, created_at, position) > (${after.due_at}, ${after.created_at}, ${after.position})
      order by due_at, created_at, position limit ${PAGE_ROWS}`);
    const strays = page.flatMap(({ due_at, position, leased, failures }): Stray[] =>
      leased === 1 || failures === 0 ? [{ destination_id, position, due_at }] : [],
    );
    return { strays, next: page.length < PAGE_ROWS ? null : (page.at(-1) ?? null) };
  }

  /** Makes them due now, unless somebody has moved them meanwhile. Their attempts may have been made, so they count. */
  async function releaseStrays(strays: readonly Stray[], now: number): Promise<number> {
    const values = strays.map(({ destination_id, position, due_at }): SqlValue[] => [
      ...[destination_id, position, due_at, now],
    ]);
    const released = await query(sql`update deliveries set leased = 0,
        due_at = ${dueAgain(sql`column4`)}, ${NO_PROBE}
      ${eachRow(values, ["text", "text", "bigint", "bigint"])}
      where destination_id = column1 and position = column2 and due_at = column3
      returning position`);
    return released.length;
  }

  return { findStrays, releaseStrays };
}
