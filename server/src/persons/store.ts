// The tables erasures and erasure_keys. Called by erasures.ts and runner.ts.
import type { Key } from "../claims/persons-store.ts";
import type { Database, Query, Row } from "../platform/database.ts";
import { allOf, expectRows, KEPT, rows, type Statement, sql } from "../platform/sql.ts";

export const COUNTED = ["events", "clicks", "app_events", "identities"] as const;
export type Counted = (typeof COUNTED)[number];

export interface ErasureRow extends Row {
  id: string;
  app_id: string;
  kind: Key["kind"];
  /** Null when it is done: nobody is named any more. */
  value: string | null;
  passes: number;
  events: number;
  clicks: number;
  app_events: number;
  identities: number;
  created_at: number;
  finished_at: number | null;
}

export type ErasureStore = ReturnType<typeof createErasureStore>;

export function createErasureStore({ query, batch, transaction }: Pick<Database, "query" | "batch" | "transaction">) {
  /**
   * Two calls at the same moment may bring an app one beyond its limit on PostgreSQL, and the next one is refused.
   * @throws DatabaseError "unmet" when the app is gone, the same one is under way, or so many of the app are
   */
  async function insert(
    { id, app_id, kind, value, created_at }: ErasureRow,
    keys: readonly Key[],
    { forget_before, open_max }: { forget_before: number; open_max: number },
  ): Promise<void> {
    const inserted = sql`insert into erasures (id, app_id, kind, value, passes, events, clicks, app_events, identities,
        held_until, created_at)
      select cast(${id} as text), id, cast(${kind} as text), cast(${value} as text), 0, 0, 0, 0, 0, 0,
        cast(${created_at} as bigint)
      from apps where id = ${app_id} and (select count(*) from erasures
        where finished_at is null and app_id = apps.id) < cast(${open_max} as bigint)
        and not exists (select 1 from erasures where finished_at is null and app_id = apps.id
          and kind = cast(${kind} as text) and value = cast(${value} as text)) ${KEPT} returning id`;
    await batch([
      sql`delete from erasures where app_id = ${app_id} and finished_at < ${forget_before}`,
      expectRows(1, inserted),
      ...(keys.length > 0 ? [keepKeys(id, keys)] : []),
    ]);
  }

  async function findOpen(app_id: string, { kind, value }: Key): Promise<ErasureRow | null> {
    const found = await query<ErasureRow>(sql`select * from erasures where finished_at is null and app_id = ${app_id}
      and kind = ${kind} and value = ${value} order by created_at limit 1`);
    return found[0] ?? null;
  }

  async function find(id: string, app_scope: string | null): Promise<ErasureRow | null> {
    const of = app_scope === null ? [] : [sql`app_id = ${app_scope}`];
    const found = await query<ErasureRow>(sql`select * from erasures where ${allOf([sql`id = ${id}`, ...of])}`);
    return found[0] ?? null;
  }

  /** Newest first. */
  function page(
    app_id: string,
    before: { created_at: number; id: string } | null,
    limit: number,
  ): Promise<ErasureRow[]> {
    const range = before === null ? sql`true` : sql`(created_at, id) < (${before.created_at}, ${before.id})`;
    return query(sql`select * from erasures where app_id = ${app_id} and ${range}
      order by created_at desc, id desc limit ${limit}`);
  }

  /**
   * One that is not done, and that no living process has; it is the caller's for a while. First those that nobody has tried yet,
   * so that one that cannot be carried on holds up no others.
   */
  async function take(holder: string, now: number, lease_ms: number): Promise<ErasureRow | null> {
    const found = await query<ErasureRow>(sql`update erasures set holder = ${holder}, held_until = ${now + lease_ms}
      where id in (select id from erasures where finished_at is null and ${isFree(holder, now, lease_ms)}
        order by held_until, created_at, id limit 1) and finished_at is null and ${isFree(holder, now, lease_ms)} returning *`);
    return found[0] ?? null;
  }

  /** False when it is somebody else's, done, or gone with its app. */
  async function renew(id: string, holder: string, until: number): Promise<boolean> {
    const renewed = await query(sql`update erasures set held_until = ${until}
      where id = ${id} and holder = ${holder} and finished_at is null returning id`);
    return renewed.length > 0;
  }

  async function giveBack(id: string, holder: string): Promise<void> {
    await query(sql`update erasures set held_until = 0 where id = ${id} and holder = ${holder}`);
  }

  /** Users and devices first: they lead to the rest. */
  function keysOf(id: string): Promise<Key[]> {
    return query<Key & Row>(
      sql`select kind, value from erasure_keys where erasure_id = ${id} order by kind desc, value`,
    );
  }

  async function saveKeys(id: string, keys: readonly Key[]): Promise<void> {
    if (keys.length > 0) await query(keepKeys(id, keys));
  }

  /** Removes rows and counts them, together; answers how many. A statement answers a row for each, and none where it only changes what stays. */
  function remove(id: string, what: Counted, statement: Statement, also: readonly Statement[] = []): Promise<number> {
    return transaction(async (within) => {
      for (const one of also) await within(one);
      const { length } = await within(statement);
      await count(within, id, what, length);
      return length;
    });
  }

  function add(id: string, what: Counted, count_of: number): Promise<void> {
    return count(query, id, what, count_of);
  }

  /**
   * False when it has become somebody else's.
   * @param passes that are done of those that are to be
   * @param has_more what is done makes room for the rest. Who leads to it stays: the user, where none is known the devices; and
   * what was named, so that there is never nothing
   */
  async function endPass(
    id: string,
    holder: string,
    { passes, has_more, has_user }: { passes: number; has_more: boolean; has_user: boolean },
  ): Promise<boolean> {
    return transaction(async (within) => {
      const [row] = await within<ErasureRow>(sql`update erasures set passes = ${passes}
        where id = ${id} and holder = ${holder} and finished_at is null returning *`);
      if (row === undefined) return false;
      if (has_more) {
        const goes = has_user ? sql`kind <> 'user'` : sql`kind = 'cid'`;
        await within(sql`delete from erasure_keys where erasure_id = ${id} and ${goes}
          and not (kind = ${row.kind} and value = ${row.value ?? ""})`);
      }
      return true;
    });
  }

  /** Null when it is gone. */
  async function finish(id: string, now: number): Promise<ErasureRow | null> {
    const [, finished = []] = await batch([
      sql`delete from erasure_keys where erasure_id = ${id}`,
      sql`update erasures set finished_at = ${now}, value = null, holder = null where id = ${id} returning *`,
    ]);
    return (finished[0] as ErasureRow | undefined) ?? null;
  }

  return {
    ...{ insert, findOpen, find, page, take, renew, giveBack, keysOf, saveKeys, remove, add, endPass, finish },
  };
}

/** An end too far away is of a clock that was wrong. */
function isFree(holder: string, now: number, lease_ms: number): Statement {
  return sql`(holder is null or holder = ${holder} or held_until <= ${now} or held_until > ${now + 2 * lease_ms})`;
}

function keepKeys(id: string, keys: readonly Key[]): Statement {
  const list = keys.map(({ kind, value }) => [id, kind, value]);
  return sql`insert into erasure_keys (erasure_id, kind, value) values ${rows(list)} on conflict do nothing`;
}

async function count(query: Query, id: string, what: Counted, count_of: number): Promise<void> {
  if (count_of === 0) return;
  const column = { kind: "statement", parts: [what], values: [] } as const;
  await query(sql`update erasures set ${column} = ${column} + ${count_of} where id = ${id}`);
}
