// SQL of the list of dispatchers. Called by presence.ts; the table has a row for each process, so every statement is small.
import type { Database } from "../platform/database.ts";
import { sql } from "../platform/sql.ts";

/** One dispatcher, and when it was there last by its own clock. */
export interface NodeRow {
  id: string;
  seen_at: number;
}

/** What it tells of the webhooks that it limits (told-limits.ts). */
export interface ToldRow extends NodeRow {
  limits: string | null;
}

/** More than anybody runs. */
const NODES_MAX = 1_000;
const ALL = sql`select id, seen_at from dispatchers order by id limit ${NODES_MAX}`;

export type PresenceStore = ReturnType<typeof createPresenceStore>;

export function createPresenceStore({ query, batch }: Pick<Database, "query" | "batch">) {
  /** Says that it is there; answers who is. What it tells is written anew only when that is news. */
  async function announce({ id, seen_at, limits }: ToldRow, is_news: boolean): Promise<NodeRow[]> {
    const row = sql`insert into dispatchers (id, seen_at, limits) values (${id}, ${seen_at}, ${limits})`;
    const [, rows] = await batch([
      is_news
        ? sql`${row} on conflict (id) do update set seen_at = excluded.seen_at, limits = excluded.limits`
        : sql`${row} on conflict (id) do update set seen_at = excluded.seen_at`,
      ALL,
    ]);
    // The columns are those of NodeRow.
    return (rows ?? []) as unknown as NodeRow[];
  }

  const listNodes = () => query<NodeRow>(ALL);

  /** The same with what they tell. */
  const listTold = () =>
    query<ToldRow>(sql`select id, seen_at, limits from dispatchers order by id limit ${NODES_MAX}`);

  async function remove(id: string): Promise<void> {
    await query(sql`delete from dispatchers where id = ${id}`);
  }

  /** Removes one that has not been there since: one that has just come back stays. */
  async function prune({ id, seen_at }: NodeRow): Promise<void> {
    await query(sql`delete from dispatchers where id = ${id} and seen_at = ${seen_at}`);
  }

  return { announce, listNodes, listTold, remove, prune };
}
