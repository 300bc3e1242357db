// The OpenAPI description of the route table, made by the same plugins that make it elsewhere: @fastify/swagger reads the
// routes of a server that is never started. Called by `npm run generate`, and by the documentation page when opened.
import fastifySwagger from "@fastify/swagger";
import Fastify, { type FastifyInstance } from "fastify";
import { jsonSchemaTransform, jsonSchemaTransformObject } from "fastify-type-provider-zod";
import { z } from "zod";
import { ErrorBody } from "#contract/errors.ts";
import type { Route, Scope } from "#contract/route.ts";
import { ROUTES, type RouteName } from "#contract/routes.ts";
import { StreamHeaders } from "#contract/streams.ts";

const ABOUT =
  "Self-hosted deep links and signed webhooks, compatible with LinkMe's SDKs. Lists are newest first; unknown fields " +
  "are refused outside LinkMe's own endpoints; an id of another app is answered like one that does not exist.";

const SECURITY: Record<Scope, { [scheme: string]: string[] }[]> = {
  public: [],
  sdk: [{ app_id: [], app_key: [] }, {}],
  app_read: [{ bearer: [] }],
  app_write: [{ bearer: [] }],
  admin: [{ bearer: [] }],
};

const NEEDS: Record<Scope, string> = {
  public: "Open to anybody.",
  sdk: "For SDKs: `x-app-id` and `x-api-key` where the app demands them.",
  app_read: "Needs the admin token, or a server key with `can_read`.",
  app_write: "Needs the admin token, or a server key with `can_write`.",
  admin: "Needs the admin token.",
};

const MEANING: Readonly<Record<string, string>> = {
  "4XX": "A refusal; `error` says which.",
  "5XX": "The server's fault, or not now: 503 comes with Retry-After.",
};

/** The document, with the same text every time. */
export async function composeOpenApi(version: string): Promise<ReturnType<FastifyInstance["swagger"]>> {
  const app = Fastify();
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => JSON.stringify);
  await app.register(fastifySwagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "LinkMe Server",
        version,
        description: ABOUT,
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      servers: [{ url: "/" }],
      components: {
        securitySchemes: {
          bearer: { type: "http", scheme: "bearer", description: "the admin token, or a server key (sk_…)" },
          app_id: { type: "apiKey", in: "header", name: "x-app-id" },
          app_key: { type: "apiKey", in: "header", name: "x-api-key", description: "an app key (ak_…)" },
        },
      },
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  });
  await app.register(async (scope) => describeRoutes(scope));
  await app.ready();
  const document = app.swagger();
  await app.close();
  // Through JSON, so that what is compared and served is exactly what is written.
  return tidy(JSON.parse(JSON.stringify(document), anyJson));
}

/** The one recursive schema is "any JSON value", for which an empty schema says the same without an address of its own. */
function anyJson(_name: string, value: unknown): unknown {
  const is_recursive =
    typeof value === "object" && value !== null && "$ref" in value && /__shared/.test(String(value.$ref));
  return is_recursive ? {} : value;
}

interface Operation {
  operationId: RouteName;
  requestBody?: { required: boolean; content?: unknown };
  responses: Record<string, { description: string; content?: unknown }>;
}

type Document = ReturnType<FastifyInstance["swagger"]> & {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
};

/** Says what the plugins leave out, and leaves out the schemas that nothing refers to. */
function tidy(document: Document): Document {
  for (const operation of Object.values(document.paths).flatMap(Object.values<Operation>)) {
    const route: Route = ROUTES[operation.operationId];
    if (operation.requestBody && route.takes_csv)
      operation.requestBody.content = as("text/csv", operation.requestBody.content);
    if (operation.requestBody) operation.requestBody.required = route.body?.safeParse(undefined).success !== true;
    for (const [status, response] of Object.entries(operation.responses)) {
      response.description = MEANING[status] ?? "Done.";
      if (status === "204") delete response.content;
      if (status === "200" && route.streams === true) response.content = as("text/event-stream", response.content);
      if (status === "200" && route.answers_csv === true) response.content = as("text/csv", response.content);
    }
  }
  const { schemas } = document.components;
  const used = reachable(document.paths, schemas);
  document.components.schemas = Object.fromEntries(Object.entries(schemas).filter(([name]) => used.has(name)));
  return document;
}

/** What the plugins take for JSON: of a stream, the data of each message. */
function as(media_type: string, content: unknown): unknown {
  return { [media_type]: Object.values(content as Record<string, unknown>)[0] };
}

/** The names of the schemas that `from` refers to, directly or through others. */
function reachable(from: unknown, schemas: Record<string, unknown>, seen = new Set<string>()): Set<string> {
  for (const [, name = ""] of JSON.stringify(from).matchAll(/"#\/components\/schemas\/([^"/]+)/g)) {
    if (seen.has(name)) continue;
    seen.add(name);
    reachable(schemas[name], schemas, seen);
  }
  return seen;
}

function describeRoutes(app: FastifyInstance): void {
  for (const [name, route] of Object.entries(ROUTES) as [string, Route][]) {
    const answers: Record<string, z.ZodType> = { [route.status]: route.answer ?? z.undefined() };
    if (route.other !== undefined) answers[route.other.status] = route.other.answer;
    app.route({
      method: route.method,
      url: route.path.replaceAll(/\{(\w+)\}/g, ":$1"),
      schema: {
        operationId: name,
        summary: route.summary,
        description: NEEDS[route.scope],
        tags: [route.tag],
        security: SECURITY[route.scope],
        ...(route.params && { params: route.params }),
        ...(Object.keys(route.query.shape).length > 0 && { querystring: route.query }),
        ...(route.body && { body: route.body }),
        ...(route.streams && { headers: StreamHeaders }),
        response: { ...answers, "4xx": ErrorBody, "5xx": ErrorBody },
      },
      handler: () => null,
    });
  }
}
