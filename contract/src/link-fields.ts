// The fields of a link as callers write them, each with the sentence a person reads when it is refused. Pure; used by
// links.ts for every way in which a link is made or changed.
import { z } from "zod";
import { AnyUrl, Id, TimeInput, WebUrl } from "./fields.ts";

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
export const TAGS_MAX = 20;
const TAG_PATTERN = /^[\p{L}\p{N}][\p{L}\p{N} ._:/-]{0,49}$/u;
const CLICK_LIMIT_MAX = 1_000_000_000;

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

export const Slug = z
  .string()
  .regex(SLUG_PATTERN, { error: "1 to 64 letters, digits, _ or -" })
  .refine((slug) => !(RESERVED_SLUGS as readonly string[]).includes(slug.toLowerCase()), {
    error: "another slug: this one is an address of the server itself",
  });

export const Utm = z.partialRecord(z.enum(UTM_KEYS), z.string().max(UTM_VALUE_MAX_CHARS));
export const UtmOverride = z.partialRecord(z.enum(UTM_KEYS), z.boolean());
const CustomValue = z.union([z.string().max(MAP_VALUE_MAX_CHARS), z.number(), z.boolean(), z.null()]);
const TOO_LONG = { error: `at most ${MAP_TEXT_MAX_CHARS} characters as JSON` };
export const CustomMap = z
  .record(z.string().max(100, { error: "keys of at most 100 characters" }), CustomValue)
  .refine((map) => Object.keys(map).length <= MAP_MAX_ENTRIES, { error: `at most ${MAP_MAX_ENTRIES} entries` })
  .refine((map) => isShort(JSON.stringify(map)), TOO_LONG);

const NO_MAP_TEXT = { error: "an object, or its JSON text" };
export const ObjectText = z.string().refine(isObjectText, NO_MAP_TEXT).refine(isShort, TOO_LONG);
/** However it is written it is stored as text, and what is stored can be written again. */
export const MapText = z
  .union([z.string().refine(isObjectText, NO_MAP_TEXT), z.record(z.string(), z.json())], NO_MAP_TEXT)
  .transform((value) => (typeof value === "string" ? value : JSON.stringify(value)))
  .refine(isShort, TOO_LONG);

/** LinkMe's numbers; booleans are taken too. */
export const FlagInput = z
  .union([z.literal(0), z.literal(1), z.boolean()], { error: "0 or 1 (true or false are taken too)" })
  .transform((value): 0 | 1 => (value === 1 || value === true ? 1 : 0));

/** Kept in lower case, so that a search finds them however they are written. */
export const Tag = z
  .string()
  .trim()
  .regex(TAG_PATTERN, { error: "a tag of up to 50 letters, digits, spaces and . _ : / -" })
  .transform((tag) => tag.toLowerCase());
const Tags = z
  .array(Tag)
  .max(TAGS_MAX)
  .transform((tags) => [...new Set(tags)]);

export const Path = z.string().max(PATH_MAX_CHARS);
export const OgTitle = z.string().max(300);
export const OgDescription = z.string().max(1_000);
const ClickLimit = z.number().int().min(1).max(CLICK_LIMIT_MAX);

/** What can be null, by the names of the stored link. */
export const NULLABLE_FIELDS = {
  deep_link_path: Path.nullable().describe("path inside the app"),
  deep_link_params: MapText.nullable(),
  ios_custom_url: AnyUrl.nullable(),
  android_custom_url: AnyUrl.nullable(),
  ios_store_url: WebUrl.nullable(),
  android_store_url: WebUrl.nullable(),
  web_fallback_url: WebUrl.nullable(),
  og_title: OgTitle.nullable(),
  og_description: OgDescription.nullable(),
  og_image_url: WebUrl.nullable(),
  utm: MapText.nullable(),
  utm_override: MapText.nullable(),
  custom_data: MapText.nullable(),
  utm_preset_id: Id.nullable().describe("a UTM preset of the app, whose values hold where `utm` has none"),
  tags: Tags.nullable(),
  expires_at: TimeInput.nullable().describe("from then on visitors are sent to expired_url"),
  click_limit: ClickLimit.nullable().describe("after so many clicks, too"),
  expired_url: WebUrl.nullable().describe(
    "where a link leads that has ended; without one there is a page that says so",
  ),
} as const;

export const FLAG_FIELDS = {
  allow_param_passthrough: FlagInput,
  force_redirect_web: FlagInput,
  enabled: FlagInput,
  internal: FlagInput,
} as const;

function isShort(text: string): boolean {
  return text.length <= MAP_TEXT_MAX_CHARS;
}

function isObjectText(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    // Not even JSON: refused with the same words.
    return false;
  }
}
