// Reads the envelope out of verified bytes. It accepts and leaves out the same as parse-envelope.ts, which needs Zod; a test
// holds the two together.
import type { LinkMeWebhookEnvelope } from "../events.ts";
import { KEY_PART_MAX_CHARS, keyPart } from "./event-key.ts";

/** The envelope, or a sentence that says why the body is none; never what was received. */
export function readEnvelope(body: Uint8Array): LinkMeWebhookEnvelope | string {
  let input: unknown;
  try {
    input = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return "the body is no JSON in UTF-8";
  }
  if (!isObject(input)) return "the body is no JSON object";
  const { id, event, ts, app_id, data } = input;
  if (typeof id !== "string" || id === "") return "id is no text, or empty";
  if (typeof event !== "string" || event === "") return "event is no text, or empty";
  if (ts !== undefined && typeof ts !== "string") return "ts is no text";
  if (app_id !== undefined && typeof app_id !== "string") return "app_id is no text";
  // Ids are UUIDs and names of apps: what no store could remember is no event of LinkMe's.
  if ([id, app_id ?? ""].some((text) => keyPart(text).length > KEY_PART_MAX_CHARS)) return "id or app_id is too long";
  if (data !== undefined && !isObject(data)) return "data is no JSON object";
  return {
    id,
    event,
    ...(ts === undefined ? {} : { ts }),
    ...(app_id === undefined ? {} : { app_id }),
    ...(data === undefined ? {} : { data: withoutProto(data) }),
  };
}

/** A reader that copies members one by one would set the prototype of its own object. */
function withoutProto(data: Record<string, unknown>): Record<string, unknown> {
  if (!Object.hasOwn(data, "__proto__")) return data;
  return Object.fromEntries(Object.entries(data).filter(([name]) => name !== "__proto__"));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
