import assert from "node:assert/strict";
import { test } from "node:test";
import { FAILURE_CODES } from "#contract/deliveries.ts";
import {
  describeDnsError,
  describeError,
  EgressError,
  type FailureCode,
  isSilence,
  keepHeaders,
  type Phase,
  readSnippet,
} from "./exchange.ts";

const bytes = (text: string) => Buffer.from(text, "utf8");

const SNIPPETS: readonly (readonly [title: string, chunks: Buffer[], truncated: boolean, text: string])[] = [
  ["plain text", [bytes("ok")], false, "ok"],
  ["nothing", [Buffer.alloc(0)], false, ""],
  ["a character split between chunks", [bytes("é").subarray(0, 1), bytes("é").subarray(1)], false, "é"],
  ["NUL, which PostgreSQL cannot store", [bytes("a\0b\0")], false, "ab"],
  ["bytes that are not UTF-8", [Buffer.from([0xff, 0x41, 0xfe])], false, "\ufffdA\ufffd"],
  ["a surrogate written as UTF-8", [Buffer.from([0xed, 0xa0, 0x80])], false, "\ufffd\ufffd\ufffd"],
  ["a byte order mark, which stays", [bytes("\ufeffx")], false, "\ufeffx"],
  ["half a character at a cut", [bytes("ab€").subarray(0, 4)], true, "ab"],
  ["half a character at the end", [bytes("ab€").subarray(0, 4)], false, "ab\ufffd"],
  ["more than 4 KiB", [bytes(`${"a".repeat(4095)}€€`)], true, "a".repeat(4095)],
  ["gzip, kept as it came", [Buffer.from([0x1f, 0x8b, 0x08, 0x00])], false, "\x1f\ufffd\x08"],
];

for (const [title, chunks, truncated, text] of SNIPPETS) {
  test(`A snippet of ${title} is stored safely`, () => {
    const snippet = readSnippet(chunks, truncated);
    assert.equal(snippet, text);
    assert.ok(snippet.isWellFormed());
  });
}

test("Response headers are bounded and free of control characters", () => {
  const raw = new Map([
    ["content-type", "text/plain"],
    ["odd", "a\u0001b\tc\u009f"],
    ["long", "x".repeat(5000)],
    ["__proto__", "polluted"],
  ]);
  const kept = keepHeaders(raw);
  assert.deepEqual(kept, {
    "content-type": "text/plain",
    odd: "a\ufffdb\tc\ufffd",
    long: "x".repeat(1024),
  });
  assert.equal(Object.getPrototypeOf(kept), Object.prototype);
});

test("All response headers together stay within 8 KiB", () => {
  const raw = new Map(Array.from({ length: 100 }, (_, i) => [`header-${i}`, "x".repeat(1000)]));
  const kept = keepHeaders(raw);
  assert.equal(Object.keys(kept).length, 8);
});

function errorOf(code: string, message = "", extra: object = {}): Error {
  return Object.assign(new Error(message), { code }, extra);
}

const refused = errorOf("ECONNREFUSED", "secret", { address: "203.0.113.7", port: 443 });
const refused6 = errorOf("ECONNREFUSED", "", { address: "2a00::1", port: 443 });

const ERRORS: readonly (readonly [Error, Phase, code: string, message: string, is_silence: boolean])[] = [
  [refused, "connecting", "connect", "Connection refused by 203.0.113.7:443", true],
  [refused6, "connecting", "connect", "Connection refused by [2a00::1]:443", true],
  [new AggregateError([refused, refused6]), "connecting", "connect", "Connection refused by 203.0.113.7:443", true],
  [errorOf("EHOSTUNREACH"), "connecting", "connect", "No route to api.test:443", true],
  [errorOf("EWEIRD"), "connecting", "connect", "Could not connect to api.test:443 (EWEIRD)", true],
  [errorOf("EMFILE"), "connecting", "connect", "This server has reached its limit of open files", false],
  [errorOf("EADDRNOTAVAIL"), "connecting", "connect", "Could not connect to api.test:443 (EADDRNOTAVAIL)", false],
  [errorOf("CERT_HAS_EXPIRED"), "securing", "tls", "The certificate of api.test:443 has expired", false],
  [errorOf("EPROTO"), "securing", "tls", "The TLS handshake with api.test:443 failed (EPROTO)", false],
  [errorOf("ECONNRESET"), "securing", "tls", "api.test:443 closed the connection during the TLS handshake", true],
  [new EgressError("reset", "It closed"), "securing", "reset", "It closed", true],
  [errorOf("ECONNRESET"), "sent", "reset", "api.test:443 reset the connection before it answered", true],
  [errorOf("EODD"), "sent", "reset", "The connection to api.test:443 broke before an answer came (EODD)", true],
  [new EgressError("protocol", "Not HTTP"), "sent", "protocol", "Not HTTP", false],
  [new EgressError("refused_address", "Refused: it"), "waiting", "refused_address", "Refused: it", false],
  [new EgressError("refused_address", "Refused: it"), "resolving", "refused_address", "Refused: it", false],
  [new EgressError("dns", "No such name"), "resolving", "dns", "No such name", false],
];

for (const [error, phase, code, message, is_silence] of ERRORS) {
  const says = is_silence ? "the receiver is silent" : "nothing about what the receiver bears";
  test(`While ${phase}, "${message}" is what ${error.name} means, and it says ${says}`, () => {
    assert.deepEqual(describeError(error, phase, "api.test:443"), { code, message, is_silence });
  });
}

const PHASES = ["waiting", "resolving", "connecting", "securing", "sent"] as const;
const SILENT_IN: Record<FailureCode, readonly Phase[]> = {
  ...{ refused_address: [], dns: [], protocol: [], aborted: [] },
  connect: ["connecting", "securing", "sent"],
  tls: ["connecting", "securing", "sent"],
  timeout: ["connecting", "securing", "sent"],
  reset: ["connecting", "securing", "sent"],
};

for (const code of FAILURE_CODES) {
  test(`"${code}" is silence of the receiver while ${SILENT_IN[code].join(", ") || "nothing"}`, () => {
    assert.deepEqual(
      PHASES.filter((phase) => isSilence(code, phase)),
      SILENT_IN[code],
    );
  });
}

test("A failed lookup names the host and the cause", () => {
  assert.equal(describeDnsError("ENOTFOUND", "api.test"), "The name api.test does not exist in DNS");
  assert.equal(describeDnsError("EODD", "api.test"), "The name api.test could not be resolved (EODD)");
  assert.equal(describeDnsError("", "api.test"), "The name api.test could not be resolved (unknown error)");
});
