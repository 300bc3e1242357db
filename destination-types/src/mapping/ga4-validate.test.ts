import assert from "node:assert/strict";
import { test } from "node:test";
import {
  APP,
  type Attempt,
  type Body,
  bodyOf,
  find,
  INSTANCE,
  NOW,
  ON_APP,
  PARAMS,
  SECRET,
  WEB,
} from "../../test/ga4-request.ts";
import { GA4_RULES, type Ga4Rule } from "./ga4-findings.ts";
import { GA4_AGE_MAX_MS, GA4_AHEAD_MAX_MS, GA4_ATTRIBUTION_MS, GA4_BODY_MAX_BYTES } from "./ga4-limits.ts";

const many = (count: number, value: unknown = 1): Body =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`p${index}`, value]));
const list = (count: number, value: unknown) => Array.from({ length: count }, () => value);
const item = { item_id: "1" };
const micros = (offset_ms: number) => (NOW + offset_ms) * 1_000;
const sized = (bytes: number) => {
  const empty = new TextEncoder().encode(JSON.stringify(bodyOf({ params: { session_number: "" } }))).length;
  return { params: { session_number: `${"x".repeat(bytes - empty - 2)}ü` } };
};
const noId = { client_id: undefined };
const webOf = (id: string) => WEB.replace("G-K3TQ7M", id);
const appOf = (id: string) => APP.replace("1:2:ios:3a", id);

/** Rule, where it is found, what breaks it, what comes close and does not. */
const CASES: [Ga4Rule, string, Attempt, Attempt][] = [
  ["URL_INVALID", "url", { url: "www.google-analytics.com/mp/collect" }, {}],
  ["NOT_HTTPS", "url", { url: WEB.replace("https", "http") }, { url: WEB.replace("www", "region1") }],
  [
    "WRONG_ENDPOINT",
    "url",
    { url: WEB.replace("/mp/", "/g/") },
    { url: WEB.replace("/mp", "/tags/mp").replace("www.google-analytics.com", "t.example") },
  ],
  ["WRONG_ENDPOINT", "url", { url: WEB.replace("www.", "eu.") }, {}],
  ["DEBUG_ENDPOINT", "url", { url: WEB.replace("/mp/", "/debug/mp/") }, {}],
  ["STREAM_MISSING", "url", { url: WEB.replace("measurement_id", "id") }, {}],
  ["STREAM_AMBIGUOUS", "url", { url: `${WEB}&firebase_app_id=1:2:ios:3a` }, ON_APP],
  ["MEASUREMENT_ID_INVALID", "url.measurement_id", { url: webOf("1234567890") }, { url: webOf("G-1") }],
  ["MEASUREMENT_ID_INVALID", "url.measurement_id", { url: webOf("G-abc") }, {}],
  [
    "FIREBASE_APP_ID_INVALID",
    "url.firebase_app_id",
    { ...ON_APP, url: appOf("1:2:macos:3a") },
    { ...ON_APP, url: appOf("1:2:web:0") },
  ],
  ["FIREBASE_APP_ID_ENCODED", "url.firebase_app_id", { ...ON_APP, url: appOf("1%3A2%3Aios%3A3a") }, ON_APP],
  ["API_SECRET_MISSING", "url.api_secret", { url: WEB.replace(SECRET, "") }, {}],
  ["API_SECRET_MISSING", "url.api_secret", { url: WEB.replace("api_secret", "secret") }, {}],
  ["BODY_TOO_LARGE", "body", sized(GA4_BODY_MAX_BYTES + 1), sized(GA4_BODY_MAX_BYTES)],
  ["BODY_INVALID", "body", { text: "{" }, {}],
  ["BODY_INVALID", "body", { text: "[]" }, {}],
  ["KEY_UNKNOWN", "clientId", { body: { clientId: "1.2" } }, { body: { user_data: {} } }],
  ["KEY_UNKNOWN", "events.0.parameters", { event: { parameters: {} } }, {}],
  [
    "KEY_UNKNOWN",
    "consent.analytics_storage",
    { body: { consent: { analytics_storage: "DENIED" } } },
    { body: { consent: { ad_user_data: "DENIED" } } },
  ],
  [
    "KEY_UNKNOWN",
    "user_location.country",
    { body: { user_location: { country: "DE" } } },
    { body: { user_location: { country_id: "DE" } } },
  ],
  ["KEY_UNKNOWN", "device.os", { body: { device: { os: "iOS" } } }, { body: { device: { operating_system: "iOS" } } }],
  ["TYPE_INVALID", "client_id", { body: { client_id: 1.2 } }, {}],
  ["TYPE_INVALID", "timestamp_micros", { body: { timestamp_micros: String(micros(0)) } }, {}],
  ["TYPE_INVALID", "events", { body: { events: {} } }, {}],
  ["TYPE_INVALID", "events.1", { body: { events: [{ name: "a", params: PARAMS }, null] } }, {}],
  ["TYPE_INVALID", "events.0.params", { event: { params: [] } }, {}],
  [
    "TYPE_INVALID",
    "user_location.city",
    { body: { user_location: { city: 7 } } },
    { body: { user_location: { city: "7" } } },
  ],
  [
    "VALUE_INVALID",
    "consent.ad_user_data",
    { body: { consent: { ad_user_data: "granted" } } },
    { body: { consent: { ad_user_data: "GRANTED" } } },
  ],
  [
    "VALUE_INVALID",
    "validation_behavior",
    { body: { validation_behavior: "STRICT" } },
    { body: { validation_behavior: "RELAXED" } },
  ],
  [
    "VALUE_UNUSED",
    "ip_override",
    { body: { ip_override: "192.0.2.1", user_location: { country_id: "DE" } } },
    { body: { ip_override: "192.0.2.1" } },
  ],
  [
    "VALUE_UNUSED",
    "user_agent",
    { body: { user_agent: "x", device: { language: "de" } } },
    { body: { user_agent: "x" } },
  ],
  ["DEPRECATED", "non_personalized_ads", { body: { non_personalized_ads: true } }, {}],
  ["ID_MISSING", "client_id", { body: noId }, {}],
  ["ID_AMBIGUOUS", "client_id", { body: { app_instance_id: INSTANCE } }, {}],
  ["ID_OF_OTHER_STREAM", "app_instance_id", { url: APP }, ON_APP],
  ["ID_OF_OTHER_STREAM", "client_id", { ...ON_APP, url: WEB }, {}],
  ["CLIENT_ID_INVALID", "client_id", { body: { client_id: "" } }, { body: { client_id: "GA1.1.33.44" } }],
  ["CLIENT_ID_INVALID", "client_id", { body: { client_id: "u_42" } }, { body: { client_id: "1.2" } }],
  ["CLIENT_ID_INVALID", "client_id", { body: { client_id: "0.5" } }, { body: { client_id: "GA1.2-3.33.44" } }],
  ["UUID_CLIENT_ID", "client_id", { body: { client_id: "019c1363-4b5c-71f1-84b7-8073442bd4c8" } }, {}],
  [
    "APP_INSTANCE_ID_INVALID",
    "app_instance_id",
    { url: APP, body: { ...noId, app_instance_id: `${INSTANCE}0` } },
    ON_APP,
  ],
  ["USER_ID_TOO_LONG", "user_id", { body: { user_id: "u".repeat(257) } }, { body: { user_id: "u".repeat(256) } }],
  [
    "TOO_MANY_USER_PROPERTIES",
    "user_properties",
    { body: { user_properties: many(26, { value: 1 }) } },
    { body: { user_properties: many(25, { value: 1 }) } },
  ],
  [
    "USER_PROPERTY_NAME_INVALID",
    "user_properties.a b",
    { body: { user_properties: { "a b": { value: 1 } } } },
    { body: { user_properties: { a_b: { value: 1 } } } },
  ],
  [
    "USER_PROPERTY_NAME_TOO_LONG",
    `user_properties.${"a".repeat(25)}`,
    { body: { user_properties: { ["a".repeat(25)]: { value: 1 } } } },
    { body: { user_properties: { ["a".repeat(24)]: { value: 1 } } } },
  ],
  [
    "USER_PROPERTY_NAME_RESERVED",
    "user_properties.user_id",
    { body: { user_properties: { user_id: { value: 1 } } } },
    { body: { user_properties: { my_user_id: { value: 1 } } } },
  ],
  [
    "USER_PROPERTY_NAME_RESERVED",
    "user_properties.google_x",
    { body: { user_properties: { google_x: { value: 1 } } } },
    { body: { user_properties: { googlex: { value: 1 } } } },
  ],
  [
    "USER_PROPERTY_TYPE",
    "user_properties.a",
    { body: { user_properties: { a: "plain" } } },
    { body: { user_properties: { a: { value: true } } } },
  ],
  [
    "USER_PROPERTY_TYPE",
    "user_properties.a",
    { body: { user_properties: { a: { value: ["b"] } } } },
    { body: { user_properties: { a: { value: "b", timestamp_micros: micros(0) } } } },
  ],
  [
    "USER_PROPERTY_VALUE_TOO_LONG",
    "user_properties.a",
    { body: { user_properties: { a: { value: "b".repeat(37) } } } },
    { body: { user_properties: { a: { value: "b".repeat(36) } } } },
  ],
  ["TIMESTAMP_INVALID", "timestamp_micros", { body: { timestamp_micros: -1 } }, {}],
  [
    "TIMESTAMP_INVALID",
    "timestamp_micros",
    { body: { timestamp_micros: micros(0) + 0.5 } },
    { body: { timestamp_micros: micros(0) + 1 } },
  ],
  ["TIMESTAMP_UNIT", "timestamp_micros", { body: { timestamp_micros: NOW } }, {}],
  ["TIMESTAMP_UNIT", "timestamp_micros", { body: { timestamp_micros: NOW / 1_000 } }, {}],
  [
    "TIMESTAMP_UNIT",
    "events.0.timestamp_micros",
    { event: { timestamp_micros: NOW * 1e6 } },
    { event: { timestamp_micros: micros(0) } },
  ],
  [
    "TIMESTAMP_TOO_OLD",
    "timestamp_micros",
    { body: { timestamp_micros: micros(-GA4_AGE_MAX_MS - 1) } },
    { body: { timestamp_micros: micros(-GA4_AGE_MAX_MS) } },
  ],
  [
    "TIMESTAMP_TOO_OLD",
    "events.0.timestamp_micros",
    { event: { timestamp_micros: micros(-GA4_AGE_MAX_MS - 1) } },
    { event: { timestamp_micros: micros(0) }, body: {} },
  ],
  [
    "TIMESTAMP_AHEAD",
    "timestamp_micros",
    { body: { timestamp_micros: micros(GA4_AHEAD_MAX_MS + 1) } },
    { body: { timestamp_micros: micros(GA4_AHEAD_MAX_MS) } },
  ],
  ["EVENTS_MISSING", "events", { body: { events: [] } }, {}],
  ["EVENTS_MISSING", "events", { body: { events: undefined } }, {}],
  [
    "TOO_MANY_EVENTS",
    "events",
    { body: { events: list(26, { name: "a", params: PARAMS }) } },
    { body: { events: list(25, { name: "a", params: PARAMS }) } },
  ],
  ["EVENT_NAME_INVALID", "events.0.name", { event: { name: "link click" } }, { event: { name: "link_click" } }],
  ["EVENT_NAME_INVALID", "events.0.name", { event: { name: "1st" } }, { event: { name: "first1" } }],
  ["EVENT_NAME_INVALID", "events.0.name", { event: { name: undefined } }, {}],
  ["EVENT_NAME_TOO_LONG", "events.0.name", { event: { name: "n".repeat(41) } }, { event: { name: "n".repeat(40) } }],
  [
    "EVENT_NAME_RESERVED",
    "events.0.name",
    { event: { name: "session_start" } },
    { event: { name: "session_started" } },
  ],
  [
    "EVENT_NAME_RESERVED",
    "events.0.name",
    { event: { name: "dynamic_link_app_open" } },
    { event: { name: "page_view" } },
  ],
  [
    "EVENT_NAME_RESERVED",
    "events.0.name",
    { event: { name: "screen_view" } },
    { ...ON_APP, event: { name: "screen_view" } },
  ],
  ["TOO_MANY_PARAMS", "events.0.params", { params: many(24) }, { params: many(23) }],
  ["PARAM_NAME_INVALID", "events.0.params.a-b", { params: { "a-b": 1 } }, { params: { a_b: 1 } }],
  [
    "PARAM_NAME_TOO_LONG",
    `events.0.params.${"p".repeat(41)}`,
    { params: { ["p".repeat(41)]: 1 } },
    { params: { ["p".repeat(40)]: 1 } },
  ],
  [
    "PARAM_NAME_RESERVED",
    "events.0.params.ga_session_id",
    { params: { ga_session_id: 1 } },
    { params: { gasession: 1 } },
  ],
  ["PARAM_NAME_RESERVED", "events.0.params.gtag.x", { params: { "gtag.x": 1 } }, { params: { gtagx: 1 } }],
  [
    "PARAM_NAME_RESERVED",
    "events.0.params.firebase_conversion",
    { params: { firebase_conversion: 1 } },
    { params: { conversion: 1 } },
  ],
  ["PARAM_TYPE", "events.0.params.a", { params: { a: null } }, { params: { a: "" } }],
  ["PARAM_TYPE", "events.0.params.a", { params: { a: { b: 1 } } }, { params: { a: true } }],
  ["PARAM_TYPE", "events.0.params.a", { params: { a: ["b"] } }, { params: { items: [item] } }],
  ["PARAM_VALUE_TOO_LONG", "events.0.params.a", { params: { a: "v".repeat(101) } }, { params: { a: "v".repeat(100) } }],
  [
    "PARAM_VALUE_TOO_LONG",
    "events.0.params.a",
    { params: { a: `${"v".repeat(99)}👟` } },
    { params: { a: `${"v".repeat(98)}👟` } },
  ],
  ["ITEMS_INVALID", "events.0.params.items", { params: { items: { 0: item } } }, { params: { items: [] } }],
  ["ITEMS_INVALID", "events.0.params.items.1", { params: { items: [item, "x"] } }, { params: { items: [item, item] } }],
  [
    "TOO_MANY_ITEMS",
    "events.0.params.items",
    { params: { items: list(201, item) } },
    { params: { items: list(200, item) } },
  ],
  [
    "ITEM_UNNAMED",
    "events.0.params.items.0",
    { params: { items: [{ price: 1 }] } },
    { params: { items: [{ item_name: "a" }] } },
  ],
  [
    "TOO_MANY_ITEM_PARAMS",
    "events.0.params.items.0",
    { params: { items: [{ ...item, ...many(28) }] } },
    { params: { items: [{ ...item, price: 1, ...many(27) }] } },
  ],
  ["CURRENCY_MISSING", "events.0.params.value", { params: { value: 1 } }, { params: { value: 1, currency: "EUR" } }],
  [
    "VALUE_MISSING",
    "events.0.params.currency",
    { params: { currency: "EUR" } },
    { params: { value: 0, currency: "EUR" } },
  ],
  [
    "CURRENCY_INVALID",
    "events.0.params.currency",
    { params: { value: 1, currency: "eur" } },
    { params: { value: 1, currency: "USD" } },
  ],
  [
    "NO_SESSION",
    "events.0.params.session_id",
    { params: { session_id: undefined } },
    { params: { session_id: 1769851790 } },
  ],
  ["NO_SESSION", "events.0.params.session_id", { event: { params: undefined } }, {}],
  [
    "SESSION_ID_INVALID",
    "events.0.params.session_id",
    { params: { session_id: "session-1" } },
    { params: { session_id: "GS2.1.s1769851790$o3$g1" } },
  ],
  [
    "SESSION_ID_INVALID",
    "events.0.params.session_id",
    { params: { session_id: 0 } },
    { params: { session_id: "GS1.1.1769851790.3" } },
  ],
  [
    "ZERO_ENGAGEMENT",
    "events.0.params.engagement_time_msec",
    { params: { engagement_time_msec: 0 } },
    { params: { engagement_time_msec: "1" } },
  ],
  ["ZERO_ENGAGEMENT", "events.0.params.engagement_time_msec", { params: { engagement_time_msec: undefined } }, {}],
  [
    "TOO_LATE_FOR_ATTRIBUTION",
    "events.0.params.session_id",
    { params: { session_id: (NOW - GA4_ATTRIBUTION_MS) / 1_000 - 1 } },
    { params: { session_id: (NOW - GA4_ATTRIBUTION_MS) / 1_000 } },
  ],
  [
    "HIGH_CARDINALITY_DIMENSION",
    "events.0.params.linkme_platform",
    { params: { linkme_platform: "019c1363-4b5c-71f1-84b7-8073442bd4c8" } },
    { params: { linkme_platform: "ios" } },
  ],
  [
    "HIGH_CARDINALITY_DIMENSION",
    "events.0.params.linkme_event_id",
    { params: { linkme_event_id: "1" }, dimensions: ["linkme_event_id"] },
    { params: { linkme_event_id: "019c1363-4b5c-71f1-84b7-8073442bd4c8" } },
  ],
  ["NAME_CHANGED", "events.0.name", { event: { name: "linkme_click" } }, { event: { name: "linkme_link_claim" } }],
];

test("a request that is right has no finding, of a web stream and of an app stream", () => {
  for (const mode of ["relaxed", "enforce"] as const) {
    assert.deepEqual(find({}, mode), []);
    assert.deepEqual(find(ON_APP, mode), []);
  }
});

for (const [index, [rule, path, broken, neighbour]] of CASES.entries()) {
  test(`${rule} at ${path} is found, and its neighbour passes (${index + 1})`, () => {
    const found = find(broken).filter((one) => one.rule === rule);
    assert.deepEqual(
      found.map((one) => one.path),
      [path],
    );
    for (const { message, fix, level } of found) {
      assert.ok(message !== "" && fix !== "" && !fix.endsWith(".") && !message.endsWith("."));
      assert.equal(
        find(broken, "enforce").find((one) => one.rule === rule)?.level === "error",
        level === "error" || STRICT.has(rule),
      );
    }
    assert.deepEqual(find(neighbour, "enforce"), []);
  });
}

/** Taken by Google, unless it is asked to enforce what it recommends. */
const STRICT: ReadonlySet<string> = new Set<Ga4Rule>([
  ...(["CLIENT_ID_INVALID", "TIMESTAMP_TOO_OLD", "TIMESTAMP_AHEAD", "CURRENCY_MISSING", "VALUE_MISSING"] as const),
  "SESSION_ID_INVALID",
]);

test("no rule is without a case, and no case without a rule", () => {
  const tried = new Set(CASES.map(([rule]) => rule));
  assert.deepEqual([...tried].sort(), [...GA4_RULES].sort());
  // @ts-expect-error The names of rules are known to the compiler.
  const unknown: Ga4Rule = "NO_SUCH_RULE";
  assert.ok(!tried.has(unknown));
});
