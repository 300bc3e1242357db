// GET /docs: the API's description, readable and to try out, all from this server: no font, script or check of another
// host, which the content security policy enforces. Loaded when somebody opens it, for a start must be quick.

import { readFileSync } from "node:fs";
import type { FastifyInstance } from "fastify";

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  // Swagger UI sets styles from its scripts.
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

export function registerDocs(app: FastifyInstance): void {
  let opened: Promise<FastifyInstance> | undefined;
  const open = () => {
    opened ??= openDocs();
    return opened;
  };
  app.addHook("onClose", async () => {
    if (opened !== undefined) await (await opened).close();
  });
  for (const url of ["/docs", "/docs/*"]) {
    app.get(url, async (request, reply) => {
      const docs = await open();
      reply.hijack();
      for (const [name, value] of Object.entries(reply.getHeaders())) if (value) reply.raw.setHeader(name, value);
      docs.routing(request.raw, reply.raw);
    });
  }
}

async function openDocs(): Promise<FastifyInstance> {
  const [{ default: Fastify }, { default: swagger }, { default: swaggerUi }, { composeOpenApi }] = await Promise.all([
    import("fastify"),
    import("@fastify/swagger"),
    import("@fastify/swagger-ui"),
    import("./openapi.ts"),
  ]);
  const docs = Fastify({ logger: false });
  docs.setNotFoundHandler((_request, reply) => {
    const message = "There is no such page. The documentation is at /docs, and its OpenAPI document at /docs/json.";
    // The request's id was set by the server that handed the request over.
    reply.code(404).send({ error: "not_found", message, request_id: reply.raw.getHeader("x-request-id") });
  });
  const document = await composeOpenApi(serverVersion());
  // The plugin's two types for a document, the one it answers and the one it takes, do not meet.
  await docs.register(swagger, { mode: "static", specification: { document: document as never } });
  await docs.register(swaggerUi, {
    routePrefix: "/docs",
    staticCSP: POLICY,
    theme: { title: "LinkMe Server API" },
    uiConfig: { validatorUrl: "none", docExpansion: "list", deepLinking: true, persistAuthorization: false },
  });
  await docs.ready();
  return docs;
}

/** The version in package.json, which the description carries. */
export function serverVersion(): string {
  const text = readFileSync(new URL("../../../package.json", import.meta.url), "utf8");
  return String(JSON.parse(text).version);
}
