// Deliveries and attempts: the ledger as the API shows it.
import { z } from "zod";
import { EventType } from "./events.ts";
import { Id, pageOf, TimeInput, Timestamp } from "./fields.ts";

const DELIVERY_STATES = ["pending", "succeeded", "failed", "skipped", "canceled"] as const;
export const DeliveryState = z.enum(DELIVERY_STATES, { error: `one of ${DELIVERY_STATES.join(", ")}` });
export type DeliveryState = z.infer<typeof DeliveryState>;

const TRIGGERS = ["auto", "manual", "replay", "test", "probe"] as const;
export type Trigger = (typeof TRIGGERS)[number];

/** What an attempt meant for its event. */
export const OUTCOMES = [
  "accepted",
  "accepted_unverified",
  "refused",
  "unreachable",
  "ambiguous",
  "misconfigured",
  "skipped",
  /** The process ended between claim and settle, or it was called off in between: the number is known, the exchange is not. */
  "interrupted",
] as const;
export type OutcomeKind = (typeof OUTCOMES)[number];

/** Why a request got no answer. */
export const FAILURE_CODES = [
  "refused_address",
  "dns",
  "connect",
  "tls",
  "timeout",
  "reset",
  "protocol",
  "aborted",
] as const;
export type FailureCode = (typeof FAILURE_CODES)[number];

export const Attempt = z
  .object({
    id: z.string(),
    number: z.number().int(),
    trigger: z.enum(TRIGGERS),
    started_at: Timestamp.nullable().describe("null for an interrupted attempt: nobody saw it start"),
    duration_ms: z.number(),
    outcome: z.enum(OUTCOMES),
    status_code: z.number().int().nullable(),
    error: z.string().nullable(),
    cause: z.enum(FAILURE_CODES).nullable().describe("why there was no answer; null when there was one"),
    next_step: z.string().nullable().describe("what to do about it; null when nothing went wrong"),
    response_headers: z.record(z.string(), z.string()),
    response_snippet: z.string(),
    response_truncated: z.boolean(),
  })
  .meta({ id: "Attempt" });
export type Attempt = z.infer<typeof Attempt>;

export const Delivery = z
  .object({
    id: z.string(),
    app_id: z.string(),
    destination_id: z.string(),
    event_id: z.string(),
    event: EventType,
    state: DeliveryState,
    reason: z.string().nullable(),
    attempt_count: z
      .number()
      .int()
      .describe("the one that is under way included, which `attempts` lists when it has ended"),
    next_attempt_at: Timestamp.nullable().describe(
      "null when settled, while an attempt is in flight, or while it waits for something else: `reason` tells for what, and its own time where that is still to come",
    ),
    created_at: Timestamp,
    settled_at: Timestamp.nullable(),
  })
  .meta({ id: "Delivery" });
export type Delivery = z.infer<typeof Delivery>;

/** What is not kept any more of a delivery, since when, and why. */
export const Expired = z
  .object({ at: Timestamp.nullable().describe("null when it is not known"), reason: z.string() })
  .meta({ id: "Expired" });
export type Expired = z.infer<typeof Expired>;

export const DeliveryDetail = Delivery.extend({
  request: z.object({ url: z.string(), headers: z.record(z.string(), z.string()), body: z.string() }),
  attempts: z.array(Attempt).describe("those that are kept; attempt_count has all"),
  expired: Expired.nullable().describe(
    "null while everything is kept; else the body is empty, and attempts are missing, or what was answered to them",
  ),
}).meta({ id: "DeliveryDetail" });
export type DeliveryDetail = z.infer<typeof DeliveryDetail>;

export const ResendBody = z
  .strictObject({
    destination_id: Id.optional().describe(
      "another webhook of the same app, in any state; default: the same one, as a retry",
    ),
  })
  .optional();
export type ResendBody = z.infer<typeof ResendBody>;

export const DeliveriesQuery = z.strictObject({
  state: DeliveryState.optional(),
  event: EventType.optional(),
  event_id: z.string().max(100).optional(),
  since: TimeInput.optional().describe("whose event was accepted at this time or later"),
  until: TimeInput.optional().describe("whose event was accepted before this time"),
});

export const DeliveriesPage = pageOf(Delivery).meta({ id: "DeliveriesPage" });
