// Live streams: what is stored from now on, as server-sent events. The data of each message is one of the values below;
// its `id` goes back as `Last-Event-ID`, and the stream goes on behind it.
import { z } from "zod";
import { Attempt, Delivery } from "./deliveries.ts";
import { EventType } from "./events.ts";
import { Id, TimeInput } from "./fields.ts";

/** Sent by EventSource by itself when it connects again. */
export const StreamHeaders = z.object({
  "last-event-id": z.string().optional().describe("the `id` of the last message that was received: goes on behind it"),
});

export const EventStreamQuery = z.strictObject({
  event: EventType.optional(),
  link_id: Id.optional(),
  since: TimeInput.optional().describe("begin with what was accepted at this time or later; without it: from now on"),
});

const CHANGE_KINDS = ["created", "attempted", "asked_for", "replayed", "canceled", "expired", "erased"] as const;
export const ChangeKind = z.enum(CHANGE_KINDS);
export type ChangeKind = z.infer<typeof ChangeKind>;

const AttemptFigures = Attempt.pick({
  ...{ id: true, number: true, trigger: true, started_at: true, duration_ms: true, outcome: true },
  ...{ status_code: true, error: true },
});

/** One recorded change; everything but `change` and `attempt` is as the delivery was when the message was sent. */
export const DeliveryChange = Delivery.extend({
  change: ChangeKind.describe(
    "what happened: `asked_for` is a retry or a resend by hand, `expired` the end of what was still pending when its event's time was over, `erased` that what the event said was erased",
  ),
  attempt: AttemptFigures.nullable().describe("the attempt that was recorded, when that is what happened"),
}).meta({ id: "DeliveryChange" });
export type DeliveryChange = z.infer<typeof DeliveryChange>;
