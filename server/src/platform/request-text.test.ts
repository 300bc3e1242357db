import assert from "node:assert/strict";
import { test } from "node:test";
import type { Target } from "./addresses.ts";
import type { OutboundRequest } from "./exchange.ts";
import { createRequestWriter } from "./request-text.ts";

/** One for all tests: what it remembers must change no answer. */
const writeRequest = createRequestWriter();
const TARGET: Target = {
  origin: "https://example.com",
  secure: true,
  host: "example.com",
  port: 443,
  path: "/hook?a=1",
  literal: null,
};
const REQUEST: OutboundRequest = {
  method: "POST",
  url: "https://example.com/hook?a=1",
  headers: ["x-one", "1"],
  body: "{}",
  timeout_ms: 1_000,
};

test("a request is its head, its headers in order, and its body in the same text", () => {
  const expected = [
    "POST /hook?a=1 HTTP/1.1",
    "host: example.com",
    "connection: keep-alive",
    "x-one: 1",
    "x-two: a\tb c",
    "content-length: 2",
    "",
    "{}",
  ];
  const headers = ["x-one", "1", "x-two", "a\tb c"];
  assert.deepEqual(writeRequest(TARGET, { ...REQUEST, headers }), { head: expected.join("\r\n"), body: null });
});

test("a length counts bytes as they leave, also those of half a surrogate pair", () => {
  for (const body of ["Größe 👟", "\ud800"]) {
    const bytes = writeRequest(TARGET, { ...REQUEST, body });
    assert.ok(typeof bytes !== "string");
    const sent = Buffer.from(bytes.head, "utf8");
    const end = sent.indexOf("\r\n\r\n") + 4;
    assert.match(bytes.head, new RegExp(`content-length: ${sent.length - end}\r\n`));
  }
});

test("bytes stay apart from the head, and no body has a length only where a method expects one", () => {
  const body = new Uint8Array([1, 2, 3]);
  const bytes = writeRequest(TARGET, { ...REQUEST, body });
  assert.ok(typeof bytes !== "string");
  assert.equal(bytes.body, body);
  assert.match(bytes.head, /content-length: 3\r\n\r\n$/);
  for (const [method, length] of [
    ["GET", null],
    ["HEAD", null],
    ["DELETE", "0"],
    ["POST", "0"],
  ] as const) {
    // biome-ignore format: a table
    const empty = writeRequest(TARGET, { ...REQUEST, method, body: null });
    assert.ok(typeof empty !== "string");
    assert.equal(/content-length: (\d+)/.exec(empty.head)?.[1] ?? null, length, method);
  }
});

const hosts: [changes: Partial<Target>, host: string][] = [
  [{}, "example.com"],
  [{ port: 8443 }, "example.com:8443"],
  [{ secure: false, port: 80 }, "example.com"],
  [{ secure: false, port: 443 }, "example.com:443"],
  [{ host: "2001:db8::1" }, "[2001:db8::1]"],
  [{ host: "2001:db8::1", port: 1 }, "[2001:db8::1]:1"],
];
for (const [changes, host] of hosts) {
  test(`the host header is ${host} for ${JSON.stringify(changes)}`, () => {
    const bytes = writeRequest({ ...TARGET, ...changes }, REQUEST);
    assert.ok(typeof bytes !== "string");
    assert.equal(/\r\nhost: ([^\r]*)\r\n/.exec(bytes.head)?.[1], host);
  });
}

const SECRET = "s3cret";
const refused: [what: string, target: Partial<Target>, request: Partial<OutboundRequest>][] = [];
for (const [name, piece] of [
  ["CR", "\r"],
  ["LF", "\n"],
  ["NUL", "\0"],
  ["a letter beyond ASCII", "é"],
] as const) {
  // biome-ignore format: a table
  refused.push(
    [`the method with ${name}`, {}, { method: `POST${piece}` as OutboundRequest["method"] }],
    [`the path with ${name}`, { path: `/${SECRET}${piece}` }, {}],
    [`the name of a header with ${name}`, {}, { headers: [`x${piece}y`, SECRET] }],
    [`the value of a header with ${name}`, {}, { headers: ["x", `${SECRET}${piece}`] }],
  );
}
refused.push(["the path that is none", { path: "hook" }, {}], ["the path with a space", { path: "/a b" }, {}]);
for (const name of ["Host", "CONNECTION", "content-length", "Transfer-Encoding", "", "a b", "a:"]) {
  refused.push([`the name of a header: "${name}"`, {}, { headers: [name, SECRET] }]);
}
for (const [what, target, request] of refused) {
  test(`refused without its value: ${JSON.stringify(what)}`, () => {
    const reason = writeRequest({ ...TARGET, ...target }, { ...REQUEST, ...request });
    assert.ok(typeof reason === "string", "it was written");
    const part = /^the (?:method|path|name of a header|value of a header)/.exec(what)?.[0] ?? "";
    assert.ok(reason.startsWith(`The request could not be written: ${part} holds`), reason);
    assert.ok(!reason.includes(SECRET));
  });
}
