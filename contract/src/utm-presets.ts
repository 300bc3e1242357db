// UTM presets: named sets of UTM values of an app, which links refer to by `utm_preset_id`.
import { z } from "zod";
import { pageOf, Timestamp } from "./fields.ts";
import { Utm } from "./link-fields.ts";

const Name = z.string().trim().min(1, { error: "a name of 1 to 100 characters" }).max(100);
const PresetUtm = Utm.refine((utm) => Object.keys(utm).length > 0 && !Object.values(utm).includes(""), {
  error: 'one or more values that are not empty, like {"utm_source":"newsletter"}',
});

export const UtmPresetCreate = z.strictObject({ name: Name, utm: PresetUtm });
export type UtmPresetCreate = z.output<typeof UtmPresetCreate>;
export const UtmPresetPatch = UtmPresetCreate.partial().strict();
export type UtmPresetPatch = z.output<typeof UtmPresetPatch>;

export const UtmPreset = z
  .object({
    id: z.string(),
    app_id: z.string(),
    name: z.string().describe("unique in its app"),
    utm: Utm,
    created_at: Timestamp,
    updated_at: Timestamp,
  })
  .meta({ id: "UtmPreset" });
export type UtmPreset = z.infer<typeof UtmPreset>;
export const UtmPresetsPage = pageOf(UtmPreset).meta({ id: "UtmPresetsPage" });
