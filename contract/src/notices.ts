// Operator notices: what whoever runs the server should know, as the API shows them and as the operator's own webhook gets
// them. The wire form of the webhook is that of every event; `event` is the notice's type.
import { z } from "zod";
import { pageOf, Timestamp } from "./fields.ts";

export const NOTICE_TYPES = [
  "webhook.paused",
  "webhook.resumed",
  "webhook.disabled",
  "backlog.old",
  "backlog.recovered",
  "disk.low",
  "disk.recovered",
  "drain.failing",
  "drain.recovered",
  "database.failing",
  "database.recovered",
  "notice.test",
] as const;
export type NoticeType = (typeof NOTICE_TYPES)[number];

const SEVERITIES = ["info", "warning", "critical"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Ways by which a notice leaves. The log is always there; the others are when they are set up. */
export const NOTICE_CHANNELS = ["log", "webhook", "mail"] as const;
export type NoticeChannelName = (typeof NOTICE_CHANNELS)[number];

const SEND_STATES = ["pending", "sent", "failed", "off"] as const;
export type SendState = (typeof SEND_STATES)[number];

export const NoticeSend = z
  .object({
    channel: z.enum(NOTICE_CHANNELS),
    state: z.enum(SEND_STATES).describe("`off`: this way is not set up; only a test notice says so"),
    attempts: z.number().int(),
    sent_at: Timestamp.nullable(),
    next_attempt_at: Timestamp.nullable(),
    error: z.string().nullable().describe("why the last attempt did not work"),
  })
  .meta({ id: "NoticeSend" });
export type NoticeSend = z.infer<typeof NoticeSend>;

export const Notice = z
  .object({
    id: z.string().describe("also the `id` and `webhook-id` that the operator's webhook sees"),
    type: z.enum(NOTICE_TYPES),
    severity: z.enum(SEVERITIES),
    ts: Timestamp,
    app_id: z.string().nullable(),
    destination_id: z.string().nullable(),
    message: z.string().describe("what happened, and what to do next"),
    data: z.record(z.string(), z.unknown()),
    channels: z.array(NoticeSend).describe("what became of it on each way out"),
  })
  .meta({ id: "Notice" });
export type Notice = z.infer<typeof Notice>;

export const NoticesPage = pageOf(Notice).meta({ id: "NoticesPage" });
export type NoticesPage = z.infer<typeof NoticesPage>;

export const NoticeSecret = z
  .object({ signing_secret: z.string().describe("signs what the operator's webhook gets") })
  .meta({ id: "NoticeSecret" });
export type NoticeSecret = z.infer<typeof NoticeSecret>;
