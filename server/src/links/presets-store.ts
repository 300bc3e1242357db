// The table utm_presets, and which links use one. Called by presets.ts and writing-store.ts.
import type { Database, Query, Row } from "../platform/database.ts";
import { type After, after } from "../platform/page.ts";
import { allOf, assign, expectRows, KEPT, paddedList, type Statement, sql } from "../platform/sql.ts";

export interface PresetRow extends Row {
  id: string;
  app_id: string;
  name: string;
  /** JSON text of an object. */
  utm: string;
  created_at: number;
  updated_at: number;
}

/**
 * Two calls at the same moment may bring an app one beyond its limit on PostgreSQL, and the next one is refused.
 * @throws DatabaseError "unique" when the name is taken, "unmet" when the app is gone or has as many as it may
 */
export async function insertPreset(db: Database, preset: PresetRow, presets_max: number): Promise<void> {
  const inserted = sql`insert into utm_presets (id, app_id, name, utm, created_at, updated_at)
    select cast(${preset.id} as text), id, cast(${preset.name} as text), cast(${preset.utm} as text),
      cast(${preset.created_at} as bigint), cast(${preset.updated_at} as bigint)
    from apps where id = ${preset.app_id}
      and (select count(*) from utm_presets where app_id = apps.id) < cast(${presets_max} as bigint) ${KEPT} returning id`;
  await db.batch([expectRows(1, inserted)]);
}

/** Newest first. */
export function selectPresets(db: Database, app_id: string, place: After | null, limit: number): Promise<PresetRow[]> {
  return db.query(sql`select * from utm_presets where app_id = ${app_id} and ${after(place)}
    order by created_at desc, id desc limit ${limit}`);
}

export async function selectPreset(db: Database, id: string, app_scope: string | null): Promise<PresetRow | null> {
  const found = await db.query<PresetRow>(sql`select * from utm_presets where ${allOf(within(id, app_scope))}`);
  return found[0] ?? null;
}

/** @throws DatabaseError "unique" when the new name is taken */
export async function updatePreset(
  db: Database,
  { id, app_scope }: { id: string; app_scope: string | null },
  changes: Partial<PresetRow>,
): Promise<PresetRow | null> {
  const updated = await db.query<PresetRow>(
    sql`update utm_presets set ${assign(changes)} where ${allOf(within(id, app_scope))} returning *`,
  );
  return updated[0] ?? null;
}

/**
 * Deletes one that no link uses. Deleted first and counted then, because that waits for whoever is about to use it (keepPresets),
 * and whoever comes later finds it gone.
 * @returns how many links use it, count_max at the most; with any it stays. Null: there is none.
 */
export async function deletePreset(
  db: Database,
  { id, app_scope }: { id: string; app_scope: string | null },
  count_max: number,
): Promise<number | null> {
  let uses = 0;
  const deleting = db.transaction(async (query) => {
    const deleted = await query(sql`delete from utm_presets where ${allOf(within(id, app_scope))} returning id`);
    if (deleted.length === 0) return null;
    const [counted] = await query<{ uses: number }>(sql`select count(*) as uses
      from (select 1 as one from links where utm_preset_id = ${id} limit ${count_max}) as used`);
    uses = counted?.uses ?? 0;
    if (uses > 0) throw new UndoError();
    return 0;
  });
  return deleting.catch((error: unknown) => {
    if (error instanceof UndoError) return uses;
    throw error;
  });
}

/** Undoes a transaction that has seen what it does not want. */
class UndoError extends Error {}

/** Those that the app has, none of which goes before the transaction ends. The app is to be kept before. */
export async function keepPresets(query: Query, app_id: string, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const kept = await query<{ id: string }>(
    sql`select id from utm_presets where app_id = ${app_id} and id in (${paddedList(ids)}) ${KEPT}`,
  );
  return new Set(kept.map(({ id }) => id));
}

function within(id: string, app_scope: string | null): Statement[] {
  return app_scope === null ? [sql`id = ${id}`] : [sql`id = ${id}`, sql`app_id = ${app_scope}`];
}
