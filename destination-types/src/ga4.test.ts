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
import { type FakeGa4, startGa4 } from "../../server/test/support/vendors/ga4.ts";
import type { Exchange, Outgoing } from "./definition.ts";
import { Ga4Config, ga4 } from "./ga4.ts";
import type { SourceEvent } from "./mapping/source.ts";

const SECRET = "gT4-kQ_x9Zr2LmWvB7nYcA";
const WEB = { measurement_id: "G-K3TQ7M", api_secret: SECRET };
const APP = { firebase_app_id: "1:1234567890:ios:321abc456def7890", api_secret: SECRET };
const RULES = { retry_on: "retriable" } as const;
const AGE_MAX_MS = 72 * 3_600_000;
const config = (changes: object = {}) => Ga4Config.parse({ ...WEB, ...changes });

testConformance({
  definition: ga4,
  configs: {
    ga4: config(),
    "ga4-everything": config({
      ...{ endpoint: "eu", send_user_id: true, campaign_details: true, unidentified: "skip" },
      ...{ ad_user_data: "denied", ad_personalization: "denied" },
    }),
    "ga4-app": Ga4Config.parse(APP),
  },
});

function build(event: SourceEvent, changes: object = {}, delivery: Partial<Outgoing> = {}) {
  return ga4.buildRequest(outgoing(event, delivery), ga4.prepare(config(changes), CONTEXT));
}

function inspect(event: SourceEvent, changes: object = {}, delivery: Partial<Outgoing> = {}) {
  return ga4.inspect(outgoing(event, delivery), ga4.prepare(config(changes), CONTEXT));
}

async function deliver(event: SourceEvent, changes: object) {
  return ga4.judge(await exchangeWith(sent(build(event, changes))), RULES);
}

async function withFake(run: (fake: FakeGa4) => Promise<void>): Promise<void> {
  const streams = [
    { stream: `measurement_id=${WEB.measurement_id}`, api_secret: SECRET },
    { stream: `firebase_app_id=${APP.firebase_app_id}`, api_secret: SECRET },
  ];
  const fake = await startGa4({ streams, now: () => SENT_AT });
  try {
    await run(fake);
    fake.assertAddsUp();
  } finally {
    await fake.close();
  }
}

test("every sample reaches the reports with all of its params, and no answer passes for a proof of that", () =>
  withFake(async (fake) => {
    for (const event of SAMPLES.values()) {
      assert.deepEqual(await deliver(event, { host: fake.url, campaign_details: true }), {
        kind: "accepted_unverified",
      });
    }
    const ours = fake.shown().filter(({ name }) => name !== "campaign_details");
    assert.deepEqual(
      ours.map(({ params }) => params["linkme_event_id"]),
      [...SAMPLES.values()].map(({ id }) => id),
    );
    assert.ok(fake.shown().every(({ in_reports }) => in_reports));
    assert.deepEqual([fake.ignored(), fake.dropped(), fake.rejected()], [[], [], []]);
    assert.equal(fake.shown().length, ours.length + 1, "one of the samples is a click with a campaign");
    for (const [index, { ts }] of [...SAMPLES.values()].entries()) assert.equal(ours[index]?.at, Date.parse(ts));
  }));

test("what an event says in far too many characters reaches the reports as well, cut", () =>
  withFake(async (fake) => {
    const long = "👟".repeat(2_000);
    const event = sample("link.click", {
      ...{
        link_id: long,
        hostname: `${"a.".repeat(60)}example`,
        slug: long,
        reason: long,
        app_version: long,
        user_id: long,
      },
      ...{
        dest_url: `https://a.example/${long}`,
        referrer: `${"r".repeat(600)}.example`,
        claim_type: long,
        city: long,
      },
      utm: { utm_source: long, utm_medium: long, utm_campaign: long, utm_term: long, utm_content: long, utm_id: long },
      ...{ first_open: true, matched: false, test: true, methods: [long, long], clicked_at: sample("link.click").ts },
    });
    const changes = { host: fake.url, campaign_details: true, send_user_id: true };
    assert.deepEqual(await deliver(event, changes), { kind: "accepted_unverified" });
    assert.deepEqual([fake.ignored(), fake.shown().map(({ in_reports }) => in_reports)], [[], [true, true]]);
    assert.equal(Object.keys(fake.shown()[1]?.params ?? {}).length, 25);
  }));

test("an app stream is named with its colons as they are", () =>
  withFake(async (fake) => {
    const event = sample("link.app_open", { firebase: { app_instance_id: "0123456789abcdef".repeat(2) } });
    const built = sent(build(event, { ...APP, measurement_id: undefined, host: fake.url }));
    assert.ok(built.url.includes(`?firebase_app_id=${APP.firebase_app_id}&api_secret=`));
    assert.deepEqual(JSON.parse(built.body), {
      app_instance_id: "0123456789abcdef".repeat(2),
      timestamp_micros: Date.parse(event.ts) * 1_000,
      events: [
        {
          name: "linkme_link_app_open",
          params: {
            ...{ session_id: "1769851790", engagement_time_msec: 1, linkme_event: "link.app_open" },
            ...{ linkme_event_id: event.id, linkme_app_id: "shop", linkme_link_id: "lnk_h2v9x4tq7k3m" },
            linkme_platform: "ios",
          },
        },
      ],
    });
    await exchangeWith(built);
    assert.deepEqual([fake.shown().length, fake.dropped()], [1, []]);
    const without = unsent(build(sample("link.app_open"), { ...APP, measurement_id: undefined }));
    assert.equal(without.kind, "skipped");
    assert.match(without.message, /firebase\.app_instance_id/);
  }));

test("a wrong secret and a wrong stream are answered 204, and no more is claimed of it", () =>
  withFake(async (fake) => {
    for (const wrong of [{ api_secret: "another-secret-altogether" }, { measurement_id: "G-OTHER1" }]) {
      assert.deepEqual(await deliver(sample("link.click"), { host: fake.url, ...wrong }), {
        kind: "accepted_unverified",
      });
    }
    assert.deepEqual(fake.dropped(), ["the secret is not that stream's", "there is no such stream"]);
    assert.deepEqual(fake.shown(), []);
  }));

test("of an event that is sent twice Google counts two, and the outcome says so", () =>
  withFake(async (fake) => {
    fake.fail("lose_answer");
    const lost = await deliver(sample("link.click"), { host: fake.url });
    assert.ok(lost.kind === "ambiguous" && lost.retriable);
    assert.match(lost.message, /it is counted twice/);
    await deliver(sample("link.click"), { host: fake.url });
    const [first, second] = fake.shown().map(({ params }) => params["linkme_event_id"]);
    assert.ok(first === second && first === sample("link.click").id, "a query of the export can tell them by their id");
  }));

test("throttling and failures are tried again when Google says", () =>
  withFake(async (fake) => {
    fake.fail("throttle", "fail");
    for (const status of [429, 503]) {
      const outcome = await deliver(sample("link.click"), { host: fake.url });
      assert.ok(outcome.kind === "refused" && outcome.retriable);
      assert.match(outcome.message, new RegExp(`answered ${status}`));
      assert.equal(outcome.retry_after_ms, RETRY_AFTER_SECONDS * 1_000);
    }
    assert.deepEqual([fake.rejected().length, fake.shown().length], [2, 0]);
  }));

test("an answer that does not come is ambiguous, for what was sent is counted", () =>
  withFake(async (fake) => {
    fake.fail("hang");
    const request = sent(build(sample("link.click"), { host: fake.url }));
    const outcome = ga4.judge(await exchangeWith(request, 200), RULES);
    assert.ok(outcome.kind === "ambiguous" && outcome.retriable);
    assert.match(outcome.message, /sent no response headers \(timeout of 200 ms\); it is sent again/);
    assert.equal(fake.shown().length, 1);
  }));

const failure = (code: string, is_sent?: boolean): Exchange => {
  const told = is_sent === undefined ? {} : { is_sent };
  return { kind: "failure", code, message: `it was: ${code}`, ...told, started_at: 0, duration_ms: 1 };
};

test("a failure after which the event may have arrived is ambiguous, and any other is not", () => {
  const dropping = ga4.prepare(config({ ambiguous: "drop" }), CONTEXT);
  for (const code of ["timeout", "reset", "protocol", "aborted"]) {
    const again = ga4.judge(failure(code), RULES);
    assert.ok(again.kind === "ambiguous" && again.retriable, code);
    const over = ga4.judge(failure(code, true), RULES, dropping);
    assert.ok(over.kind === "ambiguous" && !over.retriable, code);
    assert.match(over.message, new RegExp(`it was: ${code}; it is not sent again`));
    assert.equal(ga4.judge(failure(code, false), RULES, dropping).kind, "unreachable", `${code} before it was sent`);
  }
  for (const code of ["connect", "dns", "tls", "refused_address"]) {
    const outcome = ga4.judge(failure(code), RULES, dropping);
    assert.deepEqual(outcome, { kind: "unreachable", retriable: true, message: `it was: ${code}` });
  }
});

test("what each status means", () => {
  const cases: [number, string][] = [
    ...[200, 202, 204, 299].map((status): [number, string] => [status, "accepted_unverified"]),
    ...[301, 302, 400, 401, 403, 404, 410, 413, 422].map((status): [number, string] => [status, "misconfigured"]),
    ...[408, 425, 429, 500, 502, 503, 504].map((status): [number, string] => [status, "refused"]),
  ];
  for (const [status, expected] of cases) {
    const outcome = ga4.judge(response(status, { error: "so it is" }), RULES);
    assert.equal(outcome.kind, expected, String(status));
    if (outcome.kind === "misconfigured" || outcome.kind === "refused") assert.ok(outcome.retriable, String(status));
    assert.equal("pause" in outcome, expected === "misconfigured", "whoever can mend it is asked at once");
  }
  const told = ga4.judge(response(400, { error: "so it is" }), RULES);
  assert.ok("message" in told && /answered 400, in its words: so it is; at the right address/.test(told.message));
  const page = ga4.judge(response(404, "<html>", { "content-type": "text/html; charset=UTF-8" }), RULES);
  assert.ok("message" in page && !page.message.includes("<"));
});

test("an event of 72 h is sent, and one of a millisecond more has expired, or is sent with the current time", () => {
  const event = sample("link.click");
  const at = Date.parse(event.ts) + AGE_MAX_MS;
  const timeIn = (text: string) => JSON.parse(text).timestamp_micros;
  for (const late of ["drop", "send_now"]) {
    for (const earlier of [0, 1]) {
      assert.equal(timeIn(sent(build(event, { late }, { at: at - earlier })).body), Date.parse(event.ts) * 1_000);
    }
  }
  const over = unsent(build(event, {}, { at: at + 1 }));
  assert.ok(over.kind === "refused" && !over.retriable);
  assert.match(over.message, /^expired: it happened 72\.1 h ago, /);
  const moved = sent(build(event, { late: "send_now" }, { at: at + 1 }));
  assert.equal(timeIn(moved.body), (at + 1) * 1_000);
  assert.equal(ga4.limits.max_age_ms, AGE_MAX_MS);
  assert.deepEqual(
    inspect(event, {}, { at: at + 1 })
      .map(({ rule }) => rule)
      .sort(),
    [...["TIMESTAMP_TOO_OLD", "TOO_LATE_FOR_ATTRIBUTION"]],
  );
});

test("what Google would drop is refused before anything is sent, with rule, place and what to do", () => {
  const named = { ...sample("link.click.minimal"), event: `link.${"x".repeat(30)}` };
  const outcome = unsent(build(named));
  assert.ok(outcome.kind === "refused" && !outcome.retriable);
  assert.equal(
    outcome.message,
    `EVENT_NAME_TOO_LONG at events.0.name: The name "linkme_link_${"x".repeat(30)}" has 42 characters; Google takes 40. Shorten it`,
  );
  const name = { ...named, event: `link.${"x".repeat(28)}` };
  assert.ok(sent(build(name)));
  assert.deepEqual(
    inspect(named).map(({ level, rule }) => [level, rule]),
    [
      ["error", "EVENT_NAME_TOO_LONG"],
      ["warning", "NAME_CHANGED"],
    ],
  );
});

test("a look at an event tells of what goes out otherwise than it came in", () => {
  const rules = (data: object, changes: object = {}) =>
    inspect(sample("link.click.minimal", { ...data }), changes).map(({ rule }) => rule);
  assert.deepEqual(rules({}), []);
  assert.deepEqual(rules({ user_id: "null" }, { send_user_id: true }), ["USER_ID_UNUSABLE"]);
  assert.deepEqual(rules({ user_id: "null" }), []);
  assert.deepEqual(rules({ is_bot: true }), [], "what is skipped is looked at no further");
  const ahead = inspect(sample("link.click.minimal"), {}, { at: SENT_AT - 3 * 3_600_000 });
  assert.deepEqual(
    ahead.map(({ level, rule }) => [level, rule]),
    [["warning", "TIMESTAMP_AHEAD"]],
  );
});

test("who is not to be counted is skipped with the reason", () => {
  const reason = (data: Record<string, unknown>, changes: object = {}) => {
    const outcome = unsent(build(sample("link.click.minimal", data), changes));
    assert.equal(outcome.kind, "skipped");
    return outcome.message;
  };
  assert.match(reason({ is_bot: true }), /bot/);
  assert.match(reason({ consent: { analytics_storage: "denied" } }), /denied analytics/);
  assert.match(reason({}, { unidentified: "skip" }), /names no click/);
});

test("the secret is nowhere but in the address, and is masked there", () => {
  const request = sent(build(sample("link.click"), { api_secret: "a/secret+with%signs" }));
  assert.ok(request.url.endsWith("&api_secret=a%2Fsecret%2Bwith%25signs"));
  const prepared = ga4.prepare(config({ api_secret: "a/secret+with%signs" }), CONTEXT);
  const shown = ga4.show(request, prepared);
  assert.ok(shown.url.startsWith("https://www.google-analytics.com/mp/collect?measurement_id=G-K3TQ7M&api_secret=•"));
  assert.ok(!JSON.stringify(shown).includes("signs"));
  assert.equal(shown.headers["user-agent"], "LinkMe/1.2.3");
});

test("settings that could not be meant are refused, each at its place", () => {
  const cases: [object, string][] = [
    [{ measurement_id: undefined }, "measurement_id"],
    [{ firebase_app_id: APP.firebase_app_id }, "measurement_id"],
    [{ measurement_id: "1234567890" }, "measurement_id"],
    [{ measurement_id: "G-abc" }, "measurement_id"],
    [{ measurement_id: "UA-1234-1" }, "measurement_id"],
    [{ firebase_app_id: "1:2:macos:3" }, "firebase_app_id"],
    [{ api_secret: "" }, "api_secret"],
    [{ api_secret: "a b" }, "api_secret"],
    [{ endpoint: "asia" }, "endpoint"],
    [{ host: "https://t.example/?a=1" }, "host"],
    [{ ad_user_data: "GRANTED" }, "ad_user_data"],
    [{ late: "keep" }, "late"],
    [{ ambiguous: true }, "ambiguous"],
  ];
  for (const [changes, path] of cases) {
    const result = Ga4Config.safeParse({ ...WEB, ...changes });
    assert.ok(!result.success, JSON.stringify(changes));
    assert.ok(
      result.error.issues.some((issue) => issue.path.join(".") === path && issue.message !== ""),
      JSON.stringify(result.error.issues),
    );
  }
});
