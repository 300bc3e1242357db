// SQL of the stream of events: what an app has from a position on, and the envelopes of positions. Called by tail.ts.
import type { EventType } from "#contract/events.ts";
import type { Database } from "../platform/database.ts";
import { allOf, paddedList, sql } from "../platform/sql.ts";

export interface TailFilter {
  event?: EventType | undefined;
  link_id?: string | undefined;
}

/** Envelopes of one read, 256 KiB each at the most. */
export const BODIES_MAX = 32;
/** Positions of one read. */
export const POSITIONS_MAX = 500;

export type EventTailStore = ReturnType<typeof createEventTailStore>;

export function createEventTailStore({ query }: Pick<Database, "query">) {
  /** Those of the positions that match, in any order; at most BODIES_MAX are asked for. */
  function bodies(app_id: string, positions: readonly string[], { event, link_id }: TailFilter) {
    const wanted = [sql`app_id = ${app_id}`, sql`position in (${paddedList(positions)})`];
    if (event !== undefined) wanted.push(sql`event = ${event}`);
    if (link_id !== undefined) wanted.push(sql`link_id = ${link_id}`);
    return query<{ position: string; body: string }>(sql`select position, body from events where ${allOf(wanted)}`);
  }

  /** Oldest first: positions behind one and up to another. */
  async function positions(app_id: string, after: string, until: string): Promise<string[]> {
    const found = await query<{ position: string }>(sql`select position from events
      where app_id = ${app_id} and position > ${after} and position <= ${until} order by position limit ${POSITIONS_MAX}`);
    return found.map(({ position }) => position);
  }

  async function newest(app_id: string): Promise<string | null> {
    const [found] = await query<{ position: string }>(
      sql`select position from events where app_id = ${app_id} order by position desc limit 1`,
    );
    return found?.position ?? null;
  }

  return { bodies, positions, newest };
}
