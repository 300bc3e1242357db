// Deliveries and attempts: the ledger as the API shows it.
import { z } from "zod";
import { EventType } from "./events.ts";
import { pageOf, TimeInput, Timestamp } from "./fields.ts";

export const DELIVERY_STATES = ["pending", "succeeded", "failed", "skipped", "canceled"] as const;
export const DeliveryState = z.enum(DELIVERY_STATES, { error: `one of ${DELIVERY_STATES.join(", ")}` });
export type DeliveryState = z.infer<typeof DeliveryState>;

export const TRIGGERS = ["auto", "manual", "replay", "test", "probe"] as const;
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
  /** The process died between claim and settle: the number is known, the exchange is not. */
  "interrupted",
] as const;
export type OutcomeKind = (typeof OUTCOMES)[number];

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
    attempt_count: z.number().int(),
    next_attempt_at: Timestamp.nullable().describe(
      "null when settled, while an attempt is in flight, or while it waits for something else",
    ),
    created_at: Timestamp,
    settled_at: Timestamp.nullable(),
  })
  .meta({ id: "Delivery" });
export type Delivery = z.infer<typeof Delivery>;

export const DeliveryDetail = Delivery.extend({
  request: z.object({ url: z.string(), headers: z.record(z.string(), z.string()), body: z.string() }),
  attempts: z.array(Attempt),
}).meta({ id: "DeliveryDetail" });
export type DeliveryDetail = z.infer<typeof DeliveryDetail>;

export const DeliveriesQuery = z.strictObject({
  state: DeliveryState.optional(),
  event: EventType.optional(),
  event_id: z.string().max(100).optional(),
  since: TimeInput.optional().describe("whose event was accepted at this time or later"),
  until: TimeInput.optional().describe("whose event was accepted before this time"),
});

export const DeliveriesPage = pageOf(Delivery).meta({ id: "DeliveriesPage" });
