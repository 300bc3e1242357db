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
import { startMixpanel } from "../../server/test/support/vendors/mixpanel.ts";
import type { MappedMixpanel } from "./mapping/mixpanel.ts";
import type { SourceEvent } from "./mapping/source.ts";
import { MixpanelConfig, mixpanel } from "./mixpanel.ts";

const ACCOUNT = { username: "linkme.0a1b2c.mp-service-account", secret: "abcdefghijklmnopqrstuvwxyz012345" };
const RULES = { retry_on: "retriable" } as const;
const config = (changes: object = {}) => MixpanelConfig.parse({ project_id: "42", ...ACCOUNT, ...changes });
const start = () => startMixpanel(`${ACCOUNT.username}:${ACCOUNT.secret}`, "42", () => SENT_AT);

testConformance({
  definition: mixpanel,
  configs: { mixpanel: config(), "mixpanel-users": config({ region: "eu", send_user_id: true }) },
});

function build(event: SourceEvent, changes: object = {}) {
  return mixpanel.buildRequest(outgoing(event), mixpanel.prepare(config(changes), CONTEXT));
}

function propertiesOf(event: SourceEvent, changes: object = {}): MappedMixpanel["event"]["properties"] {
  // What buildRequest has put together.
  const [one] = JSON.parse(sent(build(event, changes)).body) as MappedMixpanel["event"][];
  assert.ok(one);
  return one.properties;
}

async function deliver(event: SourceEvent, changes: object) {
  return mixpanel.judge(await exchangeWith(sent(build(event, changes))), RULES);
}

test("every sample is stored, once however often it is sent", async (t) => {
  const fake = await start();
  t.after(fake.close);
  for (const event of [...SAMPLES.values(), ...SAMPLES.values()]) {
    assert.deepEqual(await deliver(event, { host: fake.url, send_user_id: true }), { kind: "accepted" });
  }
  assert.deepEqual([fake.stored().length, fake.dropped().length], [SAMPLES.size, SAMPLES.size]);
  assert.deepEqual(new Set(fake.dropped()), new Set(["came before"]));
  fake.assertAddsUp();
});

test("an event that names nobody has an empty distinct_id, or is skipped", () => {
  assert.equal(propertiesOf(sample("link.app_open.minimal"))["distinct_id"], "");
  assert.equal(unsent(build(sample("link.app_open.minimal"), { unidentified: "skip" })).kind, "skipped");
  sent(build(sample("link.app_open"), { unidentified: "skip" }));
});

test("a user is known by the app's id only where that may be sent, and the device stays", () => {
  const idsOf = (name: string, changes: object) => {
    const { distinct_id, $device_id, $user_id } = propertiesOf(sample(name), changes);
    return { distinct_id, $device_id, $user_id };
  };
  const click = idsOf("link.click", { send_user_id: true });
  assert.deepEqual(click, { distinct_id: click.$device_id, $device_id: click.$device_id, $user_id: undefined });
  const claim = idsOf("link.claim", { send_user_id: true });
  assert.deepEqual(claim, { distinct_id: "user-8841", $device_id: click.$device_id, $user_id: "user-8841" });
  assert.deepEqual(idsOf("link.claim", {}), click);
});

for (const user_id of ["anon", "N/A", "nil", "00000000-0000-0000-0000-000000000000", "-1", "x".repeat(256)]) {
  test(`a user id like ${user_id.slice(0, 12)}, which Mixpanel refuses, is not sent`, async (t) => {
    const fake = await start();
    t.after(fake.close);
    const event = sample("link.app_open.minimal", { user_id });
    assert.deepEqual(await deliver(event, { host: fake.url, send_user_id: true }), { kind: "accepted" });
    assert.equal(propertiesOf(event, { send_user_id: true })["distinct_id"], "");
    fake.assertAddsUp();
  });
}

test("an $insert_id is the id of the event, and another UUID where Mixpanel would not take that", () => {
  for (const id of ["a", "x".repeat(36), "019c1363-4b5c-71f1-84b7-8073442bd4c8"]) {
    assert.equal(propertiesOf(sample("link.click", {}, { id }))["$insert_id"], id);
  }
  for (const id of ["x".repeat(37), "a_b", "ä", ""]) {
    assert.match(String(propertiesOf(sample("link.click", {}, { id }))["$insert_id"]), /^[0-9a-f-]{36}$/);
  }
});

test("texts have at most 255 bytes, no character half, and the largest event is within the limit", async (t) => {
  const fake = await start();
  t.after(fake.close);
  const long = "👟".repeat(60_000);
  const utm = { utm_source: long, utm_medium: long, utm_campaign: long, utm_term: long, utm_content: long };
  const texts = { link_id: long, platform: long, referrer: long, claim_type: long, reason: long, app_version: long };
  const event = sample("link.click", { ...texts, utm, slug: long, dest_url: `https://x/${long}` });
  assert.equal(propertiesOf(event)["linkme_link_id"], "👟".repeat(63));
  const texts_at = (text: string) => propertiesOf(sample("link.click", { link_id: text }))["linkme_link_id"];
  assert.deepEqual([texts_at("x".repeat(255)), texts_at("x".repeat(256))], ["x".repeat(255), "x".repeat(255)]);
  assert.deepEqual(await deliver(event, { host: fake.url }), { kind: "accepted" });
  fake.assertAddsUp();
});

test("what Mixpanel says of a bad event is said, and of a later one nothing is lost", async (t) => {
  const fake = await start();
  t.after(fake.close);
  const at = (ms: number) => sample("link.click", {}, { ts: new Date(ms).toISOString() });
  const hour = 3600 * 1000;
  assert.deepEqual(await deliver(at(SENT_AT + hour), { host: fake.url }), { kind: "accepted" });
  assert.deepEqual(await deliver(at(SENT_AT + hour + 1), { host: fake.url }), {
    ...{ kind: "refused", retriable: false },
    message: "Mixpanel answered 400: it does not take this event, in its words: properties.time: is in the future",
  });
  const rulesOf = (ms: number) =>
    mixpanel.inspect(outgoing(at(ms)), mixpanel.prepare(config(), CONTEXT)).map(({ level, rule }) => [level, rule]);
  assert.deepEqual(rulesOf(SENT_AT + hour), []);
  assert.deepEqual(rulesOf(SENT_AT + hour + 1), [["error", "TIME_AHEAD"]]);
  assert.deepEqual([fake.stored().length, fake.rejected()], [1, ["properties.time: is in the future"]]);
  fake.assertAddsUp();
});

test("a wrong account or project pauses the destination", async (t) => {
  const fake = await start();
  t.after(fake.close);
  for (const [changes, words] of [
    [{ secret: "another" }, /401.*service account.*Invalid credentials/],
    [{ username: "another" }, /401/],
    [{ project_id: "43" }, /403.*no access to this project/],
    [{ host: `${fake.url}/nowhere` }, /404.*region or host/],
  ] as const) {
    const outcome = await deliver(sample("link.click"), { host: fake.url, ...changes });
    assert.ok(outcome.kind === "misconfigured" && outcome.retriable && outcome.pause, JSON.stringify(outcome));
    assert.match(outcome.message, words);
  }
  fake.assertAddsUp();
});

test("faults are tried again when Mixpanel says, and what it had taken is one event there", async (t) => {
  const fake = await start();
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

test("2xx that is no answer of the import, or imports nothing, is no proof", () => {
  assert.equal(mixpanel.judge(response(200, "1"), RULES).kind, "ambiguous");
  const none = response(200, { code: 200, num_records_imported: 0, status: "OK" });
  assert.deepEqual(mixpanel.judge(none, RULES), { kind: "accepted_unverified" });
});

test("the region decides where it goes, and strict and the project are asked for", () => {
  const urlOf = (changes: object) => sent(build(sample("link.click"), changes)).url;
  assert.equal(urlOf({}), "https://api.mixpanel.com/import?strict=1&project_id=42");
  assert.equal(urlOf({ region: "eu" }), "https://api-eu.mixpanel.com/import?strict=1&project_id=42");
  assert.equal(urlOf({ region: "in" }), "https://api-in.mixpanel.com/import?strict=1&project_id=42");
  for (const project_id of ["", "4 2", "42&strict=0", 42]) {
    assert.equal(MixpanelConfig.safeParse({ ...ACCOUNT, project_id }).success, false);
  }
});

test("bots and visitors who have refused are skipped, though nobody is to be told who", () => {
  assert.equal(unsent(build(sample("link.click", { is_bot: true }))).kind, "skipped");
  const refusing = { consent: { analytics_storage: "denied" } };
  assert.equal(unsent(build(sample("link.app_open.minimal", refusing))).kind, "skipped");
});
