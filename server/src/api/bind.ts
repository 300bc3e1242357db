// Turns rows of the route table into Fastify routes: scope, validation, status and answer. Called by app.ts.
// A handler sees parsed values only, and answers a value of the route's answer type.
import type { Readable } from "node:stream";
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from "fastify";
import type { z } from "zod";
import type { ErrorDetail } from "#contract/errors.ts";
import type { Route } from "#contract/route.ts";
import { ROUTES, type RouteName, type Routes } from "#contract/routes.ts";
import { invalid, notFound } from "../errors.ts";
import { type Access, type Gate, type NamedKind, namedKindOf } from "./access.ts";
import { refuseIssues } from "./issues.ts";
import type { Caller, Load } from "./load.ts";
import type { RateLimits } from "./rate-limits.ts";

type Output<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;
type Answer<Schema> = Schema extends z.ZodType ? z.output<Schema> | Promise<z.output<Schema>> : Promise<void>;

/** One call of a route, parsed and let in. */
export interface Call<R extends Route> {
  params: Output<R["params"]>;
  query: Output<R["query"]>;
  body: Output<R["body"]>;
  access: Access;
  request: FastifyRequest;
  reply: FastifyReply;
}

type Other<R extends Route> = R extends { other: { answer: infer Schema extends z.ZodType } }
  ? Promise<z.output<Schema> | Output<R["answer"]>>
  : never;

/** A call that is answered by a stream. The handler sends the headers itself, and what is wrong before them it throws. */
export interface StreamCall<R extends Route> extends Call<R> {
  /** Asks again whether the caller may call, for a stream may outlive a key. */
  enterAgain(): Promise<unknown>;
}

export type Handler<R extends Route> = R extends { streams: true }
  ? (call: StreamCall<R>) => Promise<void>
  : R extends { answers_csv: true }
    ? (call: Call<R>) => Promise<Readable>
    : (call: Call<R>) => Answer<R["answer"]> | Other<R>;
export type Handlers<Names extends RouteName = RouteName> = { [Name in Names]: Handler<Routes[Name]> };

declare module "fastify" {
  interface FastifyRequest {
    access: Access | null;
  }
  interface FastifyContextConfig {
    /** The row of the route table; absent on pages and files. */
    route_name?: RouteName;
    /** For visitors, who cannot read JSON. */
    is_page?: boolean;
  }
}

/** For routes that web pages of other origins may call; credentials are never sent along. */
export const ANY_ORIGIN = { origin: "*" } as const;

export interface Door {
  gate: Gate;
  limits: RateLimits;
  load: Load;
  /** What is wrong with a URL as a target, as far as that needs no network; null: nothing. */
  urlProblem(url: string): string | null;
}

/** Binds those routes for which there is a handler. */
export function bind(app: FastifyInstance, handlers: Partial<Handlers>, door: Door): void {
  for (const name of Object.keys(handlers) as RouteName[]) {
    const handler = handlers[name];
    // The name ties handler and route together; the compiler cannot follow that through a loop.
    if (handler !== undefined) bindOne(app, name, handler as unknown as Handler<Route>, door);
  }
}

function bindOne(app: FastifyInstance, name: RouteName, handler: Handler<Route>, door: Door): void {
  const route: Route = ROUTES[name];
  const has_answer = route.answer !== null;
  const kind = namedKindOf(route.path);
  app.route({
    // A stream has no end that its HEAD could wait for, and a file is not made for nothing.
    exposeHeadRoute: route.streams !== true && route.answers_csv !== true,
    method: route.method satisfies HTTPMethods,
    url: route.path.replaceAll(/\{(\w+)\}/g, ":$1"),
    config: { route_name: name, ...(route.scope === "sdk" && { cors: ANY_ORIGIN }) },
    onRequest(request, reply, done) {
      reply.header("cache-control", "no-store");
      // The address of such a call may hold a token.
      if (route.scope === "sdk") reply.header("referrer-policy", "no-referrer");
      admit(request, { name, route, kind }, door, done);
    },
    // Without waiting for anything, so that the parser's own listeners miss nothing of the body.
    preParsing(request, reply, payload, done) {
      door.load.watch(callerOf(request, route), request.raw, reply.raw);
      done(null, payload);
    },
    async handler(request, reply) {
      const call = parseCall(route, request, reply, door);
      if (route.streams === true) return handler(withGate(call, route, door.gate));
      reply.code(route.status);
      const answer = await handler(call);
      if (route.answers_csv === true) reply.type("text/csv; charset=utf-8");
      return has_answer ? answer : null;
    },
  });
}

/** An app by its key, the operator, or whoever has an address. */
function callerOf(request: FastifyRequest, route: Route): Caller {
  if (route.scope === "public" || route.scope === "sdk") return { kind: "address", id: request.ip };
  return { kind: "app", id: request.access?.app_scope ?? "operator" };
}

/** The id of no app, in place of one that no database could take. */
const NO_APP = "-";

/** No id has other characters than its schema says: such a path is answered like an id that does not exist. */
function admit(
  request: FastifyRequest,
  { name, route, kind }: { name: RouteName; route: Route; kind: NamedKind | null },
  { gate, limits }: Door,
  done: (error?: Error) => void,
): void {
  const is_possible = route.params?.safeParse(request.params).success ?? true;
  const count = (access: Access) => limits.admit(name, route, { access, ip: request.ip });
  const enter = (access: Access) => {
    request.access = access;
    count(access);
    if (!is_possible) throw notFound("id");
  };
  try {
    // The pattern of the path makes every parameter a text.
    const { app_id, id } = request.params as { app_id?: string; id?: string };
    const named = kind !== null && id !== undefined && is_possible ? { kind, id, count } : undefined;
    const access = gate.enter(route.scope, request.headers, is_possible ? app_id : app_id && NO_APP, named);
    if (access instanceof Promise) {
      access.then(enter).then(() => done(), done);
      return;
    }
    enter(access);
  } catch (error) {
    // What is thrown here is always an Error.
    done(error as Error);
    return;
  }
  done();
}

function parseCall(route: Route, request: FastifyRequest, reply: FastifyReply, door: Door): Call<Route> {
  return {
    // Checked by the hook above, without which no handler runs.
    params: request.params as Output<Route["params"]>,
    query: parseQuery(route.query, request.query),
    body: parseBody(route, request.body, door),
    // Set there too.
    access: request.access as Access,
    request,
    reply,
  };
}

function withGate(call: Call<Route>, route: Route, gate: Gate): StreamCall<Route> {
  const { headers, params } = call.request;
  // The pattern of the path makes every parameter a text.
  const { app_id } = params as { app_id?: string };
  return { ...call, enterAgain: async () => gate.enter(route.scope, headers, app_id) };
}

function parseQuery(schema: z.ZodObject, query: unknown): Record<string, unknown> {
  // Fastify parses a query to texts, and to lists of them where a name comes twice.
  for (const [name, value] of Object.entries(query as Record<string, string | string[]>)) {
    const is_declared = name in schema.shape;
    if (is_declared && Array.isArray(value)) throw invalid(name, "must be given only once");
    if (is_declared && value.includes("\u0000")) throw invalid(name, "text without NUL characters");
  }
  const result = schema.safeParse(query);
  if (!result.success) throw refuseIssues(result.error.issues, { schema, part: "query" });
  return result.data;
}

function parseBody(route: Route, body: unknown, door: Door): unknown {
  const schema = route.body;
  if (schema === undefined) {
    // Clients that send an empty object where nothing is needed mean no harm; anything else was meant for another call.
    if (body === undefined || isEmptyObject(body)) return undefined;
    throw invalid("body", "no body: this call takes none");
  }
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const { issues } = result.error;
  const is_url_told = route.names_target !== true || issues.some(({ path }) => path[0] === "url");
  throw refuseIssues(issues, { schema, part: "body" }, is_url_told ? [] : targetDetails(body, door));
}

/** The handler would refuse the URL by itself, after everything else has been mended. */
function targetDetails(body: unknown, { urlProblem }: Door): ErrorDetail[] {
  const url: unknown = typeof body === "object" && body !== null && "url" in body ? body.url : undefined;
  const problem = typeof url === "string" ? urlProblem(url) : null;
  return problem === null ? [] : [{ path: "url", message: problem }];
}

function isEmptyObject(body: unknown): boolean {
  return typeof body === "object" && body !== null && !Array.isArray(body) && Object.keys(body).length === 0;
}
