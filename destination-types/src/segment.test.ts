import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CONTEXT,
  exchangeWith,
  outgoing,
  response,
  SAMPLES,
  SENT_AT,
  sample,
  sent,
  testConformance,
  unsent,
} from "../../server/test/support/vendors/conform.ts";
import { RETRY_AFTER_SECONDS } from "../../server/test/support/vendors/fake.ts";
import { startSegment } from "../../server/test/support/vendors/segment.ts";
import type { Outgoing } from "./definition.ts";
import type { SegmentCall } from "./mapping/segment.ts";
import type { SourceEvent } from "./mapping/source.ts";
import { SegmentConfig, segment } from "./segment.ts";

const KEY = "wk0123456789abcdefghijklmnopqrst";
const RULES = { retry_on: "retriable" } as const;
const config = (changes: object = {}) => SegmentConfig.parse({ write_key: KEY, ...changes });

testConformance({
  definition: segment,
  configs: {
    segment: config(),
    "segment-users": config({ region: "eu", send_user_id: true, skip_google_analytics: true }),
  },
  growing: "link_id",
});

function build(event: SourceEvent, changes: object = {}, delivery: Partial<Outgoing> = {}) {
  return segment.buildRequest(outgoing(event, delivery), segment.prepare(config(changes), CONTEXT));
}

function callOf(event: SourceEvent, changes: object = {}): SegmentCall {
  // What buildRequest has put together.
  const { batch } = JSON.parse(sent(build(event, changes)).body) as { batch: SegmentCall[] };
  const [call] = batch;
  assert.ok(call);
  return call;
}

async function deliver(event: SourceEvent, changes: object) {
  return segment.judge(await exchangeWith(sent(build(event, changes))), RULES);
}

test("every sample is stored, once however often it is sent, and no answer passes for a proof of that", async (t) => {
  const fake = await startSegment(KEY);
  t.after(fake.close);
  for (const event of [...SAMPLES.values(), ...SAMPLES.values()]) {
    assert.deepEqual(await deliver(event, { host: fake.url }), { kind: "accepted_unverified" });
  }
  assert.deepEqual([fake.stored().length, fake.dropped().length], [SAMPLES.size, SAMPLES.size]);
  assert.deepEqual(new Set(fake.dropped()), new Set(["came before"]));
  fake.assertAddsUp();
});

test("a write key that nobody knows is answered 200, and no more is claimed of it", async (t) => {
  const fake = await startSegment("another");
  t.after(fake.close);
  assert.deepEqual(await deliver(sample("link.click"), { host: fake.url }), { kind: "accepted_unverified" });
  assert.deepEqual([fake.stored().length, fake.dropped()], [0, ["no source has this write key"]]);
  fake.assertAddsUp();
});

test("an event is known by its messageId, and sentAt, which would shift its time, is never there", () => {
  for (const event of SAMPLES.values()) {
    assert.equal(callOf(event).messageId, event.id);
    assert.equal(callOf(event).timestamp, event.ts);
    assert.ok(!sent(build(event)).body.includes("sentAt"));
  }
  assert.match(callOf(sample("link.click", {}, { id: "x".repeat(101) })).messageId, /^[0-9a-f-]{36}$/);
});

test("the anonymous id of a visitor stays when a user id comes to it", () => {
  const click = callOf(sample("link.click"), { send_user_id: true });
  const claim = callOf(sample("link.claim"), { send_user_id: true });
  assert.deepEqual([click.userId, claim.userId], [undefined, "user-8841"]);
  assert.equal(claim.anonymousId, click.anonymousId);
  assert.equal(callOf(sample("link.claim")).userId, undefined);
  const carried = sample("link.claim", { segment: { anonymous_id: "a-1" } });
  assert.equal(callOf(carried, { unidentified: "skip" }).anonymousId, "a-1");
});

test("each event has a user or an anonymous id, for Segment drops those without either", () => {
  const of_user = sample("link.app_open.minimal", { user_id: "u1" });
  const call = callOf(of_user, { send_user_id: true, unidentified: "skip" });
  assert.deepEqual([call.userId, call.anonymousId], ["u1", undefined]);
  assert.ok(callOf(sample("link.app_open.minimal")).anonymousId);
  assert.equal(unsent(build(of_user, { unidentified: "skip" })).kind, "skipped");
});

test("Google Analytics is left out where this server sends there itself, and other destinations as it is set", () => {
  assert.equal(callOf(sample("link.click")).integrations, undefined);
  assert.deepEqual(callOf(sample("link.click"), { skip_google_analytics: true }).integrations, {
    ...{ "Google Analytics 4": false, "Google Analytics 4 Cloud": false },
  });
  const integrations = { All: false, "Google Analytics 4": true };
  assert.deepEqual(callOf(sample("link.click"), { skip_google_analytics: true, integrations }).integrations, {
    ...{ "Google Analytics 4": true, "Google Analytics 4 Cloud": false, All: false },
  });
});

test("campaign, page and system stand where Segment's destinations look for them", () => {
  const { context } = callOf(sample("link.click", { bundle_id: "com.example.shop", app_version: "3.1" }));
  assert.deepEqual(context, {
    library: { name: "linkme", version: "1" },
    app: { namespace: "com.example.shop", version: "3.1" },
    os: { name: "iOS" },
    campaign: { source: "newsletter", medium: "email", name: "winter-sale" },
    page: { url: "https://go.shop.example/winter-sale", referrer: "https://mail.example.com/" },
  });
  assert.deepEqual(callOf(sample("link.click.minimal")).context, { library: { name: "linkme", version: "1" } });
});

test("an event at the limit is taken by Segment as well, which counts without what is around it", async (t) => {
  const fake = await startSegment(KEY);
  t.after(fake.close);
  const around = Buffer.byteLength(sent(build(sample("link.click.minimal", { link_id: "" }))).body);
  const named = `"linkme_link_id":"",`.length;
  const event = sample("link.click.minimal", { link_id: "x".repeat(segment.limits.max_bytes - around - named) });
  assert.deepEqual(await deliver(event, { host: fake.url }), { kind: "accepted_unverified" });
  assert.equal(fake.stored().length, 1);
  fake.assertAddsUp();
});

test("faults are tried again when Segment says; a refusal is over", async (t) => {
  const fake = await startSegment(KEY);
  t.after(fake.close);
  fake.fail("throttle", "fail", "lose_answer");
  for (const _ of [429, 503]) {
    const outcome = await deliver(sample("link.click"), { host: fake.url });
    assert.ok(outcome.kind === "refused" && outcome.retriable);
    assert.equal(outcome.retry_after_ms, RETRY_AFTER_SECONDS * 1_000);
  }
  const lost = await deliver(sample("link.click"), { host: fake.url });
  assert.ok(lost.kind === "unreachable" && lost.retriable);
  assert.deepEqual(await deliver(sample("link.click"), { host: fake.url }), { kind: "accepted_unverified" });
  assert.deepEqual([fake.stored().length, fake.dropped()], [1, ["came before"]]);
  fake.assertAddsUp();
});

test("what each status means", () => {
  const cases = [
    [200, "accepted_unverified"],
    [202, "accepted_unverified"],
    [301, "misconfigured"],
    [400, "refused"],
    [401, "misconfigured"],
    [403, "misconfigured"],
    [404, "misconfigured"],
    [408, "refused later"],
    [410, "misconfigured"],
    [413, "refused"],
    [429, "refused later"],
    [460, "refused later"],
    [500, "refused later"],
    [504, "refused later"],
  ] as const;
  for (const [status, expected] of cases) {
    const outcome = segment.judge(response(status, { error: "so it is" }), RULES);
    const is_later = outcome.kind === "refused" && outcome.retriable;
    assert.equal(is_later ? `${outcome.kind} later` : outcome.kind, expected, String(status));
    if (outcome.kind === "misconfigured") assert.ok(outcome.retriable && outcome.pause);
    if ("message" in outcome) assert.match(outcome.message, /in its words: so it is/);
  }
});

test("the region decides where it goes, and RudderStack and others are reached by their URL", () => {
  const urlOf = (changes: object) => sent(build(sample("link.click"), changes)).url;
  assert.equal(urlOf({}), "https://api.segment.io/v1/batch");
  assert.equal(urlOf({ region: "eu" }), "https://events.eu1.segmentapis.com/v1/batch");
  assert.equal(urlOf({ host: "https://rs.example/plane/" }), "https://rs.example/plane/v1/batch");
});

test("settings that could not be meant are refused", () => {
  const many = Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`x${n}`, true]));
  for (const bad of [
    { write_key: "" },
    { write_key: "a b" },
    { write_key: "é" },
    { write_key: 1 },
    { region: "in" },
    { host: "ftp://x" },
    { host: "https://u:p@x" },
    { integrations: { "": true } },
    { integrations: { All: 1 } },
    { integrations: many },
    { at: SENT_AT },
  ]) {
    assert.equal(SegmentConfig.safeParse({ write_key: KEY, ...bad }).success, false, JSON.stringify(bad));
  }
});
