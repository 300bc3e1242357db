// Holds the committed samples in spec/events to the event schemas, and the schemas to what they must refuse.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import {
  ATTEMPT_REASONS,
  CLAIM_TYPES,
  ENVELOPE_MAX_BYTES,
  Envelope,
  EVENT_DATA,
  EVENT_TYPES,
  EventInput,
  type EventType,
  INGEST_MAX_EVENTS,
  IngestBody,
  PLATFORMS,
} from "./events.ts";

const SAMPLES_URL = new URL("../../spec/events/", import.meta.url);
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const samples = readdirSync(SAMPLES_URL)
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => ({ name, text: readFileSync(new URL(name, SAMPLES_URL), "utf8") }));

function parseSample(name: string): Envelope {
  return Envelope.parse(JSON.parse(readFileSync(new URL(`${name}.json`, SAMPLES_URL), "utf8")));
}

/** A sample's envelope or data with some members replaced; `undefined` removes one, as JSON would. */
function changed(value: object, changes: Record<string, unknown>): unknown {
  return JSON.parse(JSON.stringify({ ...value, ...changes }));
}

test("every event type has a sample of its own name", () => {
  const names = samples.map(({ name }) => name);
  for (const type of EVENT_TYPES) assert.ok(names.includes(`${type}.json`), `spec/events/${type}.json is missing`);
});

for (const { name, text } of samples) {
  test(`the sample ${name} is an envelope that this server could send`, () => {
    const raw: unknown = JSON.parse(text);
    const envelope = Envelope.parse(raw);
    assert.deepEqual(envelope, raw, "the envelope has a member that the contract does not know");
    assert.deepEqual(EVENT_DATA[envelope.event].parse(envelope.data), envelope.data, "data has an unknown member");
    assert.ok(name.startsWith(`${envelope.event}.`), "the file is named after its event type");
    assert.ok(Buffer.byteLength(text) <= ENVELOPE_MAX_BYTES);
    assert.ok(!text.includes("null"), "what is unknown is absent, never null");
    assert.match(envelope.id, UUID_V7);
    const idTime = Number.parseInt(envelope.id.slice(0, 8) + envelope.id.slice(9, 13), 16);
    assert.equal(new Date(idTime).toISOString(), envelope.ts, "the time inside the id is the time of the event");
  });
}

test("no two samples share an id", () => {
  const ids = samples.map(({ text }) => Envelope.parse(JSON.parse(text)).id);
  assert.equal(new Set(ids).size, ids.length);
});

test("the full samples show every member of their data, apart from the two marks for special clicks", () => {
  for (const type of EVENT_TYPES) {
    const shown = Object.keys(parseSample(type).data);
    const documented = Object.keys(EVENT_DATA[type].shape);
    assert.deepEqual(
      documented.filter((member) => !shown.includes(member) && member !== "test" && member !== "force_web"),
      [],
      type,
    );
  }
});

test("an envelope keeps any JSON object as data", () => {
  const data = { nested: { list: [1, "two", null, { three: false }] }, "": "empty key", ключ: "🔗" };
  assert.deepEqual(Envelope.parse(changed(parseSample("link.click"), { data })).data, data);
});

test("data with a member that is called __proto__ is refused, so that no reader's objects can be changed by it", () => {
  const data: unknown = JSON.parse('{"__proto__":{"admin":true},"kept":1}');
  const issues = EventInput.safeParse({ event: "link.click", data }).error?.issues ?? [];
  assert.deepEqual(
    issues.map((issue) => [issue.path.join("."), issue.message]),
    [["data", "a JSON object without a member called __proto__"]],
  );
});

const badEnvelopes: [why: string, changes: Record<string, unknown>][] = [
  ["no id", { id: undefined }],
  ["an id that is not a UUID", { id: "evt_1" }],
  ["an empty id", { id: "" }],
  ["a number as id", { id: 7 }],
  ["no event", { event: undefined }],
  ["an event type that does not exist", { event: "link.clicked" }],
  ["an event type in capitals", { event: "LINK.CLICK" }],
  ["no ts", { ts: undefined }],
  ["a ts without milliseconds", { ts: "2026-01-31T09:30:00Z" }],
  ["a ts with an offset", { ts: "2026-01-31T10:30:00.412+01:00" }],
  ["a ts on a day that does not exist", { ts: "2026-02-30T09:30:00.412Z" }],
  ["a ts in seconds since 1970", { ts: 1769851800 }],
  ["no app_id", { app_id: undefined }],
  ["null as app_id", { app_id: null }],
  ["no data", { data: undefined }],
  ["null as data", { data: null }],
  ["an array as data", { data: [] }],
  ["a string as data", { data: "{}" }],
];
for (const [why, changes] of badEnvelopes) {
  test(`an envelope with ${why} is refused`, () => {
    assert.equal(Envelope.safeParse(changed(parseSample("link.click"), changes)).success, false);
  });
}

const badData: [type: EventType, why: string, changes: Record<string, unknown>][] = [
  ["link.click", "no link_id", { link_id: undefined }],
  ["link.click", "no platform", { platform: undefined }],
  ["link.click", "no dest_url", { dest_url: undefined }],
  ["link.click", "desktop as platform", { platform: "desktop" }],
  ["link.click", "null for an unknown slug", { slug: null }],
  ["link.click", "a number among the utm values", { utm: { utm_source: 1 } }],
  ["link.click", "a nested parameter", { params: { product: { id: "42" } } }],
  ["link.click", "force_web false instead of absent", { force_web: false }],
  ["link.click", "test false instead of absent", { test: false }],
  ["link.token_created", "no cid", { cid: undefined }],
  ["link.token_created", "no expires_at", { expires_at: undefined }],
  ["link.token_created", "expires_at without milliseconds", { expires_at: "2026-03-02T09:30:00Z" }],
  ["link.token_created", "an unknown method", { methods: ["guess"] }],
  ["link.token_created", "one method outside an array", { methods: "direct" }],
  ["link.claim", "no cid", { cid: undefined }],
  ["link.claim", "an unknown claim_type", { claim_type: "cid" }],
  ["link.claim", "duplicate true: only the first claim is an event", { duplicate: true }],
  ["link.claim", "0 instead of false", { duplicate: 0 }],
  ["link.claim", "claimed_at in seconds", { claimed_at: 1769852061 }],
  ["link.claim", "null as user_id", { user_id: null }],
  ["link.app_open", "no platform", { platform: undefined }],
  ["link.app_open", "another type than open", { type: "claim" }],
  ["link.app_open", "detail as an object instead of JSON text", { detail: { screen: "product" } }],
  ["link.app_open", "a fraction of a second", { timestamp: 1769852062.5 }],
  ["link.app_open", "timestamp as text", { timestamp: "1769852062" }],
  ["link.deferred_claim_attempt", "no matched", { matched: undefined }],
  ["link.deferred_claim_attempt", "1 instead of true", { matched: 1 }],
  ["link.deferred_claim_attempt", "another method", { method: "pasteboard" }],
  ["link.deferred_claim_attempt", "an unknown reason", { reason: "because" }],
];
for (const [type, why, changes] of badData) {
  test(`the data of ${type} with ${why} is refused`, () => {
    assert.equal(EVENT_DATA[type].safeParse(changed(parseSample(type).data, changes)).success, false);
  });
}

test("every platform, way of claiming and reason is accepted where it belongs", () => {
  for (const platform of PLATFORMS) assert.ok(accepts("link.click", { platform }));
  for (const claim_type of CLAIM_TYPES) assert.ok(accepts("link.claim", { claim_type }));
  for (const reason of ATTEMPT_REASONS) assert.ok(accepts("link.deferred_claim_attempt", { reason }));
  assert.ok(accepts("link.token_created", { methods: [...CLAIM_TYPES] }));
});

function accepts(type: EventType, changes: Record<string, unknown>): boolean {
  return EVENT_DATA[type].safeParse(changed(parseSample(type).data, changes)).success;
}

test("an event of a backend needs only its type and its data; its id comes out in lower case", () => {
  assert.deepEqual(EventInput.parse({ event: "link.claim", data: {} }), { event: "link.claim", data: {} });
  const id = "019C1367-459F-7C24-89D3-F805044604BC";
  assert.equal(EventInput.parse({ event: "link.claim", data: {}, id }).id, id.toLowerCase());
  assert.equal(
    EventInput.parse({ event: "link.claim", data: {}, ts: "2026-01-31T10:30:00+01:00" }).ts,
    "2026-01-31T10:30:00+01:00",
  );
});

const claim = { event: "link.claim", data: {} };
const badIngestBodies: [why: string, body: unknown][] = [
  ["nothing", undefined],
  ["null", null],
  ["a string", "link.claim"],
  ["a bare array", [claim]],
  ["an empty object", {}],
  ["an empty batch", { events: [] }],
  ["a batch that is one event", { events: claim }],
  [`more than ${INGEST_MAX_EVENTS} events`, { events: Array.from({ length: INGEST_MAX_EVENTS + 1 }, () => claim) }],
  ["one bad event in a batch", { events: [claim, { event: "link.gone", data: {} }] }],
  ["a batch with a mistyped member", { events: [claim], dryrun: true }],
  ["both an event and a batch", { ...claim, events: [claim] }],
  ["an unknown event type", { event: "link.gone", data: {} }],
  ["a mistyped member", { ...claim, time: "2026-01-31T09:30:00Z" }],
  ["an app_id, which the address names", { ...claim, app_id: "shop" }],
  ["no data", { event: "link.claim" }],
  ["an array as data", { ...claim, data: [] }],
  ["null as data", { ...claim, data: null }],
  ["an id that is not a UUID", { ...claim, id: "order-17" }],
  ["null as id", { ...claim, id: null }],
  ["a ts without a zone", { ...claim, ts: "2026-01-31T09:30:00" }],
  ["a ts that is a number", { ...claim, ts: 1769851800412 }],
  ["a ts in another calendar form", { ...claim, ts: "31.01.2026 09:30" }],
  ["a ts whose year in UTC has five digits", { ...claim, ts: "9999-12-31T23:59:59-00:01" }],
  ["a ts whose year in UTC is before 0000", { ...claim, ts: "0000-01-01T00:00:00+00:01" }],
];
for (const [why, body] of badIngestBodies) {
  test(`ingest refuses ${why}`, () => {
    assert.equal(IngestBody.safeParse(body).success, false);
  });
}

test("ingest takes one event, and a batch of up to the limit", () => {
  assert.ok(IngestBody.safeParse(claim).success);
  assert.ok(IngestBody.safeParse({ events: Array.from({ length: INGEST_MAX_EVENTS }, () => claim) }).success);
});
