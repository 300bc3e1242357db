// The HTTP server: limits, body parsing, error answers, security headers, and the routes that it is given. Called by
// main.ts and by tests. The bounds of connections are set here; no route answers before `isOpen` but the health checks.

import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";
import fastifyCors from "@fastify/cors";
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import type { Route } from "#contract/route.ts";
import { ROUTES, type RouteName } from "#contract/routes.ts";
import { refuse, unavailable } from "../errors.ts";
import { unavailablePage } from "../links/pages.ts";
import { log } from "../platform/log.ts";
import type { Gate } from "./access.ts";
import { ANY_ORIGIN, bind, type Handlers } from "./bind.ts";
import { answerBrokenRequest, boundPipelining } from "./connections.ts";
import { parseCsvBody } from "./csv-body.ts";
import { registerDocs } from "./docs.ts";
import { describeFailure } from "./failures.ts";
import { parseJsonBody } from "./json-body.ts";
import { BODY_MAX_BYTES, createLoad } from "./load.ts";
import { whyNotFound } from "./not-found.ts";
import type { RateLimits } from "./rate-limits.ts";

const HEADERS_MAX_BYTES = 16 * 1024;
const CONNECTIONS_MAX = 10_000;
/** Of a body that is refused. */
export const DROPPED_MAX_BYTES = 16 * 1024 * 1024;
/** From the first byte of a request to its last; slow senders lose their connection. */
const HEADERS_TIMEOUT_MS = 10_000;
const REQUEST_TIMEOUT_MS = 30_000;
/** Longer than the idle time of common load balancers, so that they close first. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000;
const TIMEOUT_CHECK_MS = 5_000;
const PARAM_MAX_CHARS = 200;
const START_RETRY_AFTER_SECONDS = 1;
const PREFLIGHT_MAX_AGE_SECONDS = 86_400;
const SDK_HEADERS = ["Accept", "Content-Type", "x-app-id", "x-api-key", "x-linkme-device"];
const COMPRESSED = /\b(?:x-)?(?:gzip|compress|deflate|br|zstd)\b/i;
const ALWAYS_OPEN: ReadonlySet<string> = new Set([ROUTES.getHealth.path, ROUTES.getReady.path]);

export interface AppOptions {
  gate: Gate;
  /** How often somebody may call. */
  limits: RateLimits;
  /** What this process answers of the route table. */
  handlers: Partial<Handlers>;
  /** The roles of this process, to say why it does not answer the rest. */
  roles: readonly string[];
  /** Pages and other addresses outside /api. */
  pages?: readonly ((app: FastifyInstance) => void | Promise<void>)[];
  /** What is wrong with a URL as a target, as far as that needs no network; null: nothing. */
  urlProblem(url: string): string | null;
  /** Networks of proxies whose forwarding headers are believed. */
  trusted_proxies: readonly string[];
  /** False until the database is ready; only health checks are answered then. */
  isOpen(): boolean;
}

/** A server that does not listen yet. */
export async function createApp(options: AppOptions): Promise<FastifyInstance> {
  const app = Fastify({
    logger: false,
    bodyLimit: BODY_MAX_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    http: {
      maxHeaderSize: HEADERS_MAX_BYTES,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    },
    routerOptions: { maxParamLength: PARAM_MAX_CHARS },
    trustProxy: options.trusted_proxies.length === 0 ? false : options.trusted_proxies.flatMap(withoutWhole),
    // Requests that are in flight when the server stops are answered; new connections are refused by then.
    return503OnClosing: false,
    genReqId: createRequestIds(),
    clientErrorHandler: answerBrokenRequest,
    frameworkErrors: answerError,
  });
  app.server.maxConnections = CONNECTIONS_MAX;
  boundPipelining(app.server);
  app.decorateRequest("access", null);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => {
    try {
      refuseEncoded(request);
      // parseAs says so.
      done(null, parseJsonBody(body as Buffer, numberMaxOf(request.routeOptions.config.route_name)));
    } catch (error) {
      // What is thrown here is always an Error.
      done(error as Error);
    }
  });
  app.setErrorHandler(answerError);
  const answering = { routes: new Set(Object.keys(options.handlers)), roles: options.roles };
  const notFoundAt = ({ method, url }: FastifyRequest) =>
    refuse("not_found", whyNotFound(method, url.split("?", 1)[0] ?? "", answering));
  // Without a handler of ours the hook below would not be called.
  app.setNotFoundHandler((request, reply) => answerError(notFoundAt(request), request, reply));
  // The schemas of the contract have validated by now; nothing of the answer is left to be filtered.
  app.setSerializerCompiler(() => JSON.stringify);
  app.addHook("onRequest", (request, reply, done) => {
    // Of a connection that was ended: there is nobody to answer.
    if (request.raw.socket.destroyed) return void reply.hijack();
    reply.header("x-request-id", request.id);
    reply.header("x-content-type-options", "nosniff");
    // Before its body is read: at an address that does not exist nothing bounds a body.
    if (request.is404) return done(notFoundAt(request));
    if (options.isOpen() || ALWAYS_OPEN.has(request.routeOptions.url ?? "")) return done();
    if (request.routeOptions.config.is_page === true) {
      const { html, headers } = unavailablePage(START_RETRY_AFTER_SECONDS);
      reply.code(503).headers(headers).send(html);
    } else
      done(unavailable("The server waits for its database. Send the same request again.", START_RETRY_AFTER_SECONDS));
  });
  await registerRoutes(app, options);
  return app;
}

/** Fastify's reader of networks refuses one that is everything; two halves are the same. */
function withoutWhole(network: string): string[] {
  if (!network.endsWith("/0")) return [network];
  return network.includes(":") ? ["::/1", "8000::/1"] : ["0.0.0.0/1", "128.0.0.0/1"];
}

/** @throws AppError unsupported_media_type: what is compressed looks like nonsense otherwise */
function refuseEncoded({ headers }: FastifyRequest): void {
  const encoding = headers["content-encoding"];
  // Clients write other things there, `utf-8` above all, and send JSON all the same.
  if (encoding === undefined || !COMPRESSED.test(encoding)) return;
  throw refuse("unsupported_media_type", "Send the body as it is: without a content-encoding.");
}

/** Devices are in the field and cannot be mended: what one sends that loses digits is taken, as LinkMe takes it. */
function numberMaxOf(name: RouteName | undefined): number {
  return name !== undefined && ROUTES[name].scope === "sdk" ? Number.MAX_VALUE : Number.MAX_SAFE_INTEGER;
}

async function registerRoutes(
  app: FastifyInstance,
  { handlers, gate, limits, pages = [], urlProblem }: AppOptions,
): Promise<void> {
  const isSdk = (name: RouteName) => ROUTES[name].scope === "sdk";
  const takesCsv = (name: RouteName) => (ROUTES[name] satisfies Route as Route).takes_csv === true;
  const door = { gate, limits, load: createLoad(), urlProblem };
  bind(
    app,
    pick(handlers, (name) => !isSdk(name) && !takesCsv(name)),
    door,
  );
  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    // parseAs says that it is one.
    scope.addContentTypeParser("text/csv", { parseAs: "buffer" }, async (request: FastifyRequest, body: unknown) => {
      refuseEncoded(request);
      return parseCsvBody(body as Buffer);
    });
    bind(scope, pick(handlers, takesCsv), door);
  });
  const sdk = pick(handlers, isSdk);
  await app.register(async (scope) => {
    // Web pages of other origins call the SDK endpoints, whose routes say so; the rest stays out of their reach, the
    // plugin's own answer to preflights of any address included.
    await scope.register(fastifyCors, {
      origin: false,
      methods: ["GET", "POST"],
      allowedHeaders: SDK_HEADERS,
      exposedHeaders: ["x-request-id", "retry-after"],
      maxAge: PREFLIGHT_MAX_AGE_SECONDS,
      strictPreflight: false,
      preflight: true,
    });
    bind(scope, sdk, door);
    // Object.keys forgets the names of the keys.
    for (const name of Object.keys(sdk) as RouteName[]) addPreflight(scope, ROUTES[name].path);
  });
  registerDocs(app);
  for (const page of pages) await page(app);
}

/** The CORS plugin answers in its hook; the route only has to exist. */
function addPreflight(scope: FastifyInstance, path: string): void {
  scope.options(path, { config: { cors: ANY_ORIGIN } }, (_request, reply) => reply.code(204).send());
}

function pick(handlers: Partial<Handlers>, keep: (name: RouteName) => boolean): Partial<Handlers> {
  // Object.entries forgets the names of the keys.
  return Object.fromEntries(Object.entries(handlers).filter(([name]) => keep(name as RouteName)));
}

/** Unique over processes and restarts, and cheap: a random start and a counter. */
function createRequestIds(): () => string {
  const start = `req_${randomBytes(6).toString("hex")}`;
  let count = 0;
  return () => `${start}_${(++count).toString(36)}`;
}

function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { status, body, retry_after_seconds, is_bug } = describeFailure(error, request.id);
  if (is_bug) {
    const { method, id: request_id } = request;
    log("request.failed", { request_id, method, route: request.routeOptions?.url, error }, "error");
  }
  if (retry_after_seconds !== undefined) reply.header("retry-after", retry_after_seconds);
  afterBody(request.raw, (is_in) => {
    // Fastify would close the connection after any body that it did not take.
    const stays = is_in && reply.raw.shouldKeepAlive && reply.raw.getHeader("connection") !== "close";
    reply.header("connection", stays ? "keep-alive" : "close");
    reply.code(status).type("application/json; charset=utf-8").send(JSON.stringify(body));
  });
}

/**
 * Answers when the rest of the body has come. A client that is still sending when the connection is closed is reset and loses the
 * answer, and many read none before they have sent all. So what is left of the body is read and dropped first, for as long as
 * a request may take. The end of a very large one is not waited for: `is_in` is false then.
 */
function afterBody(request: IncomingMessage, answer: (is_in: boolean) => void): void {
  const { headers } = request;
  const has_body = headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
  if (request.complete || request.readableEnded || !has_body) {
    answer(true);
    return;
  }
  let dropped = 0;
  const drop = (chunk: Buffer) => {
    dropped += chunk.length;
    if (dropped > DROPPED_MAX_BYTES) end(false);
  };
  const whole = () => end(true);
  const end = (is_in: boolean) => {
    request.off("data", drop).off("end", whole).off("close", whole);
    answer(is_in);
  };
  request.on("data", drop).once("end", whole).once("close", whole).resume();
}
