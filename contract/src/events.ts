// The five events and their envelope: what receivers verify and parse, and what ingest accepts.
// `data` members that are unknown are absent, never null: LinkMe's published helper schema refuses null.
import { z } from "zod";
import { CURSOR_MAX_CHARS, Id, pageOf, TimeInput, Timestamp } from "./fields.ts";

export const EVENT_TYPES = [
  "link.click",
  "link.token_created",
  "link.claim",
  "link.app_open",
  "link.deferred_claim_attempt",
] as const;
export const EventType = z.enum(EVENT_TYPES, { error: `one of ${EVENT_TYPES.join(", ")}` });
export type EventType = z.infer<typeof EventType>;

/** Largest envelope, in bytes of UTF-8 JSON. */
export const ENVELOPE_MAX_BYTES = 256 * 1024;
export const INGEST_MAX_EVENTS = 500;

/** Where something happened; a desktop browser is `web`. */
export const PLATFORMS = ["ios", "android", "web"] as const;
export const Platform = z.enum(PLATFORMS, { error: `one of ${PLATFORMS.join(", ")}` });
export type Platform = z.infer<typeof Platform>;

export const CLAIM_TYPES = ["direct", "install_referrer", "pasteboard", "fingerprint"] as const;
export const ClaimType = z.enum(CLAIM_TYPES);
export type ClaimType = z.infer<typeof ClaimType>;

export const ATTEMPT_REASONS = ["matched", "no_match", "expired", "already_claimed"] as const;

const StringMap = z.record(z.string(), z.string());
const test = z.literal(true).optional().describe("present on sample events that were sent by hand");

/** What Google Analytics had stored in the visitor's browser. Only with the app's `analytics_consent`. */
export const GoogleIds = z
  .object({
    client_id: z.string().optional().describe("the two numbers of the cookie `_ga`"),
    cookies: StringMap.describe("`_ga` and `_ga_<stream>`, as they came with the click"),
  })
  .meta({ id: "GoogleIds" });
export type GoogleIds = z.infer<typeof GoogleIds>;
const first_cid = z
  .string()
  .optional()
  .describe("the first click that led to this device or user; only with the app's analytics_consent");
const DEVICE_CATEGORIES = ["mobile", "tablet", "desktop"] as const;
/** What a vendor of analytics cannot see by itself, for it is this server that calls it. */
const SURROUNDINGS = {
  os: z.string().optional().describe("operating system, like iOS; only with the app's analytics_consent"),
  os_version: z.string().optional().describe("the same"),
  language: z.string().optional().describe("first of the browser, lower case, like en-nz; the same"),
  device_category: z.enum(DEVICE_CATEGORIES).optional().describe("the same"),
  country: z.string().optional().describe("two letters of ISO 3166-1; the same, and with a file of MaxMind"),
};
const ga = GoogleIds.optional().describe("of the click; only with the app's analytics_consent");

export const ClickData = z
  .object({
    link_id: z.string().describe("/ for a visit of /?path=… on a host of the app, which needs no stored link"),
    platform: Platform,
    dest_url: z.string().describe("where the visitor was sent"),
    slug: z.string().optional(),
    hostname: z.string().optional().describe("the host on which the link was opened"),
    cid: z.string().optional().describe("click token: 32 lower-case hex digits"),
    utm: StringMap.optional().describe("UTM values after the merge of stored and incoming ones"),
    params: StringMap.optional().describe("other parameters of the link and of the request"),
    referrer: z.string().optional().describe("host of the referring page; never its path"),
    force_web: z.literal(true).optional(),
    ga,
    ...SURROUNDINGS,
    test,
  })
  .meta({ id: "LinkClickData" });

export const TokenCreatedData = z
  .object({
    link_id: z.string(),
    platform: Platform,
    cid: z.string(),
    dest_url: z.string(),
    slug: z.string().optional(),
    expires_at: Timestamp,
    methods: z.array(ClaimType).describe("how this token can be claimed"),
    ga,
    ...SURROUNDINGS,
    test,
  })
  .meta({ id: "LinkTokenCreatedData" });

export const ClaimData = z
  .object({
    link_id: z.string(),
    platform: Platform,
    cid: z.string(),
    claim_type: ClaimType,
    path: z.string().optional(),
    params: StringMap.optional(),
    utm: StringMap.optional(),
    duplicate: z.literal(false),
    claimed_at: Timestamp,
    clicked_at: Timestamp.optional(),
    user_id: z.string().optional(),
    first_cid,
    ga,
    test,
  })
  .meta({ id: "LinkClaimData" });

export const AppOpenData = z
  .object({
    platform: Platform,
    type: z.literal("open"),
    link_id: z.string().optional(),
    cid: z.string().optional(),
    user_id: z.string().optional(),
    first_cid,
    ga,
    detail: z.string().optional().describe("JSON text, as the SDK sent it"),
    timestamp: z.number().int().optional().describe("the client's clock, in seconds since 1970"),
    test,
  })
  .meta({ id: "LinkAppOpenData" });

export const DeferredClaimAttemptData = z
  .object({
    platform: Platform,
    matched: z.boolean(),
    method: z.literal("fingerprint"),
    reason: z.enum(ATTEMPT_REASONS),
    link_id: z.string().optional(),
    cid: z.string().optional(),
    bundle_id: z.string().optional(),
    test,
  })
  .meta({ id: "LinkDeferredClaimAttemptData" });

/** What this server puts into `data`, by event type. */
export const EVENT_DATA = {
  "link.click": ClickData,
  "link.token_created": TokenCreatedData,
  "link.claim": ClaimData,
  "link.app_open": AppOpenData,
  "link.deferred_claim_attempt": DeferredClaimAttemptData,
} as const satisfies Record<EventType, z.ZodType>;

export type EventData = { [Type in EventType]: z.infer<(typeof EVENT_DATA)[Type]> };

/** The body of every webhook. Stored once, sent unchanged on every attempt. */
export const Envelope = z
  .object({
    id: z.uuid(),
    event: EventType,
    ts: Timestamp,
    app_id: z.string(),
    data: z.record(z.string(), z.json()),
  })
  .meta({ id: "Envelope" });
export type Envelope = z.infer<typeof Envelope>;

/** As lists, streams and looks at one event show it. */
export const StoredEvent = Envelope.extend({
  erased_at: Timestamp.optional().describe("when what it said was erased; `data` is empty since then"),
}).meta({ id: "StoredEvent" });
export type StoredEvent = z.infer<typeof StoredEvent>;

/** Taken as it is: `z.record` would copy it, member by member, on the hottest path there is. */
export const DataObject = z
  .custom<Record<string, unknown>>(isDataObject, { error: ({ input }) => whyNoData(input) })
  .meta({
    ...{ type: "object", propertyNames: { type: "string" }, additionalProperties: {} },
    description: "any JSON object; it is delivered as it is",
  });

function isDataObject(value: unknown): boolean {
  if (!isObject(value)) return false;
  // A reader that copies members one by one would set the prototype of its own object.
  return !Object.hasOwn(value, "__proto__");
}

function whyNoData(value: unknown): string {
  if (value === undefined) return "required: a JSON object";
  return isObject(value) ? "a JSON object without a member called __proto__" : "a JSON object";
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** One event that a backend imports or emits itself. */
export const EventInput = z.strictObject({
  event: EventType,
  data: DataObject,
  id: z.uuid({ error: "a UUID, like 019a8e2b-6c1e-7a54-9d3f-2b1c4d5e6f70" }).toLowerCase().optional(),
  ts: TimeInput.optional(),
});
export type EventInput = z.infer<typeof EventInput>;

export const IngestBatch = z.strictObject({
  events: z
    .array(EventInput, { error: `an array of 1 to ${INGEST_MAX_EVENTS} events` })
    .min(1)
    .max(INGEST_MAX_EVENTS),
});

export const IngestBody = z
  .union([EventInput, IngestBatch], {
    error: ({ input }) =>
      Array.isArray(input) ? 'an object: one event, or several of them as {"events":[…]}' : undefined,
  })
  .meta({ id: "IngestBody" });

export const IngestAnswer = z
  .object({
    accepted: z.array(z.string()).describe("ids stored by this call, in request order"),
    duplicates: z.array(z.string()).describe("ids seen before; nothing was created for them"),
  })
  .meta({ id: "IngestAnswer" });

export const FATE_STATES = [
  "succeeded",
  "pending",
  "failed",
  "skipped",
  "canceled",
  "not_subscribed",
  "off",
  "not_yet_created",
  "missed",
  "erased",
] as const;

const FATE_MEANINGS =
  "pending: on its way, or waits. succeeded: answered 2xx. failed: given up. skipped: refused by the webhook's filter when it " +
  "was stored, or not meant for the vendor, whose destination says why. canceled: by hand. not_subscribed: of a type that the webhook was not set to, or a test event for another one. " +
  "off: came while the webhook was off or disabled. not_yet_created: came before the webhook was created. missed: has no " +
  "delivery although the webhook wanted it, and nothing on record says why; 0 as a rule, and not what `missed.count` of a webhook counts. " +
  "erased: has no delivery, and the event was erased, so that none can be made";

/** What became of one event at one destination. */
export const Fate = z
  .object({
    destination_id: z.string(),
    state: z.enum(FATE_STATES).describe(FATE_MEANINGS),
    reason: z.string().nullable(),
    delivery_id: z.string().optional(),
    next_step: z.string().nullable().describe("what to do so that it arrives; null: nothing"),
  })
  .meta({ id: "Fate" });
export type Fate = z.infer<typeof Fate>;

export const EventWithFates = StoredEvent.extend({
  fates: z.array(Fate).describe("one for each webhook of the app; none where the app has no webhook"),
  next_step: z.string().optional().describe("only where the app has no webhook: why there is no fate, and what to do"),
}).meta({ id: "EventWithFates" });
export type EventWithFates = z.infer<typeof EventWithFates>;

export const FatesQuery = z.strictObject({
  since: TimeInput.optional().describe("events that were accepted at this time or later"),
  until: TimeInput.optional().describe("events that were accepted before this time"),
  cursor: z.string().min(1).max(CURSOR_MAX_CHARS).optional().describe("the next_cursor of the part before"),
});

export type FatesQuery = z.infer<typeof FatesQuery>;

/** For every destination the fates add up to `events`. */
export const FatesAnswer = z
  .object({
    events: z.number().int().describe("how many events this part of the range has, the oldest first"),
    items: z.array(
      z.object({
        destination_id: z.string(),
        fates: z.record(z.enum(FATE_STATES), z.number().int()).describe(FATE_MEANINGS),
      }),
    ),
    next_cursor: z.string().nullable().describe("null: the range ends with this part; else ask for the next, and add"),
  })
  .meta({ id: "FatesAnswer" });

export const EventsQuery = z.strictObject({
  event: EventType.optional(),
  link_id: Id.optional(),
  since: TimeInput.optional().describe("accepted at this time or later"),
  until: TimeInput.optional().describe("accepted before this time"),
});

export const EventQuery = z.strictObject({
  app_id: Id.optional().describe("for the admin token: ids are unique within an app, so another app may have the same"),
});

export const EventsPage = pageOf(StoredEvent).meta({ id: "EventsPage" });
