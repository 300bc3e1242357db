// Reads the envelope of a webhook whose signature has been verified. Accepts what LinkMe's published SDK accepts, so
// also event types and data that this version does not know.
import { LinkMeWebhookError } from "./errors.ts";
import type { LinkMeWebhookEnvelope } from "./events.ts";

/**
 * The envelope of a webhook: `id` and `event` are non-empty strings; `ts` and `app_id` are strings and `data` is an
 * object, each of them if present. Other members are left out. The answer shares only the values inside `data` with
 * the input.
 *
 * @param input The body after `JSON.parse`.
 * @throws {LinkMeWebhookError} `envelope_not_object`, `field_missing` or `field_invalid`.
 *
 * @example
 * const envelope = parseLinkMeWebhookEnvelope(JSON.parse(rawBody.toString("utf8")));
 * console.log(envelope.id, envelope.event);
 */
export function parseLinkMeWebhookEnvelope(input: unknown): LinkMeWebhookEnvelope {
  if (!isObject(input)) {
    const hint = typeof input === "string" || ArrayBuffer.isView(input) ? ": call JSON.parse on the body first" : "";
    throw new LinkMeWebhookError(
      "envelope_not_object",
      `The envelope must be a JSON object, but it is ${nameOf(input)}${hint}.`,
    );
  }
  // Every member is read once, so that what was checked is what is returned.
  const { id, event, ts, app_id, data } = input;
  const envelope: LinkMeWebhookEnvelope = { id: requiredText("id", id), event: requiredText("event", event) };
  if (ts !== undefined) envelope.ts = text("ts", ts);
  if (app_id !== undefined) envelope.app_id = text("app_id", app_id);
  if (data !== undefined) envelope.data = object("data", data);
  return envelope;
}

function requiredText(field: string, value: unknown): string {
  if (value === undefined) {
    throw new LinkMeWebhookError("field_missing", `"${field}" is missing: a non-empty string is required.`, field);
  }
  if (typeof value === "string" && value !== "") return value;
  throw invalid(field, "a non-empty string", value);
}

function text(field: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw invalid(field, "a string, or absent", value);
}

function object(field: string, value: unknown): Record<string, unknown> {
  if (isObject(value)) return { ...value };
  throw invalid(field, "a JSON object, or absent", value);
}

function invalid(field: string, accepted: string, value: unknown): LinkMeWebhookError {
  return new LinkMeWebhookError("field_invalid", `"${field}" must be ${accepted}, but it is ${nameOf(value)}.`, field);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
}

/** What a value is, in words and without its content: messages may end up in logs. */
function nameOf(value: unknown): string {
  if (value === null) return "null";
  if (value === "") return "an empty string";
  if (Array.isArray(value)) return "an array";
  if (ArrayBuffer.isView(value)) return "a buffer";
  if (value === undefined) return "undefined";
  return typeof value === "object" ? "an object" : `a ${typeof value}`;
}
