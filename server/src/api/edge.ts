// The public addresses of links: `GET /:slug` and the page with the store links. Called by compose-edge.ts.
// Only this file knows that the answers travel over Fastify; what they are is decided in links/.
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { EdgeAnswer, Opening } from "../links/redirect.ts";

export interface EdgeDeps {
  open(opening: Opening): Promise<EdgeAnswer>;
  land(opening: Pick<Opening, "origin" | "slug">): Promise<EdgeAnswer>;
}

type SlugRequest = FastifyRequest<{ Params: { slug: string } }>;

/** Adds the routes of links; those of the API, being more exact, win over them. */
export function registerEdge(app: FastifyInstance, { open, land }: EdgeDeps): void {
  app.get("/:slug", async (request: SlugRequest, reply) => answer(await open(openingOf(request)), reply));
  app.get("/d/:slug", async (request: SlugRequest, reply) => answer(await land(openingOf(request)), reply));
}

function openingOf(request: SlugRequest): Opening {
  const url = request.raw.url ?? "";
  const question = url.indexOf("?");
  return {
    method: request.method,
    origin: `${request.protocol}://${request.host}`,
    slug: request.params.slug,
    query: question < 0 ? "" : url.slice(question + 1),
    headers: request.headers,
    ip: request.ip,
  };
}

function answer(answered: EdgeAnswer, reply: FastifyReply): FastifyReply {
  if (answered.kind === "page") {
    return reply.code(answered.status).headers(answered.page.headers).send(answered.page.html);
  }
  reply.code(302);
  reply.header("location", answered.location);
  // Each visit is a click of its own, and a token in an address must not travel on as a referrer.
  reply.header("cache-control", "no-store");
  reply.header("referrer-policy", "no-referrer");
  return reply.send();
}
