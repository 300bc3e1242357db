// Links as LinkMe's Node SDK creates and reads them: camelCase on create, snake_case with 0 and 1 on the entity, JSON
// text for utm, utm_override and deep_link_params. Unknown fields are ignored here, as LinkMe's SDKs expect.
import { z } from "zod";
import { AnyUrl, Id, WebUrl } from "./fields.ts";
import {
  CustomMap,
  FLAG_FIELDS,
  FlagInput,
  NULLABLE_FIELDS,
  ObjectText,
  OgDescription,
  OgTitle,
  Path,
  Slug,
  Utm,
  UtmOverride,
} from "./link-fields.ts";

export { RESERVED_SLUGS, SLUG_PATTERN, UTM_KEYS, type UtmKey } from "./link-fields.ts";

/** `PATCH /api/links/{id}`: only what is named changes. */
export const LinkPatch = z
  .object({ slug: Slug, ...NULLABLE_FIELDS, ...FLAG_FIELDS })
  .partial()
  .meta({ id: "LinkPatch" });
export type LinkPatch = z.output<typeof LinkPatch>;

/** LinkMe's names on create. Where a field is given under both of its names, the one of the stored link counts. */
const CAMEL_FIELDS = {
  deepLink: Path.nullish().describe("path inside the app"),
  redirects: z
    .object({
      ios: AnyUrl.nullish(),
      android: AnyUrl.nullish(),
      web: WebUrl.nullish(),
      forceWeb: FlagInput.nullish(),
    })
    .nullish(),
  utmPresetId: Id.nullish(),
  utmOverrides: UtmOverride.nullish(),
  allowParamPassthrough: FlagInput.nullish(),
  displayInPortal: FlagInput.nullish(),
  customData: CustomMap.nullish(),
  deepLinkParams: CustomMap.nullish(),
  iosStoreUrl: WebUrl.nullish(),
  androidStoreUrl: WebUrl.nullish(),
} as const;

/** `POST /api/apps/{app_id}/links`: LinkMe's names, or those of the stored link; null is the same as absent. */
export const LinkCreate = z
  .object({
    ...z.object({ slug: Slug, ...NULLABLE_FIELDS, ...FLAG_FIELDS }).partial().shape,
    slug: Slug.nullish(),
    allow_param_passthrough: FlagInput.nullish(),
    force_redirect_web: FlagInput.nullish(),
    enabled: FlagInput.nullish(),
    internal: FlagInput.nullish(),
    utm: z.union([Utm, ObjectText]).nullish(),
    og_title: OgTitle.nullish(),
    og_description: OgDescription.nullish(),
    og_image_url: WebUrl.nullish(),
    ...CAMEL_FIELDS,
  })
  .meta({ id: "LinkCreate" });
export type LinkCreate = z.output<typeof LinkCreate>;

const AppId = Id.nullish().describe("with the admin token: for which app; a server key tells its own");

/** `POST /api/links`. */
export const LinkCreateOfApp = LinkCreate.extend({ app_id: AppId }).meta({ id: "LinkCreateOfApp" });

/** `POST /s`: the shortest way to a link. */
export const ShortLinkCreate = z
  .object({ url: WebUrl.nullish(), web_fallback_url: WebUrl.nullish(), slug: Slug.nullish(), app_id: AppId })
  .refine(({ url, web_fallback_url }) => (url ?? web_fallback_url ?? null) !== null, {
    error: "required: an absolute http or https URL",
    path: ["url"],
  })
  .meta({ id: "ShortLinkCreate" });

export const LinkCreated = z
  .object({
    id: z.string(),
    app_id: z.string(),
    domain_id: z.string().nullable(),
    slug: z.string(),
    slugUrl: z.string(),
  })
  .meta({ id: "LinkCreated" });
export type LinkCreated = z.infer<typeof LinkCreated>;

const Flag = z.union([z.literal(0), z.literal(1)]);
const Text = z.string().nullable();

export const Link = z
  .object({
    id: z.string(),
    app_id: z.string(),
    slug: z.string(),
    domain_id: Text,
    deep_link_path: Text,
    deep_link_params: Text.describe("JSON text"),
    ios_custom_url: Text,
    android_custom_url: Text,
    ios_store_url: Text,
    android_store_url: Text,
    web_fallback_url: Text,
    og_title: Text,
    og_description: Text,
    og_image_url: Text,
    utm: Text.describe("JSON text"),
    utm_override: Text.describe("JSON text"),
    utm_preset_id: Text,
    custom_data: Text.describe("JSON text"),
    allow_param_passthrough: Flag,
    force_redirect_web: Flag,
    enabled: Flag,
    tags: z.array(z.string()),
    expires_at: Text,
    click_limit: z.number().int().nullable(),
    expired_url: Text,
    internal: Flag.describe("1 hides the link from the Portal's list; it works all the same"),
    click_count: z.number().int(),
    install_count: z.number().int().describe("claims of an app that was installed after the click"),
    last_click_at: Text,
    created_at: z.string(),
  })
  .meta({ id: "Link" });
export type Link = z.infer<typeof Link>;

export const ListedLink = Link.extend({
  hostname: Text,
  idUrl: z.string(),
  slugUrl: z.string(),
  clicks: z.number().int(),
  installs: z.number().int(),
}).meta({ id: "ListedLink" });
export type ListedLink = z.infer<typeof ListedLink>;

/** What resolve and claim calls answer. Scalars stand before maps: old Android SDKs read the text in order. */
export const LinkPayload = z
  .object({
    linkId: z.string().optional(),
    cid: z.string().optional(),
    path: z.string().optional(),
    url: z.string().optional(),
    isLinkMe: z.boolean(),
    duplicate: z.boolean().optional(),
    forceRedirectWeb: z.boolean().optional(),
    webFallbackUrl: z.string().optional(),
    params: z.record(z.string(), z.string()).optional(),
    utm: z.record(z.string(), z.string()).optional(),
    custom: z.record(z.string(), z.string()).optional(),
  })
  .meta({ id: "LinkPayload" });
export type LinkPayload = z.infer<typeof LinkPayload>;
