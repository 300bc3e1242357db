// What an app's settings change about the calls of its SDKs, over HTTP on both engines: opens by links, Play referrers without
// a token, keys for app events, and tokens for the web. All of them are off until somebody asks for them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { click, eventsOf, NATIVE_ANDROID, NATIVE_IOS, ofType, PIXEL, send, startShop } from "../../test/support/sdk.ts";
import { waitUntil } from "../../test/support/wait.ts";

forEachEngine((engine) => {
  const start = (settings: object = {}) => startShop(engine, settings);
  type Shop = Awaited<ReturnType<typeof start>>;

  const resolve = ({ api, app_id }: Shop, url: string) => {
    const body = { url, device: { platform: "ios" } };
    return send(api, "POST", "/api/deeplink/resolve-url", body, { headers: { "x-app-id": app_id }, agent: NATIVE_IOS });
  };

  async function keptOpens({ api, app_id }: Shop) {
    const { body } = await api.call("GET", `/api/apps/${app_id}/app-events?type=open`);
    return body.items.map(({ id: _, created_at: __, ...rest }: Record<string, unknown>) => rest).reverse();
  }

  test("an app that is opened by a link is an open of its analytics, and no event", async () => {
    const shop = await start();
    await shop.api.call("POST", `/api/apps/${shop.app_id}/domains`, { hostname: "go.shop.example" });
    assert.equal((await resolve(shop, "https://go.shop.example/hello?ref=7")).status, 200);
    assert.equal((await resolve(shop, "https://go.shop.example/no/link")).status, 200);
    assert.equal((await resolve(shop, "https://elsewhere.example/hello")).status, 404);
    assert.deepEqual(await keptOpens(shop), [
      { type: "open", platform: "ios", link_id: shop.link.id, detail: '{"source":"resolve_url","path":"/größe/42"}' },
      { type: "open", platform: "ios", detail: '{"source":"resolve_url","path":"/no/link"}' },
    ]);
    assert.deepEqual(await eventsOf(shop.api, shop.app_id), []);
  });

  test("with emit_open_on_resolve it is one link.app_open instead", async () => {
    const shop = await start({ emit_open_on_resolve: true });
    assert.equal((await resolve(shop, "http://links.test/hello")).status, 200);
    assert.deepEqual(await ofType(shop.api, shop.app_id, "link.app_open"), [
      { platform: "ios", type: "open", link_id: shop.link.id, detail: '{"source":"resolve_url","path":"/größe/42"}' },
    ]);
    assert.deepEqual(await keptOpens(shop), []);
  });

  const organic = "utm_source=google-play&utm_medium=organic";
  const unknown = `cid=${"0".repeat(32)}`;
  const refer = ({ api, app_id }: Shop, referrer: string, headers: Record<string, string> = { "x-app-id": app_id }) =>
    send(api, "POST", "/api/install-referrer", { referrer }, { headers, agent: NATIVE_ANDROID });

  test("a referrer without a token of use is a miss, though a click of the same network waits", async () => {
    const shop = await start();
    const cid = await click(shop.api, shop.app_id, "hello", { agent: PIXEL });
    assert.deepEqual(
      [(await refer(shop, organic)).body.error, (await refer(shop, organic, {})).body.error],
      ["no_match", "no_match"],
    );
    assert.equal((await refer(shop, unknown)).body.error, "not_found");
    assert.deepEqual(await ofType(shop.api, shop.app_id, "link.deferred_claim_attempt"), []);
    assert.equal((await refer(shop, `cid=${cid}`)).status, 200);
  });

  test("with match_install_referrer it gets that click, once, also where no header names the app", async () => {
    const shop = await start({ match_install_referrer: true });
    for (const [referrer, headers] of [
      [organic, undefined],
      [unknown, undefined],
      [organic, {}],
      [unknown, {}],
    ] as const) {
      const cid = await click(shop.api, shop.app_id, "hello", { agent: PIXEL });
      const { status, body } = await refer(shop, referrer, headers);
      assert.deepEqual([status, body.cid, body.duplicate], [200, cid, false], referrer);
      assert.equal((await refer(shop, referrer, headers)).body.error, "no_match");
    }
    const types = (await ofType(shop.api, shop.app_id, "link.claim")).map(({ claim_type }) => claim_type);
    assert.deepEqual(types, Array(4).fill("fingerprint"));
    const attempts = await ofType(shop.api, shop.app_id, "link.deferred_claim_attempt");
    assert.deepEqual(
      attempts.map(({ matched, platform }) => `${platform} ${matched}`),
      Array(4).fill(["android true", "android false"]).flat(),
    );
  });

  test("with cid_on_web_fallback the web address gets the token on any host, and a web page there claims by it", async () => {
    const shop = await start();
    const { api, app_id } = shop;
    const visit = async () => String((await send(api, "GET", "/hello", undefined, {})).headers["location"]);
    assert.equal((await api.call("GET", `/api/apps/${app_id}`)).body.cid_on_web_fallback, false);
    assert.equal(await visit(), "https://w.example/?utm_source=mail");
    const patched = await api.call("PATCH", `/api/apps/${app_id}`, { cid_on_web_fallback: true });
    assert.deepEqual([patched.status, patched.body.cid_on_web_fallback], [200, true]);
    // While the database is slow a visitor is sent by the app's settings of a moment ago.
    let cid: string | null = null;
    await waitUntil(async () => {
      cid = new URL(await visit()).searchParams.get("cid");
      return cid !== null;
    }, "the setting to hold");
    const headers = { "x-app-id": app_id };
    const claimed = await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, { headers });
    assert.deepEqual([claimed.status, claimed.body.cid], [200, cid]);
    const token = (await ofType(api, app_id, "link.token_created")).find((one) => one["cid"] === cid);
    assert.deepEqual(token?.["methods"], ["direct", "fingerprint"]);
    const told = await send(api, "GET", "/hello+", undefined, { headers: { accept: "application/json" } });
    assert.deepEqual(
      [told.body.visit.address, told.body.visit.cid_in],
      ["https://w.example/?utm_source=mail&cid={cid}", "address"],
    );
    assert.equal(
      (await api.call("POST", "/api/apps", { name: "On", cid_on_web_fallback: true })).body.cid_on_web_fallback,
      true,
    );
  });

  test("with app_events_need_write a key that may not write, or none, reports nothing", async () => {
    const shop = await start({ app_events_need_write: true });
    const keyOf = async (rights: object) =>
      (await shop.api.call("POST", `/api/apps/${shop.app_id}/keys`, { kind: "app", ...rights })).body.key;
    const [reads, writes, both] = [
      await keyOf({}),
      await keyOf({ can_read: false, can_write: true }),
      await keyOf({ can_write: true }),
    ];
    const report = async (headers: Record<string, string>) => {
      const { status, body } = await send(shop.api, "POST", "/api/app-events", { type: "open" }, { headers });
      return [status, body?.error];
    };
    assert.deepEqual(await report({ "x-app-id": shop.app_id }), [401, "unauthorized"]);
    assert.deepEqual(await report({}), [401, "unauthorized"], "the only app there is");
    assert.deepEqual(await report({ "x-api-key": reads }), [403, "forbidden"]);
    for (const key of [writes, both]) assert.equal((await report({ "x-api-key": key }))[0], 204);
    assert.equal((await ofType(shop.api, shop.app_id, "link.app_open")).length, 2);
    await shop.api.call("PATCH", `/api/apps/${shop.app_id}`, { app_events_need_write: false });
    for (const key of [reads, writes, both]) assert.equal((await report({ "x-api-key": key }))[0], 204);
    const headers = { "x-api-key": writes };
    const claimed = await send(shop.api, "GET", "/api/deeplink?cid=0123456789abcdef", undefined, { headers });
    assert.equal(claimed.status, 403, "to report is not to read");
  });
});
