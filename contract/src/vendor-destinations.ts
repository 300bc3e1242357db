// Destinations of other types than webhooks, as the management API speaks of them: analytics and warehouses that this server
// sends to itself. What may be in `config` says the type, with GET /api/destination-types.
import { z } from "zod";
import { DestinationState, Health, Missed, Ordering, RetryOn, WEBHOOK_SETTINGS } from "./destinations.ts";
import { DataObject, EventType } from "./events.ts";
import { pageOf, TimeInput, Timestamp } from "./fields.ts";
import { Filter } from "./filters.ts";
import { Replay } from "./replays.ts";

const Json = z.record(z.string(), z.json());

export const DestinationType = z
  .object({
    type: z.string(),
    label: z.string(),
    docs: z.string().describe("what it does, in a sentence or two"),
    config_schema: Json.describe("JSON Schema of `config`; `secret: true` marks what is sealed and comes back masked"),
    limits: z.object({
      max_events: z.number().int().describe("of one request"),
      max_bytes: z.number().int().describe("of one request"),
      max_age_ms: z.number().int().optional().describe("of an event; absent: its age does not matter"),
    }),
  })
  .meta({ id: "DestinationType" });
export type DestinationType = z.infer<typeof DestinationType>;
export const DestinationTypesPage = pageOf(DestinationType).meta({ id: "DestinationTypesPage" });

const { events, description, enabled, retry_schedule, timeout_ms, max_in_flight, rate_per_second, retry_on, filter } =
  WEBHOOK_SETTINGS;
const type = z.string().min(1).max(50).describe("one of GET /api/destination-types, but for `webhook`");
const config = DataObject.describe("as the type's config_schema says; a masked value keeps the stored one");
const SETTINGS = {
  ...{ config, events, description, enabled, retry_schedule, timeout_ms, max_in_flight, rate_per_second },
  ...{ retry_on, filter },
};

export const DestinationCreate = z
  .strictObject({
    ...SETTINGS,
    type,
    description: description.default(""),
    enabled: enabled.default(true),
    retry_schedule: retry_schedule.optional().describe("delays in seconds; default: the server's"),
    timeout_ms: timeout_ms.default(15_000),
    max_in_flight: max_in_flight.default(50),
    rate_per_second: rate_per_second.default(null),
    retry_on: retry_on.default("retriable"),
    filter: filter.default(null),
  })
  .meta({ id: "DestinationCreate" });
export type DestinationCreate = z.infer<typeof DestinationCreate>;

export const DestinationPatch = z
  .strictObject({
    ...SETTINGS,
    recover: z
      .boolean()
      .describe("with `enabled: true`: also replay what it missed while it was stopped; default: go on from now"),
  })
  .partial()
  .refine(({ recover, enabled: is_enabled }) => recover !== true || is_enabled === true, {
    path: ["recover"],
    error: "true only together with enabled: true",
  })
  .meta({ id: "DestinationPatch" });
export type DestinationPatch = z.infer<typeof DestinationPatch>;

export const Destination = z
  .object({
    id: z.string(),
    app_id: z.string(),
    type: z.string(),
    config: Json.describe("secrets are masked"),
    events: z.array(EventType),
    description: z.string(),
    enabled: z.boolean(),
    state: DestinationState,
    state_reason: z.string().nullable(),
    state_changed_at: Timestamp,
    retry_schedule: z.array(z.number()),
    timeout_ms: z.number(),
    max_in_flight: z.number(),
    rate_per_second: z.number().nullable(),
    retry_on: RetryOn,
    ordering: Ordering,
    filter: Filter.nullable(),
    created_at: Timestamp,
    updated_at: Timestamp,
    health: Health,
    missed: Missed.nullable(),
    next_step: z.string().nullable().describe("what to do so that all arrives; null: nothing"),
    warnings: z.array(z.string()).describe("what may count twice, and how to keep it from that"),
    recovery: Replay.nullable()
      .optional()
      .describe("only in the answer to `recover: true`: the replay that was started; null: it was never stopped"),
  })
  .meta({ id: "Destination" });
export type Destination = z.infer<typeof Destination>;
export const DestinationsPage = pageOf(Destination).meta({ id: "DestinationsPage" });

const PreviewEvent = z.strictObject({
  event: EventType,
  data: DataObject,
  id: z.uuid({ error: "a UUID" }).toLowerCase().optional(),
  ts: TimeInput.optional(),
  app_id: z.string().max(100).optional().describe("of no effect: the app is that of the call"),
});
const event = PreviewEvent.optional().describe("an envelope; default: a sample of the first type that it takes");

export const PreviewBody = z.strictObject({ event }).optional();
export type PreviewBody = z.infer<typeof PreviewBody>;
export const NewPreviewBody = z.strictObject({ type, config, event }).meta({ id: "NewPreviewBody" });
export type NewPreviewBody = z.infer<typeof NewPreviewBody>;

export const Preview = z
  .object({
    requests: z.array(
      z.object({ method: z.string(), url: z.string(), headers: z.record(z.string(), z.string()), body: z.string() }),
    ),
    findings: z.array(
      z.object({
        level: z.enum(["error", "warning"]),
        rule: z.string(),
        path: z.string(),
        message: z.string(),
        fix: z.string(),
      }),
    ),
    skipped: z.string().optional().describe("why nothing would be sent, though nothing is wrong"),
    refused: z.string().optional().describe("why this server would not send it"),
  })
  .meta({ id: "DestinationPreview", description: "What would be sent, secrets masked; nothing is sent" });
export type Preview = z.infer<typeof Preview>;

export const DestinationCheckBody = z
  .strictObject({
    canary: z.boolean().optional().describe("send one test event at once; default: false"),
  })
  .optional();
export type DestinationCheckBody = z.infer<typeof DestinationCheckBody>;
export const DestinationCheck = z
  .object({
    ok: z.boolean(),
    steps: z.array(z.object({ name: z.string(), ok: z.boolean(), message: z.string() })),
  })
  .meta({ id: "DestinationCheck" });
export type DestinationCheck = z.infer<typeof DestinationCheck>;
