import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { findClosedPort, listenHttp, listenRaw, listenTls } from "../../test/support/receivers.ts";
import { trusted_pair, untrusted_pair } from "../../test/support/tls-keys.ts";
import { createEgress, type Egress, type EgressOptions, type Exchange, type OutboundRequest } from "./egress.ts";

const LOOPBACK = ["127.0.0.0/8"];
/** For peers that never answer: how long the test waits for the deadline. */
const SHORT_MS = 250;
/** For peers that do answer: never reached. */
const LONG_MS = 20_000;

function open(t: TestContext, options: Partial<EgressOptions> = {}): Egress {
  const egress = createEgress({ allow: LOOPBACK, ...options });
  t.after(() => egress.close());
  return egress;
}

function post(url: string, more: Partial<OutboundRequest> = {}): OutboundRequest {
  return { method: "POST", url, headers: ["x-secret", "s3cret"], body: "{}", timeout_ms: LONG_MS, ...more };
}

function at(port: number, path = "/hook?token=s3cret"): string {
  return `http://127.0.0.1:${port}${path}`;
}

function assertResponse(exchange: Exchange): asserts exchange is Extract<Exchange, { kind: "response" }> {
  assert.equal(exchange.kind, "response", JSON.stringify(exchange));
}

/** Not silent is whom nobody asked, or who answered something. */
const SILENCE = ["timeout", "connect", "reset"];

function assertFailure(exchange: Exchange, code: string, message: RegExp, is_silence = SILENCE.includes(code)): void {
  assert.equal(exchange.kind, "failure");
  assert.equal(exchange.code, code);
  assert.match(exchange.message, message);
  assert.equal(exchange.is_silence, is_silence);
  assert.ok(!JSON.stringify(exchange).includes("s3cret"));
}

test("A POST is sent as given and its answer is an exchange", async (t) => {
  let seen: unknown;
  const port = await listenHttp(t, async (request, response) => {
    const body = (await request.toArray()).join("");
    seen = { method: request.method, url: request.url, secret: request.headers["x-secret"], body };
    response.writeHead(201, { "Content-Type": "text/plain", "Set-Cookie": ["a=1", "b=2"] }).end("thanks");
  });
  const exchange = await open(t, { now: () => 1234 }).send(post(at(port), { body: '{"a":"é"}' }));
  assert.deepEqual(seen, { method: "POST", url: "/hook?token=s3cret", secret: "s3cret", body: '{"a":"é"}' });
  assertResponse(exchange);
  assert.equal(exchange.status, 201);
  assert.equal(exchange.snippet, "thanks");
  assert.equal(exchange.truncated, false);
  assert.equal(exchange.started_at, 1234);
  assert.equal(exchange.headers["content-type"], "text/plain");
  assert.equal(exchange.headers["set-cookie"], "a=1, b=2");
  assert.equal(exchange.duration_ms, exchange.timings_ms.total);
  assert.equal(typeof exchange.timings_ms.connect, "number");
  assert.equal(exchange.timings_ms.dns, null);
  assert.equal(exchange.timings_ms.tls, null);
});

test("Requests follow each other on one connection, and the second needs no connect", async (t) => {
  const sockets = new Set<Socket>();
  const port = await listenHttp(t, (request, response) => {
    sockets.add(request.socket);
    request.resume().on("end", () => response.end());
  });
  const egress = open(t);
  await egress.send(post(at(port)));
  const second = await egress.send(post(at(port)));
  assert.equal(sockets.size, 1);
  assert.equal(second.timings_ms.connect, null);
});

test("No more connections than asked for are opened to an origin; the others wait", async (t) => {
  const sockets = new Set<Socket>();
  const port = await listenHttp(t, (request, response) => {
    sockets.add(request.socket);
    request.resume().on("end", () => response.end());
  });
  const egress = open(t);
  const sent = Array.from({ length: 20 }, () => egress.send(post(at(port), { connections: 2 })));
  for (const exchange of await Promise.all(sent)) assert.equal(exchange.kind, "response");
  assert.equal(sockets.size, 2);
});

test("However many calls of one owner hang at an origin, another owner's call to it goes out at once", async (t) => {
  const port = await listenHttp(t, (request, response) => {
    request.resume();
    if (request.url === "/fast") response.end();
  });
  const egress = open(t);
  const hanging = Array.from({ length: 20 }, () => egress.send(post(at(port), { owner: "a", connections: 10 })));
  for (let count = 0; count < 2; count++) {
    assertResponse(await egress.send(post(at(port, "/fast"), { owner: "b", connections: 1 })));
  }
  await egress.close();
  for (const exchange of await Promise.all(hanging)) assertFailure(exchange, "aborted", /stopping/);
});

test("A server that closes after each answer gets a new connection each time", async (t) => {
  let connections = 0;
  const port = await listenRaw(t, (socket) => {
    connections++;
    socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
  });
  const egress = open(t);
  const sent = Array.from({ length: 5 }, () => egress.send(post(at(port), { connections: 1 })));
  for (const exchange of await Promise.all(sent)) assert.equal(exchange.kind === "response" && exchange.snippet, "ok");
  assert.equal(connections, 5);
});

test("A connection on which more came than was asked for is closed, and the request that was to follow goes elsewhere", async (t) => {
  const sockets = new Set<Socket>();
  const port = await listenRaw(t, (socket) => {
    const is_first = sockets.size === 0;
    sockets.add(socket);
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok${is_first ? "HTTP/1.1 200 OK\r\n" : ""}`);
  });
  const egress = open(t);
  const sent = [1, 2, 3].map(() => egress.send(post(at(port), { connections: 1 })));
  for (const exchange of await Promise.all(sent)) assert.equal(exchange.kind === "response" && exchange.snippet, "ok");
  assert.equal(sockets.size, 2);
});

test("A connection whose server answered before it had the whole request carries no other call", async (t) => {
  let connections = 0;
  const port = await listen(t, (socket) => {
    const is_first = ++connections === 1;
    socket.once("data", () => {
      if (is_first) socket.pause();
      socket.write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n");
    });
  });
  const egress = open(t);
  const large = post(at(port), { body: "x".repeat(8 * 1024 * 1024), connections: 1 });
  const statuses: unknown[] = [];
  for (const request of [large, post(at(port), { connections: 1 })]) {
    const exchange = await egress.send(request);
    statuses.push(exchange.kind === "response" && exchange.status);
  }
  assert.deepEqual([statuses, connections], [[413, 413], 2]);
});

test("A body of bytes goes out as it is, and a request without a body tells that it has none", async (t) => {
  const seen: unknown[] = [];
  const port = await listenHttp(t, async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    seen.push([request.method, request.headers["content-length"], body.toString("hex")]);
    response.end();
  });
  const egress = open(t);
  await egress.send(post(at(port), { body: new Uint8Array([0, 255, 10]) }));
  await egress.send(post(at(port), { body: null }));
  await egress.send(post(at(port), { method: "GET", body: null }));
  const head = await egress.send(post(at(port), { method: "HEAD", body: null }));
  assert.deepEqual(seen.slice(0, 3), [
    ["POST", "3", "00ff0a"],
    ["POST", "0", ""],
    ["GET", undefined, ""],
  ]);
  assertResponse(head);
});

test("A redirect is the answer, and is not followed", async (t) => {
  let requests = 0;
  const port = await listenHttp(t, (_request, response) => {
    requests++;
    response.writeHead(302, { location: "/elsewhere" }).end();
  });
  const exchange = await open(t).send(post(at(port)));
  assertResponse(exchange);
  assert.equal(exchange.status, 302);
  assert.equal(exchange.headers["location"], "/elsewhere");
  assert.equal(requests, 1);
});

const HEAD = "HTTP/1.1 200 OK\r\nx-kept: yes\r\n";

/** What a server writes; "reset" resets the connection, "end" closes it, anything else leaves it open. */
type Then = "stay" | "end" | "reset";

const ANSWERS: readonly (readonly [title: string, text: string, then: Then, snippet: string, truncated: boolean])[] = [
  [
    "early hints before it",
    `HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n${HEAD}content-length: 0\r\n\r\n`,
    "stay",
    "",
    false,
  ],
  ["no length, ended by closing", `${HEAD}connection: close\r\n\r\nall of it`, "end", "all of it", false],
  ["a chunked body", `${HEAD}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, "stay", "abc", false],
  ["a body that stalls", `${HEAD}content-length: 10\r\n\r\nabc`, "stay", "abc", true],
  ["a body that ends early", `${HEAD}content-length: 10\r\n\r\nabc`, "end", "abc", true],
  ["a broken chunk", `${HEAD}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz`, "stay", "abc", true],
  ["5000 bytes", `${HEAD}content-length: 5000\r\n\r\n${"a".repeat(5000)}`, "stay", "a".repeat(4096), true],
  ["4096 bytes", `${HEAD}content-length: 4096\r\n\r\n${"a".repeat(4096)}`, "stay", "a".repeat(4096), false],
  ["100 KiB", `${HEAD}content-length: 102400\r\n\r\n${"a".repeat(102_400)}`, "stay", "a".repeat(4096), true],
  ["compression", `${HEAD}content-encoding: gzip\r\ncontent-length: 3\r\n\r\n\x1f\x00b`, "stay", "\x1fb", false],
];

for (const [title, text, then, snippet, truncated] of ANSWERS) {
  test(`A response with ${title} counts from its headers on`, async (t) => {
    const port = await listenRaw(t, (socket) => {
      socket.write(text, "latin1", () => {
        if (then === "end") socket.end();
      });
    });
    const timeout_ms = then === "stay" && truncated && text.length < 1000 ? SHORT_MS : LONG_MS;
    const exchange = await open(t).send(post(at(port), { timeout_ms }));
    assertResponse(exchange);
    assert.equal(exchange.status, 200);
    assert.equal(exchange.headers["x-kept"], "yes");
    assert.equal(exchange.snippet, snippet);
    assert.equal(exchange.truncated, truncated);
  });
}

test("An endless body is cut off and its connection closed", async (t) => {
  const closed = Promise.withResolvers<void>();
  const port = await listenRaw(t, (socket) => {
    socket.on("close", () => closed.resolve());
    const chunk = "x".repeat(16_384);
    const pour = () => {
      while (!socket.destroyed && socket.write(`4000\r\n${chunk}\r\n`));
    };
    socket.on("drain", pour);
    socket.write(`${HEAD}transfer-encoding: chunked\r\n\r\n`);
    pour();
  });
  const exchange = await open(t).send(post(at(port)));
  assertResponse(exchange);
  assert.equal(exchange.truncated, true);
  await closed.promise;
});

const BAD_ANSWERS: readonly (readonly [title: string, text: string, then: Then, code: string, message: RegExp])[] = [
  ["stays silent", "", "stay", "timeout", /^127\.0\.0\.1:\d+ sent no response headers \(timeout of 250 ms\)$/],
  ["never ends its headers", HEAD, "stay", "timeout", /sent no response headers/],
  ["sends only 1xx", "HTTP/1.1 102 Processing\r\n\r\n", "stay", "timeout", /sent no response headers/],
  ["resets", "", "reset", "reset", /^\S+:\d+ (reset|closed) the connection before it answered; .* plain http$/],
  ["closes", "", "end", "reset", /closed the connection before it answered; the request was in plain http$/],
  ["closes within its headers", HEAD, "end", "reset", /closed the connection before it answered/],
  ["speaks another protocol", "SSH-2.0-OpenSSH_9.6\r\n", "stay", "protocol", /something other than HTTP\/1\.1/],
  ["sends 20 KiB of headers", `${HEAD}x: ${"y".repeat(20_000)}`, "stay", "protocol", /more response headers than/],
  ["sends an alert of TLS", "\u0015\u0003\u0001", "stay", "protocol", /than HTTP\/1\.1; the request was in plain/],
  ["asks to go on", "HTTP/1.1 100 Continue\r\n\r\n", "stay", "timeout", /sent no response headers/],
  [
    "switches protocols",
    `HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n`,
    "stay",
    "protocol",
    /out of turn/,
  ],
];

for (const [title, text, then, code, message] of BAD_ANSWERS) {
  test(`A server that ${title} fails with "${code}"`, async (t) => {
    const port = await listenRaw(t, (socket) => {
      if (then === "reset") socket.resetAndDestroy();
      else if (then === "end") socket.end(text);
      else socket.write(text);
    });
    const timeout_ms = code === "timeout" ? SHORT_MS : LONG_MS;
    assertFailure(await open(t).send(post(at(port), { timeout_ms })), code, message);
  });
}

test("A closed port is reported with its address", async (t) => {
  const port = await findClosedPort();
  assertFailure(await open(t).send(post(at(port))), "connect", new RegExp(`^Connection refused by 127.0.0.1:${port}$`));
});

test("At the limit of all connections an idle one gives way, and without one the call fails", async (t) => {
  const idle = await listenHttp(t, (request, response) => request.resume().on("end", () => response.end()));
  const silent = await listenRaw(t, () => {});
  const egress = open(t, { max_sockets: 1 });
  assertResponse(await egress.send(post(at(idle))));
  const busy = egress.send(post(at(silent)));
  assertFailure(await egress.send(post(at(idle))), "connect", /as many connections open as it allows itself/, false);
  await egress.close();
  assertFailure(await busy, "aborted", /stopping/);
});

test("A call that fails to connect makes way for those that wait", async (t) => {
  const port = await findClosedPort();
  const egress = open(t);
  const sent = Array.from({ length: 5 }, () => egress.send(post(at(port), { connections: 1 })));
  for (const exchange of await Promise.all(sent)) assertFailure(exchange, "connect", /^Connection refused/);
});

test("A request that waits for a connection gives up at its own deadline", async (t) => {
  const port = await listenRaw(t, () => {});
  const egress = open(t);
  const first = egress.send(post(at(port), { connections: 1 }));
  const second = await egress.send(post(at(port), { connections: 1, timeout_ms: SHORT_MS }));
  const message = /^Still waiting for a free connection to 127\.0\.0\.1:\d+ \(timeout of 250 ms\)$/;
  assertFailure(second, "timeout", message, false);
  await egress.close();
  assertFailure(await first, "aborted", /^This server is stopping$/);
});

test("After the gate is closed nothing is sent", async (t) => {
  const egress = open(t);
  await egress.close();
  assertFailure(await egress.send(post("http://127.0.0.1:9/")), "aborted", /stopping/);
});

for (const [title, more] of [
  ["a header name with a space", { headers: ["bad name", "s3cret"] }],
  ["a header value with a line end", { headers: ["x-a", "s3cret\r\nx-b: 1"] }],
  ["a header value that is not ASCII", { headers: ["x-a", "s3cret\u00fc"] }],
  ["a header name without a value", { headers: ["", "s3cret"] }],
  ["a length of its own", { headers: ["Content-Length", "1"] }],
  ["a host of its own", { headers: ["HOST", "s3cret.test"] }],
] as const) {
  test(`A request with ${title} is not sent, and the gate goes on`, async (t) => {
    const port = await listenRaw(t, (socket) => socket.write("HTTP/1.1 204 No Content\r\n\r\n"));
    const egress = open(t);
    const bad = egress.send(post(at(port), { headers: [...more.headers], connections: 1 }));
    const good = egress.send(post(at(port), { connections: 1 }));
    assertFailure(await bad, "protocol", /^The request could not be written/);
    assertResponse(await good);
  });
}

test("A URL that could not be saved is not sent to either", async (t) => {
  assertFailure(await open(t).send(post("https://u:s3cret@example.com/")), "protocol", /user name or password/);
});

test("TLS with a trusted certificate works, by name and by address, and sessions resume", async (t) => {
  setDefaultCACertificates([...getCACertificates("default"), trusted_pair.cert]);
  const resumed: boolean[] = [];
  const port = await listenTls(t, trusted_pair, (socket) => {
    if ("isSessionReused" in socket && typeof socket.isSessionReused === "function")
      resumed.push(socket.isSessionReused());
    socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok");
  });
  const egress = open(t, { resolve: async () => ["127.0.0.1"] });
  for (const url of [
    `https://receiver.test:${port}/`,
    `https://receiver.test:${port}/`,
    `https://127.0.0.1:${port}/`,
  ]) {
    const exchange = await egress.send(post(url));
    assertResponse(exchange);
    assert.equal(typeof exchange.timings_ms.tls, "number");
  }
  assert.deepEqual(resumed, [false, true, false]);
  assertFailure(await egress.send(post(`https://other.test:${port}/`)), "tls", /is for another host name$/);
});

test("A self-signed certificate is refused in plain words", async (t) => {
  const port = await listenTls(t, untrusted_pair, () => assert.fail("nothing may be sent"));
  assertFailure(await open(t).send(post(`https://127.0.0.1:${port}/`)), "tls", /presents a self-signed certificate$/);
});

test("A plain http port behind an https URL is refused in plain words", async (t) => {
  const port = await listen(t, (socket) => socket.on("data", () => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n")));
  assertFailure(await open(t).send(post(`https://127.0.0.1:${port}/`)), "tls", /does not speak TLS/);
});

test("A port that accepts and says nothing times out in the handshake", async (t) => {
  const port = await listen(t, () => {});
  const exchange = await open(t).send(post(`https://127.0.0.1:${port}/`, { timeout_ms: SHORT_MS }));
  assertFailure(exchange, "timeout", /^127\.0\.0\.1:\d+ did not finish the TLS handshake \(timeout of 250 ms\)$/);
});

async function listen(t: TestContext, serve: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => serve(socket.on("error", () => {}))).listen(0, "127.0.0.1");
  await once(server, "listening");
  const sockets: Socket[] = [];
  server.on("connection", (socket) => sockets.push(socket));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  return address.port;
}
