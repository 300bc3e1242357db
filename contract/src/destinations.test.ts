import assert from "node:assert/strict";
import { test } from "node:test";
import { HEADERS_MAX, MASK, RESERVED_HEADERS, WebhookCreate, WebhookPatch } from "./destinations.ts";

const needed = { url: "https://hooks.example.com/in", events: ["link.click"] };

test("a webhook needs a URL and events; everything else has a default", () => {
  assert.deepEqual(WebhookCreate.parse(needed), {
    ...needed,
    description: "",
    enabled: true,
    signing: true,
    timeout_ms: 15_000,
    max_in_flight: 50,
    rate_per_second: null,
    retry_on: "retriable",
    ordering: "none",
    headers: {},
    filter: null,
  });
});

test("a patch has no defaults: what is not given stays", () => assert.deepEqual(WebhookPatch.parse({}), {}));

const ACCEPTED: Record<string, unknown>[] = [
  { events: ["link.click", "link.click"] },
  { retry_schedule: [] },
  { retry_schedule: Array(24).fill(604_800) },
  { timeout_ms: 1_000 },
  { timeout_ms: 60_000 },
  { max_in_flight: 1_000 },
  { rate_per_second: null },
  { headers: { Authorization: "Bearer abc", "X-Empty": "" } },
  { headers: { Authorization: MASK } },
];
for (const fields of ACCEPTED) {
  test(`${JSON.stringify(fields).slice(0, 60)} is accepted on create and on change`, () => {
    assert.ok(WebhookCreate.safeParse({ ...needed, ...fields }).success);
    assert.ok(WebhookPatch.safeParse(fields).success);
  });
}

const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, "1"]));
const REFUSED: Record<string, unknown>[] = [
  { url: "" },
  { url: 5 },
  { events: [] },
  { events: ["link.shared"] },
  { events: "link.click" },
  { enabled: "yes" },
  { retry_schedule: Array(25).fill(1) },
  { retry_schedule: [-1] },
  { retry_schedule: [604_801] },
  { retry_schedule: [1.5] },
  { timeout_ms: 999 },
  { timeout_ms: 60_001 },
  { max_in_flight: 0 },
  { max_in_flight: 1_001 },
  { rate_per_second: 0 },
  { rate_per_second: 0.009 },
  { retry_on: "always" },
  { headers: many(HEADERS_MAX + 1) },
  { headers: { "bad name": "1" } },
  { headers: { "": "1" } },
  { headers: { A: "1\r\nX-Injected: 1" } },
  { headers: { A: "ü" } },
  { headers: { A: `${MASK}x` } },
  { headers: { A: 1 } },
  { retries: 3 },
  { state: "active" },
];
for (const fields of REFUSED) {
  test(`${JSON.stringify(fields).slice(0, 60)} is refused on create and on change`, () => {
    assert.equal(WebhookCreate.safeParse({ ...needed, ...fields }).success, false);
    assert.equal(WebhookPatch.safeParse(fields).success, false);
  });
}

for (const name of RESERVED_HEADERS) {
  test(`the header ${name} is the server's own, in any case`, () => {
    for (const spelled of [name, name.toUpperCase()]) {
      assert.equal(WebhookPatch.safeParse({ headers: { [spelled]: "1" } }).success, false);
    }
  });
}
