// SQL that removes events whose time is over, along their key. Called by the retention module, which decides what goes.
import type { Database } from "../platform/database.ts";
import { expectRows, paddedList, type Statement, sql } from "../platform/sql.ts";

export type EventExpiry = ReturnType<typeof createEventExpiry>;

export function createEventExpiry({ query }: Pick<Database, "query">) {
  function readPositions(app_id: string, after: string, before: string, limit: number): Promise<string[]> {
    return query<{ position: string }>(sql`select position from events
      where app_id = ${app_id} and position > ${after} and position < ${before} order by position limit ${limit}`).then(
      (found) => found.map(({ position }) => position),
    );
  }

  /** Which of these are there. */
  async function findPositions(app_id: string, positions: readonly string[]): Promise<ReadonlySet<string>> {
    if (positions.length === 0) return new Set();
    const found = await query<{ position: string }>(
      sql`select position from events where app_id = ${app_id} and position in (${paddedList(positions)})`,
    );
    return new Set(found.map(({ position }) => position));
  }

  return { readPositions, findPositions };
}

export function removeEvents(app_id: string, positions: readonly string[]): Statement[] {
  if (positions.length === 0) return [];
  const removed = sql`delete from events where app_id = ${app_id} and position in (${paddedList(positions)}) returning position`;
  return [expectRows(positions.length, removed)];
}
