import assert from "node:assert/strict";
import { test } from "node:test";
import { readGoogleIds } from "./google-ids.ts";

const GA = "GA1.1.1390821944.1652345678";
const GS1 = "GS1.1.1695637231.3.1.1695637243.0.0.0";
const GS2 = "GS2.1.s1747323152$o28$g0$t1747323152$j60$l0$h69286059";
const client_id = "1390821944.1652345678";

for (const [title, header, expected] of [
  ["both cookies", `a=b; _ga=${GA}; _ga_ABC123=${GS1}`, { client_id, cookies: { _ga: GA, _ga_ABC123: GS1 } }],
  ["the newer form of a session", `_ga_ABC123=${GS2};_ga=${GA}`, { client_id, cookies: { _ga_ABC123: GS2, _ga: GA } }],
  ["a session alone", `_ga_ABC123=${GS2}`, { cookies: { _ga_ABC123: GS2 } }],
  ["a deeper domain", "_ga=GA1.3-2.1.2", { client_id: "1.2", cookies: { _ga: "GA1.3-2.1.2" } }],
  ["the first of two", `_ga=${GA}; _ga=GA1.1.9.9`, { client_id, cookies: { _ga: GA } }],
  ["a good one behind a bad one", `_ga=x; _ga=${GA}`, { client_id, cookies: { _ga: GA } }],
] as const) {
  test(`cookies are kept: ${title}`, () => assert.deepEqual(readGoogleIds(header), expected));
}

for (const [title, header] of [
  ["no cookies", undefined],
  ["others only", "_gid=GA1.1.1.2; x_ga=GA1.1.1.2; session=secret"],
  ["no form of theirs", "_ga=ada@example.com; _ga_ABC123=hello; _ga=GA1.1.1; _ga=GA2.1.1.2; _ga=GA1.1.a.2"],
  ["a number that is too long", "_ga=GA1.1.12345678901.2"],
  ["a stream that is none", `_ga_abc123=${GS1}; _ga_A=${GS1}; _ga_${"A".repeat(21)}=${GS1}`],
  ["a value that is too long", `_ga_ABC123=GS2.1.s1${"$oaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".repeat(10)}`],
  ["a header that is too long", `${"a=b; ".repeat(2_000)}_ga=${GA}`],
  ["markup", '_ga=GA1.1.1.2"><script>; _ga_ABC123=GS1.1.1.1\n2'],
] as const) {
  test(`nothing is kept: ${title}`, () => assert.equal(readGoogleIds(header), null));
}

test("of many streams the first five are kept", () => {
  const streams = Array.from({ length: 8 }, (_, n) => `_ga_STREAM${n}=${GS1}`);
  assert.equal(Object.keys(readGoogleIds([...streams, `_ga=${GA}`].join("; "))?.cookies ?? {}).length, 6);
});
