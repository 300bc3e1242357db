// Reads the envelope of a webhook whose signature has been verified. Accepts what LinkMe's published SDK accepts, so
// also event types and data that this version does not know, and refuses the rest with the error that LinkMe's throws.
import type { LinkMeWebhookEnvelope } from "./events.ts";
import { LinkMeWebhookEnvelopeSchema } from "./schemas.ts";

/**
 * The envelope of a webhook: `id` and `event` are non-empty strings; `ts` and `app_id` are strings and `data` is an
 * object, each of them if present. Other members are left out. The answer shares only the values inside `data` with
 * the input.
 *
 * @param input The body after `JSON.parse`.
 * @throws {ZodError} `issues` name each member that is wrong, and what is accepted; never what was received.
 *
 * @example
 * const envelope = parseLinkMeWebhookEnvelope(JSON.parse(rawBody.toString("utf8")));
 * console.log(envelope.id, envelope.event);
 */
export function parseLinkMeWebhookEnvelope(input: unknown): LinkMeWebhookEnvelope {
  return LinkMeWebhookEnvelopeSchema.parse(input);
}
