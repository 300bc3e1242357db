// The adapters in the frameworks themselves, over real sockets: each does what the suite asks, beside routes of other kinds.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { toExpressHandler } from "../../src/receiver/express.ts";
import { toFastifyHandler, toFastifyPlugin } from "../../src/receiver/fastify.ts";
import { toHttpFunction } from "../../src/receiver/functions.ts";
import { toHonoHandler } from "../../src/receiver/hono.ts";
import type { Receiver } from "../../src/receiver/index.ts";
import { toKoaMiddleware } from "../../src/receiver/koa.ts";
import { toNextApiHandler } from "../../src/receiver/next.ts";
import { toNodeListener } from "../../src/receiver/node.ts";
import { type Running, testAdapter } from "../support/adapter-suite.ts";
import { exchange, sendSigned } from "../support/post.ts";
import { CLICK, openReceiver } from "../support/receiver.ts";

const PATH = "/webhooks/linkme";

async function listen(listener: RequestListener): Promise<Running> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  // Of a server that listens on a port.
  const { port } = server.address() as AddressInfo;
  return { port, close: () => new Promise((resolve) => server.close(resolve)) };
}

/** A server for what takes a Request of the Web, as Bun, Deno and Workers have it. */
function listenWeb(answer: (request: Request) => Promise<Response> | Response): Promise<Running> {
  return listen(async (incoming, outgoing) => {
    const headers = Object.entries(incoming.headersDistinct).flatMap(([name, values = []]) =>
      values.map((value): [string, string] => [name, value]),
    );
    const { method = "GET" } = incoming;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        incoming.on("data", (chunk: Buffer) => controller.enqueue(new Uint8Array(chunk)));
        incoming.on("end", () => controller.close());
        incoming.on("error", (error) => controller.error(error));
      },
      // What nobody wants is read away.
      cancel: () => void incoming.removeAllListeners("data").resume(),
    });
    const init = { method, headers, ...(method === "GET" ? {} : { body, duplex: "half" }) } as RequestInit;
    const response = await answer(new Request(`http://127.0.0.1${incoming.url}`, init));
    outgoing.writeHead(response.status, Object.fromEntries(response.headers));
    outgoing.end(await response.text());
  });
}

const bodyOf = async (request: IncomingMessage) => Buffer.concat(await request.toArray());

testAdapter({ name: "node:http", open: (receiver) => listen(toNodeListener(receiver)) });

testAdapter({
  name: "Express without a parser in front",
  open(receiver) {
    const app = express();
    app.all(PATH, toExpressHandler(receiver));
    app.use(express.json());
    return listen(app);
  },
  openParsed(receiver) {
    const app = express();
    app.use(express.json());
    app.all(PATH, toExpressHandler(receiver));
    return listen(app);
  },
  fix: /before app\.use\(express\.json\(\)\).*express\.raw\(\{ type: "application\/json" \}\)/,
});

testAdapter({
  name: "Express with express.raw()",
  reads_itself: true,
  open(receiver) {
    const app = express();
    // Its own answers to errors, without a line for each on the console.
    app.set("env", "test");
    app.all(PATH, express.raw({ type: "application/json" }), toExpressHandler(receiver));
    return listen(app);
  },
});

testAdapter({
  name: "Express with express.json({ verify }), as NestJS has it",
  reads_itself: true,
  open(receiver) {
    const app = express();
    const verify = (request: IncomingMessage, _response: ServerResponse, bytes: Buffer) => {
      Object.assign(request, { rawBody: bytes });
    };
    // Bodies that are no JSON are left to the receiver, and so is their size.
    app.use((request, response, next) => {
      express.json({ verify, limit: "10mb" })(request, response, () => next());
    });
    app.all(PATH, toExpressHandler(receiver));
    return listen(app);
  },
});

test("Express 4 with a parser in front that has passed the request over leaves an empty object, and the stream", async () => {
  const { receiver } = openReceiver({ now: Date.now });
  const handler = toExpressHandler(receiver);
  const server = await listen((request, response) => void handler(Object.assign(request, { body: {} }), response));
  const { status } = await sendSigned(server.port);
  await server.close();
  assert.equal(status, 200);
});

async function openFastify(prepare: (app: ReturnType<typeof fastify>) => void): Promise<Running> {
  const app = fastify();
  app.post("/other", async (request) => ({ parsed: request.body }));
  prepare(app);
  await app.listen({ port: 0, host: "127.0.0.1" });
  // Of a server that listens on a port.
  const { port } = app.server.address() as AddressInfo;
  return { port, close: () => app.close() };
}

const openPlugin = (receiver: Receiver) =>
  openFastify((app) => void app.register(toFastifyPlugin(receiver, { path: PATH })));

testAdapter({
  name: "Fastify",
  open: openPlugin,
  openParsed: (receiver) => openFastify((app) => void app.post(PATH, toFastifyHandler(receiver))),
  fix: /register toFastifyPlugin\(receiver, \{ path \}\).*encapsulated.*addContentTypeParser/,
});

testAdapter({
  name: "Fastify with a parser of the application's own",
  open: (receiver) =>
    openFastify((app) => {
      app.addContentTypeParser("application/json", { parseAs: "string" }, async () => ({ replaced: true }));
      app.register(toFastifyPlugin(receiver), { prefix: PATH });
    }),
});

test("Fastify: other routes keep their parser", async () => {
  const server = await openPlugin(openReceiver().receiver);
  const headers = { "content-type": "application/json" };
  const other = await exchange(server.port, { path: "/other", headers, body: '{"a":1}' });
  await server.close();
  assert.deepEqual(JSON.parse(other.body), { parsed: { a: 1 } });
});

const parsing: Koa.Middleware = async (context, next) => {
  const text = (await bodyOf(context.req)).toString("utf8");
  Object.assign(context.request, { body: JSON.parse(text || "{}") });
  await next();
};

testAdapter({
  name: "Koa",
  open(receiver) {
    const app = new Koa();
    // It would write a line for each connection that is cut off.
    app.silent = true;
    app.use(toKoaMiddleware(receiver, { path: PATH }));
    app.use(parsing);
    return listen(app.callback());
  },
  openParsed(receiver) {
    const app = new Koa();
    app.use(parsing);
    app.use(toKoaMiddleware(receiver, { path: PATH }));
    return listen(app.callback());
  },
  fix: /before koa-bodyparser/,
});

test("Koa: other paths go on to the next middleware", async () => {
  const app = new Koa();
  app.use(toKoaMiddleware(openReceiver().receiver, { path: PATH }));
  app.use((context) => {
    context.body = "other";
  });
  const server = await listen(app.callback());
  const { body } = await exchange(server.port, { path: "/other" });
  await server.close();
  assert.equal(body, "other");
});

testAdapter({
  name: "Hono",
  open(receiver) {
    const app = new Hono();
    app.all(PATH, toHonoHandler(receiver));
    return listenWeb(app.fetch);
  },
  openParsed(receiver) {
    const app = new Hono();
    app.use(async (context, next) => {
      await context.req.json();
      await next();
    });
    app.all(PATH, toHonoHandler(receiver));
    return listenWeb(app.fetch);
  },
  fix: /In Hono let no middleware before this route read the body/,
});

testAdapter({
  name: "a route handler of the Web",
  open: (receiver) => listenWeb(receiver.handle),
  async openParsed(receiver) {
    return listenWeb(async (request) => {
      await request.json();
      return receiver.handle(request);
    });
  },
  fix: /before anything has read it: no request\.json\(\)/,
});

/** As Next calls a handler of its pages API: with what its parser made of the body, unless that is off. */
async function openNext(receiver: Receiver, bodyParser: boolean): Promise<Running> {
  const handler = toNextApiHandler(receiver);
  return listen(async (request, response) => {
    if (bodyParser) Object.assign(request, { body: JSON.parse((await bodyOf(request)).toString("utf8")) });
    await handler(request, response);
  });
}

testAdapter({
  name: "the pages API of Next",
  open: (receiver) => openNext(receiver, false),
  openParsed: (receiver) => openNext(receiver, true),
  fix: /export const config = \{ api: \{ bodyParser: false \} \}/,
});

/** As the Functions Framework calls a function: it parses the body, and keeps the bytes. */
async function openFunction(receiver: Receiver, keeps_bytes: boolean): Promise<Running> {
  const handler = toHttpFunction(receiver);
  return listen(async (request, response) => {
    const bytes = await bodyOf(request);
    let body: unknown = {};
    try {
      body = JSON.parse(bytes.toString("utf8"));
    } catch {
      // The framework would answer 400 by itself; here the receiver has its say.
    }
    Object.assign(request, keeps_bytes ? { body, rawBody: bytes } : { body });
    await handler(request, response);
  });
}

testAdapter({
  name: "Firebase and Cloud Functions",
  reads_itself: true,
  open: (receiver) => openFunction(receiver, true),
  openParsed: (receiver) => openFunction(receiver, false),
  fix: /keep the bytes as request\.rawBody/,
});

test("a stream that was read by somebody who left nothing is an error that names the fix", async () => {
  const { receiver, told } = openReceiver({ now: Date.now });
  const handler = toExpressHandler(receiver);
  const server = await listen(async (request, response) => {
    await bodyOf(request);
    await handler(request, response);
  });
  const { status } = await sendSigned(server.port);
  await server.close();
  assert.equal(status, 500);
  assert.match(String(told[0]?.error), /has left no bytes.*In Express register this route before/);
});

test("a stream that somebody decodes to text is an error, and not a signature that does not fit", async () => {
  const { receiver, told } = openReceiver({ now: Date.now });
  const listener = toNodeListener(receiver);
  const server = await listen((request, response) => {
    request.setEncoding("latin1");
    void listener(request, response);
  });
  const { status } = await sendSigned(server.port, { event: { ...CLICK, app_id: "ü" } });
  await server.close();
  assert.deepEqual([status, told.length], [500, 1]);
});
