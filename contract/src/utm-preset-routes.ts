// Routes of UTM presets.
import { PageQuery } from "./fields.ts";
import { NoQuery, type Route, under } from "./route.ts";
import { UtmPreset, UtmPresetCreate, UtmPresetPatch, UtmPresetsPage } from "./utm-presets.ts";

const in_app = under("app_id");
const by_id = under("id");

export const UTM_PRESET_ROUTES = {
  createUtmPreset: {
    method: "POST",
    path: "/api/apps/{app_id}/utm-presets",
    scope: "app_write",
    tag: "UTM presets",
    summary: "Create a named set of UTM values",
    params: in_app,
    query: NoQuery,
    body: UtmPresetCreate,
    status: 201,
    answer: UtmPreset,
  },
  listUtmPresets: {
    method: "GET",
    path: "/api/apps/{app_id}/utm-presets",
    scope: "app_read",
    tag: "UTM presets",
    summary: "List the app's UTM presets",
    params: in_app,
    query: PageQuery,
    status: 200,
    answer: UtmPresetsPage,
  },
  getUtmPreset: {
    method: "GET",
    path: "/api/utm-presets/{id}",
    scope: "app_read",
    tag: "UTM presets",
    summary: "Get a UTM preset",
    params: by_id,
    query: NoQuery,
    status: 200,
    answer: UtmPreset,
  },
  patchUtmPreset: {
    method: "PATCH",
    path: "/api/utm-presets/{id}",
    scope: "app_write",
    tag: "UTM presets",
    summary: "Change a UTM preset, and with it every link that uses it",
    params: by_id,
    query: NoQuery,
    body: UtmPresetPatch,
    status: 200,
    answer: UtmPreset,
  },
  deleteUtmPreset: {
    method: "DELETE",
    path: "/api/utm-presets/{id}",
    scope: "app_write",
    tag: "UTM presets",
    summary: "Delete a UTM preset that no link uses",
    params: by_id,
    query: NoQuery,
    status: 204,
    answer: null,
  },
} as const satisfies Record<string, Route>;
