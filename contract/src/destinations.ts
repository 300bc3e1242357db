// Webhooks as the management API speaks of them: what may be set, its bounds and defaults, and what is answered.
// A webhook is a destination of type `webhook`; the delivery settings are the same for every type.
import { z } from "zod";
import { DataObject, EVENT_TYPES, EventType } from "./events.ts";
import { LongText, pageOf, Timestamp } from "./fields.ts";
import { Filter } from "./filters.ts";
import { Replay } from "./replays.ts";
import { TargetUrl } from "./target-url.ts";

export const RETRY_SCHEDULE_MAX_ITEMS = 24;
export const RETRY_DELAY_MAX_SECONDS = 604_800;
const TIMEOUT_MIN_MS = 1_000;
const TIMEOUT_MAX_MS = 60_000;
export const TIMEOUT_DEFAULT_MS = 15_000;
export const IN_FLIGHT_MAX = 1_000;
const IN_FLIGHT_DEFAULT = 50;
/** One request in a hundred seconds. */
const RATE_MIN_PER_SECOND = 0.01;
const RATE_MAX_PER_SECOND = 100_000;
export const HEADERS_MAX = 20;
const HEADER_VALUE_MAX_CHARS = 2_000;
/** What a sealed value looks like in answers. */
export const MASK = "••••••••";

/** Headers that the server sets itself, or that belong to the connection. */
export const RESERVED_HEADERS = [
  "connection",
  "content-length",
  "content-type",
  "expect",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "webhook-id",
  "webhook-signature",
  "webhook-timestamp",
  "x-linkme-attempt",
  "x-linkme-delivery",
  "x-linkme-signature",
  "x-linkme-signature-previous",
] as const;

const DESTINATION_STATES = ["active", "paused", "disabled", "off"] as const;
export const DestinationState = z.enum(DESTINATION_STATES);
export type DestinationState = z.infer<typeof DestinationState>;

export const RetrySchedule = z
  .array(z.number().int().min(0).max(RETRY_DELAY_MAX_SECONDS), {
    error: `an array of up to ${RETRY_SCHEDULE_MAX_ITEMS} delays in seconds; [] means one attempt`,
  })
  .max(RETRY_SCHEDULE_MAX_ITEMS);

const RETRY_ON = ["retriable", "any_failure"] as const;
export const RetryOn = z.enum(RETRY_ON, { error: `one of ${RETRY_ON.join(", ")}` });
export type RetryOn = z.infer<typeof RetryOn>;

/** How requests are signed: by secrets that both sides share, or by a key pair as well, of which receivers know one half. */
const SIGNATURE_SCHEMES = ["hmac", "ed25519"] as const;
export const SignatureScheme = z.enum(SIGNATURE_SCHEMES, { error: `one of ${SIGNATURE_SCHEMES.join(", ")}` });
export type SignatureScheme = z.infer<typeof SignatureScheme>;

export const PublicKey = z.string().describe("whpk_ and the base64 of the 32 bytes of an Ed25519 public key");

export const ORDERINGS = ["none", "link"] as const;
export const Ordering = z.enum(ORDERINGS, { error: `one of ${ORDERINGS.join(", ")}` });
export type Ordering = z.infer<typeof Ordering>;

export const EventTypes = z
  .array(EventType, { error: `a non-empty array of event types, each one of ${EVENT_TYPES.join(", ")}` })
  .min(1, { error: `at least one event type: ${EVENT_TYPES.join(", ")}` })
  .transform((types) => [...new Set(types)]);

const HeaderName = z
  .string()
  .max(100)
  .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, { error: "a header name: letters, digits and -" })
  .refine((name) => !(RESERVED_HEADERS as readonly string[]).includes(name.toLowerCase()), {
    error: "another header: the server sets this one itself",
  });
/** A masked value, sent back as it was shown, keeps the stored one. */
const HeaderValue = z
  .string()
  .max(HEADER_VALUE_MAX_CHARS)
  .refine((value) => value === MASK || /^[\t\u0020-\u007e]*$/.test(value), {
    error: "a header value of printable ASCII characters",
  });

export const Headers = z
  .record(HeaderName, HeaderValue)
  .refine((headers) => Object.keys(headers).length <= HEADERS_MAX, { error: `at most ${HEADERS_MAX} headers` })
  .refine(
    (headers) => new Set(Object.keys(headers).map((name) => name.toLowerCase())).size === Object.keys(headers).length,
    {
      error: "each header once: names differ by more than upper and lower case",
    },
  );

export const WEBHOOK_SETTINGS = {
  url: TargetUrl.describe("an https URL; http only inside LINKME_EGRESS_ALLOW"),
  events: EventTypes,
  description: LongText,
  enabled: z.boolean(),
  signing: z.boolean(),
  signature_scheme: SignatureScheme.describe(
    "ed25519: webhook-signature carries `v1a,…` as well, which the webhook's public key verifies; default: hmac",
  ),
  retry_schedule: RetrySchedule,
  timeout_ms: z
    .number()
    .int()
    .min(TIMEOUT_MIN_MS)
    .max(TIMEOUT_MAX_MS)
    .describe("milliseconds for connect, headers and body together"),
  max_in_flight: z
    .number()
    .int()
    .min(1)
    .max(IN_FLIGHT_MAX)
    .describe("most concurrent requests, of all dispatchers together; each has at most 512 for all receivers"),
  rate_per_second: z
    .number()
    .min(RATE_MIN_PER_SECOND)
    .max(RATE_MAX_PER_SECOND)
    .nullable()
    .describe("most requests that start in a second, of all dispatchers together; null: no limit"),
  retry_on: RetryOn,
  ordering: Ordering.describe("link: events of one link are sent one after another, in the order of their acceptance"),
  headers: Headers.describe("extra request headers; values are sealed and come back masked"),
  filter: Filter.nullable().describe("which events of its types it takes; null: all of them"),
};

export const WebhookPatch = z
  .strictObject({
    ...WEBHOOK_SETTINGS,
    recover: z
      .boolean()
      .describe(
        "with `enabled: true`: also replay what it missed while it was stopped and was not recovered; default: go on from now",
      ),
  })
  .partial()
  .refine(({ recover, enabled }) => recover !== true || enabled === true, {
    path: ["recover"],
    error: "true only together with enabled: true",
  })
  .meta({ id: "WebhookPatch" });
export type WebhookPatch = z.infer<typeof WebhookPatch>;

export const WebhookCreate = z
  .strictObject({
    ...WEBHOOK_SETTINGS,
    description: WEBHOOK_SETTINGS.description.default(""),
    enabled: WEBHOOK_SETTINGS.enabled.default(true),
    signing: WEBHOOK_SETTINGS.signing.default(true),
    signature_scheme: WEBHOOK_SETTINGS.signature_scheme.optional(),
    retry_schedule: WEBHOOK_SETTINGS.retry_schedule.optional().describe("delays in seconds; default: the server's"),
    timeout_ms: WEBHOOK_SETTINGS.timeout_ms.default(TIMEOUT_DEFAULT_MS),
    max_in_flight: WEBHOOK_SETTINGS.max_in_flight.default(IN_FLIGHT_DEFAULT),
    rate_per_second: WEBHOOK_SETTINGS.rate_per_second.default(null),
    retry_on: WEBHOOK_SETTINGS.retry_on.default("retriable"),
    ordering: WEBHOOK_SETTINGS.ordering.default("none"),
    headers: WEBHOOK_SETTINGS.headers.default({}),
    filter: WEBHOOK_SETTINGS.filter.default(null),
  })
  .meta({ id: "WebhookCreate" });
export type WebhookCreate = z.infer<typeof WebhookCreate>;

export const Health = z
  .object({
    last_success_at: Timestamp.nullable(),
    last_failure_at: Timestamp.nullable(),
    consecutive_failures: z.number().int(),
    success_rate_24h: z.number().nullable().describe("0 to 1; null without attempts"),
    p95_ms_24h: z.number().nullable().describe("milliseconds, to within a fifth; null without attempts"),
    pending: z.number().int(),
    oldest_pending_at: Timestamp.nullable(),
    next_probe_at: Timestamp.nullable().describe(
      "while it is paused: when one of its deliveries is tried next; in the past: as soon as there is one. Null unless paused",
    ),
    concurrency_limit: z
      .number()
      .int()
      .nullable()
      .describe(
        "how many requests at a time it is sent at present, by all dispatchers together; a few seconds old where there are several. " +
          "Null when the only dispatcher has nothing to send to it, or when no dispatcher is known",
      ),
    rate_limit_per_second: z.number().nullable().describe("the same for requests a second; null: none, or not known"),
    held_until: Timestamp.nullable().describe(
      "until then at least one dispatcher sends nothing by itself, because the receiver asked for that; of several the latest time",
    ),
    limited_because: z
      .string()
      .nullable()
      .describe(
        "why that is less than the settings allow: the reason of the dispatcher that is limited most, and for how many it is true " +
          "when they differ; or why it is not known. Null when it is not less",
      ),
  })
  .meta({ id: "Health" });
export type Health = z.infer<typeof Health>;

/** What a webhook was not sent because it was off or disabled, and that is not recovered. */
export const Missed = z
  .object({
    count: z
      .number()
      .int()
      .describe(
        "events of its types that pass its filter and have no delivery, of all times in which it was stopped, until they are recovered; replays lower it. Their fate is `off` as a rule",
      ),
    is_exact: z.boolean().describe("false: there may be more, the count is of the first events only"),
    since: Timestamp.describe(
      "when the first stop began of which something is missing; when nothing is missing, when the present stop began",
    ),
    until: Timestamp.nullable().describe("when it was turned on the last time; null: it is still stopped"),
  })
  .meta({ id: "Missed" });
export type Missed = z.infer<typeof Missed>;

export const Webhook = z
  .object({
    id: z.string(),
    app_id: z.string(),
    url: z.string(),
    events: z.array(EventType),
    description: z.string(),
    enabled: z.boolean(),
    state: DestinationState,
    state_reason: z.string().nullable(),
    state_changed_at: Timestamp,
    signing: z.boolean(),
    signing_secret: z.string().optional().describe("whsec_…; only in the answer to create"),
    signature_scheme: SignatureScheme,
    public_key: PublicKey.optional().describe("whpk_…; only with ed25519: what verifies its `v1a` signatures"),
    retry_schedule: z.array(z.number()),
    timeout_ms: z.number(),
    max_in_flight: z.number(),
    rate_per_second: z.number().nullable(),
    retry_on: RetryOn,
    ordering: Ordering,
    headers: z.record(z.string(), z.string()),
    filter: Filter.nullable(),
    created_at: Timestamp,
    updated_at: Timestamp,
    health: Health,
    missed: Missed.nullable().describe(
      "null when nothing is missing: it was never off or disabled, or all of it is recovered",
    ),
    next_step: z
      .string()
      .nullable()
      .describe(
        "what to do when it is not active, fails, has missed something or failed for good with it, waits for somebody to resume a replay, or when what is due is kept; null: nothing",
      ),
    recovery: Replay.nullable()
      .optional()
      .describe("only in the answer to `recover: true`: the replay that was started; null: it was never stopped"),
  })
  .meta({ id: "Webhook" });
export type Webhook = z.infer<typeof Webhook>;
export const WebhooksPage = pageOf(Webhook).meta({ id: "WebhooksPage" });

export const WebhookChange = z
  .object({
    at: Timestamp,
    state: DestinationState,
    events: z.array(EventType),
    cause: z
      .string()
      .describe("why, as a sentence; `changed: url, headers` names the settings that were changed, never their values"),
    actor: z.string().describe("operator, key:<id> (label, hint), or system: the server itself, by what it saw"),
  })
  .meta({ id: "WebhookChange", description: "What a webhook was set to from then on" });
export type WebhookChange = z.infer<typeof WebhookChange>;
export const WebhookChangesPage = pageOf(WebhookChange).meta({ id: "WebhookChangesPage" });

export const TestBody = z
  .strictObject({
    event: EventType.optional().describe("default: the first type that the webhook takes"),
    data: DataObject.optional().describe("instead of the sample's; `test: true` is set in it"),
  })
  .optional();
export type TestBody = z.infer<typeof TestBody>;
export const TestAnswer = z.object({ event_id: z.string(), delivery_id: z.string() }).meta({ id: "TestAnswer" });
