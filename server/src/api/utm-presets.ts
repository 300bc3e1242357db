// UTM presets. Called by compose-edge.ts for processes with the role `api`.
import type { Links } from "../links/links.ts";
import type { Handlers } from "./bind.ts";

type Names = "createUtmPreset" | "listUtmPresets" | "getUtmPreset" | "patchUtmPreset" | "deleteUtmPreset";

export function utmPresetHandlers(links: Links): Handlers<Names> {
  return {
    createUtmPreset: ({ params, body }) => links.createPreset(params.app_id, body),
    listUtmPresets: ({ params, query }) => links.listPresets(params.app_id, query),
    getUtmPreset: ({ params, access }) => links.getPreset(params.id, access.app_scope),
    patchUtmPreset: ({ params, body, access }) => links.patchPreset(params.id, access.app_scope, body),
    deleteUtmPreset: ({ params, access }) => links.deletePreset(params.id, access.app_scope),
  };
}
