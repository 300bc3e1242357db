import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { GA4_PARAMS_WORST_CASE, type Ga4Mapped, type Ga4Settings, ga4Url, mapGa4 } from "./ga4.ts";
import { GA4_NAME_MAX_CHARS, GA4_PARAMS_MAX } from "./ga4-limits.ts";
import type { SourceEvent } from "./source.ts";

const SAMPLES = new URL("../../../spec/events/", import.meta.url);
const SETTINGS: Ga4Settings = {
  measurement_id: "G-K3TQ7M",
  send_user_id: false,
  campaign_details: false,
  ad_user_data: "unset",
  ad_personalization: "unset",
  unidentified: "per_event",
};
const APP: Partial<Ga4Settings> = { measurement_id: undefined, firebase_app_id: "1:1234567890:ios:321abc456def7890" };
const CONTEXT = { pseudonym: (text: string) => createHmac("sha256", "of the app shop").update(text).digest() };
const CID = "4b7cc5694dd3a265bac326eaba31266e";

function sample(name: string): SourceEvent {
  return JSON.parse(readFileSync(new URL(`${name}.json`, SAMPLES), "utf8"));
}

function event(data: SourceEvent["data"], changes: Partial<SourceEvent> = {}): SourceEvent {
  return { ...sample("link.click.minimal"), data: { platform: "web", ...data }, ...changes };
}

function map(source: SourceEvent, settings: Partial<Ga4Settings> = {}): Ga4Mapped {
  const mapped = mapGa4(source, { ...SETTINGS, ...settings }, CONTEXT);
  assert.ok(mapped.kind === "mapped", JSON.stringify(mapped));
  return mapped;
}

const body = (source: SourceEvent, settings?: Partial<Ga4Settings>) => map(source, settings).body;
const params = (source: SourceEvent, settings?: Partial<Ga4Settings>) => body(source, settings).events.at(-1)?.params;
const skip = (source: SourceEvent, settings: Partial<Ga4Settings> = {}) => {
  const mapped = mapGa4(source, { ...SETTINGS, ...settings }, CONTEXT);
  return mapped.kind === "skipped" ? mapped.reason : null;
};

const NAMES: [string, string][] = [
  ["link.click", "linkme_link_click"],
  ["link.token_created", "linkme_link_token_created"],
  ["link.claim", "linkme_link_claim"],
  ["link.app_open", "linkme_link_app_open"],
  ["link.deferred_claim_attempt", "linkme_link_deferred_claim_attempt"],
];
for (const [type, name] of NAMES) {
  test(`${type} is ${name}, names its session and an engagement, and is short enough for a key event`, () => {
    const [mapped] = body(sample(type)).events;
    assert.equal(mapped?.name, name);
    // Google puts two characters behind the name of a key event.
    assert.ok(name.length + 2 <= GA4_NAME_MAX_CHARS);
    assert.match(String(mapped?.params["session_id"]), /^[1-9]\d{9}$/);
    assert.equal(mapped?.params["engagement_time_msec"], 1);
    assert.equal(mapped?.params["linkme_event_id"], sample(type).id);
  });
}

test("an event that says everything at once has as many params as Google takes, and no more", () => {
  const everything = event(
    {
      ...sample("link.click").data,
      ...{ methods: ["direct"], claim_type: "direct", matched: true, reason: "matched", first_open: true },
      ...{ app_version: "1.2", clicked_at: "2026-01-31T10:00:00.000Z", test: true, user_id: "u" },
      utm: { utm_source: "a", utm_medium: "b", utm_campaign: "c", utm_term: "d", utm_content: "e" },
    },
    { event: "link.click" },
  );
  assert.equal(Object.keys(params(everything) ?? {}).length, GA4_PARAMS_WORST_CASE);
  assert.ok(GA4_PARAMS_WORST_CASE <= GA4_PARAMS_MAX, `${GA4_PARAMS_WORST_CASE}`);
});

test("the cookies of Google's tags come before anything that is made here", () => {
  const { client_id, events } = body(sample("link.click"));
  assert.equal(client_id, "1390821944.1652345678");
  assert.equal(events[0]?.params["session_id"], "1769851790");
});

const CLIENTS: [string, Record<string, unknown>, string | null][] = [
  ["the two numbers", { client_id: "11.22", cookies: { _ga: "GA1.1.33.44" } }, "11.22"],
  ["the cookie alone", { cookies: { _ga: "GA1.1.33.44" } }, "33.44"],
  ["a cookie of a deeper domain", { cookies: { _ga: "GA1.2-3.33.44" } }, "33.44"],
  ["a UUID", { client_id: "019c1363-4b5c-71f1-84b7-8073442bd4c8" }, null],
  ["a cookie of another form", { cookies: { _ga: "GA2.x" } }, null],
  ["zeros", { client_id: "0.0" }, null],
  ["no text", { client_id: 5, cookies: { _ga: 7 } }, null],
  ["no cookies", { cookies: null }, null],
];
for (const [what, ga, expected] of CLIENTS) {
  test(`carried as ${what}: ${expected ?? "an id is made"}`, () => {
    const made = body(event({ cid: CID })).client_id;
    assert.match(made ?? "", /^[1-9]\d{0,9}\.1[67]\d{8}$/);
    assert.equal(body(event({ cid: CID, ga })).client_id, expected ?? made);
  });
}

test("a click, its token and its claim share the id of the first click, which is another one for each app", () => {
  const made = ["link.click", "link.token_created"].map(
    (type) => body(event({ cid: CID }, { event: type, id: type })).client_id,
  );
  const claimed = body(event({ cid: "another", first_cid: CID }, { event: "link.claim" })).client_id;
  assert.equal(new Set([...made, claimed]).size, 1);
  const others = { pseudonym: (text: string) => createHmac("sha256", "of another app").update(text).digest() };
  const there = mapGa4(event({ cid: CID }), SETTINGS, others);
  assert.ok(there.kind === "mapped" && there.body.client_id !== claimed);
});

test("the made id is two positive numbers even of bytes that are all zero or all one", () => {
  for (const [fill, expected] of [
    [0, "1.1600000000"],
    [255, "2147483647.1694967295"],
  ] as const) {
    const mapped = mapGa4(event({ cid: CID }), SETTINGS, { pseudonym: () => new Uint8Array(32).fill(fill) });
    assert.ok(mapped.kind === "mapped");
    assert.equal(mapped.body.client_id, expected);
  }
});

test("a user who logs in stays the same client", () => {
  const before = body(event({ cid: CID }), { send_user_id: true });
  const after = body(event({ cid: CID, user_id: "u_42" }), { send_user_id: true });
  assert.equal(after.client_id, before.client_id);
  assert.equal(after.user_id, "u_42");
});

const second = (text: string) => String(Date.parse(text) / 1_000);
const COOKIES = { _ga_K3TQ7M: "GS2.1.s1769851790$o3$g1", _ga_OTHER1: "GS1.1.1769851000.2.1" };
const TS = "2026-01-31T09:34:21.087Z";
const SESSIONS: [string, Partial<SourceEvent>, SourceEvent["data"], string][] = [
  ["its own stream's cookie", {}, { ga: { cookies: COOKIES } }, "1769851790"],
  ["the only other cookie", {}, { ga: { cookies: { _ga_OTHER1: COOKIES._ga_OTHER1 } } }, "1769851000"],
  [
    "the half hour, of several cookies of other streams",
    {},
    { ga: { cookies: { _ga_OTHER1: COOKIES._ga_OTHER1, _ga_OTHER2: COOKIES._ga_OTHER1 } } },
    second("2026-01-31T09:30:00Z"),
  ],
  [
    "the half hour, of a cookie of another form",
    {},
    { ga: { cookies: { _ga_K3TQ7M: "GS3.1.x" } } },
    second("2026-01-31T09:30:00Z"),
  ],
  [
    "the half hour, of a session that began more than a day ago",
    { ts: "2026-02-01T09:29:51.000Z" },
    { ga: { cookies: COOKIES } },
    second("2026-02-01T09:00:00Z"),
  ],
  ["a session that began a day ago", { ts: "2026-02-01T09:29:50.999Z" }, { ga: { cookies: COOKIES } }, "1769851790"],
  ["the second of the click", { event: "link.click" }, {}, second("2026-01-31T09:34:21Z")],
  ["the second of the token's click", { event: "link.token_created" }, {}, second("2026-01-31T09:34:21Z")],
  [
    "the second of a click half an hour before",
    {},
    { clicked_at: "2026-01-31T09:04:21.000Z" },
    second("2026-01-31T09:04:21Z"),
  ],
  [
    "the half hour, of a click longer ago",
    {},
    { clicked_at: "2026-01-31T09:04:20.999Z" },
    second("2026-01-31T09:30:00Z"),
  ],
  [
    "the half hour, of a click that is yet to come",
    {},
    { clicked_at: "2026-01-31T09:35:00Z" },
    second("2026-01-31T09:30:00Z"),
  ],
  ["the half hour, of nothing that is known", {}, {}, second("2026-01-31T09:30:00Z")],
];
for (const [what, changes, data, expected] of SESSIONS) {
  test(`the session is ${what}`, () => {
    assert.equal(params(event(data, { event: "link.app_open", ts: TS, ...changes }))?.["session_id"], expected);
  });
}

test("the time is in microseconds, and the settings may set another one for what is too old", () => {
  assert.equal(body(event({}, { ts: TS })).timestamp_micros, Date.parse(TS) * 1_000);
  const later = mapGa4(event({}, { ts: TS, event: "link.app_open" }), SETTINGS, {
    ...CONTEXT,
    instead_of_ts: 1_800_000_000_000,
  });
  assert.ok(later.kind === "mapped");
  assert.equal(later.body.timestamp_micros, 1_800_000_000_000_000);
  assert.equal(later.body.events[0]?.params["session_id"], "1800000000");
});

test("a time that cannot be read is not sent, and no session is made up for it", () => {
  const mapped = body(event({}, { ts: "yesterday" }));
  assert.ok(!("timestamp_micros" in mapped) && !("session_id" in (mapped.events[0]?.params ?? {})));
});

test("who is not to be counted is skipped, with the reason", () => {
  const nobody = event({});
  assert.equal(skip(nobody, { unidentified: "skip" }), "no_identity");
  assert.equal(skip(nobody), null);
  assert.equal(skip(event({ cid: CID }), { unidentified: "skip" }), null);
  assert.equal(skip(event({ is_bot: true })), "bot");
  assert.equal(skip(event({ is_bot: "true" })), null);
  for (const answer of ["denied", "DENIED"])
    assert.equal(skip(event({ consent: { analytics_storage: answer } })), "consent");
  assert.equal(skip(event({ consent: { analytics_storage: "granted" } })), null);
});

test("events of nobody are of another client each", () => {
  const [one, two] = ["a", "b"].map((id) => body(event({}, { id })).client_id);
  assert.notEqual(one, two);
});

test("an app stream takes the id of an installation from Firebase, and never makes one up", () => {
  const id = "0123456789abcdef0123456789ABCDEF";
  const mapped = map(event({ cid: CID, firebase: { app_instance_id: id } }), APP);
  assert.equal(mapped.body.app_instance_id, id);
  assert.ok(!("client_id" in mapped.body));
  assert.deepEqual(mapped.stream, { firebase_app_id: APP.firebase_app_id });
  for (const firebase of [undefined, null, {}, { app_instance_id: "" }, { app_instance_id: `${id}0` }, "x"]) {
    assert.equal(skip(event({ cid: CID, firebase }), APP), "no_identity");
  }
  assert.equal(skip(event({ cid: CID, firebase: { app_instance_id: id.replace("0", "g") } }), APP), "no_identity");
});

test("an app stream joins the session of the SDK, and has no page", () => {
  const firebase = { app_instance_id: "0".repeat(32), session_id: "1769853000" };
  const found = params(event({ ...sample("link.click").data, firebase }, { event: "link.click" }), APP);
  assert.equal(found?.["session_id"], "1769853000");
  assert.ok(!("page_location" in (found ?? {})));
});

test("a click has its page and the page before it, without paths and queries", () => {
  const found = params(sample("link.click"));
  assert.equal(found?.["page_location"], "https://go.shop.example/winter-sale");
  assert.equal(found?.["page_referrer"], "https://mail.example.com/");
  const imported = params(event({ referrer: "https://a.example/reset?token=abc" }));
  assert.equal(imported?.["page_referrer"], "https://a.example/");
  assert.equal(params(event({ referrer: "not a host" }))?.["page_referrer"], undefined);
  assert.ok(!("page_location" in (params(sample("link.token_created")) ?? {})));
});

test("a campaign goes with each event, and on request before the click as that of the session", () => {
  const [click] = body(sample("link.click")).events;
  assert.deepEqual([click?.params["source"], click?.params["medium"]], ["newsletter", "email"]);
  assert.equal(click?.params["linkme_campaign"], "winter-sale");
  const { events } = body(sample("link.click"), { campaign_details: true });
  assert.deepEqual(
    events.map(({ name }) => name),
    ["campaign_details", "linkme_link_click"],
  );
  assert.deepEqual(events[0]?.params, {
    ...{ session_id: "1769851790", engagement_time_msec: 1 },
    ...{ campaign: "winter-sale", source: "newsletter", medium: "email" },
  });
  for (const none of ["link.click.minimal", "link.claim"]) {
    assert.equal(body(sample(none), { campaign_details: true }).events.length, 1, none);
  }
});

test("a user's name leaves only where that is asked for, and whole or not at all", () => {
  assert.equal(body(sample("link.claim")).user_id, undefined);
  assert.equal(body(sample("link.claim"), { send_user_id: true }).user_id, "user-8841");
  for (const [length, is_sent] of [
    [256, true],
    [257, false],
  ] as const) {
    const user_id = "u".repeat(length);
    assert.equal(body(event({ user_id }), { send_user_id: true }).user_id, is_sent ? user_id : undefined);
  }
});

test("a visitor's own answer about ads goes before the settings, and nothing is said where nobody was asked", () => {
  assert.equal(body(event({})).consent, undefined);
  const settings = { ad_user_data: "denied", ad_personalization: "granted" } as const;
  assert.deepEqual(body(event({}), settings).consent, { ad_user_data: "DENIED", ad_personalization: "GRANTED" });
  const consent = { ad_user_data: "GRANTED", ad_personalization: "maybe" };
  assert.deepEqual(body(event({ consent }), settings).consent, {
    ad_user_data: "GRANTED",
    ad_personalization: "GRANTED",
  });
});

test("place and device are told as far as the event tells them", () => {
  const data = { country: "de", region: "BE", city: "Berlin", os: "iOS", os_version: "19.1", language: "de-DE" };
  const mapped = body(event({ ...data, device_category: "Mobile" }));
  assert.deepEqual(mapped.user_location, { city: "Berlin", region_id: "DE-BE", country_id: "DE" });
  assert.deepEqual(mapped.device, {
    ...{ category: "mobile", language: "de-DE", operating_system: "iOS", operating_system_version: "19.1" },
  });
  assert.deepEqual(body(event({ region: "US-CA" })).user_location, { region_id: "US-CA" });
  for (const nothing of [{}, { country: "Germany" }, { region: "Bavaria" }, { os: 7, city: "" }]) {
    const found = body(event(nothing));
    assert.ok(!("user_location" in found) && !("device" in found));
  }
});

test("a test event is marked as one", () => {
  assert.equal(params(sample("link.click.test"))?.["debug_mode"], 1);
  assert.equal(params(sample("link.click"))?.["debug_mode"], undefined);
});

test("booleans are texts and counts are numbers", () => {
  const found = params(sample("link.claim"));
  assert.deepEqual([found?.["linkme_matched"], found?.["linkme_seconds_since_click"]], ["true", 260]);
  assert.equal(params(event({ first_open: false }, { event: "link.app_open" }))?.["linkme_first_open"], "false");
});

const CUTS: [string, SourceEvent["data"], number][] = [
  ["linkme_link_id", { link_id: "x".repeat(101) }, 100],
  ["linkme_link_id", { link_id: "x".repeat(100) }, 100],
  ["linkme_link_id", { link_id: `${"x".repeat(99)}👟` }, 99],
  ["linkme_link_id", { link_id: `${"x".repeat(98)}👟` }, 100],
  ["linkme_dest_path", { dest_url: `https://a.example/${"y".repeat(200)}` }, 100],
  ["source", { utm: { utm_source: "👟".repeat(51) } }, 100],
  ["page_location", { hostname: "a.example", slug: "z".repeat(1_200) }, 1_000],
  ["page_referrer", { referrer: `https://${"r.".repeat(120)}example${"/p".repeat(300)}` }, 256],
];
for (const [name, data, length] of CUTS) {
  test(`${name} of ${JSON.stringify(data).length} characters is cut to ${length}, and to whole characters`, () => {
    const value = String(params(event(data))?.[name]);
    assert.equal(value.length, length);
    assert.ok(value.isWellFormed());
  });
}

test("half a character that came in does not leave", () => {
  assert.equal(params(event({ link_id: "a\ud83d" }))?.["linkme_link_id"], "a\ufffd");
});

test("the same event makes the same bytes, and neither event nor settings are changed", () => {
  const frozen = Object.freeze(sample("link.click"));
  const [one, two] = [map(frozen), map(JSON.parse(JSON.stringify(frozen)))];
  assert.equal(JSON.stringify(one), JSON.stringify(two));
});

test("requests go to the stream's endpoint, in the union where that is asked for, and colons stay as they are", () => {
  const web = { endpoint: "us", measurement_id: "G-1" } as const;
  assert.equal(
    ga4Url(web, "s/ü&"),
    "https://www.google-analytics.com/mp/collect?measurement_id=G-1&api_secret=s%2F%C3%BC%26",
  );
  assert.equal(
    ga4Url({ endpoint: "eu", firebase_app_id: "1:2:ios:3a" }, "s"),
    "https://region1.google-analytics.com/mp/collect?firebase_app_id=1:2:ios:3a&api_secret=s",
  );
  assert.equal(
    ga4Url({ ...web, host: "https://tags.example/ga/" }, "s"),
    "https://tags.example/ga/mp/collect?measurement_id=G-1&api_secret=s",
  );
});
