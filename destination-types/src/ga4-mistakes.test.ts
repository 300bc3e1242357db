// Mistakes that are made with Measurement Protocol again and again, all of them answered 204: what the stand-in for Google makes of
// each, that the validator tells of it, and that requests of this product have none of them.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CONTEXT,
  exchangeWith,
  outgoing,
  SAMPLES,
  SENT_AT,
  sample,
  sent,
  unsent,
} from "../../server/test/support/vendors/conform.ts";
import { type FakeGa4, startGa4 } from "../../server/test/support/vendors/ga4.ts";
import { Ga4Config, ga4 } from "./ga4.ts";
import type { Ga4Rule } from "./mapping/ga4-findings.ts";
import { validateGa4 } from "./mapping/ga4-validate.ts";

const SECRET = "gT4-kQ_x9Zr2LmWvB7nYcA";
const WEB_QUERY = `?measurement_id=G-K3TQ7M&api_secret=${SECRET}`;
const APP_QUERY = `?firebase_app_id=1:2:ios:3a&api_secret=${SECRET}`;
const ORIGIN = "https://www.google-analytics.com";
const STREAMS = ["measurement_id=G-K3TQ7M", "firebase_app_id=1:2:ios:3a"].map((stream) => ({
  stream,
  api_secret: SECRET,
}));
const AGE_MAX_MS = 72 * 3_600_000;
const PARAMS = { session_id: "1769860000", engagement_time_msec: 1 };

type Body = Record<string, unknown>;
type Where = { path?: string; query?: string };

async function send(fake: FakeGa4, body: Body, { path = "/mp/collect", query = WEB_QUERY }: Where = {}) {
  const headers = ["content-type", "application/json"];
  return exchangeWith({ method: "POST", url: `${fake.url}${path}${query}`, headers, body: JSON.stringify(body) });
}

function rules(body: Body, { path = "/mp/collect", query = WEB_QUERY }: Where = {}): string[] {
  const request = { url: `${ORIGIN}${path}${query}`, body: JSON.stringify(body) };
  return validateGa4(request, { now_ms: SENT_AT, mode: "relaxed" }).map(({ rule }) => rule);
}

async function withFake(run: (fake: FakeGa4) => Promise<void>): Promise<void> {
  const fake = await startGa4({ streams: STREAMS, now: () => SENT_AT });
  try {
    await run(fake);
    fake.assertAddsUp();
  } finally {
    await fake.close();
  }
}

const event = (params: Body = {}, changes: Body = {}): Body => ({
  name: "a",
  params: { ...PARAMS, ...params },
  ...changes,
});
const of = (one: Body, changes: Body = {}): Body => ({ client_id: "1.2", events: [one], ...changes });
const many = (count: number): Body => Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, 1]));
const sized = (bytes: number): Body => {
  const empty = JSON.stringify(of(event({ session_number: "" }))).length;
  return of(event({ session_number: "x".repeat(bytes - empty) }));
};

test("a request that is right is stored and shown in reports, of both kinds of stream", () =>
  withFake(async (fake) => {
    await send(fake, of(event()));
    const on_app = { app_instance_id: "0".repeat(32), events: [event({}, { name: "screen_view" })] };
    await send(fake, on_app, { query: APP_QUERY });
    assert.deepEqual(
      fake.shown().map(({ in_reports }) => in_reports),
      [true, true],
    );
    assert.deepEqual([rules(of(event())), rules(on_app, { query: APP_QUERY })], [[], []]);
  }));

/** What was meant, the request, the reason for which all of it is lost, the rule that tells. */
const LOST: [string, Body, Where, RegExp, Ga4Rule][] = [
  ["the debug address in production", of(event()), { path: "/debug/mp/collect" }, /debug address/, "DEBUG_ENDPOINT"],
  [
    "the number of a stream",
    of(event()),
    { query: WEB_QUERY.replace("G-K3TQ7M", "1234567890") },
    /no such stream/,
    "MEASUREMENT_ID_INVALID",
  ],
  [
    "encoded colons",
    { app_instance_id: "0".repeat(32), events: [event()] },
    { query: APP_QUERY.replaceAll(":", "%3A") },
    /no such stream/,
    "FIREBASE_APP_ID_ENCODED",
  ],
  ["no secret", of(event()), { query: WEB_QUERY.replace(SECRET, "") }, /secret is not/, "API_SECRET_MISSING"],
  [
    "an app stream with the id of a browser",
    of(event()),
    { query: APP_QUERY },
    /no id of a client/,
    "ID_OF_OTHER_STREAM",
  ],
  [
    "an id that was made up for an app stream",
    { app_instance_id: "u_42", events: [event()] },
    { query: APP_QUERY },
    /no id of an installation/,
    "APP_INSTANCE_ID_INVALID",
  ],
  ["an empty client", of(event(), { client_id: "" }), {}, /no id of a client/, "CLIENT_ID_INVALID"],
  ["a name with a space", of(event({}, { name: "link click" })), {}, /no name of an event/, "EVENT_NAME_INVALID"],
  [
    "a name of 41 characters",
    of(event({}, { name: "n".repeat(41) })),
    {},
    /no name of an event/,
    "EVENT_NAME_TOO_LONG",
  ],
  ["a reserved name", of(event({}, { name: "first_open" })), {}, /Google keeps/, "EVENT_NAME_RESERVED"],
  ["an app's event on a web stream", of(event({}, { name: "screen_view" })), {}, /Google keeps/, "EVENT_NAME_RESERVED"],
  ["a key of another protocol", of(event(), { cid: "1.2" }), {}, /no such key/, "KEY_UNKNOWN"],
  ["no events", { client_id: "1.2", events: [] }, {}, /no events/, "EVENTS_MISSING"],
  ["130 kB", sized(130_000), {}, /130 kB/, "BODY_TOO_LARGE"],
];
for (const [what, body, where, reason, rule] of LOST) {
  test(`lost without a word: ${what}`, () =>
    withFake(async (fake) => {
      const exchange = await send(fake, body, where);
      assert.ok(exchange.kind === "response" && exchange.status < 300);
      assert.deepEqual(fake.shown(), []);
      assert.match(fake.dropped().join(), reason);
      assert.ok(rules(body, where).includes(rule), rules(body, where).join());
    }));
}

test("a byte less than 130 kB, and a character less in a name, is stored", () =>
  withFake(async (fake) => {
    for (const body of [sized(129_999), of(event({}, { name: "n".repeat(40) }))]) {
      assert.deepEqual(rules(body), []);
      await send(fake, body);
    }
    assert.equal(fake.shown().length, 2);
  }));

test("the 26th event of a request is lost, and the 25 before it are not", () =>
  withFake(async (fake) => {
    const body = { client_id: "1.2", events: Array.from({ length: 26 }, () => event()) };
    await send(fake, body);
    assert.deepEqual([fake.shown().length, fake.dropped()], [25, ["more than 25 events"]]);
    assert.deepEqual(rules(body), ["TOO_MANY_EVENTS"]);
  }));

/** What was meant, the params, those that are left out, the rule that tells. */
const IGNORED: [string, Body, string, Ga4Rule][] = [
  ["a value of 101 characters", { a: "v".repeat(101) }, "a: longer than 100 characters", "PARAM_VALUE_TOO_LONG"],
  [
    "a value of 100 characters and half a shoe",
    { a: `${"v".repeat(99)}👟` },
    "a: longer than 100 characters",
    "PARAM_VALUE_TOO_LONG",
  ],
  [
    "a page of 1,001 characters",
    { page_location: "v".repeat(1_001) },
    "page_location: longer than 1000 characters",
    "PARAM_VALUE_TOO_LONG",
  ],
  ["a list", { a: ["b"] }, "a: no text, number or boolean", "PARAM_TYPE"],
  ["null", { a: null }, "a: no text, number or boolean", "PARAM_TYPE"],
  ["a name that Google keeps", { ga_x: 1 }, "ga_x: a name that Google keeps", "PARAM_NAME_RESERVED"],
  ["a name with a dash", { "a-b": 1 }, "a-b: no name of a param", "PARAM_NAME_INVALID"],
  ["the 26th param", many(24), "p23: more than 25 params", "TOO_MANY_PARAMS"],
];
for (const [what, params, expected, rule] of IGNORED) {
  test(`left out without a word: ${what}; and the whole event where recommendations are enforced`, () =>
    withFake(async (fake) => {
      const body = of(event(params));
      await send(fake, body);
      assert.deepEqual([fake.ignored(), fake.shown().length], [[expected], 1]);
      assert.deepEqual(rules(body), [rule]);
      await send(fake, { ...body, validation_behavior: "ENFORCE_RECOMMENDATIONS" });
      assert.deepEqual([fake.shown().length, fake.dropped().length], [1, 1]);
    }));
}

/** What is seen in Realtime, and by whoever looks there only taken for well. */
const REALTIME_ONLY: [string, Body, Ga4Rule][] = [
  ["no session", { session_id: undefined }, "NO_SESSION"],
  ["a session that is no number", { session_id: "session-1" }, "SESSION_ID_INVALID"],
  ["no engagement", { engagement_time_msec: undefined }, "ZERO_ENGAGEMENT"],
  ["an engagement of 0", { engagement_time_msec: 0 }, "ZERO_ENGAGEMENT"],
];
for (const [what, params, rule] of REALTIME_ONLY) {
  test(`in Realtime and in no report: ${what}`, () =>
    withFake(async (fake) => {
      await send(fake, of(event(params)));
      assert.deepEqual(
        fake.shown().map(({ in_reports }) => in_reports),
        [false],
      );
      assert.deepEqual(rules(of(event(params))), [rule]);
    }));
}

test("what is older than 72 h is moved to that age, or dropped where recommendations are enforced", () =>
  withFake(async (fake) => {
    const limit = SENT_AT - AGE_MAX_MS;
    for (const at of [limit, limit - 1, SENT_AT / 1_000]) {
      const body = of(event(), { timestamp_micros: at * 1_000 });
      await send(fake, body);
      const expected = at === limit ? [] : [at === limit - 1 ? "TIMESTAMP_TOO_OLD" : "TIMESTAMP_UNIT"];
      assert.deepEqual(rules(body), expected);
    }
    assert.deepEqual(
      fake.shown().map(({ at }) => at),
      [limit, limit, limit],
    );
    const enforced = { timestamp_micros: (limit - 1) * 1_000, validation_behavior: "ENFORCE_RECOMMENDATIONS" };
    await send(fake, of(event(), enforced));
    assert.deepEqual(fake.dropped(), ["older than 72 h"]);
  }));

test("the debug address tells what is wrong, of a wrong secret nothing, and stores nothing", () =>
  withFake(async (fake) => {
    const where = { path: "/debug/mp/collect", query: WEB_QUERY.replace(SECRET, "wrong") };
    const messages = async (body: Body) => {
      const exchange = await send(fake, body, where);
      assert.ok(exchange.kind === "response" && exchange.status === 200);
      return JSON.parse(exchange.snippet).validationMessages.map((one: Body) => one["validationCode"]);
    };
    assert.deepEqual(await messages(of(event())), []);
    assert.deepEqual(await messages(of(event({}, { name: "app_remove" }))), ["NAME_RESERVED"]);
    assert.deepEqual(await messages(of(event({}, { name: "dynamic_link_app_open" }))), []);
    const long = of(event({ a: "v".repeat(101) }));
    assert.deepEqual(await messages(long), []);
    assert.deepEqual(await messages({ ...long, validation_behavior: "ENFORCE_RECOMMENDATIONS" }), ["VALUE_INVALID"]);
    assert.deepEqual(fake.shown(), []);
  }));

const CONFIG = Ga4Config.parse({ measurement_id: "G-K3TQ7M", api_secret: SECRET, send_user_id: true });
const build = (source: Parameters<typeof outgoing>[0]) =>
  ga4.buildRequest(outgoing(source), ga4.prepare(CONFIG, CONTEXT));

test("each event of ours has a session, an engagement and its own time, and a client in the documented form", () => {
  for (const [name, source] of SAMPLES) {
    const body = JSON.parse(sent(build(source)).body);
    assert.match(body.client_id, /^[1-9]\d*\.[1-9]\d*$/, name);
    assert.equal(body.timestamp_micros, Date.parse(source.ts) * 1_000, name);
    assert.ok(
      body.events.every(({ params }: { params: Body }) => Number(params["session_id"]) > 0),
      name,
    );
    assert.ok(
      body.events.every(({ params }: { params: Body }) => Number(params["engagement_time_msec"]) > 0),
      name,
    );
    assert.ok(!("non_personalized_ads" in body), name);
  }
});

test("the client of a visitor stays the same when the app learns who it is", () => {
  const clientOf = (data: Body) =>
    JSON.parse(sent(build(sample("link.app_open.minimal", { cid: "c1", ...data }))).body).client_id;
  assert.equal(clientOf({ user_id: "user-8841" }), clientOf({}));
});

test("a name that Google does not take is never sent, and is not tried again", () => {
  for (const name of ["link click", "link.click!", `link.${"x".repeat(29)}`]) {
    const outcome = unsent(build({ ...sample("link.click.minimal"), event: name }));
    assert.ok(outcome.kind === "refused" && !outcome.retriable, name);
  }
});
