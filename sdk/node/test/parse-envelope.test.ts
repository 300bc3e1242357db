// Reading an envelope: the samples, what newer servers may send, and what is no envelope, which is told as LinkMe's SDK does.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { z } from "zod";
import { LinkMeWebhookEnvelopeSchema, parseLinkMeWebhookEnvelope } from "../src/index.ts";

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
  [
    "undefined for what is optional",
    { id: "1", event: "e", ts: undefined, data: undefined },
    { id: "1", event: "e", ts: undefined, data: undefined },
  ],
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

const bad: [why: string, input: unknown, at: string, message: RegExp][] = [
  ["undefined", undefined, "", /expected object, received undefined/],
  ["null", null, "", /received null/],
  ["a number", 7, "", /received number/],
  ["an array", [{ id: "1", event: "e" }], "", /received array/],
  ["JSON text", '{"id":"1","event":"e"}', "", /received string: call JSON\.parse on the body first/],
  ["a raw body", Buffer.from("{}"), "id event", /expected string, received undefined/],
  ["no id", { event: "e" }, "id", /expected string, received undefined/],
  ["an empty id", { id: "", event: "e" }, "id", /Too small/],
  ["a number as id", { id: 1, event: "e" }, "id", /received number/],
  ["null as id", { id: null, event: "e" }, "id", /received null/],
  ["no event", { id: "1" }, "event", /received undefined/],
  ["an empty event", { id: "1", event: "" }, "event", /Too small/],
  ["an array as event", { id: "1", event: ["e"] }, "event", /received array/],
  ["null as ts", { id: "1", event: "e", ts: null }, "ts", /received null/],
  ["a number as ts", { id: "1", event: "e", ts: 1 }, "ts", /received number/],
  ["null as app_id", { id: "1", event: "e", app_id: null }, "app_id", /received null/],
  ["null as data", { id: "1", event: "e", data: null }, "data", /expected record, received null/],
  ["an array as data", { id: "1", event: "e", data: [] }, "data", /expected record, received array/],
  ["text as data", { id: "1", event: "e", data: "{}" }, "data", /expected record, received string/],
];
for (const [why, input, at, message] of bad) {
  test(`${why} is refused with a ZodError that says where and what is accepted, and by the schema alike`, () => {
    const refused = (error: unknown) => {
      assert.ok(error instanceof z.ZodError && error instanceof Error);
      assert.equal(error.name, "ZodError");
      assert.deepEqual(error.issues.map(({ path }) => path.join(".")).join(" "), at);
      assert.match(error.issues[0]?.message ?? "", message);
      return true;
    };
    assert.throws(() => parseLinkMeWebhookEnvelope(input), refused);
    assert.throws(() => LinkMeWebhookEnvelopeSchema.parse(input), refused);
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
