// Links without a slug, `https://<app's host>/?path=…`, over HTTP: where they lead, what their clicks say, and how an app claims
// them; and what a visit's query becomes on the page with the store links.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LinkPayload } from "#contract/links.ts";
import { openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { claim, eventsOf, IPHONE, MAC, NATIVE_IOS, ofType, PIXEL, send } from "../../test/support/sdk.ts";
import { waitUntil } from "../../test/support/wait.ts";

const HOST = "go.shop.example";
const STORE = "https://apps.apple.com/app/id1";
const PLAY = "https://play.google.com/store/apps/details?id=com.shop";
const WEB = "https://w.example/";
const ASKED = "/?path=settings&tab=2&utm_source=mail";

const open = (api: TestApi, url: string, agent = MAC, host = HOST, method = "GET") =>
  send(api, method, url, undefined, { agent, host });

async function openShop(settings: object, env: Record<string, string> = {}) {
  const api = await openApi({
    LINKME_PUBLIC_URL: "http://links.test",
    LINKME_TRUSTED_PROXIES: "127.0.0.0/8",
    ...env,
  });
  const app_id = await api.createApp(settings);
  await api.call("POST", `/api/apps/${app_id}/domains`, { hostname: HOST });
  return { api, app_id };
}

/** The newest token; a click may reach the database after its answer, through the spool. @param count tokens that there are */
async function tokenOf(api: TestApi, app_id: string, count = 1): Promise<string> {
  let tokens: Record<string, unknown>[] = [];
  await waitUntil(async () => {
    tokens = await ofType(api, app_id, "link.token_created");
    return tokens.length === count;
  }, `${count} tokens`);
  return String(tokens.at(-1)?.["cid"]);
}

describe("a link without a slug leads to the app of the host", () => {
  const settings = { ios_store_url: STORE, android_store_url: PLAY, web_fallback_url: WEB };
  for (const [name, agent, host, expected] of [
    ["a phone to its store", IPHONE, HOST, STORE],
    ["Android to Play, with the token", PIXEL, HOST, `${PLAY}&referrer=cid%3D{cid}%26utm_source%3Dmail`],
    ["a desktop to the web, with what was asked for", MAC, HOST, `${WEB}?path=settings&tab=2&utm_source=mail`],
  ] as const) {
    test(`${name}, by a click`, async () => {
      const { api, app_id } = await openShop(settings);
      const { headers } = await open(api, ASKED, agent, host);
      const cid = await tokenOf(api, app_id);
      assert.equal(headers["location"], expected.replace("{cid}", cid));
      const platform = agent === IPHONE ? "ios" : agent === PIXEL ? "android" : "web";
      assert.deepEqual(await ofType(api, app_id, "link.click"), [
        {
          ...{ link_id: "/", platform, dest_url: headers["location"], hostname: HOST, cid },
          ...{ utm: { utm_source: "mail" }, params: { path: "settings", tab: "2" } },
        },
      ]);
    });
  }

  test("HEAD, crawlers, other hosts and addresses without a path leave none", async () => {
    const { api, app_id } = await openShop(settings);
    assert.equal(
      (await open(api, ASKED, MAC, HOST, "HEAD")).headers["location"],
      `${WEB}?path=settings&tab=2&utm_source=mail`,
    );
    assert.match((await open(api, ASKED, "WhatsApp/2.23")).body, /og:url/);
    for (const host of ["other.example", "links.test"]) assert.equal((await open(api, ASKED, MAC, host)).status, 404);
    assert.equal((await open(api, "/?tab=2")).status, 404);
    assert.deepEqual(await eventsOf(api, app_id), []);
  });

  test("where a desktop has no address, a page leads to the stores, with the token of that visit", async () => {
    const { api, app_id } = await openShop({ ios_store_url: STORE, android_store_url: PLAY });
    const looked = await open(api, ASKED, MAC, HOST, "HEAD");
    assert.deepEqual([looked.status, await eventsOf(api, app_id)], [200, []]);
    const { status, body } = await open(api, ASKED);
    const cid = await tokenOf(api, app_id);
    assert.equal(status, 200);
    const links = [...String(body).matchAll(/href="([^"]+)"/g)].map(([, href]) => href?.replaceAll("&amp;", "&"));
    assert.deepEqual(links, [STORE, `${PLAY}&referrer=cid%3D${cid}%26utm_source%3Dmail`]);
    const [click] = await ofType(api, app_id, "link.click");
    assert.equal(click?.["dest_url"], `http://${HOST}/?utm_source=mail&path=settings&tab=2`);
  });

  test("and where there is nothing at all, a page says so", async () => {
    const { api } = await openShop({});
    const { status, body } = await open(api, ASKED);
    assert.equal(status, 200);
    assert.doesNotMatch(body, /<svg|href=/);
  });
});

forEachEngine((engine) => {
  // What clicks add up to is counted by a dispatcher.
  const role = { LINKME_ROLE: "edge,api,dispatcher" };
  const shop = async (settings: object) => openShop(settings, { DATABASE_URL: await engine.address(), ...role });

  test("an app that is installed after it claims its path, by network or by token, once", async () => {
    const { api, app_id } = await shop({ ios_store_url: STORE });
    const payload = {
      path: "settings",
      ...{ isLinkMe: true, duplicate: false, forceRedirectWeb: false },
      ...{ params: { tab: "2" }, utm: { utm_source: "mail" }, custom: {} },
    };
    await open(api, ASKED, IPHONE);
    const first = await tokenOf(api, app_id);
    const matched = await claim(api, app_id, { platform: "ios" }, { agent: NATIVE_IOS });
    assert.equal(matched.status, 200);
    assert.deepEqual(LinkPayload.strict().parse(matched.body), { cid: first, ...payload });
    assert.deepEqual(Object.keys(matched.body).slice(0, 3), ["cid", "path", "isLinkMe"], "scalars before maps");
    assert.equal((await claim(api, app_id, { platform: "ios" }, { agent: NATIVE_IOS })).status, 404);
    await open(api, ASKED, IPHONE);
    const second = await tokenOf(api, app_id, 2);
    for (const duplicate of [false, true]) {
      const headers = { "x-app-id": app_id };
      const { body } = await send(api, "GET", `/api/deeplink?cid=${second}`, undefined, { headers });
      assert.deepEqual(body, { cid: second, ...payload, duplicate });
    }
    const claims = (await ofType(api, app_id, "link.claim")).map(({ cid, link_id, path, params, utm }) => {
      return { cid, link_id, path, params, utm };
    });
    const said = { link_id: "/", path: "settings", params: { tab: "2" }, utm: { utm_source: "mail" } };
    assert.deepEqual(
      claims,
      [first, second].map((cid) => ({ cid, ...said })),
    );
  });

  test("its visits count for the app, and for no link", async () => {
    const { api, app_id } = await shop({ ios_store_url: STORE });
    await open(api, ASKED, IPHONE);
    await open(api, "/?path=", IPHONE);
    await tokenOf(api, app_id, 2);
    const clicksOf = async () => (await api.call("GET", `/api/apps/${app_id}/analytics`)).body.totals.clicks;
    await waitUntil(async () => (await clicksOf()) === 2, "both clicks to be counted");
    const { body } = await claim(api, app_id, { platform: "ios" }, { agent: NATIVE_IOS });
    assert.deepEqual([body.path, body.params], [undefined, {}], "an empty path is none");
  });
});

describe("what a visit asked for goes on to the stores from the link's page", () => {
  const link = { slug: "hello", allow_param_passthrough: 1, utm: '{"utm_medium":"print"}' };
  const start = async (changes: object = {}) => {
    const made = await openShop({ ios_store_url: STORE, android_store_url: PLAY });
    const { status } = await made.api.call("POST", `/api/apps/${made.app_id}/links`, { ...link, ...changes });
    assert.equal(status, 201);
    return made;
  };

  test("with what the link passes on, and without the token of another click", async () => {
    const { api, app_id } = await start();
    const { headers } = await open(api, `/hello?ref=a%26b&utm_source=mail&cid=${"0".repeat(32)}`);
    assert.equal(headers["location"], `http://${HOST}/d/hello?utm_source=mail&ref=a%26b`);
    const { body } = await open(api, "/d/hello?utm_source=mail&ref=a%26b");
    assert.match(body, /href="\/d\/hello\/android\?utm_source=mail&amp;ref=a%26b"/);
    const followed = await open(api, "/d/hello/android?utm_source=mail&ref=a%26b", PIXEL);
    const cid = await tokenOf(api, app_id, 2);
    assert.equal(
      followed.headers["location"],
      `${PLAY}&referrer=cid%3D${cid}%26utm_source%3Dmail%26utm_medium%3Dprint`,
    );
    assert.deepEqual((await ofType(api, app_id, "link.click")).at(-1)?.["params"], { ref: "a&b" });
  });

  test("nothing without passthrough", async () => {
    const { api } = await start({ allow_param_passthrough: 0 });
    assert.equal((await open(api, "/hello?ref=7&utm_source=mail")).headers["location"], `http://${HOST}/d/hello`);
    assert.match((await open(api, "/d/hello?ref=7")).body, /href="\/d\/hello\/android"/);
  });
});
