// The ways by which a notice leaves: the log, the operator's webhook, mail. Made once by compose-notices.ts; which there are
// follows from the settings. A way answers null when the notice left, else why not; it never throws and always ends.
import { createHmac } from "node:crypto";
import type { NoticeChannelName, Severity } from "#contract/notices.ts";
import { composeSecret } from "#destination-types/signing.ts";
import { webhook } from "#destination-types/webhook.ts";
import type { Egress } from "../platform/egress.ts";
import type { LogLevel } from "../platform/log.ts";
import type { Mailer } from "../platform/smtp.ts";
import { composeBody, composeLog, composeMail, type NoticeRow } from "./notice.ts";

export interface Channel {
  readonly name: NoticeChannelName;
  /** So many notices leave together. */
  readonly batch: number;
  /** @param attempt 1 for the first */
  send(notices: readonly NoticeRow[], attempt: number): Promise<string | null>;
}

/** From the call to the end of the answer. */
const WEBHOOK_TIMEOUT_MS = 10_000;
const LOG_BATCH = 50;
/** A mail is read by a person: what happened together comes together. */
const MAIL_BATCH = 20;
const LEVEL: Readonly<Record<Severity, LogLevel>> = { info: "info", warning: "warn", critical: "error" };
const SECRET_LABEL = "linkme operator webhook";

export function createLogChannel(
  log: (event: string, fields: Record<string, unknown>, level: LogLevel) => void,
): Channel {
  async function send(notices: readonly NoticeRow[]): Promise<null> {
    for (const notice of notices) log("notice", composeLog(notice), LEVEL[notice.severity]);
    return null;
  }
  return { name: "log", batch: LOG_BATCH, send };
}

export interface WebhookChannelOptions {
  url: string;
  secret: string;
  version: string;
  egress: Pick<Egress, "send">;
  now(): number;
}

/** Sends what a customer's webhook would get, made and signed by the same code. */
export function createWebhookChannel({ url, secret, version, egress, now }: WebhookChannelOptions): Channel {
  const config = { url, signing: true, headers: {} };
  const prepared = webhook.prepare(config, { version, secrets: { current: secret } });

  async function sendOne(notice: NoticeRow, attempt: number): Promise<string | null> {
    const { id } = notice;
    const outgoing = { event_id: id, delivery_id: id, body: composeBody(notice), attempt, at: now() };
    const request = webhook.buildRequest(outgoing, prepared);
    const bounds = { owner: "notices", timeout_ms: WEBHOOK_TIMEOUT_MS, connections: 1 };
    const outcome = webhook.judge(await egress.send({ ...request, ...bounds }), { retry_on: "any_failure" });
    return outcome.kind === "accepted" ? null : outcome.message;
  }

  return { name: "webhook", batch: 1, send: async ([notice], attempt) => (notice ? sendOne(notice, attempt) : null) };
}

export function createMailChannel(mailer: Pick<Mailer, "send">): Channel {
  return { name: "mail", batch: MAIL_BATCH, send: (notices) => mailer.send(composeMail(notices)) };
}

/** Processes that share a database share the seal key, so all of them sign by the same secret without agreeing on one. */
export function deriveSecret(seal_key: Uint8Array): string {
  return composeSecret(createHmac("sha256", seal_key).update(SECRET_LABEL).digest());
}
