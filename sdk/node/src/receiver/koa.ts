// `@li-nk.me/node-sdk/receiver/koa`: for Koa 2 and 3.
import { bodyOf, type NodeRequest } from "./node-request.ts";
import type { Receiver } from "./receiver.ts";

/** As much of Koa's context as is used. */
export interface KoaContext {
  path: string;
  req: NodeRequest;
  /** `body` and `rawBody` are there when a parser was. */
  request: { body?: unknown; rawBody?: unknown };
  status: number;
  body: unknown;
  set(name: string, value: string): unknown;
}

export interface KoaOptions {
  /** Requests of other paths go on to the next middleware; without it, all are answered here. */
  path?: string;
}

/**
 * A middleware that answers webhooks. It belongs before any parser of bodies.
 *
 * @example
 * app.use(toKoaMiddleware(receiver, { path: "/webhooks/linkme" }));
 * app.use(bodyParser());
 */
export function toKoaMiddleware(
  receiver: Receiver,
  { path }: KoaOptions = {},
): (context: KoaContext, next: () => Promise<unknown>) => Promise<void> {
  return async (context, next) => {
    if (path !== undefined && context.path !== path) {
      await next();
      return;
    }
    const { req, request } = context;
    const { body, rawBody } = request;
    const answer = await receiver.receive({
      method: req.method ?? "",
      headers: req.headers,
      body: bodyOf({ body, rawBody, stream: req }, "koa"),
      framework: "koa",
    });
    context.status = answer.status;
    for (const [name, value] of Object.entries(answer.headers)) context.set(name, value);
    context.body = answer.body;
  };
}
