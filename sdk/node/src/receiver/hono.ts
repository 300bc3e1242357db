// `@li-nk.me/node-sdk/receiver/hono`: for Hono, in whatever runtime. Bun, Deno, Workers and route handlers of Next need no
// adapter: `receiver.handle` takes a Request and resolves with a Response.
import { readWebBody } from "./raw-body.ts";
import type { Receiver } from "./receiver.ts";

/** As much of Hono's context as is used. */
export interface HonoContext {
  req: { raw: Request };
}

/**
 * A handler for a route.
 *
 * @example app.all("/webhooks/linkme", toHonoHandler(receiver));
 */
export function toHonoHandler(receiver: Receiver): (context: HonoContext) => Promise<Response> {
  return async ({ req: { raw } }) => {
    const { method, headers } = raw;
    const answer = await receiver.receive({ method, headers, body: readWebBody(raw, "hono"), framework: "hono" });
    return new Response(answer.body, { status: answer.status, headers: answer.headers });
  };
}
