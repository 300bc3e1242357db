// The short form of `npm run fuzz`: requests from a seed that a failure names, every input that has once failed, and that the
// judge of endings finds what it is there for.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { after, before, test } from "node:test";
import { createRandom } from "../support/random.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { CASES } from "./cases.ts";
import { createConnection } from "./connection.ts";
import { DEADLINE_MS, findFault, GROWTH_MAX_BYTES, runFuzz, writeCase } from "./fuzz.ts";
import { createRequests, type Names } from "./requests.ts";
import { createFuzzSite, startFuzzServer } from "./site.ts";

const REQUESTS = 2_000;

let server: ServerProcess;
let names: Names;

before(async () => {
  server = await startFuzzServer();
  names = await createFuzzSite(server);
});

after(() => server?.stop());

test(`of ${REQUESTS} requests that nobody expects none is answered with 5xx, none hangs, and memory stays`, async (t) => {
  const given = process.env["LINKME_FUZZ_SEED"];
  const { seed } = createRandom(given === undefined ? undefined : Number(given));
  const report = await runFuzz({ server, names, seed, requests: REQUESTS, log: () => {} });
  t.diagnostic(`seed ${seed}: ${JSON.stringify(report.endings)}`);
  assert.deepEqual(report.failures, [], `LINKME_FUZZ_SEED=${seed}`);
  assert.ok(report.end_bytes - report.warm_bytes < GROWTH_MAX_BYTES, JSON.stringify(report));
  // Requests that all end at the door would prove nothing.
  for (const status of ["200", "204", "302", "400", "401", "404"]) {
    assert.ok((report.endings[status] ?? 0) >= 10, `${status}: ${JSON.stringify(report.endings)}`);
  }
});

for (const { title, method, is_broken, sent } of CASES) {
  test(`kept: ${title}`, async () => {
    const text = sent.replace(/\{(\w+)\}/g, (whole, name) => names[name] ?? whole);
    const connection = createConnection(Number(new URL(server.url).port), DEADLINE_MS);
    const ending = await connection.send(Buffer.from(text, "latin1"), method, is_broken);
    connection.close();
    assert.equal(findFault({ is_broken }, ending), null);
  });
}

test("a seed means the same requests again", () => {
  const [some, same, other] = [7, 7, 8].map((seed) => {
    const next = createRequests(createRandom(seed), names);
    return Array.from({ length: 50 }, () => next().bytes.toString("latin1")).join("\n");
  });
  assert.equal(some, same);
  assert.notEqual(some, other);
});

const OVERLOADED = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
const CHUNKED = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n";
for (const [what, answer, fault] of [
  ["a 500", "HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\n{}", /^answered 500$/],
  ["a 503 that does not say when to come again", "HTTP/1.1 503 Oh\r\ncontent-length: 0\r\n\r\n", /^answered 503$/],
  ["what is no HTTP", "hello\r\n\r\n", /^no HTTP/],
  ["an end of the connection", null, /closed without an answer/],
  ["half an answer and no more", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", /^no end after .*half/],
  ["chunks without a last one", CHUNKED, /^no end after/],
  ["a shed request", OVERLOADED, null],
  ["an interim answer before one", `HTTP/1.1 100 Continue\r\n\r\n${CHUNKED}0\r\n\r\n`, null],
] as const) {
  test(`${what} is ${fault === null ? "no fault" : "a fault"}`, async () => {
    const stub = createServer((socket) => {
      socket.on("error", () => {}).once("data", () => (answer === null ? socket.destroy() : socket.write(answer)));
    }).listen(0, "127.0.0.1");
    await once(stub, "listening");
    // A server that listens on TCP has an address of this form.
    const connection = createConnection((stub.address() as AddressInfo).port, 200);
    const ending = await connection.send(Buffer.from("GET / HTTP/1.1\r\n\r\n"), "GET", false);
    connection.close();
    stub.close();
    const found = findFault({ is_broken: false }, ending);
    if (fault === null) assert.equal(found, null);
    else assert.match(String(found), fault);
  });
}

test("a failing input is printed as a case that sends the same bytes, with names for what exists", () => {
  const bytes = Buffer.from(`GET /${names["link_id"]}\0\x80 HTTP/1.1\r\n\r\n`, "latin1");
  const printed = writeCase({ bytes, method: "GET", is_broken: true }, names);
  assert.match(printed, /sent: "GET \/\{link_id\}\\u0000\\x80 HTTP\/1\.1\\r\\n\\r\\n" \},$/);
});
