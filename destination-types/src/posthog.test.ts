import assert from "node:assert/strict";
import { createHash } from "node:crypto";
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
import { APP_PAGE, startPosthog } from "../../server/test/support/vendors/posthog.ts";
import type { Outgoing } from "./definition.ts";
import type { SourceEvent } from "./mapping/source.ts";
import { uuidOf } from "./mapping/uuid.ts";
import { PosthogConfig, posthog } from "./posthog.ts";

const KEY = "phc_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";
const RULES = { retry_on: "retriable" } as const;
const config = (changes: object = {}) => PosthogConfig.parse({ project_api_key: KEY, ...changes });

testConformance({
  definition: posthog,
  configs: {
    "posthog-v0": config(),
    "posthog-v1": config({ api: "v1", region: "eu", send_user_id: true }),
  },
  growing: "link_id",
});

function build(event: SourceEvent, changes: object = {}, delivery: Partial<Outgoing> = {}) {
  return posthog.buildRequest(outgoing(event, delivery), posthog.prepare(config(changes), CONTEXT));
}

interface Captured {
  historical_migration?: true;
  sent_at?: unknown;
  batch: {
    uuid: string;
    distinct_id: string;
    timestamp: string;
    options?: Record<string, unknown>;
    properties: Record<string, unknown>;
  }[];
}

/** What was put together by bodyOfV0 or bodyOfV1. */
const bodyOf = (event: SourceEvent, changes: object = {}, delivery: Partial<Outgoing> = {}) =>
  JSON.parse(sent(build(event, changes, delivery)).body) as Captured;

function eventOf(event: SourceEvent, changes: object = {}) {
  const [captured] = bodyOf(event, changes).batch;
  assert.ok(captured);
  return captured;
}

async function deliver(event: SourceEvent, changes: object, delivery: Partial<Outgoing> = {}) {
  return posthog.judge(await exchangeWith(sent(build(event, changes, delivery))), RULES);
}

test("every sample is stored by either endpoint, once however often it is sent, and the figures add up", async (t) => {
  for (const api of ["auto", "v0", "v1"]) {
    const fake = await startPosthog(KEY);
    t.after(fake.close);
    for (const attempt of [1, 2]) {
      for (const event of SAMPLES.values()) {
        const outcome = await deliver(event, { api, host: `${fake.url}/` }, { attempt, at: SENT_AT + attempt });
        assert.deepEqual(outcome, { kind: api === "v1" ? "accepted" : "accepted_unverified" });
      }
    }
    assert.equal(fake.stored().length, SAMPLES.size);
    assert.deepEqual(new Set(fake.dropped()), new Set(["came before"]));
    assert.equal(fake.received(), 2 * SAMPLES.size);
    assert.ok(fake.stored().every(({ is_v1 }) => is_v1 === (api === "v1")));
    fake.assertAddsUp();
  }
});

test("the four that PostHog recognises an event by never change, and sent_at is never there", () => {
  for (const event of SAMPLES.values()) {
    const bodies = [1, 2, 9].map((attempt) => bodyOf(event, {}, { attempt, at: SENT_AT + attempt * 60_000 }));
    for (const body of bodies) assert.deepEqual(body, bodies[0]);
    assert.ok(!JSON.stringify(bodies).includes("sent_at"));
    assert.equal(bodies[0]?.batch[0]?.uuid, event.id);
    assert.equal(bodies[0]?.batch[0]?.timestamp, event.ts);
  }
});

test("an id that is no UUID becomes the one of version 5 that is named by it", () => {
  const event = sample("link.click", {}, { id: "order 42" });
  const { uuid } = eventOf(event);
  assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.equal(eventOf(event).uuid, uuid);
  for (const length of [0, 1, 38, 39, 40, 47, 48, 103, 104, 200]) {
    const id = "é".repeat(length % 3) + "x".repeat(length);
    const namespace = Buffer.from("6f2ac10e93544d7ba81d5e37b0c94268", "hex");
    const digest = createHash("sha1").update(namespace).update(id).digest();
    digest[6] = ((digest[6] ?? 0) & 0x0f) | 0x50;
    digest[8] = ((digest[8] ?? 0) & 0x3f) | 0x80;
    assert.equal(uuidOf(id).replaceAll("-", ""), digest.toString("hex", 0, 16));
  }
});

test("click, token, claim and open of one visitor share one id, and no other vendor has it", () => {
  const ids = ["link.click", "link.token_created", "link.claim", "link.app_open"].map(
    (name) => eventOf(sample(name)).distinct_id,
  );
  assert.equal(new Set(ids).size, 1);
  assert.match(ids[0] ?? "", /^lm_[\w-]{22}$/);
});

test("a person is made for users alone, and only where their ids may be sent", () => {
  const profileOf = (event: SourceEvent, changes: object) => {
    const { distinct_id, properties, options } = eventOf(event, changes);
    return [distinct_id, properties["$process_person_profile"] ?? options?.["process_person_profile"]];
  };
  for (const api of ["v0", "v1"]) {
    const [anonymous, without] = profileOf(sample("link.claim"), { api });
    assert.match(String(anonymous), /^lm_/);
    assert.equal(without, false);
    assert.deepEqual(profileOf(sample("link.claim"), { api, send_user_id: true }), ["user-8841", undefined]);
  }
});

test("an id that PostHog has given the visitor goes before all others", () => {
  const data = { posthog: { distinct_id: "019c1363-aaaa-7000-8000-000000000000" } };
  for (const changes of [{}, { send_user_id: true }]) {
    assert.equal(eventOf(sample("link.claim", data), changes).distinct_id, data.posthog.distinct_id);
  }
  const event = sample("link.app_open.minimal", data);
  assert.equal(eventOf(event, { unidentified: "skip" }).distinct_id, data.posthog.distinct_id);
});

for (const user_id of [
  "0",
  "anonymous",
  " NULL ",
  "undefined",
  "[object Object]",
  "guest",
  "x".repeat(201),
  "é".repeat(101),
]) {
  test(`a user id like ${JSON.stringify(user_id.slice(0, 20))} is not sent, and that is said`, () => {
    const event = sample("link.claim", { user_id });
    assert.match(eventOf(event, { send_user_id: true }).distinct_id, /^lm_/);
    const prepared = posthog.prepare(config({ send_user_id: true }), CONTEXT);
    assert.deepEqual(
      posthog.inspect(outgoing(event), prepared).map(({ rule, path }) => [rule, path]),
      [["USER_ID_UNUSABLE", "data.user_id"]],
    );
    assert.deepEqual(posthog.inspect(outgoing(event), posthog.prepare(config(), CONTEXT)), []);
  });
}

for (const user_id of ["x".repeat(200), "👟".repeat(50)]) {
  test(`a user id of 200 bytes (${user_id.length} units) is sent whole and stored`, async (t) => {
    const fake = await startPosthog(KEY);
    t.after(fake.close);
    const changes = { send_user_id: true, host: fake.url };
    assert.deepEqual(await deliver(sample("link.claim", { user_id }), changes), { kind: "accepted_unverified" });
    assert.deepEqual(
      fake.stored().map(({ distinct_id }) => distinct_id),
      [user_id],
    );
    fake.assertAddsUp();
  });
}

test("history is called so from 48 hours on and a millisecond", () => {
  const event = sample("link.click");
  const at = Date.parse(event.ts) + 48 * 3600 * 1000;
  for (const api of ["v0", "v1"]) {
    assert.equal(bodyOf(event, { api }, { at }).historical_migration, undefined);
    assert.equal(bodyOf(event, { api }, { at: at + 1 }).historical_migration, true);
  }
});

test("where the visitor was is not guessed from where this server is", () => {
  for (const event of SAMPLES.values()) assert.equal(eventOf(event).properties["$geoip_disable"], true);
});

test("bots and visitors who have refused are skipped, as the settings say", () => {
  const bot = sample("link.click", { is_bot: true });
  const refusing = sample("link.click", { consent: { analytics_storage: "DENIED" } });
  for (const event of [bot, refusing]) assert.equal(unsent(build(event)).kind, "skipped");
  sent(build(bot, { skip_bots: false }));
  sent(build(refusing, { respect_consent: false }));
  sent(build(sample("link.click", { is_bot: "true", consent: "denied" })));
});

test("an event that names nobody counts as a user of its own, or is skipped", () => {
  const [one, other] = ["a", "b"].map((id) => eventOf(sample("link.app_open.minimal", {}, { id })).distinct_id);
  assert.notEqual(one, other);
  assert.equal(unsent(build(sample("link.app_open.minimal"), { unidentified: "skip" })).kind, "skipped");
  sent(build(sample("link.app_open"), { unidentified: "skip" }));
});

test("v1 says for each event what became of it", async (t) => {
  const fake = await startPosthog(KEY);
  t.after(fake.close);
  const changes = { api: "v1", host: fake.url };
  fake.answerNext("retry");
  assert.deepEqual(await deliver(sample("link.click"), changes), {
    ...{ kind: "refused", retriable: true, message: "PostHog asks to send the event again" },
  });
  fake.answerNext("drop");
  assert.deepEqual(await deliver(sample("link.click"), changes), {
    ...{ kind: "refused", retriable: false, message: "PostHog has dropped the event" },
  });
  fake.answerNext("warning");
  assert.deepEqual(await deliver(sample("link.click"), changes), { kind: "accepted" });
  assert.deepEqual([fake.stored().length, fake.rejected().length, fake.dropped().length], [1, 1, 1]);
  fake.assertAddsUp();
});

test("a project over its quota is no success, although v0 answers 200, and pauses the destination", async (t) => {
  for (const api of ["v0", "v1"]) {
    const fake = await startPosthog(KEY);
    t.after(fake.close);
    fake.exhaust();
    const outcome = await deliver(sample("link.click"), { api, host: fake.url });
    assert.ok(outcome.kind === "refused" && outcome.retriable && outcome.pause, JSON.stringify(outcome));
    assert.match(outcome.message, /quota/);
    fake.assertAddsUp();
  }
});

test("a wrong key, a wrong host and an endpoint that is not there pause the destination at once", async (t) => {
  const fake = await startPosthog(KEY, ["v0"]);
  t.after(fake.close);
  const cases = [
    [{ project_api_key: "phc_of_another_project" }, /401.*project API key.*API key is not valid/],
    [{ host: `${fake.url}/nowhere` }, /404.*region, host or api/],
    [{ api: "v1" }, /404.*region, host or api/],
  ] as const;
  for (const [changes, message] of cases) {
    const outcome = await deliver(sample("link.click"), { host: fake.url, ...changes });
    assert.ok(outcome.kind === "misconfigured" && outcome.retriable && outcome.pause, JSON.stringify(outcome));
    assert.match(outcome.message, message);
  }
  fake.assertAddsUp();
});

test("faults are tried again when PostHog says, and what it had taken is one event there", async (t) => {
  const fake = await startPosthog(KEY);
  t.after(fake.close);
  const changes = { host: fake.url };
  fake.fail("throttle", "fail", "lose_answer");
  for (const status of [429, 503]) {
    assert.deepEqual(await deliver(sample("link.click"), changes), {
      ...{ kind: "refused", retriable: true, retry_after_ms: RETRY_AFTER_SECONDS * 1_000 },
      message: `PostHog answered ${status}, in its words: ${status === 429 ? "throttled" : "not available"}`,
    });
  }
  const lost = await deliver(sample("link.click"), changes);
  assert.ok(lost.kind === "unreachable" && lost.retriable);
  assert.deepEqual(await deliver(sample("link.click"), changes), { kind: "accepted_unverified" });
  assert.deepEqual([fake.stored().length, fake.dropped()], [1, ["came before"]]);
  fake.assertAddsUp();
});

test("an event that PostHog refuses is over, in its words; and any failure is tried again where that is asked for", () => {
  const answer = response(400, { type: "validation_error", detail: "event submitted without a distinct_id" });
  const message =
    "PostHog answered 400: it does not take this event, in its words: event submitted without a distinct_id";
  assert.deepEqual(posthog.judge(answer, RULES), { kind: "refused", retriable: false, message });
  assert.deepEqual(posthog.judge(answer, { retry_on: "any_failure" }), { kind: "refused", retriable: true, message });
});

test("a page of the web app is no success", () => {
  assert.equal(posthog.judge(response(APP_PAGE.status, APP_PAGE.body), RULES).kind, "ambiguous");
  for (const good of ["", "1", '{"status":1}', '{"status":"Ok","quota_limited":["recordings"]}', '{"results":{}}']) {
    assert.deepEqual(posthog.judge(response(200, good), RULES), { kind: "accepted_unverified" }, good);
  }
});

test("hosts that show the app take no events, and are refused with the one to use", () => {
  for (const host of [
    "https://us.posthog.com",
    "https://eu.posthog.com/",
    "https://app.posthog.com",
    "https://x/?a=1",
    "x",
  ]) {
    assert.equal(PosthogConfig.safeParse({ project_api_key: KEY, host }).success, false, host);
  }
  assert.equal(sent(build(sample("link.click"), { region: "eu" })).url, "https://eu.i.posthog.com/batch/");
  assert.equal(
    sent(build(sample("link.click"), { host: "https://ph.example/x//" })).url,
    "https://ph.example/x/batch/",
  );
});

test("a time that lies more than 23 hours ahead is said", () => {
  const prepared = posthog.prepare(config(), CONTEXT);
  const at = SENT_AT + 23 * 3600 * 1000;
  const rulesOf = (ms: number) =>
    posthog
      .inspect(outgoing(sample("link.click", {}, { ts: new Date(ms).toISOString() })), prepared)
      .map((one) => one.rule);
  assert.deepEqual([rulesOf(at), rulesOf(at + 1)], [[], ["TIME_AHEAD"]]);
});
