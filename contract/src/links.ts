// Links as LinkMe's Node SDK creates and reads them: camelCase on create, snake_case with 0 and 1 on the entity, JSON
// text for utm, utm_override and deep_link_params. Unknown fields are ignored here, as LinkMe's SDKs expect.
import { z } from "zod";
import { AnyUrl, WebUrl } from "./fields.ts";

/** The ten query keys that count as UTM; everything else is a parameter. */
export const UTM_KEYS = [
  "utm_source",
  "utm_medium",
  "utm_campaign",
  "utm_term",
  "utm_content",
  "utm_id",
  "utm_source_platform",
  "utm_creative_format",
  "utm_marketing_tactic",
  "tags",
] as const;
export type UtmKey = (typeof UTM_KEYS)[number];

export const SLUG_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;
const UTM_VALUE_MAX_CHARS = 500;
const MAP_MAX_ENTRIES = 50;
const MAP_VALUE_MAX_CHARS = 2_000;
const PATH_MAX_CHARS = 1_000;
const MAP_TEXT_MAX_CHARS = 8_000;

/** First path segments that belong to the server and can never be slugs. */
export const RESERVED_SLUGS = [
  "api",
  "d",
  "qr",
  "s",
  "portal",
  "resources",
  "docs",
  "mcp",
  "internal",
  "apple-app-site-association",
  "robots.txt",
  "favicon.ico",
] as const;

const Slug = z
  .string()
  .regex(SLUG_PATTERN, { error: "1 to 64 letters, digits, _ or -" })
  .refine((slug) => !(RESERVED_SLUGS as readonly string[]).includes(slug.toLowerCase()), {
    error: "another slug: this one is an address of the server itself",
  });

const Utm = z.partialRecord(z.enum(UTM_KEYS), z.string().max(UTM_VALUE_MAX_CHARS));
const UtmOverride = z.partialRecord(z.enum(UTM_KEYS), z.boolean());
const CustomValue = z.union([z.string().max(MAP_VALUE_MAX_CHARS), z.number(), z.boolean(), z.null()]);
const CustomMap = z
  .record(z.string().max(100), CustomValue)
  .refine((map) => Object.keys(map).length <= MAP_MAX_ENTRIES, { error: `at most ${MAP_MAX_ENTRIES} entries` });

/** `POST /api/apps/{app_id}/links`. */
export const LinkCreate = z
  .object({
    slug: Slug.optional(),
    deepLink: z.string().max(PATH_MAX_CHARS).nullish().describe("path inside the app"),
    redirects: z
      .object({
        ios: AnyUrl.nullish(),
        android: AnyUrl.nullish(),
        web: WebUrl.nullish(),
        forceWeb: z.boolean().optional(),
      })
      .nullish(),
    utm: Utm.nullish(),
    utmOverrides: UtmOverride.nullish(),
    allowParamPassthrough: z.boolean().optional(),
    displayInPortal: z.boolean().default(false),
    customData: CustomMap.nullish(),
    deepLinkParams: CustomMap.nullish(),
    iosStoreUrl: WebUrl.nullish(),
    androidStoreUrl: WebUrl.nullish(),
    og_title: z.string().max(300).nullish(),
    og_description: z.string().max(1_000).nullish(),
    og_image_url: WebUrl.nullish(),
  })
  .meta({ id: "LinkCreate" });
export type LinkCreate = z.infer<typeof LinkCreate>;

const NO_MAP_TEXT = { error: "JSON text of an object" };
const MapText = z
  .union(
    [z.string().max(MAP_TEXT_MAX_CHARS).refine(isObjectText, NO_MAP_TEXT), z.record(z.string(), z.json())],
    NO_MAP_TEXT,
  )
  .transform((value) => (typeof value === "string" ? value : JSON.stringify(value)));
const PatchFlag = z.union([z.literal(0), z.literal(1)], { error: "0 or 1" });

/** `PATCH /api/links/{id}`: only what is named changes. */
export const LinkPatch = z
  .object({
    deep_link_path: z.string().max(PATH_MAX_CHARS).nullable(),
    ios_custom_url: AnyUrl.nullable(),
    android_custom_url: AnyUrl.nullable(),
    web_fallback_url: WebUrl.nullable(),
    allow_param_passthrough: PatchFlag,
    force_redirect_web: PatchFlag,
    enabled: PatchFlag,
    og_title: z.string().max(300).nullable(),
    og_description: z.string().max(1_000).nullable(),
    og_image_url: WebUrl.nullable(),
    utm: MapText.nullable(),
    utm_override: MapText.nullable(),
  })
  .partial()
  .meta({ id: "LinkPatch" });
export type LinkPatch = z.output<typeof LinkPatch>;

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
    custom_data: Text.describe("JSON text"),
    allow_param_passthrough: Flag,
    force_redirect_web: Flag,
    enabled: Flag,
    internal: Flag.describe("1 hides the link from the Portal's list; it works all the same"),
    click_count: z.number().int(),
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

function isObjectText(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    // Not even JSON: refused with the same words.
    return false;
  }
}
