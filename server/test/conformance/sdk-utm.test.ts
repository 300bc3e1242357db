// The ten keys that count as UTM, written out here once more: a key that gets lost in the list of the contract fails. Each
// is followed from the link over the redirect into the payload, as every kind of SDK reads it, and into the events.
import assert from "node:assert/strict";
import { test } from "node:test";
import { click, MAC, NATIVE_ANDROID, NATIVE_IOS, ofType, PIXEL, send, startShop } from "../support/sdk.ts";
import { received } from "../support/sdk-readers.ts";
import { SDKS } from "../support/sdk-rows.ts";

const UTM = {
  utm_source: "mail",
  utm_medium: "email",
  utm_campaign: "spring",
  utm_term: "shoes",
  utm_content: "größe 42",
  utm_id: "c-7",
  utm_source_platform: "sa360",
  utm_creative_format: "skyscraper",
  utm_marketing_tactic: "remarketing",
  tags: "red,blue",
};
const KEYS = Object.keys(UTM);
const PLAY = "https://play.google.com/store/apps/details?id=com.example.shop";
const { api, app_id } = await startShop(null, { android_store_url: PLAY });
const create = (body: object) => api.call("POST", `/api/apps/${app_id}/links`, body);
await create({ slug: "stored", redirects: { web: "https://w.example/" }, utm: UTM });
const overrides = Object.fromEntries(KEYS.map((key) => [key, true]));
const PASSING = { allowParamPassthrough: true, redirects: { web: "https://w.example/" } };
const BY_LINK = Object.fromEntries(KEYS.map((key) => [key, "by the link"]));
await create({ slug: "empty", ...PASSING });
await create({ slug: "overridden", ...PASSING, utm: BY_LINK, utmOverrides: overrides });
await create({ slug: "kept", ...PASSING, utm: UTM });

const headers = { "x-app-id": app_id };
const queryOf = (address: unknown) => Object.fromEntries(new URL(String(address)).searchParams);

/** What of the ten is in the query that a visitor is sent on with; without the token. */
async function sentOn(path: string, agent: string): Promise<Record<string, string>> {
  const { headers: answered } = await send(api, "GET", `/${path}`, undefined, { agent });
  const { cid: _cid, ...rest } = queryOf(answered["location"]);
  return rest;
}

test("all ten can be stored, are read back as JSON text, and may each be overridden", async () => {
  const { body } = await api.call("GET", "/api/links/stored");
  assert.deepEqual(JSON.parse(body.utm), UTM);
  const { body: overridden } = await api.call("GET", "/api/links/overridden");
  assert.deepEqual(JSON.parse(overridden.utm_override), overrides);
});

const query = new URLSearchParams(UTM).toString();
const other = new URLSearchParams(Object.fromEntries(KEYS.map((key) => [key, "by the visit"]))).toString();
for (const [name, path] of [
  ["of the link", "stored"],
  ["of the visit, where the link has none", `empty?${query}`],
  ["of the visit, where the link lets it override", `overridden?${query}`],
  ["of the link, where the visit brings others", `kept?${other}`],
] as const) {
  test(`all ten ${name} go to the web, to the store, into the payload and into the events`, async () => {
    assert.deepEqual(await sentOn(path, MAC), UTM, "the web");
    const { referrer } = await sentOn(path, PIXEL);
    const { cid: _cid, ...in_referrer } = queryOf(`https://x.example/?${referrer}`);
    assert.deepEqual(in_referrer, UTM, "the Play referrer");
    const cid = await click(api, app_id, path, { agent: PIXEL });
    const answer = await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, { headers, agent: NATIVE_ANDROID });
    for (const { name, read } of SDKS) assert.deepEqual(received(read, answer)?.utm, UTM, name);
    assert.deepEqual(answer.body.params ?? {}, {}, "none of them is a parameter");
    for (const type of ["link.click", "link.claim"] as const) {
      assert.deepEqual((await ofType(api, app_id, type)).at(-1)?.["utm"], UTM, type);
    }
  });
}

test("all ten of an address that the system opened are UTM, and what is called like them is not", async () => {
  const url = `http://links.test/empty?${query}&utm_other=1&Tags=2&source=3`;
  const answer = await send(api, "POST", "/api/deeplink/resolve-url", { url }, { headers, agent: NATIVE_IOS });
  for (const { name, read } of SDKS) assert.deepEqual(received(read, answer)?.utm, UTM, name);
  assert.deepEqual(answer.body.params, { utm_other: "1", Tags: "2", source: "3" });
});
