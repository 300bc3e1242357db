// `@li-nk.me/node-sdk/receiver/functions`: for Cloud Functions for Firebase, Cloud Run functions and whatever else the Functions
// Framework serves. It parses bodies, and keeps the bytes as `request.rawBody`.
import { type NodeRequest, type NodeResponse, respond } from "./node-request.ts";
import type { Receiver } from "./receiver.ts";

/**
 * A handler for `onRequest` of firebase-functions, or for `http` of the Functions Framework.
 *
 * A secret of `defineSecret` has no value before a request is there: give `secrets` a function.
 *
 * @example
 * const SECRET = defineSecret("LINKME_WEBHOOK_SIGNING_SECRET");
 * const receiver = createReceiver({ secrets: () => SECRET.value() });
 * export const linkmeWebhook = onRequest({ secrets: [SECRET] }, toHttpFunction(receiver));
 */
export function toHttpFunction(receiver: Receiver): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  return (request, response) => respond(receiver, request, response, "functions");
}
