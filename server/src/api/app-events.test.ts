// App events over HTTP, which app a caller belongs to, and what is refused of SDK calls.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { openApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import {
  type Caller,
  claim,
  click,
  eventsOf,
  NATIVE_ANDROID,
  ofType,
  send,
  startShop,
} from "../../test/support/sdk.ts";

forEachEngine((engine) => {
  const start = (settings: object = {}) => startShop(engine, settings);

  test("app events are taken in every form that SDKs have sent, and opens are told of", async () => {
    const { api, app_id } = await start();
    const headers = { "x-app-id": app_id };
    const cid = "0123456789abcdef0123456789abcdef";
    const bodies = [
      { event: "open", platform: "web", timestamp: 1_700_000_000, userId: "u1", props: { a: 1 } },
      { type: "open", platform: "ios", timestamp: 1_700_000_000.9, detail: '{"a":1}' },
      { type: "open", platform: "android", cid, linkId: "lnk_1", userId: 7, detail: "plain text" },
      { type: "open" },
      { type: "open", platform: "symbian", cid: "no token", linkId: null, timestamp: null, extra: [1] },
    ];
    for (const body of bodies) {
      const { status } = await send(api, "POST", "/api/app-events", body, { headers, agent: NATIVE_ANDROID });
      assert.equal(status, 204);
    }
    for (const type of ["install", "claim", "error", "purchase", "link.click"]) {
      assert.equal((await send(api, "POST", "/api/app-events", { type }, { headers })).status, 204);
    }
    const timestamp = 1_700_000_000;
    assert.deepEqual(await ofType(api, app_id, "link.app_open"), [
      { platform: "web", type: "open", user_id: "u1", detail: '{"a":1}', timestamp },
      { platform: "ios", type: "open", detail: '{"a":1}', timestamp },
      { platform: "android", type: "open", link_id: "lnk_1", cid, user_id: "7", detail: "plain text" },
      { platform: "android", type: "open" },
      { platform: "android", type: "open" },
    ]);
    assert.equal((await eventsOf(api, app_id)).length, 5);
  });

  test("the calling app is found by header, key, token, link, bundle id, host, or by being the only one", async () => {
    const { api, app_id, link } = await start({ ios_bundle_id: "com.example.shop" });
    const cid = await click(api, app_id, "hello");
    const open = (caller: Caller, body: object = {}) =>
      send(api, "POST", "/api/app-events", { type: "open", ...body }, caller);
    assert.equal((await open({})).status, 204, "the only app");
    const other = await api.createApp({ ios_bundle_id: "com.example.other" });
    const refused = await open({});
    assert.deepEqual([refused.status, refused.body.details[0].path], [400, "x-app-id"]);
    await api.call("POST", `/api/apps/${other}/domains`, { hostname: "go.other.example" });
    const key = await api.createKey(app_id, { kind: "app" });
    const device = { device: { bundleId: "com.example.shop" } };
    const cases: [string, Caller, object, string][] = [
      ["header", { headers: { "x-app-id": app_id } }, {}, app_id],
      ["key", { headers: { "x-api-key": key } }, {}, app_id],
      ["bundle id", {}, { bundleId: "com.example.shop" }, app_id],
      ["bundle id of the device", {}, device, app_id],
      ["host", { host: "go.other.example" }, {}, other],
      ["token", {}, { cid }, app_id],
      ["token of nobody, then link", {}, { cid: "0123456789abcdef", linkId: link.id }, app_id],
      ["link before host", { host: "go.other.example" }, { linkId: link.id }, app_id],
      ["link of nobody, then host", { host: "go.other.example" }, { linkId: "lnk_1" }, other],
      ["header before token", { headers: { "x-app-id": other } }, { cid }, other],
      ["header before host", { host: "go.other.example", headers: { "x-app-id": app_id } }, {}, app_id],
      ["unknown bundle id, then host", { host: "go.other.example" }, { bundleId: "com.nobody" }, other],
    ];
    for (const [name, caller, body, expected] of cases) {
      const before = (await eventsOf(api, expected)).length;
      assert.equal((await open(caller, body)).status, 204, name);
      assert.equal((await eventsOf(api, expected)).length, before + 1, name);
    }
    for (const body of [{ cid: "0123456789abcdef" }, { linkId: "lnk_1" }, { cid: "no token", linkId: "a b" }]) {
      assert.equal((await open({}, body)).status, 400, JSON.stringify(body));
    }
    await api.call("PATCH", `/api/apps/${app_id}`, { require_api_key: true });
    for (const body of [{ cid }, { linkId: link.id }]) assert.equal((await open({}, body)).status, 401);
  });

  test("an app that demands a key lets nobody in without one", async () => {
    const { api, app_id } = await start({ require_api_key: true });
    const other = await api.createApp();
    const key = await api.createKey(app_id, { kind: "app" });
    const foreign = await api.createKey(other, { kind: "app" });
    const blind = await api.createKey(app_id, { kind: "app", can_read: false, can_write: true });
    const cases: [Record<string, string>, number][] = [
      [{ "x-app-id": app_id }, 401],
      [{ "x-app-id": app_id, "x-api-key": `ak_${"x".repeat(43)}` }, 401],
      [{ "x-app-id": app_id, "x-api-key": "nonsense" }, 401],
      [{ "x-app-id": app_id, "x-api-key": foreign }, 403],
      [{ "x-app-id": app_id, "x-api-key": blind }, 403],
      [{ "x-app-id": app_id, "x-api-key": key }, 204],
      [{ "x-api-key": key }, 204],
    ];
    for (const [headers, expected] of cases) {
      const { status } = await send(api, "POST", "/api/app-events", { type: "open" }, { headers });
      assert.equal(status, expected, JSON.stringify(headers));
    }
    assert.equal((await ofType(api, app_id, "link.app_open")).length, 2);
  });
});

describe("what is no claim is refused with a reason, and a strange device never is", () => {
  test("bodies of the wrong shape", async () => {
    const api = await openApi();
    const headers = { "x-app-id": await api.createApp() };
    const cases: [string, unknown][] = [
      ["/api/app-events", {}],
      ["/api/app-events", { type: 7 }],
      ["/api/app-events", { type: "" }],
      ["/api/app-events", { type: "open", timestamp: "now" }],
      ["/api/app-events", { type: "open", cid: 7 }],
      ["/api/app-events", { type: "x".repeat(101) }],
      ["/api/app-events", { type: "open", userId: "a\u0000" }],
      ["/api/app-events", []],
      ["/api/app-events", "null"],
      ["/api/app-events", '{"type":"open"'],
      ["/api/deferred/claim", "[]"],
      ["/api/deferred/claim", { bundleId: 7 }],
      ["/api/deferred/claim", { platform: {} }],
      ["/api/install-referrer", {}],
      ["/api/install-referrer", { referrer: 7 }],
      ["/api/install-referrer", { referrer: "x".repeat(8_193) }],
    ];
    for (const [url, body] of cases) {
      const answer = await send(api, "POST", url, body, { headers });
      assert.deepEqual([answer.status, answer.body.error], [400, "invalid_request"], `${url} ${JSON.stringify(body)}`);
    }
  });

  test("devices of the wrong shape", async () => {
    const api = await openApi();
    const app_id = await api.createApp();
    const devices = [
      7,
      "x",
      [],
      null,
      { platform: 7 },
      { osVersion: {}, locale: [], userAgent: 1 },
      { platform: "x".repeat(9_999) },
    ];
    for (const device of devices) {
      assert.equal((await claim(api, app_id, { platform: "ios", device })).body.error, "no_match");
      for (const header of [JSON.stringify(device), "{", ""]) {
        const headers = { "x-app-id": app_id, "x-linkme-device": header.slice(0, 9_000) };
        const { status } = await send(api, "GET", "/api/deeplink?cid=0123456789abcdef", undefined, { headers });
        assert.equal(status, 404);
      }
    }
  });
});
