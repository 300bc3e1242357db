// Apps, their keys and their domains, as the management API speaks of them.
import { z } from "zod";
import { Label, pageOf, TimeInput, Timestamp, WebUrl } from "./fields.ts";

const MATCH_WINDOW_MIN_SECONDS = 60;
const MATCH_WINDOW_MAX_SECONDS = 24 * 3600;
/** How long after a click a claim without a token may still match it. */
const MATCH_WINDOW_DEFAULT_SECONDS = 3600;
const FINGERPRINTS_MAX = 10;
const RETENTION_MIN_DAYS = 1;
export const RETENTION_MAX_DAYS = 3_650;
/** Thirteen months: a whole year can be held against the same month of the year before. */
export const EVENT_RETENTION_DEFAULT_DAYS = 395;
export const DELIVERY_RETENTION_DEFAULT_DAYS = 30;

const APP_ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

const DAYS_ERROR = `a whole number of days from ${RETENTION_MIN_DAYS} to ${RETENTION_MAX_DAYS}, or null`;
const RetentionDays = z
  .number({ error: DAYS_ERROR })
  .int({ error: DAYS_ERROR })
  .min(RETENTION_MIN_DAYS, { error: DAYS_ERROR })
  .max(RETENTION_MAX_DAYS, { error: DAYS_ERROR })
  .nullable();

/** Settings of an app; every one can be given on create and changed later. */
export const AppSettings = z.strictObject({
  ios_bundle_id: z.string().max(200).nullable(),
  ios_team_id: z
    .string()
    .regex(/^[A-Z0-9]{10}$/, { error: "an Apple Team ID: ten capital letters or digits" })
    .nullable(),
  ios_store_url: WebUrl.nullable(),
  ios_enable_pasteboard: z.boolean(),
  android_package: z.string().max(200).nullable(),
  android_sha256: z
    .array(
      z.string().regex(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/, {
        error: "a SHA-256 certificate fingerprint: 32 upper-case hex pairs joined by colons",
      }),
    )
    .max(FINGERPRINTS_MAX),
  android_store_url: WebUrl.nullable(),
  web_fallback_url: WebUrl.nullable(),
  require_api_key: z.boolean().describe("SDK calls must carry x-app-id and a valid x-api-key"),
  analytics_consent: z
    .boolean()
    .describe(
      "visitors and users have agreed to analytics: a click keeps the cookies of Google Analytics that came with it, and users and devices are tied to their clicks",
    ),
  match_window_seconds: z.number().int().min(MATCH_WINDOW_MIN_SECONDS).max(MATCH_WINDOW_MAX_SECONDS),
  event_retention_days: RetentionDays.describe(
    "how long events, their deliveries and their clicks are kept; null for ever",
  ),
  delivery_retention_days: RetentionDays.describe(
    "how long what was sent and answered is kept after a delivery has ended; null as long as its event",
  ),
  emit_open_on_resolve: z
    .boolean()
    .describe(
      "an app that the system opened with a link is told of as link.app_open, too; for apps that do not report `open` themselves",
    ),
  match_install_referrer: z
    .boolean()
    .describe(
      "a Play install referrer without a token that can be claimed is matched by network within the same call; for apps with LinkMe's SDK for Android up to 0.2.13, which do not ask again",
    ),
  app_events_need_write: z
    .boolean()
    .describe("POST /api/app-events must carry x-app-id and an x-api-key that has can_write"),
  cid_on_web_fallback: z
    .boolean()
    .describe(
      "the token of a click, `cid`, goes into the web_fallback_url of a link or of the app on any host; without it, on the app's own domains alone. Whoever runs that site can claim the token",
    ),
});
export type AppSettings = z.infer<typeof AppSettings>;

export const APP_DEFAULTS: AppSettings = {
  ios_bundle_id: null,
  ios_team_id: null,
  ios_store_url: null,
  ios_enable_pasteboard: false,
  android_package: null,
  android_sha256: [],
  android_store_url: null,
  web_fallback_url: null,
  require_api_key: false,
  analytics_consent: false,
  match_window_seconds: MATCH_WINDOW_DEFAULT_SECONDS,
  event_retention_days: EVENT_RETENTION_DEFAULT_DAYS,
  delivery_retention_days: DELIVERY_RETENTION_DEFAULT_DAYS,
  emit_open_on_resolve: false,
  match_install_referrer: false,
  app_events_need_write: false,
  cid_on_web_fallback: false,
};

const AppName = z.string().trim().min(1, { error: "a name of 1 to 100 characters" }).max(100);

export const AppCreate = AppSettings.partial()
  .extend({
    name: AppName,
    id: z
      .string()
      .regex(APP_ID_PATTERN, { error: "1 to 64 letters, digits, _ or -, starting with a letter or digit" })
      .optional(),
  })
  .strict();
export const AppPatch = AppSettings.partial().extend({ name: AppName.optional() }).strict();

export const App = AppSettings.extend({
  id: z.string(),
  name: z.string(),
  created_at: Timestamp,
  updated_at: Timestamp,
}).meta({ id: "App" });
export type App = z.infer<typeof App>;
export const AppsPage = pageOf(App).meta({ id: "AppsPage" });

/** 32 bytes in base64url after the prefix of the kind. */
const KEY_PATTERN = /^(ak|sk)_[A-Za-z0-9_-]{43}$/;
const KEY_KINDS = ["app", "server"] as const;
export const KeyKind = z.enum(KEY_KINDS, { error: `one of ${KEY_KINDS.join(", ")}` });
export type KeyKind = z.infer<typeof KeyKind>;

export const KeyCreate = z.strictObject({
  kind: KeyKind,
  label: Label.default(""),
  can_read: z.boolean().default(true),
  can_write: z.boolean().optional().describe("default: true for a server key, false for an app key"),
  expires_at: TimeInput.nullable().optional(),
  key: z
    .string()
    .regex(KEY_PATTERN, { error: "a key as LinkMe makes them: ak_ or sk_, then 43 letters, digits, - or _" })
    .optional()
    .describe("one that is in use already, to be accepted here too; with the admin token only. Default: a new one"),
});

export const Key = z
  .object({
    id: z.string(),
    kind: KeyKind,
    label: z.string(),
    key_hint: z.string().describe("the first and last characters, to tell keys apart"),
    can_read: z.boolean(),
    can_write: z.boolean(),
    expires_at: Timestamp.nullable(),
    created_at: Timestamp,
  })
  .meta({ id: "Key" });
export type Key = z.infer<typeof Key>;
export const NewKey = Key.extend({ key: z.string().describe("shown only in this answer") }).meta({ id: "NewKey" });
export type NewKey = z.infer<typeof NewKey>;
export const KeysPage = pageOf(Key).meta({ id: "KeysPage" });

export const DomainCreate = z.strictObject({
  hostname: z
    .string()
    .trim()
    .toLowerCase()
    .max(253)
    // A last label that is a number makes an address of an IP, in whichever notation (URL Standard, "ends in a number").
    .regex(
      /^(?=.*[a-z])(?!.*\.(?:\d+|0x[0-9a-f]*)$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
      {
        error: "a host name with at least one dot, like go.example.com; no scheme, port or path",
      },
    ),
});

export const Domain = z
  .object({ id: z.string(), app_id: z.string(), hostname: z.string(), created_at: Timestamp })
  .meta({ id: "Domain" });
export type Domain = z.infer<typeof Domain>;
export const DomainsPage = pageOf(Domain).meta({ id: "DomainsPage" });
