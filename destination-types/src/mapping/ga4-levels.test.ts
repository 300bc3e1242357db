import assert from "node:assert/strict";
import { test } from "node:test";
import { APP, type Attempt, type Body, find, NOW, ON_APP, SECRET, WEB } from "../../test/ga4-request.ts";
import type { Ga4Rule } from "./ga4-findings.ts";
import { GA4_AGE_MAX_MS, GA4_LONG_VALUES } from "./ga4-limits.ts";
import { GA4_APP_EVENTS, GA4_REFUSED_EVENTS, GA4_RESERVED_EVENTS } from "./ga4-names.ts";
import { validateGa4 } from "./ga4-validate.ts";

const many = (count: number, value: unknown): Body =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, value]));
const micros = (offset_ms: number) => (NOW + offset_ms) * 1_000;

const LEVELS: [Attempt, Ga4Rule, string][] = [
  [{ body: { client_id: "" } }, "CLIENT_ID_INVALID", "error"],
  [{ body: { client_id: "u_42" } }, "CLIENT_ID_INVALID", "warning"],
  [{ body: { client_id: "019c1363-4b5c-71f1-84b7-8073442bd4c8" } }, "UUID_CLIENT_ID", "warning"],
  [{ body: { timestamp_micros: micros(-GA4_AGE_MAX_MS - 1) } }, "TIMESTAMP_TOO_OLD", "warning"],
  [{ url: "http://tags.example/mp/collect?measurement_id=G-1&api_secret=x" }, "NOT_HTTPS", "warning"],
  [{ url: WEB.replace("https", "http") }, "NOT_HTTPS", "error"],
];
for (const [attempt, rule, level] of LEVELS) {
  test(`${rule} of ${JSON.stringify(attempt)} is a ${level} where nothing is enforced`, () => {
    assert.equal(find(attempt).find((one) => one.rule === rule)?.level, level);
  });
}

test("names that Google's validation server refuses are errors, and those that are only documented are warnings", () => {
  const levelOf = (name: string, url: string) =>
    find({ ...(url === APP ? ON_APP : {}), event: { name } }).find(({ rule }) => rule === "EVENT_NAME_RESERVED")?.level;
  for (const name of GA4_REFUSED_EVENTS) assert.equal(levelOf(name, WEB), "error", name);
  for (const name of GA4_RESERVED_EVENTS) assert.equal(levelOf(name, WEB), "warning", name);
  for (const name of GA4_APP_EVENTS) {
    assert.equal(levelOf(name, WEB), "error", name);
    assert.equal(levelOf(name, APP), undefined, name);
  }
});

for (const [name, max] of GA4_LONG_VALUES) {
  test(`${name} may have ${max} characters`, () => {
    const rules = (length: number) => find({ params: { [name]: "v".repeat(length) } }).map(({ rule }) => rule);
    assert.deepEqual([rules(max), rules(max + 1)], [[], ["PARAM_VALUE_TOO_LONG"]]);
  });
}

test("the values of Google's session cookies have no limit", () => {
  const session_number = "1".repeat(500);
  assert.deepEqual(find({ params: { session_id: `GS2.1.s1769851790$o3$${"g".repeat(500)}`, session_number } }), []);
});

test("the time of the request does not count where each event has its own", () => {
  const old = { timestamp_micros: micros(-GA4_AGE_MAX_MS - 1) };
  assert.deepEqual(find({ body: old, event: { timestamp_micros: micros(0) } }), []);
});

test("a message names the value and the limit", () => {
  const [found] = find({ params: { a: `${"v".repeat(100)}w` } });
  assert.equal(
    found?.message,
    `The value "${"v".repeat(59)}… has 101 characters; Google takes 100 and ignores a longer one`,
  );
  assert.equal(found?.fix, "Cut it to 100 characters");
});

test("no finding holds the secret, wherever it stands in the request", () => {
  const body = {
    ...{ [SECRET]: SECRET, client_id: SECRET, app_instance_id: SECRET, validation_behavior: SECRET },
    ...{ user_properties: { [SECRET]: SECRET }, consent: { [SECRET]: SECRET } },
    events: [
      {
        name: SECRET,
        [SECRET]: 1,
        params: { [SECRET]: null, currency: SECRET, session_id: SECRET, a: `${SECRET}${"x".repeat(99)}` },
      },
    ],
  };
  const text = JSON.stringify(body);
  for (const url of [WEB, WEB.replace("G-K3TQ7M", SECRET), `https://${SECRET}.example/x?api_secret=${SECRET}`]) {
    const found = validateGa4({ url, body: text }, { now_ms: NOW, mode: "enforce", dimensions: [SECRET] });
    assert.ok(found.length > 10);
    assert.ok(!JSON.stringify(found).includes(SECRET), JSON.stringify(found, null, 1));
  }
});

test("what is wrong a thousand times is told a hundred times", () => {
  assert.equal(find({ params: many(1_000, null) }).length, 100);
});

test("no JSON of another shape makes it fail", () => {
  for (const value of [
    null,
    1,
    "x",
    [],
    {},
    { events: [[]] },
    { events: [{ params: null }] },
    { consent: [], device: 1 },
  ]) {
    for (const url of ["", WEB, APP, "data:,"]) {
      const found = validateGa4({ url, body: JSON.stringify(value) }, { now_ms: NOW, mode: "relaxed" });
      assert.ok(found.some(({ level }) => level === "error"));
    }
  }
});
