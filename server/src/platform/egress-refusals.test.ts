import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { listenHttp, listenRaw } from "../../test/support/receivers.ts";
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

function assertResponse(exchange: Exchange): asserts exchange is Extract<Exchange, { kind: "response" }> {
  assert.equal(exchange.kind, "response", JSON.stringify(exchange));
}

function assertFailure(exchange: Exchange, code: string, message: RegExp): void {
  assert.equal(exchange.kind, "failure");
  assert.equal(exchange.code, code);
  assert.match(exchange.message, message);
  assert.equal(exchange.is_silence, false, "the receiver was not asked");
  assert.ok(!JSON.stringify(exchange).includes("s3cret"));
}

for (const [url, allow, message] of [
  [
    "https://127.0.0.1/",
    [],
    /^Refused: 127\.0\.0\.1, a loopback address outside the networks of LINKME_EGRESS_ALLOW \(to allow it, start the server again with LINKME_EGRESS_ALLOW=127\.0\.0\.0\/8\)$/,
  ],
  ["https://2130706433/", [], /127\.0\.0\.1/],
  ["https://[::ffff:7f00:1]/", [], /127\.0\.0\.1/],
  ["https://[::1]/", LOOPBACK, /::1, a loopback address/],
  ["https://[64:ff9b::7f00:1]/", LOOPBACK, /a NAT64 address/],
  ["https://[2002:7f00:1::]/", LOOPBACK, /a 6to4 address/],
  ["https://169.254.169.254/latest/", LOOPBACK, /a link-local address/],
  ["http://8.8.8.8/", LOOPBACK, /over plain http, which is for the networks/],
] as const) {
  test(`The address in ${url} is refused before a connection`, async (t) => {
    assertFailure(await open(t, { allow }).send(post(url)), "refused_address", message);
  });
}

for (const [title, answer, scheme, message] of [
  ["only private addresses", ["10.0.0.5"], "https", /^Refused: hook\.test resolves to 10\.0\.0\.5, a private address/],
  ["a public and a private address", ["93.184.216.34", "10.0.0.5"], "https", /resolves to 10\.0\.0\.5/],
  ["a listed and a private address", ["127.0.0.1", "10.0.0.5"], "https", /resolves to 10\.0\.0\.5/],
  [
    "a listed and a public address",
    ["127.0.0.1", "93.184.216.34"],
    "http",
    /93\.184\.216\.34, a public address over plain http/,
  ],
  ["a mapped private address", ["::ffff:10.0.0.5"], "https", /resolves to 10\.0\.0\.5/],
  ["an address with a zone", ["fe80::1%eth0"], "https", /not a usable address/],
  ["rubbish", ["nonsense"], "https", /not a usable address/],
] as const) {
  test(`A name that resolves to ${title} is refused over ${scheme}`, async (t) => {
    const egress = open(t, { resolve: async () => [...answer] });
    assertFailure(await egress.send(post(`${scheme}://hook.test/`)), "refused_address", message);
  });
}

test("A name is judged at every new connection, so one that turns bad is refused", async (t) => {
  const port = await listenRaw(t, (socket) => {
    socket.end("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
  });
  const answers = [["127.0.0.1"], ["10.0.0.1"]];
  const asked: string[] = [];
  const egress = open(t, {
    resolve: async (host) => {
      asked.push(host);
      return answers.shift() ?? [];
    },
  });
  const first = await egress.send(post(`http://hook.test:${port}/`));
  assertResponse(first);
  assert.equal(typeof first.timings_ms.dns, "number");
  assertFailure(await egress.send(post(`http://hook.test:${port}/`)), "refused_address", /resolves to 10\.0\.0\.1/);
  assert.deepEqual(asked, ["hook.test", "hook.test"]);
});

test("Connections that open at the same time share one lookup", async (t) => {
  const port = await listenHttp(t, (request, response) => request.resume().on("end", () => response.end()));
  let lookups = 0;
  const egress = open(t, {
    resolve: async () => {
      lookups++;
      return ["127.0.0.1"];
    },
  });
  const sent = Array.from({ length: 10 }, () => egress.send(post(`http://hook.test:${port}/`)));
  for (const exchange of await Promise.all(sent)) assert.equal(exchange.kind, "response");
  assert.equal(lookups, 1);
});

for (const [title, resolve, code, message] of [
  ["does not exist", () => Promise.reject(Object.assign(new Error(), { code: "ENOTFOUND" })), "dns", /does not exist/],
  ["has no address", () => Promise.resolve([]), "dns", /The name hook\.test has no address in DNS/],
  [
    "is never answered",
    () => new Promise<string[]>(() => {}),
    "timeout",
    /^Still looking up the address of hook\.test:443/,
  ],
] as const) {
  test(`A name that ${title} fails with "${code}"`, async (t) => {
    const egress = open(t, { resolve });
    const exchange = await egress.send(
      post("https://hook.test/", { timeout_ms: code === "timeout" ? SHORT_MS : LONG_MS }),
    );
    assertFailure(exchange, code, message);
  });
}

for (const [url, allow, answer] of [
  ["https://hook.test/", [], null],
  ["https://93.184.216.34/", [], null],
  ["https://hook.test:8443/a?b=c", [], null],
  ["https://10.0.0.5/", ["10.0.0.0/8"], null],
  ["http://10.0.0.5/", ["10.0.0.0/8"], null],
  ["http://localhost:3000/", LOOPBACK, null],
  ["http://good.test/", LOOPBACK, null],
  [
    "http://hook.test/",
    [],
    /^Plain http is not accepted, unless .* names the network: .* start the server again with LINKME_EGRESS_ALLOW=127\.0\.0\.0\/8\. Use a public https URL/,
  ],
  ["http://93.184.216.34/", LOOPBACK, /over plain http, which is for the networks/],
  ["http://hook.test/", LOOPBACK, /hook\.test resolves to 93\.184\.216\.34, a public address over plain http/],
  ["http://missing.test/", LOOPBACK, /^The name missing\.test does not exist in DNS\. Use a public https URL/],
  [
    "https://10.0.0.5/",
    [],
    /^10\.0\.0\.5, a private address outside the networks of LINKME_EGRESS_ALLOW \(to allow it, start the server again with LINKME_EGRESS_ALLOW=10\.0\.0\.5\), is refused\. Use/,
  ],
  [
    "http://127.0.0.1:3000/",
    [],
    /^127\.0\.0\.1, a loopback .* LINKME_EGRESS_ALLOW=127\.0\.0\.0\/8\), is refused\. Use/,
  ],
  ["http://localhost:3000/", [], /LINKME_EGRESS_ALLOW=127\.0\.0\.0\/8,::1\), is refused\. Use/],
  ["http://10.0.0.5/", LOOPBACK, /LINKME_EGRESS_ALLOW=…,10\.0\.0\.5, where … is what it has now\), is refused\. Use/],
  [
    "http://inner.test/",
    LOOPBACK,
    /^Refused: inner\.test resolves to 10\.0\.0\.5, .* LINKME_EGRESS_ALLOW=…,10\.0\.0\.5,/,
  ],
  ["https://0x7f.1/", [], /^127\.0\.0\.1, a loopback address/],
  ["https://[::ffff:10.0.0.5]/", [], /^10\.0\.0\.5, a private address/],
  ["https://localhost/", [], /^127\.0\.0\.1, a loopback address/],
  ["https://api.localhost./", [], /^127\.0\.0\.1, a loopback address/],
  ["https://user@hook.test/", [], /user name or password/],
  ["nonsense", [], /cannot be read/],
] as const) {
  const listed = allow.length === 0 ? "nothing" : allow.join(", ");
  test(`${url} ${answer === null ? "may" : "may not"} be saved with ${listed} listed`, async (t) => {
    const names: Record<string, string[]> = {
      ...{ "good.test": ["127.0.0.1"], "hook.test": ["93.184.216.34"], "inner.test": ["10.0.0.5"] },
    };
    const egress = open(t, {
      allow,
      resolve: async (host) => {
        const found = names[host];
        if (!found) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
        assert.ok(url.startsWith("http:"), "names of https targets are not resolved on save");
        return found;
      },
    });
    const refusal = await egress.check(url);
    if (answer === null) assert.equal(refusal, null);
    else assert.match(refusal ?? "", answer);
  });
}
