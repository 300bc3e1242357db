// `@li-nk.me/node-sdk/receiver/fastify`: for Fastify 5. A plugin with a parser of its own that leaves the body as it is; what
// is encapsulated in it concerns no other route.
import { bodyOf, type NodeRequest } from "./node-request.ts";
import type { Receiver } from "./receiver.ts";

/** As much of Fastify's request as is used. */
export interface FastifyRequestLike {
  body: unknown;
  rawBody?: unknown;
  raw: NodeRequest;
}

/** As much of Fastify's reply as is used. */
export interface FastifyReplyLike {
  code(status: number): unknown;
  headers(values: Record<string, string>): unknown;
  send(body: string): unknown;
}

type Handler = (request: FastifyRequestLike, reply: FastifyReplyLike) => Promise<unknown>;

/** As much of a Fastify instance as is used. */
export interface FastifyInstanceLike {
  removeAllContentTypeParsers(): unknown;
  addContentTypeParser(type: string, parser: (request: unknown, payload: unknown) => Promise<unknown>): unknown;
  all(path: string, handler: Handler): unknown;
}

export interface FastifyOptions {
  /** Where webhooks arrive; default `/`, below the `prefix` with which the plugin is registered. */
  path?: string;
}

/**
 * A plugin that answers webhooks. Other routes keep their parsers.
 *
 * @example app.register(toFastifyPlugin(receiver, { path: "/webhooks/linkme" }));
 */
export function toFastifyPlugin(
  receiver: Receiver,
  { path = "/" }: FastifyOptions = {},
): (instance: FastifyInstanceLike, options: object, done: () => void) => void {
  return (instance, _options, done) => {
    // A parser of the application's own would be inherited, and could not be replaced.
    instance.removeAllContentTypeParsers();
    instance.addContentTypeParser("*", async (_request, payload) => payload);
    instance.all(path, toFastifyHandler(receiver));
    done();
  };
}

/**
 * The handler of the plugin, for a route of your own whose parser keeps the body as a Buffer. A parsed body is answered 500,
 * and `onError` told what to change.
 */
export function toFastifyHandler(receiver: Receiver): Handler {
  return async (request, reply) => {
    const { raw, rawBody } = request;
    // The parser of the plugin hands on the stream itself.
    const body = request.body === raw ? undefined : request.body;
    const answer = await receiver.receive({
      method: raw.method ?? "",
      headers: raw.headers,
      body: bodyOf({ body, rawBody, stream: raw }, "fastify"),
      framework: "fastify",
    });
    reply.code(answer.status);
    reply.headers(answer.headers);
    return reply.send(answer.body);
  };
}
