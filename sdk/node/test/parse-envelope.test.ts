// Reading an envelope: the samples, what newer servers may send, and what is no envelope.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { LinkMeWebhookError, parseLinkMeWebhookEnvelope } from "../src/index.ts";

const SAMPLES_URL = new URL("../../../spec/events/", import.meta.url);

for (const name of readdirSync(SAMPLES_URL)) {
  test(`the sample ${name} is read without loss`, () => {
    const sample: unknown = JSON.parse(readFileSync(new URL(name, SAMPLES_URL), "utf8"));
    assert.deepEqual(parseLinkMeWebhookEnvelope(sample), sample);
  });
}

const good: [why: string, input: unknown, envelope: unknown][] = [
  ["id and event are enough", { id: "1", event: "link.click" }, { id: "1", event: "link.click" }],
  ["an event type of a newer server", { id: "1", event: "link.shared" }, { id: "1", event: "link.shared" }],
  ["empty optional texts", { id: "1", event: "e", ts: "", app_id: "" }, { id: "1", event: "e", ts: "", app_id: "" }],
  ["empty data", { id: "1", event: "e", data: {} }, { id: "1", event: "e", data: {} }],
  ["undefined for what is optional", { id: "1", event: "e", ts: undefined, data: undefined }, { id: "1", event: "e" }],
  ["unknown members, which are left out", { id: "1", event: "e", v: 2, extra: {} }, { id: "1", event: "e" }],
  [
    "any values inside data",
    { id: "1", event: "e", data: { a: null, b: [1, { c: "d" }], "🔗": true } },
    { id: "1", event: "e", data: { a: null, b: [1, { c: "d" }], "🔗": true } },
  ],
];
for (const [why, input, envelope] of good) {
  test(`an envelope may have: ${why}`, () => {
    assert.deepEqual(parseLinkMeWebhookEnvelope(input), envelope);
  });
}

const bad: [why: string, input: unknown, code: string, field: string | undefined, message: RegExp][] = [
  ["undefined", undefined, "envelope_not_object", undefined, /JSON object, but it is undefined\./],
  ["null", null, "envelope_not_object", undefined, /it is null\./],
  ["a number", 7, "envelope_not_object", undefined, /it is a number\./],
  ["an array", [{ id: "1", event: "e" }], "envelope_not_object", undefined, /it is an array\./],
  ["JSON text", '{"id":"1","event":"e"}', "envelope_not_object", undefined, /a string: call JSON\.parse/],
  ["a raw body", Buffer.from("{}"), "envelope_not_object", undefined, /a buffer: call JSON\.parse/],
  ["no id", { event: "e" }, "field_missing", "id", /"id" is missing: a non-empty string is required/],
  ["an empty id", { id: "", event: "e" }, "field_invalid", "id", /"id" must be a non-empty string, but it is an empty/],
  ["a number as id", { id: 1, event: "e" }, "field_invalid", "id", /but it is a number/],
  ["null as id", { id: null, event: "e" }, "field_invalid", "id", /but it is null/],
  ["no event", { id: "1" }, "field_missing", "event", /"event" is missing/],
  ["an empty event", { id: "1", event: "" }, "field_invalid", "event", /"event" must be a non-empty string/],
  ["an array as event", { id: "1", event: ["e"] }, "field_invalid", "event", /but it is an array/],
  ["null as ts", { id: "1", event: "e", ts: null }, "field_invalid", "ts", /"ts" must be a string, or absent/],
  ["a number as ts", { id: "1", event: "e", ts: 1 }, "field_invalid", "ts", /but it is a number/],
  ["null as app_id", { id: "1", event: "e", app_id: null }, "field_invalid", "app_id", /"app_id" must be a string/],
  [
    "null as data",
    { id: "1", event: "e", data: null },
    "field_invalid",
    "data",
    /"data" must be a JSON object, or absent/,
  ],
  ["an array as data", { id: "1", event: "e", data: [] }, "field_invalid", "data", /but it is an array/],
  ["text as data", { id: "1", event: "e", data: "{}" }, "field_invalid", "data", /but it is a string/],
];
for (const [why, input, code, field, message] of bad) {
  test(`${why} is refused with a code, the field and what is accepted`, () => {
    assert.throws(
      () => parseLinkMeWebhookEnvelope(input),
      (error: unknown) => {
        assert.ok(error instanceof LinkMeWebhookError);
        assert.equal(error.name, "LinkMeWebhookError");
        assert.equal(error.code, code);
        assert.equal(error.field, field);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

test("a message never repeats what was received", () => {
  assert.throws(
    () => parseLinkMeWebhookEnvelope({ id: "1", event: "e", data: "private-value" }),
    (error: unknown) => error instanceof Error && !error.message.includes("private-value"),
  );
});

test("each member is read once, so a getter cannot change it after the check", () => {
  let reads = 0;
  const input = {
    get id() {
      reads += 1;
      return reads === 1 ? "1" : 7;
    },
    event: "e",
  };
  assert.deepEqual(parseLinkMeWebhookEnvelope(input), { id: "1", event: "e" });
  assert.equal(reads, 1);
});

test("members called __proto__ change no prototype", () => {
  const input: unknown = JSON.parse(
    '{"__proto__":{"admin":true},"id":"1","event":"e","data":{"__proto__":{"admin":true}}}',
  );
  const envelope = parseLinkMeWebhookEnvelope(input);
  assert.equal(Object.getPrototypeOf(envelope), Object.prototype);
  assert.equal(Object.getPrototypeOf(envelope.data), Object.prototype);
  assert.equal(envelope.data?.["admin"], undefined);
});

test("the answer can be changed without changing the input", () => {
  const input = { id: "1", event: "e", data: { a: 1 } };
  const envelope = parseLinkMeWebhookEnvelope(input);
  assert.ok(envelope.data);
  envelope.data["a"] = 2;
  assert.equal(input.data.a, 1);
});
