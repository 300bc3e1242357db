// Erasing what is stored of a person, and showing it.
import { z } from "zod";
import { AppEvent } from "./app-events.ts";
import { GoogleIds, Platform, StoredEvent } from "./events.ts";
import { Id, pageOf, Timestamp } from "./fields.ts";
import { UserId } from "./users.ts";

/** Beyond these an answer says that there is more. */
export const SHOWN_MAX = 1_000;

const StringMap = z.record(z.string(), z.string());
const whom = {
  user_id: UserId.min(1).optional().describe("what the app calls the user"),
  cid: z
    .string()
    .regex(/^[A-Fa-f0-9]{8,64}$/, { error: "a click token: 8 to 64 hexadecimal digits" })
    .toLowerCase()
    .optional()
    .describe("the token of a click, which is the click's id"),
  device_id: Id.max(128).optional().describe("the device's id, as the SDK sends it"),
};
const one = { error: "exactly one of user_id, cid, device_id" };
const isOne = ({ user_id, cid, device_id }: { user_id?: unknown; cid?: unknown; device_id?: unknown }) =>
  [user_id, cid, device_id].filter((name) => name !== undefined).length === 1;

/** A person, by one of the names under which they are known. */
export const PersonQuery = z.strictObject(whom).refine(isOne, one).meta({ id: "PersonQuery" });
export type PersonQuery = z.infer<typeof PersonQuery>;

export const ErasureCreate = z
  .strictObject({ ...whom, dry_run: z.boolean().default(false).describe("true: count, and erase nothing") })
  .refine(isOne, one)
  .meta({ id: "ErasureCreate" });
export type ErasureCreate = z.infer<typeof ErasureCreate>;

const counts = {
  events: z.number().int(),
  clicks: z.number().int().describe("each with its token"),
  app_events: z.number().int(),
  identities: z.number().int().describe("devices and users that were tied to a first click"),
};

export const ErasurePreview = z
  .object({ ...counts, is_complete: z.boolean().describe("false: there is more than was counted") })
  .meta({ id: "ErasurePreview" });
export type ErasurePreview = z.infer<typeof ErasurePreview>;

export const Erasure = z
  .object({
    id: z.string(),
    app_id: z.string(),
    named_by: z.enum(["user_id", "cid", "device_id"]).describe("how the person was named; not who it is"),
    state: z.enum(["running", "done"]),
    ...counts,
    created_at: Timestamp,
    finished_at: Timestamp.nullable(),
  })
  .meta({ id: "Erasure" });
export type Erasure = z.infer<typeof Erasure>;
export const ErasuresPage = pageOf(Erasure).meta({ id: "ErasuresPage" });

/** What is stored of a person. Members that are unknown are absent. */
export const PersonData = z
  .object({
    clicks: z.array(
      z.object({
        cid: z.string(),
        link_id: z.string(),
        platform: Platform,
        dest_url: z.string(),
        created_at: Timestamp,
        claimed_at: Timestamp.optional(),
        claim_type: z.string().optional(),
        user_id: z.string().optional(),
        os_version: z.string().optional(),
        locale: z.string().optional(),
        utm: StringMap.optional(),
        params: StringMap.optional(),
        ga: GoogleIds.optional(),
      }),
    ),
    events: z.array(StoredEvent),
    app_events: z.array(AppEvent),
    identities: z.array(
      z.object({
        kind: z.enum(["device", "user"]),
        user_id: z.string().optional(),
        first_cid: z.string().optional(),
        ga: GoogleIds.optional(),
        seen_at: Timestamp,
      }),
    ),
    is_complete: z.boolean().describe(`false: there is more than is shown, which is ${SHOWN_MAX} of each at the most`),
  })
  .meta({ id: "PersonData" });
export type PersonData = z.infer<typeof PersonData>;
