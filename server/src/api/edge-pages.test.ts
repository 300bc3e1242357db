// The pages and files around a link, over HTTP: what browsers inside of apps get, the way to the App Store, the explanation,
// QR codes, and the files by which phones learn of an app.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { waitUntil } from "../../test/support/wait.ts";

const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Version/17.4 Mobile/15E148 Safari/604.1";
const PIXEL = "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/126.0.0.0 Mobile Safari/537.36";
const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/17.4 Safari/605.1.15";
const INSTAGRAM =
  "Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) Chrome/126.0 Mobile Safari/537.36 Instagram 331.0 Android";
const HOST = "go.shop.example";
const STORE = "https://apps.apple.com/app/id1";
const PLAY = "https://play.google.com/store/apps/details?id=com.shop";
const PRINT = Array.from({ length: 32 }, () => "AB").join(":");

function open(api: TestApi, url: string, headers: Record<string, string> = {}, method = "GET") {
  return api.call(method, url, undefined, { token: null, headers: { host: HOST, "user-agent": MAC, ...headers } });
}

async function openShop(env: Record<string, string>, settings: object, link: object = {}) {
  const api = await openApi({ LINKME_PUBLIC_URL: "http://links.test", ...env });
  const app_id = await api.createApp(settings);
  assert.equal((await api.call("POST", `/api/apps/${app_id}/domains`, { hostname: HOST })).status, 201);
  const made = await api.call("POST", `/api/apps/${app_id}/links`, { slug: "hello", ...link });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  return { api, app_id };
}

/** Oldest first. @param count those that are waited for: a click may reach the database after its answer, through the spool */
async function dataOf(api: TestApi, app_id: string, event: string, count = 0): Promise<Record<string, unknown>[]> {
  let items: { data: Record<string, unknown> }[] = [];
  await waitUntil(async () => {
    const { body } = await api.call("GET", `/api/apps/${app_id}/events?event=${event}`);
    items = body.items;
    return items.length >= count;
  }, `${count} events of type ${event}`);
  return items.map(({ data }) => data).reverse();
}

forEachEngine((engine) => {
  const shop = async (settings: object, link: object = {}) =>
    openShop({ DATABASE_URL: await engine.address() }, settings, link);

  test("before the App Store a page copies the token of a click that is stored", async () => {
    const { api, app_id } = await shop({ ios_store_url: STORE, ios_enable_pasteboard: true });
    const page = await open(api, "/hello", { "user-agent": IPHONE });
    const cid = /data-copy="linkme:cid=([0-9a-f]{32})"/.exec(page.body)?.[1];
    assert.deepEqual(
      [page.status, page.headers["cache-control"], page.headers["referrer-policy"]],
      [200, "no-store", "no-referrer"],
    );
    const [token] = await dataOf(api, app_id, "link.token_created", 1);
    assert.deepEqual([token?.["cid"], token?.["dest_url"]], [cid, STORE]);
    assert.deepEqual(token?.["methods"], ["pasteboard", "fingerprint"]);
    const claimed = await api.call("GET", `/api/deeplink?cid=${cid}`, undefined, {
      token: null,
      headers: { host: HOST },
    });
    assert.deepEqual([claimed.status, claimed.body.cid], [200, cid]);
    const head = await open(api, "/hello", { "user-agent": IPHONE }, "HEAD");
    assert.deepEqual([head.status, head.headers["location"]], [302, STORE]);
    assert.equal((await dataOf(api, app_id, "link.click", 1)).length, 1);
  });

  test("in the browser of an app a page with a button opens the app, or its store with the same token", async () => {
    const settings = { android_store_url: PLAY, android_package: "com.shop" };
    const { api, app_id } = await shop(settings, { redirects: { android: "shop://open" } });
    const page = await open(api, "/hello", { "user-agent": INSTAGRAM });
    const [token] = await dataOf(api, app_id, "link.token_created", 1);
    const cid = String(token?.["cid"]);
    assert.equal(page.status, 200);
    assert.ok(
      page.body.includes(`href="intent://open?cid=${cid}#Intent;scheme=shop;package=com.shop;S.browser_fallback_url=`),
    );
    assert.ok(page.body.includes(`href="${PLAY}&amp;referrer=cid%3D${cid}%26utm_source%3Dlinkme"`), page.body);
    assert.deepEqual(token?.["methods"], ["direct", "install_referrer", "fingerprint"]);
    const browser = await open(api, "/hello", { "user-agent": PIXEL });
    assert.match(String(browser.headers["location"]), /^shop:\/\/open\?cid=/);
  });

  test("the store links of the link's page are clicks of their own, and an iPad that says Mac gets the token too", async () => {
    const settings = { ios_store_url: STORE, android_store_url: PLAY, ios_enable_pasteboard: true };
    const { api, app_id } = await shop(settings);
    const landed = await open(api, "/d/hello");
    assert.match(landed.body, /href="\/d\/hello\/ios".*href="\/d\/hello\/android".*<svg /s);
    assert.deepEqual(await dataOf(api, app_id, "link.click"), []);
    const android = await open(api, "/d/hello/android");
    assert.match(String(android.headers["location"]), /details\?id=com\.shop&referrer=cid%3D[0-9a-f]{32}%26/);
    const ios = await open(api, "/d/hello/ios");
    assert.match(ios.body, /data-copy="linkme:cid=/);
    const tokens = await dataOf(api, app_id, "link.token_created", 2);
    assert.deepEqual(
      tokens.map(({ platform, methods }) => [platform, methods]),
      [
        ["web", ["install_referrer", "fingerprint"]],
        ["web", ["pasteboard", "fingerprint"]],
      ],
    );
    await api.call("PATCH", `/api/apps/${app_id}`, { android_store_url: null });
    // While the database is slow a visitor is sent by the app's settings of a moment ago.
    const isGone = async () => (await open(api, "/d/hello/android")).status === 404;
    await waitUntil(isGone, "the store to be gone from the link");
  });

  test("phones are told of a host's app, and of every app on the server's own host", async () => {
    const settings = {
      ...{ ios_bundle_id: "com.shop", ios_team_id: "ABCDE12345" },
      ...{ android_package: "com.shop", android_sha256: [PRINT] },
    };
    const { api } = await shop(settings);
    const bare = await api.createApp();
    await api.call("POST", `/api/apps/${bare}/domains`, { hostname: "go.bare.example" });
    for (const [url, text] of [
      ["/apple-app-site-association", "ABCDE12345.com.shop"],
      ["/.well-known/apple-app-site-association", "ABCDE12345.com.shop"],
      ["/.well-known/assetlinks.json", PRINT],
    ] as const) {
      for (const host of [HOST, "links.test"]) {
        const answer = await open(api, url, { host });
        assert.deepEqual(
          [answer.status, answer.headers["cache-control"]],
          [200, "public, max-age=300"],
          `${host}${url}`,
        );
        assert.equal(answer.headers["content-type"], "application/json", "by the letter");
        assert.ok(JSON.stringify(answer.body).includes(text));
      }
      for (const host of ["go.bare.example", "other.example"]) {
        const answer = await open(api, url, { host });
        assert.deepEqual([answer.status, answer.body.error], [404, "not_found"], `${host}${url}`);
      }
    }
  });
});

test("a link is explained as a page and as JSON, which is no visit", async () => {
  const { api, app_id } = await openShop({}, { ios_store_url: STORE }, { allowParamPassthrough: true });
  const page = await open(api, "/hello+?ref=7");
  assert.deepEqual([page.status, page.headers["content-type"]], [200, "text/html; charset=utf-8"]);
  assert.match(page.body, /ios_store_url: taken/);
  const json = await open(api, "/hello%2B?ref=7", { accept: "application/json", "user-agent": "Twitterbot/1.0" });
  assert.deepEqual([json.status, json.body.visitor.crawler, json.body.visit.answer], [200, true, "preview"]);
  assert.deepEqual(json.body.platforms.web.params, { ref: "7" });
  assert.deepEqual([json.body.platforms.ios.address, json.headers["cache-control"]], [STORE, "no-store"]);
  assert.equal((await open(api, "/none+")).status, 404);
  assert.deepEqual(await dataOf(api, app_id, "link.click"), []);
});

test("the explanation of a link that has ended agrees with a visit of it", async () => {
  const { api, app_id } = await openShop({}, { ios_store_url: STORE });
  const ended = { click_limit: 1, web_fallback_url: "https://hidden.example/" };
  for (const [slug, expired_url, answer] of [
    ["gone", null, "ended_page"],
    ["moved", "https://over.example/", "redirect"],
  ] as const) {
    const made = await api.call("POST", "/api/links", { app_id, slug, expired_url, ...ended });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const before = await open(api, `/${slug}+`, { accept: "application/json" });
    assert.deepEqual([before.body.state, before.body.visit.address], ["active", "https://hidden.example/"]);
    assert.equal((await open(api, `/${slug}`)).headers["location"], "https://hidden.example/");
    const visit = await open(api, `/${slug}`);
    assert.deepEqual([visit.status, visit.headers["location"] ?? null], [expired_url ? 302 : 410, expired_url]);
    const { body } = await open(api, `/${slug}+`, { accept: "application/json" });
    assert.deepEqual([body.state, body.visit.answer, body.visit.address], ["limit_reached", answer, expired_url]);
    assert.ok(!JSON.stringify(body).includes("hidden"));
  }
});

test("who sends a word of LINKME_CRAWLERS gets the preview, and leaves no click", async () => {
  const { api, app_id } = await openShop({ LINKME_CRAWLERS: "acme,ChatPreview" }, {}, { redirects: { web: STORE } });
  const headers = { "user-agent": `${MAC} chatpreview/1` };
  const crawled = await open(api, "/hello", headers);
  assert.deepEqual([crawled.status, crawled.body.includes("og:url")], [200, true]);
  const told = await open(api, "/hello+", { ...headers, accept: "application/json" });
  assert.deepEqual([told.body.visitor.crawler, told.body.visit.answer], [true, "preview"]);
  assert.deepEqual(await dataOf(api, app_id, "link.click"), []);
  assert.equal((await open(api, "/hello")).status, 302);
});

test("a QR code shows the link's own address, in the form and size that are asked for", async () => {
  const { api } = await openShop({}, {});
  const svg = await open(api, "/qr/hello?size=64");
  assert.match(svg.body, /^<svg [^>]*width="64"/);
  assert.deepEqual([svg.headers["content-type"], svg.headers["vary"]], ["image/svg+xml; charset=utf-8", "accept"]);
  const canonical = await open(api, "/qr/hello?size=64", { host: "links.test" });
  assert.equal(canonical.body, svg.body);
  for (const [url, accept] of [
    ["/qr/hello", "image/avif,image/png,*/*"],
    ["/qr/hello?format=png", "image/svg+xml"],
  ] as const) {
    assert.equal((await open(api, url, { accept })).headers["content-type"], "image/png", url);
  }
  for (const accept of [
    "image/png;q=0, */*",
    "image/svg+xml, image/PNG; q=0.000",
    "image/pngx",
    "image/*",
    "x/image/png",
  ]) {
    assert.match(
      String((await open(api, "/qr/hello", { accept })).headers["content-type"]),
      /^image\/svg\+xml/,
      accept,
    );
  }
  for (const accept of ["IMAGE/PNG", "text/html,image/png;q=0.1", "image/png ; v=1;q=0.001"]) {
    assert.equal((await open(api, "/qr/hello", { accept })).headers["content-type"], "image/png", accept);
  }
  for (const [query, field] of [
    ["size=63", "size"],
    ["size=2049", "size"],
    ["size=1e3", "size"],
    ["size=64&size=65", "size"],
    ["format=gif", "format"],
  ] as const) {
    const { status, body } = await open(api, `/qr/hello?${query}`);
    assert.deepEqual([status, body.error, body.details?.[0]?.path], [400, "invalid_request", field], query);
  }
  assert.equal((await open(api, "/qr/none")).status, 404);
});

test("other origins may call the SDK endpoints on an app's host, after a preflight", async () => {
  const { api } = await openShop({}, {});
  const origin = "https://www.shop.example";
  const asked = { origin, "access-control-request-method": "POST", "access-control-request-headers": "x-app-id" };
  for (const url of [
    "/api/deeplink",
    "/api/deeplink/resolve-url",
    "/api/deferred/claim",
    "/api/install-referrer",
    "/api/app-events",
  ]) {
    const preflight = await open(api, url, asked, "OPTIONS");
    assert.deepEqual([preflight.status, preflight.headers["access-control-allow-origin"]], [204, "*"], url);
    assert.match(String(preflight.headers["access-control-allow-headers"]), /x-app-id/i);
  }
  const told = ["access-control-allow-origin", "cache-control", "referrer-policy"];
  const missed = await open(api, `/api/deeplink?cid=${"0".repeat(32)}`, { origin });
  assert.deepEqual(
    told.map((name) => missed.headers[name]),
    ["*", "no-store", "no-referrer"],
  );
});
