// UTM presets: named sets of UTM values of an app. Called through links.ts. A change holds for every link that uses one: at once
// in this process, and within LINK_TTL_MS in the others.
import type { UtmPreset, UtmPresetCreate, UtmPresetPatch } from "#contract/utm-presets.ts";
import { type AppError, notFound, refuse } from "../errors.ts";
import { type Database, isDatabaseError } from "../platform/database.ts";
import type { IdSource, Ids } from "../platform/ids.ts";
import { composePage, type Page, type PageInput, placeOf } from "../platform/page.ts";
import { timeText } from "../platform/time-text.ts";
import { parseMap } from "./link.ts";
import * as store from "./presets-store.ts";

export const PRESETS_PER_APP_MAX = 500;
/** Of the links that use a preset so many are counted: more are "more than". */
export const USES_COUNTED_MAX = 10_000;

export interface PresetsOptions {
  db: Database;
  ids: Ids;
  source: IdSource;
  /** What was known of links that use it holds no more. */
  changed(preset_id: string, updated_at: number): void;
}

export function createPresets({ db, ids, source, changed }: PresetsOptions) {
  /** @throws AppError not_found, conflict */
  async function createPreset(app_id: string, { name, utm }: UtmPresetCreate): Promise<UtmPreset> {
    const now = source.now();
    const times = { created_at: now, updated_at: now };
    const row = { id: ids.prefixed("utp"), app_id, name, utm: JSON.stringify(utm), ...times };
    try {
      await store.insertPreset(db, row, PRESETS_PER_APP_MAX);
    } catch (error) {
      if (isDatabaseError(error, "unmet")) throw tooMany();
      throw isDatabaseError(error, "unique") ? nameTaken(name) : error;
    }
    return present(row);
  }

  async function listPresets(app_id: string, page: PageInput): Promise<Page<UtmPreset>> {
    return composePage(await store.selectPresets(db, app_id, placeOf(page), page.limit + 1), page.limit, present);
  }

  /** @param app_scope null for the operator; a preset of another app does not exist */
  async function getPreset(id: string, app_scope: string | null): Promise<UtmPreset> {
    const row = await store.selectPreset(db, id, app_scope);
    if (row === null) throw notFound("UTM preset");
    return present(row);
  }

  /** @throws AppError not_found, conflict */
  async function patchPreset(id: string, app_scope: string | null, { name, utm }: UtmPresetPatch): Promise<UtmPreset> {
    const updated_at = source.now();
    const changes = { ...(name !== undefined && { name }), ...(utm !== undefined && { utm: JSON.stringify(utm) }) };
    let row: store.PresetRow | null;
    try {
      row = await store.updatePreset(db, { id, app_scope }, { ...changes, updated_at });
    } catch (error) {
      throw name !== undefined && isDatabaseError(error, "unique") ? nameTaken(name) : error;
    }
    if (row === null) throw notFound("UTM preset");
    changed(id, updated_at);
    return present(row);
  }

  /** @throws AppError not_found, conflict while links use it */
  async function deletePreset(id: string, app_scope: string | null): Promise<void> {
    const uses = await store.deletePreset(db, { id, app_scope }, USES_COUNTED_MAX + 1);
    if (uses === null) throw notFound("UTM preset");
    if (uses > 0) throw inUse(uses);
  }

  return { createPreset, listPresets, getPreset, patchPreset, deletePreset };
}

function present({ id, app_id, name, utm, created_at, updated_at }: store.PresetRow): UtmPreset {
  const times = { created_at: timeText(created_at), updated_at: timeText(updated_at) };
  return { id, app_id, name, utm: parseMap(utm), ...times };
}

function inUse(uses: number): AppError {
  const links =
    uses === 1 ? "1 link uses" : `${uses > USES_COUNTED_MAX ? `more than ${USES_COUNTED_MAX}` : uses} links use`;
  return refuse("conflict", `The preset stays, for ${links} it. Give those another utm_preset_id, or null, first.`);
}

function nameTaken(name: string): AppError {
  return refuse("conflict", `The app has a preset that is called ${name}. Choose another name.`, [
    { path: "name", message: "a name that no other preset of the app has" },
  ]);
}

function tooMany(): AppError {
  return refuse("conflict", `An app may have ${PRESETS_PER_APP_MAX} UTM presets. Delete one that no link uses.`);
}
