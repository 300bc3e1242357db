// The public addresses of links: `GET /:slug` and the page with the store links, and what visitors read beside them.
// Called by compose-edge.ts.
// Only this file knows that the answers travel over Fastify; what they are is decided in links/.
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { invalid } from "../errors.ts";
import { explanationPage } from "../links/explain.ts";
import { missingPage, welcomePage } from "../links/pages.ts";
import { type Drawing, QR_DEFAULT_PIXELS, QR_MAX_PIXELS, QR_MIN_PIXELS } from "../links/qr.ts";
import type { EdgeAnswer, Opening, Redirect } from "../links/redirect.ts";
import { hostWithoutPort } from "../links/target.ts";

export interface EdgeDeps extends Redirect {
  /** True for the hosts on which the links of every app answer. */
  isOwnHost(hostname: string): boolean;
}

type SlugRequest = FastifyRequest<{ Params: { slug: string } }>;
type QrRequest = FastifyRequest<{ Params: { slug: string }; Querystring: { format?: unknown; size?: unknown } }>;

/** First segments of addresses that programs ask for: what does not exist there is refused in JSON. */
const OF_PROGRAMS: ReadonlySet<string> = new Set(["api", "docs", "mcp", "internal", ".well-known"]);
/** Visitors read a page also while the server waits for its database. */
const FOR_VISITORS = { config: { is_page: true } } as const;

/** Adds the routes of links; those of the API, being more exact, win over them. */
export function registerEdge(app: FastifyInstance, deps: EdgeDeps): void {
  const { open, openRoot, land, follow, draw, isOwnHost } = deps;
  const missing: EdgeAnswer = { kind: "page", status: 404, page: missingPage() };
  const welcome: EdgeAnswer = { kind: "page", status: 200, page: welcomePage() };
  app.get("/", FOR_VISITORS, async (request: FastifyRequest<{ Querystring: { path?: unknown } }>, reply) => {
    const hostname = hostWithoutPort(request.host);
    const has_path = request.query.path !== undefined;
    if (hostname === null || isOwnHost(hostname)) return answer(has_path ? missing : welcome, reply);
    return answer(has_path ? await openRoot(openingOf(request, "")) : missing, reply);
  });
  // Not an async function, and no promise of a reply, which has a `then`: whoever waits for one listens for the end of its
  // response.
  app.get("/:slug", FOR_VISITORS, (request: SlugRequest, reply) => {
    const opening = openingOf(request, request.params.slug);
    const answering: Promise<unknown> = opening.slug.endsWith("+")
      ? explain(opening, reply)
      : open(opening).then((opened) => void answer(opened, reply));
    answering.catch((error) => reply.send(error));
  });
  app.get("/d/:slug", FOR_VISITORS, async (request: SlugRequest, reply) =>
    answer(await land(openingOf(request, request.params.slug)), reply),
  );
  for (const store of ["ios", "android"] as const) {
    app.get(`/d/:slug/${store}`, FOR_VISITORS, async (request: SlugRequest, reply) =>
      answer(await follow(openingOf(request, request.params.slug), store), reply),
    );
  }
  app.get("/qr/:slug", FOR_VISITORS, async (request: QrRequest, reply) =>
    answer(await draw(openingOf(request, request.params.slug), drawingOf(request)), reply),
  );

  async function explain(opening: Opening, reply: FastifyReply): Promise<FastifyReply> {
    const explained = await deps.explain({ ...opening, slug: opening.slug.slice(0, -1) });
    if (explained.kind !== "explanation") return answer(explained, reply);
    const explanation = explanationPage(explained);
    // The page's headers hold for both: neither is kept or sent on.
    reply.headers(explanation.headers).header("vary", "accept");
    if (!accepts(opening.headers["accept"], "application/json")) return reply.send(explanation.html);
    const { kind: _, ...told } = explained;
    return reply.type("application/json; charset=utf-8").send(JSON.stringify(told));
  }

  // No link lives deeper; it is visitors who come here, by an address that was cut or added to.
  app.get("/:slug/*", FOR_VISITORS, async (request: SlugRequest, reply) =>
    OF_PROGRAMS.has(request.params.slug) ? reply.callNotFound() : answer(missing, reply),
  );
}

/** @throws AppError invalid_request */
function drawingOf({ query, headers }: QrRequest): Drawing {
  const { format = accepts(headers.accept, "image/png") ? "png" : "svg", size = String(QR_DEFAULT_PIXELS) } = query;
  if (format !== "png" && format !== "svg") throw invalid("format", "svg or png");
  const pixels = typeof size === "string" && /^\d{1,4}$/.test(size) ? Number(size) : 0;
  if (pixels < QR_MIN_PIXELS || pixels > QR_MAX_PIXELS) {
    throw invalid("size", `a whole number of pixels from ${QR_MIN_PIXELS} to ${QR_MAX_PIXELS}`);
  }
  return { format, pixels };
}

/** Whether the type is named, and not with a quality of nothing: that is how a client refuses it (RFC 9110, 12.4.2). */
function accepts(accept: string | string[] | undefined, type: string): boolean {
  const ranges = String(accept ?? "")
    .toLowerCase()
    .split(",");
  return ranges.some((range) => {
    const [name, ...parameters] = range.split(";").map((part) => part.trim());
    return name === type && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
  });
}

function openingOf(request: FastifyRequest, slug: string): Opening {
  const url = request.raw.url ?? "";
  const question = url.indexOf("?");
  return {
    method: request.method,
    origin: `${request.protocol}://${request.host}`,
    slug,
    query: question < 0 ? "" : url.slice(question + 1),
    headers: request.headers,
    ip: request.ip,
  };
}

function answer(answered: EdgeAnswer, reply: FastifyReply): FastifyReply {
  if (answered.kind === "page") {
    return reply.code(answered.status).headers(answered.page.headers).send(answered.page.html);
  }
  if (answered.kind === "image") {
    const { type, content } = answered.image;
    return reply.headers({ "cache-control": "public, max-age=300", vary: "accept" }).type(type).send(content);
  }
  reply.code(302);
  reply.header("location", answered.location);
  // Each visit is a click of its own, and a token in an address must not travel on as a referrer.
  reply.header("cache-control", "no-store");
  reply.header("referrer-policy", "no-referrer");
  return reply.send();
}
