import assert from "node:assert/strict";
import { test } from "node:test";
import { AppError } from "../errors.ts";
import { JSON_MAX_DEPTH, parseJsonBody } from "./json-body.ts";

const nested = (depth: number, open: string, close: string) => open.repeat(depth) + close.repeat(depth);

for (const [what, text, value] of [
  ["an object", '{"a":[1,"x",null,true]}', { a: [1, "x", null, true] }],
  ["escaped and literal characters beyond ASCII", '{"a":"\\ud83d\\udd17 🔗 \\u00e9"}', { a: "🔗 🔗 é" }],
  ["a member named constructor", '{"constructor":"Volvo","prototype":1}', { constructor: "Volvo", prototype: 1 }],
  ["words that only look like trouble", '{"a":"__proto__ \\\\u0000"}', { a: "__proto__ \\u0000" }],
  ["nesting up to the limit", nested(JSON_MAX_DEPTH, "[", "]"), JSON.parse(nested(JSON_MAX_DEPTH, "[", "]"))],
  ["no body at all", "", undefined],
  ["a bare value", "17", 17],
  ["numbers that lose nothing", "[9007199254740991,-9007199254740991,1e15,0.1]", [2 ** 53 - 1, 1 - 2 ** 53, 1e15, 0.1]],
] as const) {
  test(`reads ${what}`, () => assert.deepEqual(parseJsonBody(Buffer.from(text)), value));
}

for (const [what, body, path, message] of [
  ["an unfinished object", '{"a":', null, /not valid JSON/],
  ["a byte order mark", '\ufeff{"a":1}', null, /byte order mark/],
  ["a raw control character in a text", '{"a":"\u0000"}', null, /not valid JSON/],
  ["invalid UTF-8", Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), null, /not valid UTF-8/],
  ["UTF-16", Buffer.from('{"a":1}', "utf16le"), null, /not valid/],
  ["a NUL", '{"a":{"b":["x","y\\u0000"]}}', "a.b.1", /NUL/],
  ["a NUL in a name", '{"a":{"\\u0000":1}}', "a.\\u0000", /NUL/],
  ["half a surrogate pair", '{"a":"\\ud83d"}', "a", /lone surrogates/],
  ["the other half", '{"a":"x\\udd17"}', "a", /lone surrogates/],
  ["half a pair in a name", '{"\\ud83d":1}', "\ufffd", /lone surrogates/],
  ["__proto__", '{"a":{"__proto__":{"admin":true}}}', "a.__proto__", /prototype/],
  ["an escaped __proto__", '{"\\u005f_proto__":1}', "__proto__", /prototype/],
  ["constructor.prototype", '{"constructor":{"prototype":{"x":1}}}', "constructor", /prototype/],
  ["a number beyond a double", '{"a":[1e999]}', "a.0", /up to 9007199254740991/],
  ["a number whose last digits would be lost", '{"a":[0.5,9007199254740993]}', "a.1", /as text/],
  ["the same below zero", '{"a":-12345678901234567890}', "a", /as text/],
  ["one level of nesting too many", nested(JSON_MAX_DEPTH + 1, "[", "]"), null, /levels of nesting/],
  ["a depth bomb of arrays", nested(500_000, "[", "]"), null, /levels of nesting/],
  ["a depth bomb of objects", `${'{"a":'.repeat(150_000)}1${"}".repeat(150_000)}`, null, /levels of nesting/],
  ["a depth bomb without an end", "[".repeat(1_000_000), null, /not valid JSON/],
] as const) {
  test(`refuses ${what}, naming the place`, () => {
    assert.throws(
      () => parseJsonBody(Buffer.from(body)),
      (error) => {
        assert.ok(error instanceof AppError, String(error));
        assert.equal(error.code, "invalid_request");
        assert.match(error.message, message);
        if (path !== null) assert.equal(error.details?.[0]?.path, path);
        return true;
      },
    );
  });
}

test("where devices send it, a number may lose digits, but must be one", () => {
  assert.deepEqual(parseJsonBody(Buffer.from("[1e300]"), Number.MAX_VALUE), [1e300]);
  assert.throws(() => parseJsonBody(Buffer.from("[1e999]"), Number.MAX_VALUE), /fits into a double/);
});
