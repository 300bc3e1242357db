// `@li-nk.me/node-sdk/receiver/express`: for Express 4 and 5, and for what is built on it (NestJS).
import { type NodeRequest, type NodeResponse, respond } from "./node-request.ts";
import type { Receiver } from "./receiver.ts";

/**
 * A handler for a route. It reads the body by itself, or takes what `express.raw()` or `request.rawBody` holds; a body that
 * `express.json()` has parsed is answered 500, and `onError` is told what to change.
 *
 * @example
 * app.post("/webhooks/linkme", toExpressHandler(receiver)); // Before any app.use(express.json()).
 */
export function toExpressHandler(receiver: Receiver): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  return (request, response) => respond(receiver, request, response, "express");
}
