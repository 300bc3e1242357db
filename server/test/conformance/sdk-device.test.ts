// The device object of each SDK: which of its identifiers is taken, with which consent; and what a claim tells in events,
// in the order in which an installed app tries its ways.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventType } from "#contract/events.ts";
import {
  type Caller,
  claim,
  click,
  IPHONE,
  NATIVE_ANDROID,
  NATIVE_IOS,
  ofType,
  PIXEL,
  send,
  startShop,
} from "../support/sdk.ts";

const STORE = "https://apps.apple.com/app/id1234567890";
const settings = { analytics_consent: true, ios_store_url: STORE, ios_enable_pasteboard: true };
const { api, app_id, link } = await startShop(null, settings);
const headers = { "x-app-id": app_id };

/** A network for each case: nobody else's click is near. */
let networks = 0;
const newNetwork = () => `198.51.100.${++networks}`;
const newest = async (type: EventType) => (await ofType(api, app_id, type)).at(-1) ?? {};

/** The first click that the open of a device tells, after a claim with it; undefined when it is not known again. */
async function recognised(platform: "ios" | "android", agent: string, device: object) {
  const ip = newNetwork();
  const cid = await click(api, app_id, "hello", { agent: PIXEL, ip });
  const described = { ...headers, "x-linkme-device": JSON.stringify({ platform, ...device }) };
  const answer = await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, { agent, ip, headers: described });
  assert.equal(answer.status, 200, "whatever a device says of itself, its claim is good");
  const open = { type: "open", platform, device: { platform, ...device } };
  assert.equal((await send(api, "POST", "/api/app-events", open, { agent, ip, headers })).status, 204);
  const { first_cid } = await newest("link.app_open");
  return first_cid === undefined ? "nobody" : first_cid === cid ? "known" : "another";
}

const vendor = { vendor: true };
const advertising = { advertising: true };
const both = { vendor: true, advertising: true };
const ZERO = "00000000-0000-0000-0000-000000000000";
let ids = 0;
const newId = () => `6f1c0a52-6a7e-4a53-9a1e-${String(++ids).padStart(12, "0")}`;

for (const [platform, agent, id_type, consent, seen, device_id] of [
  ["ios", NATIVE_IOS, "idfv", vendor, "known"],
  ["ios", NATIVE_IOS, "idfa", advertising, "known"],
  ["ios", NATIVE_IOS, "idfa", both, "known"],
  ["ios", NATIVE_IOS, "idfv", advertising, "nobody"],
  ["ios", NATIVE_IOS, "idfa", vendor, "nobody"],
  ["ios", NATIVE_IOS, "idfa", advertising, "nobody", ZERO],
  ["android", NATIVE_ANDROID, "android_id", vendor, "known"],
  ["android", NATIVE_ANDROID, "adid", advertising, "known"],
  ["android", NATIVE_ANDROID, "adid", both, "known"],
  ["android", NATIVE_ANDROID, "android_id", advertising, "nobody"],
  ["android", NATIVE_ANDROID, "adid", vendor, "nobody"],
  ["android", NATIVE_ANDROID, "adid", { advertising: "true" }, "nobody"],
  ["android", NATIVE_ANDROID, "adid", undefined, "nobody"],
  ["android", NATIVE_ANDROID, "adid", advertising, "nobody", ZERO],
] as const) {
  const said = `${id_type}${device_id === undefined ? "" : " of zeros"} with ${JSON.stringify(consent) ?? "no consent"}`;
  test(`a device with ${said} is ${seen}`, async () => {
    const device = { id_type, device_id: device_id ?? newId(), ...(consent !== undefined && { consent }) };
    assert.equal(await recognised(platform, agent, device), seen);
  });
}

/** The token that the page before the App Store copies, as iOS reads it from the pasteboard. */
async function copied(caller: Caller): Promise<string> {
  const { status, body } = await send(api, "GET", "/hello", undefined, caller);
  assert.equal(status, 200, "a page, and no redirect");
  const text = /data-copy="([^"]*)"/.exec(body)?.[1] ?? "";
  return /(?:^|\s)linkme:cid=([A-Fa-f0-9]{8,64})(?:\s|$)/.exec(text)?.[1] ?? "";
}

const device = { platform: "ios", osVersion: "17.4", locale: "en_NZ", timezone: "Pacific/Auckland" };
for (const [name, described] of [
  ["iOS, which sends its device", { "x-linkme-device": JSON.stringify(device) }],
  ["React Native, whose call has no x-linkme-device", {}],
] as const) {
  test(`the pasteboard comes first, and nothing is left for the fingerprint: ${name}`, async () => {
    const ip = newNetwork();
    const cid = await copied({ agent: IPHONE, ip });
    const first = { agent: NATIVE_IOS, ip, headers: { ...headers, ...described } };
    const answer = await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, first);
    assert.deepEqual([answer.status, answer.body.cid, answer.body.duplicate], [200, cid, false]);
    const { link_id, platform, ...claimed } = await newest("link.claim");
    assert.deepEqual([link_id, claimed["cid"], platform], [link.id, cid, "ios"]);
    const told = (await ofType(api, app_id, "link.claim")).length;
    // React Native reports the way afterwards: it explains the claim, and is no second one.
    const report = { type: "claim", cid, platform: "ios", detail: '{"claim_type":"pasteboard"}' };
    assert.equal((await send(api, "POST", "/api/app-events", report, { agent: NATIVE_IOS, ip, headers })).status, 204);
    const second = await claim(api, app_id, { platform: "ios", bundleId: "" }, { agent: NATIVE_IOS, ip });
    assert.deepEqual([second.status, second.body.error], [404, "no_match"]);
    assert.equal((await ofType(api, app_id, "link.claim")).length, told);
  });
}

test("without a token on the pasteboard the fingerprint is what finds the click", async () => {
  const ip = newNetwork();
  const cid = await copied({ agent: IPHONE, ip });
  const { body } = await claim(api, app_id, { platform: "ios", bundleId: "" }, { agent: NATIVE_IOS, ip });
  assert.equal(body.cid, cid);
  assert.equal((await newest("link.claim"))["claim_type"], "fingerprint");
});

/** Members of an event that are there with any text. */
const some = (data: Record<string, unknown>, ...names: string[]) => {
  for (const name of names) assert.ok(typeof data[name] === "string" && data[name] !== "", name);
};

test("each of the five events has the members of its row, and none that is null", async () => {
  const ip = newNetwork();
  const agent = NATIVE_ANDROID;
  const from = { agent: PIXEL, ip, headers: { referer: "https://news.example/a?b=1" } };
  const cid = await click(api, app_id, "hello?ref=7&utm_term=x", from);
  const dest_url = "https://127.0.0.1:8080/gr%C3%B6%C3%9Fe/42?";
  const clicked = await newest("link.click");
  assert.deepEqual([clicked["link_id"], clicked["platform"], clicked["cid"]], [link.id, "android", cid]);
  assert.ok(String(clicked["dest_url"]).startsWith(dest_url), String(clicked["dest_url"]));
  assert.deepEqual([clicked["slug"], clicked["referrer"]], ["hello", "news.example"]);
  assert.deepEqual(clicked["utm"], { utm_source: "mail", utm_term: "x" });
  some(clicked, "hostname");

  const token = await newest("link.token_created");
  assert.deepEqual([token["link_id"], token["cid"], token["platform"]], [link.id, cid, "android"]);
  assert.deepEqual([token["slug"], token["dest_url"]], ["hello", clicked["dest_url"]]);
  assert.ok(Array.isArray(token["methods"]) && token["methods"].includes("fingerprint"));
  some(token, "expires_at");

  await claim(api, app_id, { platform: "android", bundleId: "com.example.shop" }, { agent, ip });
  const attempt = { platform: "android", matched: true, method: "fingerprint", reason: "matched" };
  const found = { link_id: link.id, cid, bundle_id: "com.example.shop" };
  assert.deepEqual(await newest("link.deferred_claim_attempt"), { ...attempt, ...found });
  const claimed = await newest("link.claim");
  assert.deepEqual([claimed["link_id"], claimed["cid"], claimed["platform"]], [link.id, cid, "android"]);
  assert.deepEqual([claimed["claim_type"], claimed["duplicate"]], ["fingerprint", false]);
  assert.deepEqual([claimed["path"], claimed["utm"]], ["/größe/42", clicked["utm"]]);
  some(claimed, "claimed_at");

  await claim(api, app_id, { platform: "ios", bundleId: "" }, { agent: NATIVE_IOS, ip: newNetwork() });
  const missed = { platform: "ios", matched: false, method: "fingerprint", reason: "no_match" };
  assert.deepEqual(await newest("link.deferred_claim_attempt"), missed);

  const open = { type: "open", platform: "android", linkId: link.id, cid, detail: "{}", timestamp: 1_764_150_000 };
  await send(api, "POST", "/api/app-events", open, { agent, ip, headers });
  const opened = { type: "open", platform: "android", link_id: link.id, cid, detail: "{}", timestamp: open.timestamp };
  assert.deepEqual(await newest("link.app_open"), { ...opened, first_cid: cid });
});

for (const [name, method, path, body, claim_type] of [
  ["a token", "GET", (cid: string) => `/api/deeplink?cid=${cid}`, () => undefined, "direct"],
  [
    "a Play referrer",
    "POST",
    () => "/api/install-referrer",
    (cid: string) => ({ referrer: `cid=${cid}` }),
    "install_referrer",
  ],
] as const) {
  test(`a claim by ${name} says so, once`, async () => {
    const ip = newNetwork();
    const cid = await click(api, app_id, "hello", { agent: PIXEL, ip });
    const before = (await ofType(api, app_id, "link.claim")).length;
    for (const duplicate of [false, true]) {
      const answer = await send(api, method, path(cid), body(cid), { agent: NATIVE_ANDROID, ip, headers });
      assert.deepEqual([answer.status, answer.body.duplicate], [200, duplicate]);
    }
    const claims = (await ofType(api, app_id, "link.claim")).slice(before);
    assert.deepEqual(
      claims.map((data) => [data["cid"], data["claim_type"]]),
      [[cid, claim_type]],
    );
  });
}
