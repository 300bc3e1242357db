// `@li-nk.me/node-sdk/receiver/node`: for `node:http` without a framework.
import { type NodeRequest, type NodeResponse, respond } from "./node-request.ts";
import type { Receiver } from "./receiver.ts";

/**
 * A listener for `createServer` of `node:http`. It answers every request that it is given, whatever its path.
 *
 * @example createServer(toNodeListener(receiver)).listen(3000);
 */
export function toNodeListener(receiver: Receiver): (request: NodeRequest, response: NodeResponse) => Promise<void> {
  return (request, response) => respond(receiver, request, response, "node");
}
