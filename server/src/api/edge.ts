// The public addresses of links: `GET /:slug` and the page with the store links, and what visitors read beside them.
// Called by compose-edge.ts.
// Only this file knows that the answers travel over Fastify; what they are is decided in links/.
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { missingPage, welcomePage } from "../links/pages.ts";
import type { EdgeAnswer, Opening } from "../links/redirect.ts";
import { hostWithoutPort } from "../links/target.ts";

export interface EdgeDeps {
  open(opening: Opening): Promise<EdgeAnswer>;
  land(opening: Pick<Opening, "origin" | "slug">): Promise<EdgeAnswer>;
  /** True for the hosts on which the links of every app answer. */
  isOwnHost(hostname: string): boolean;
}

type SlugRequest = FastifyRequest<{ Params: { slug: string } }>;

/** First segments of addresses that programs ask for: what does not exist there is refused in JSON. */
const OF_PROGRAMS: ReadonlySet<string> = new Set(["api", "docs", "mcp", "internal", ".well-known"]);
/** Visitors read a page also while the server waits for its database. */
const FOR_VISITORS = { config: { is_page: true } } as const;

/** Adds the routes of links; those of the API, being more exact, win over them. */
export function registerEdge(app: FastifyInstance, { open, land, isOwnHost }: EdgeDeps): void {
  const missing: EdgeAnswer = { kind: "page", status: 404, page: missingPage() };
  const welcome: EdgeAnswer = { kind: "page", status: 200, page: welcomePage() };
  app.get("/", FOR_VISITORS, async (request: FastifyRequest<{ Querystring: { path?: unknown } }>, reply) => {
    const hostname = hostWithoutPort(request.host);
    const is_home = hostname !== null && isOwnHost(hostname) && request.query.path === undefined;
    return answer(is_home ? welcome : missing, reply);
  });
  // Not an async function: Fastify would wait for the reply that it returns, which costs each redirect a microsecond.
  app.get("/:slug", FOR_VISITORS, (request: SlugRequest, reply) => {
    open(openingOf(request))
      .then((opened) => answer(opened, reply))
      .catch((error) => reply.send(error));
  });
  app.get("/d/:slug", FOR_VISITORS, async (request: SlugRequest, reply) =>
    answer(await land(openingOf(request)), reply),
  );
  // No link lives deeper; it is visitors who come here, by an address that was cut or added to.
  app.get("/:slug/*", FOR_VISITORS, async (request: SlugRequest, reply) =>
    OF_PROGRAMS.has(request.params.slug) ? reply.callNotFound() : answer(missing, reply),
  );
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
