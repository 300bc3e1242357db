// Replays: sending a webhook again what it missed, or what failed there. Asked for, previewed, watched and steered.
import { z } from "zod";
import { EventType } from "./events.ts";
import { Id, pageOf, TimeInput, Timestamp } from "./fields.ts";

/** What a delivery may have come to, and `missing`: the event has no delivery for this webhook. */
export const REPLAYED_STATES = ["succeeded", "failed", "canceled", "skipped", "missing"] as const;
export const ReplayedState = z.enum(REPLAYED_STATES, { error: `one of ${REPLAYED_STATES.join(", ")}` });
export type ReplayedState = z.infer<typeof ReplayedState>;

const REPLAY_STATES = ["running", "paused", "done", "canceled"] as const;
export type ReplayState = (typeof REPLAY_STATES)[number];

export const REPLAY_SAMPLE_MAX = 10;
const REPLAY_RATE_MIN_PER_SECOND = 0.01;
const REPLAY_RATE_MAX_PER_SECOND = 100_000;

const Rate = z.number().min(REPLAY_RATE_MIN_PER_SECOND).max(REPLAY_RATE_MAX_PER_SECOND).nullable();

export const ReplayCreate = z
  .strictObject({
    since: TimeInput.describe("events that were accepted at this time or later"),
    until: TimeInput.describe("events that were accepted before this time, and before the replay was asked for"),
    states: z
      .array(ReplayedState)
      .min(1)
      .max(REPLAYED_STATES.length)
      .default(["failed", "missing"])
      .describe("what became of them at this webhook; `missing`: they have no delivery there"),
    events: z
      .array(EventType)
      .min(1)
      .max(EventType.options.length)
      .optional()
      .describe(
        "only these types; when left out, all types of deliveries, and of `missing` those the webhook is set to",
      ),
    link_id: Id.optional().describe("only events of this link"),
    target_id: Id.optional().describe(
      "another webhook of the same app, which gets them; all else is still about the webhook in the address",
    ),
    dry_run: z.boolean().default(false).describe("true: say what would be sent, and send nothing"),
    rate_per_second: Rate.default(null).describe("null: as fast as the webhook takes them"),
  })
  .meta({ id: "ReplayCreate" });
export type ReplayCreate = z.infer<typeof ReplayCreate>;

export const ReplayResume = z
  .strictObject({ rate_per_second: Rate.optional().describe("replaces the rate from here on") })
  .optional();
export type ReplayResume = z.infer<typeof ReplayResume>;

export const ReplayPreview = z
  .object({
    count: z.number().int(),
    sample: z
      .array(z.object({ event_id: z.string(), event: EventType, state: ReplayedState, created_at: Timestamp }))
      .max(REPLAY_SAMPLE_MAX)
      .describe("the oldest of them"),
  })
  .meta({ id: "ReplayPreview" });
export type ReplayPreview = z.infer<typeof ReplayPreview>;

export const Replay = z
  .object({
    id: z.string(),
    app_id: z.string(),
    destination_id: z.string().describe("the webhook whose deliveries say what is sent"),
    target_id: z.string().describe("the webhook that gets it: the same one, or another one of the app"),
    state: z.enum(REPLAY_STATES),
    reason: z
      .string()
      .nullable()
      .describe("why it is paused or canceled, what it waits for, or what is left to be done when it is over"),
    total: z.number().int().describe("what matched when it was asked for"),
    created: z.number().int().describe("deliveries handed to the webhook's queue so far"),
    succeeded: z.number().int(),
    failed: z.number().int(),
    canceled: z
      .number()
      .int()
      .describe("deliveries that ended without an answer: canceled with the replay, or by hand"),
    pending: z.number().int().describe("deliveries under way, those that wait for their next attempt included"),
    since: Timestamp,
    until: Timestamp,
    states: z.array(ReplayedState),
    events: z.array(EventType).nullable(),
    link_id: z.string().nullable(),
    rate_per_second: z.number().nullable(),
    created_at: Timestamp,
    finished_at: Timestamp.nullable().describe("when nothing of it was under way any more"),
  })
  .meta({ id: "Replay" });
export type Replay = z.infer<typeof Replay>;

export const ReplaysPage = pageOf(Replay).meta({ id: "ReplaysPage" });
