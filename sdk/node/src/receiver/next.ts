// `@li-nk.me/node-sdk/receiver/next`: for the pages API of Next. A route handler of the app directory needs no adapter:
// `export const POST = receiver.handle`.
import { type NodeRequest, type NodeResponse, respond } from "./node-request.ts";
import type { Receiver } from "./receiver.ts";

/**
 * A handler of the pages API. The same file has to switch off the parser, or every request is answered 500 and `onError` told so.
 *
 * @example
 * // pages/api/webhooks/linkme.js
 * export const config = { api: { bodyParser: false } };
 * export default toNextApiHandler(receiver);
 */
export function toNextApiHandler(receiver: Receiver): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  return (request, response) => respond(receiver, request, response, "next-pages");
}
