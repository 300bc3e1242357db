import assert from "node:assert/strict";
import { test } from "node:test";
import { EVENTS_PER_DEVICE, startAmplitude } from "../../server/test/support/vendors/amplitude.ts";
import {
  CONTEXT,
  exchangeWith,
  outgoing,
  response,
  SAMPLES,
  sample,
  sent,
  testConformance,
  unsent,
} from "../../server/test/support/vendors/conform.ts";
import { RETRY_AFTER_SECONDS } from "../../server/test/support/vendors/fake.ts";
import { AmplitudeConfig, amplitude } from "./amplitude.ts";
import type { AmplitudeEvent } from "./mapping/amplitude.ts";
import type { SourceEvent } from "./mapping/source.ts";

const KEY = "0123456789abcdef0123456789abcdef";
const RULES = { retry_on: "retriable" } as const;
const config = (changes: object = {}) => AmplitudeConfig.parse({ api_key: KEY, ...changes });

testConformance({
  definition: amplitude,
  configs: { amplitude: config(), "amplitude-users": config({ region: "eu", send_user_id: true }) },
});

function build(event: SourceEvent, changes: object = {}) {
  return amplitude.buildRequest(outgoing(event), amplitude.prepare(config(changes), CONTEXT));
}

function eventOf(event: SourceEvent, changes: object = {}): AmplitudeEvent {
  // What buildRequest has put together.
  const { events } = JSON.parse(sent(build(event, changes)).body) as { events: AmplitudeEvent[] };
  const [one] = events;
  assert.ok(one);
  return one;
}

async function deliver(event: SourceEvent, changes: object) {
  return amplitude.judge(await exchangeWith(sent(build(event, changes))), RULES);
}

test("every sample is stored, once however often it is sent", async (t) => {
  const fake = await startAmplitude(KEY);
  t.after(fake.close);
  for (const event of [...SAMPLES.values(), ...SAMPLES.values()]) {
    assert.deepEqual(await deliver(event, { host: fake.url, send_user_id: true }), { kind: "accepted" });
  }
  assert.deepEqual([fake.stored().length, fake.dropped().length], [SAMPLES.size, SAMPLES.size]);
  assert.deepEqual(new Set(fake.dropped()), new Set(["came before"]));
  assert.deepEqual(
    fake.stored().map(({ insert_id, time }) => [insert_id, time]),
    [...SAMPLES.values()].map(({ id, ts }) => [id, Date.parse(ts)]),
  );
  fake.assertAddsUp();
});

test("an id of one character is kept", async (t) => {
  const fake = await startAmplitude(KEY);
  t.after(fake.close);
  const event = sample("link.app_open.minimal", { user_id: "7" });
  assert.deepEqual(await deliver(event, { host: fake.url, send_user_id: true }), { kind: "accepted" });
  assert.deepEqual(
    fake.stored().map(({ user_id, device_id }) => [user_id, device_id]),
    [["7", undefined]],
  );
  fake.assertAddsUp();
});

test("a visitor keeps one device, and events that name nobody share none", () => {
  const click = eventOf(sample("link.click"));
  const claim = eventOf(sample("link.claim"), { send_user_id: true });
  assert.deepEqual([claim.device_id, claim.user_id], [click.device_id, "user-8841"]);
  assert.equal(eventOf(sample("link.claim")).user_id, undefined);
  const devices = ["a", "b"].map((id) => eventOf(sample("link.app_open.minimal", {}, { id })).device_id);
  assert.notEqual(devices[0], devices[1]);
  assert.equal(unsent(build(sample("link.app_open.minimal"), { unidentified: "skip" })).kind, "skipped");
});

test("more events that name nobody than Amplitude takes of one device in a second are all stored", async (t) => {
  const fake = await startAmplitude(KEY);
  t.after(fake.close);
  for (let n = 0; n <= EVENTS_PER_DEVICE; n++) {
    const event = sample("link.app_open.minimal", {}, { id: `event-${n}` });
    assert.deepEqual(await deliver(event, { host: fake.url }), { kind: "accepted" });
  }
  assert.equal(fake.stored().length, EVENTS_PER_DEVICE + 1);
  fake.assertAddsUp();
});

test("too many events of one device are tried again after 30 seconds", async (t) => {
  const fake = await startAmplitude(KEY);
  t.after(fake.close);
  const nth = (n: number) => deliver(sample("link.click", {}, { id: `click-${n}` }), { host: fake.url });
  for (let n = 0; n < EVENTS_PER_DEVICE; n++) assert.deepEqual(await nth(n), { kind: "accepted" });
  const outcome = await nth(EVENTS_PER_DEVICE);
  assert.ok(outcome.kind === "refused" && outcome.retriable);
  assert.equal(outcome.retry_after_ms, 30_000);
  fake.tick();
  assert.deepEqual(await nth(EVENTS_PER_DEVICE), { kind: "accepted" });
  assert.deepEqual([fake.stored().length, fake.rejected().length], [EVENTS_PER_DEVICE + 1, 1]);
  fake.assertAddsUp();
});

test("texts have at most 1,024 characters, none of them half, and the largest event is within the limit", async (t) => {
  const fake = await startAmplitude(KEY);
  t.after(fake.close);
  const long = "👟".repeat(100_000);
  const utm = { utm_source: long, utm_medium: long, utm_campaign: long, utm_term: long, utm_content: long };
  const texts = { link_id: long, platform: long, referrer: long, claim_type: long, reason: long, app_version: long };
  const event = sample("link.click", { ...texts, utm, user_id: "x".repeat(1_024), dest_url: `https://x/${long}` });
  const { event_properties } = eventOf(event);
  assert.equal(event_properties["linkme_link_id"], "👟".repeat(512));
  const odd = eventOf(sample("link.click", { link_id: `a${long}` })).event_properties["linkme_link_id"];
  assert.equal(odd, `a${"👟".repeat(511)}`);
  assert.deepEqual(await deliver(event, { host: fake.url, send_user_id: true }), { kind: "accepted" });
  assert.equal(fake.stored()[0]?.["user_id"], "x".repeat(1_024));
  const longer = sample("link.click", { user_id: "x".repeat(1_025) });
  assert.equal(eventOf(longer, { send_user_id: true }).user_id, undefined);
  fake.assertAddsUp();
});

test("a wrong key is told apart from a bad event, although both are 400, and is not repeated", async (t) => {
  const fake = await startAmplitude(KEY);
  t.after(fake.close);
  const outcome = await deliver(sample("link.click"), { host: fake.url, api_key: "of-another-project" });
  assert.deepEqual(outcome, {
    ...{ kind: "misconfigured", retriable: true, pause: true },
    message: "Amplitude answered 400: it does not accept the API key. Set it again",
  });
  const missing = response(400, { code: 400, error: "Request missing required field", missing_field: "api_key" });
  assert.equal(amplitude.judge(missing, RULES).kind, "misconfigured");
  fake.assertAddsUp();
});

test("what Amplitude says of a bad event is said", async (t) => {
  const fake = await startAmplitude(KEY);
  t.after(fake.close);
  fake.silenceNext();
  assert.deepEqual(await deliver(sample("link.click"), { host: fake.url }), {
    ...{ kind: "refused", retriable: false },
    message: "Amplitude answered 400: it does not take this event, in its words: Events silenced (silenced_events)",
  });
  const answer = { code: 400, error: "Invalid request", events_with_invalid_fields: { time: [0] } };
  const judged = amplitude.judge(response(400, answer), RULES);
  assert.ok(judged.kind === "refused" && !judged.retriable);
  assert.match(judged.message, /Invalid request \(time is not valid\)$/);
  assert.equal(amplitude.judge(response(413, { error: "Payload too large" }), RULES).kind, "refused");
  fake.assertAddsUp();
});

test("200 with nothing taken is no success, nor is a page", () => {
  const none = amplitude.judge(response(200, { code: 200, events_ingested: 0 }), RULES);
  assert.ok(none.kind === "refused" && !none.retriable);
  assert.equal(amplitude.judge(response(200, "<html>"), RULES).kind, "ambiguous");
});

test("faults are tried again when Amplitude says, and what it had taken is one event there", async (t) => {
  const fake = await startAmplitude(KEY);
  t.after(fake.close);
  fake.fail("throttle", "fail", "lose_answer");
  for (const _ of [429, 503]) {
    const outcome = await deliver(sample("link.click"), { host: fake.url });
    assert.ok(outcome.kind === "refused" && outcome.retriable);
    assert.equal(outcome.retry_after_ms, RETRY_AFTER_SECONDS * 1_000);
  }
  const lost = await deliver(sample("link.click"), { host: fake.url });
  assert.ok(lost.kind === "unreachable" && lost.retriable);
  assert.deepEqual(await deliver(sample("link.click"), { host: fake.url }), { kind: "accepted" });
  assert.deepEqual([fake.stored().length, fake.dropped()], [1, ["came before"]]);
  fake.assertAddsUp();
});

test("the region decides where it goes", () => {
  const urlOf = (changes: object) => sent(build(sample("link.click"), changes)).url;
  assert.equal(urlOf({}), "https://api2.amplitude.com/2/httpapi");
  assert.equal(urlOf({ region: "eu" }), "https://api.eu.amplitude.com/2/httpapi");
});

test("bots and visitors who have refused are skipped", () => {
  assert.equal(unsent(build(sample("link.click", { is_bot: true }))).kind, "skipped");
  assert.equal(unsent(build(sample("link.click", { consent: { analytics_storage: "denied" } }))).kind, "skipped");
});
