// App events over HTTP, which app a caller belongs to, and what is refused of SDK calls.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AppEventsPage } from "#contract/app-events.ts";
import { openApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { foldingOf } from "../../test/support/folding.ts";
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
import { waitUntil } from "../../test/support/wait.ts";
import { sql } from "../platform/sql.ts";

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

  test("the client's clock is taken as a number, as digits and as an ISO time, in whole seconds", async () => {
    const { api, app_id } = await start();
    const headers = { "x-app-id": app_id };
    const report = (timestamp: unknown) =>
      send(api, "POST", "/api/app-events", { type: "open", platform: "ios", timestamp }, { headers });
    const texts = ["1700000000", "1700000000.9", "2023-11-14T22:13:20Z", "2023-11-14T22:13:20.999Z"];
    const zones = ["2023-11-15T00:13:20+02:00", "2023-11-14T22:13:20"];
    for (const timestamp of [1_700_000_000, ...texts, ...zones]) {
      assert.equal((await report(timestamp)).status, 204, String(timestamp));
    }
    const told = (await ofType(api, app_id, "link.app_open")).map((data) => data["timestamp"]);
    assert.deepEqual(
      told,
      Array.from({ length: 7 }, () => 1_700_000_000),
    );
    for (const nothing of [null, undefined, ""]) assert.equal((await report(nothing)).status, 204);
    const last = (await ofType(api, app_id, "link.app_open")).slice(-3);
    assert.ok(last.every((data) => !("timestamp" in data)));
    for (const timestamp of [
      "now",
      "-",
      "1e9",
      "0x10",
      "2023-11-14",
      "2023-02-30T00:00:00Z",
      "1".repeat(400),
      true,
      {},
    ]) {
      const { status, body } = await report(timestamp);
      const detail = { path: "timestamp", message: "seconds since 1970, or an ISO time" };
      assert.deepEqual([status, body.details], [400, [detail]], String(timestamp));
    }
  });

  test("every other type is kept, whatever form it comes in, and can be listed, by type and page by page", async () => {
    const { api, app_id, link } = await start();
    const headers = { "x-app-id": app_id };
    const cid = "0123456789abcdef0123456789abcdef";
    const bodies = [
      { event: "purchase", platform: "web", timestamp: 1_700_000_000, userId: "u1", props: { eur: 12 } },
      { type: "install", platform: "ios", timestamp: 1_700_000_000.9, detail: '{"a":1}' },
      { type: "purchase", platform: "android", cid: cid.toUpperCase(), linkId: link.id, userId: 7, detail: "plain" },
      { type: "error" },
    ];
    for (const body of bodies) {
      const { status } = await send(api, "POST", "/api/app-events", body, { headers, agent: NATIVE_ANDROID });
      assert.equal(status, 204);
    }
    const list = async (query: string) => (await api.call("GET", `/api/apps/${app_id}/app-events?${query}`)).body;
    const { items, next_cursor } = await list("");
    assert.deepEqual(AppEventsPage.strict().parse({ items, next_cursor }), { items, next_cursor });
    const known = items.map(({ id: _id, created_at: _at, ...rest }: { id: string; created_at: string }) => rest);
    assert.deepEqual(known.reverse(), [
      { type: "purchase", platform: "web", user_id: "u1", detail: '{"eur":12}', timestamp: 1_700_000_000 },
      { type: "install", platform: "ios", detail: '{"a":1}', timestamp: 1_700_000_000 },
      { type: "purchase", platform: "android", cid, link_id: link.id, user_id: "7", detail: "plain" },
      { type: "error", platform: "android" },
    ]);
    const ids = (page: { items: { id: string }[] }) => page.items.map(({ id }) => id);
    const all = ids({ items });
    const first = await list("type=purchase&limit=1");
    assert.deepEqual(ids(first), [all[1]]);
    assert.deepEqual(ids(await list(`type=purchase&limit=1&cursor=${first.next_cursor}`)), [all[3]]);
    const half = await list("limit=3");
    assert.deepEqual(ids(half), all.slice(0, 3));
    assert.deepEqual(ids(await list(`limit=3&cursor=${half.next_cursor}`)), all.slice(3));
    assert.deepEqual(await list("type=none"), { items: [], next_cursor: null });
    assert.deepEqual(await eventsOf(api, app_id), [], "and no webhook hears of them");
    for (const query of ["type=", `type=${"x".repeat(101)}`, "cursor=x", "limit=0", "kind=purchase"]) {
      assert.equal((await list(query)).error, "invalid_request", query);
    }
  });

  test("an SDK's own word of its claim refines how it came about, and makes no second claim", async () => {
    const { api, app_id } = await start();
    const other = await api.createApp();
    const cases: [string, unknown, string, string][] = [
      ["pasteboard", JSON.stringify({ claim_type: "pasteboard" }), app_id, "pasteboard"],
      ["referrer", { claim_type: "install_referrer" }, app_id, "install_referrer"],
      ["what the server knows better", JSON.stringify({ claim_type: "fingerprint" }), app_id, "direct"],
      ["plain text", "pasteboard", app_id, "direct"],
      ["no detail", undefined, app_id, "direct"],
      ["another app's word", JSON.stringify({ claim_type: "pasteboard" }), other, "direct"],
    ];
    const typeOf = async (cid: string) =>
      (await api.db.query(sql`select claim_type from clicks where cid = ${cid}`))[0]?.["claim_type"];
    for (const [name, detail, from, expected] of cases) {
      const cid = await click(api, app_id, "hello");
      const report = { type: "claim", cid, platform: "ios", detail };
      await send(api, "POST", "/api/app-events", report, { headers: { "x-app-id": app_id } });
      assert.equal(await typeOf(cid), null, `${name}: before the claim there is nothing to refine`);
      await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, { headers: { "x-app-id": app_id } });
      const { status } = await send(api, "POST", "/api/app-events", report, { headers: { "x-app-id": from } });
      assert.equal(status, 204);
      assert.equal(await typeOf(cid), expected, name);
    }
    const cid = await click(api, app_id, "hello");
    assert.equal((await claim(api, app_id, { platform: "web" })).body.cid, cid);
    const report = { type: "claim", cid, detail: '{"claim_type":"pasteboard"}' };
    await send(api, "POST", "/api/app-events", report, { headers: { "x-app-id": app_id } });
    assert.equal(await typeOf(cid), "fingerprint", "one that was matched was matched");
    assert.equal((await ofType(api, app_id, "link.claim")).length, cases.length + 1);
  });

  test("a link tells its installs: claims by an app that came after the click, each once", async () => {
    const { api, app_id } = await start();
    const call = (method: "GET" | "POST", path: string, body?: object) =>
      send(api, method, path, body, { headers: { "x-app-id": app_id } });
    const installs = async () => {
      await foldingOf(api.db).fold();
      const { body } = await api.call("GET", `/api/apps/${app_id}/links`);
      const [link] = body;
      assert.equal(link.install_count, link.installs);
      return link.installs;
    };
    assert.equal(await installs(), 0);
    const known = await click(api, app_id, "hello");
    await call("GET", `/api/deeplink?cid=${known}`);
    assert.equal(await installs(), 0, "the app was there already");
    const said = { type: "claim", cid: known, platform: "ios", detail: '{"claim_type":"pasteboard"}' };
    const told = await Promise.all([1, 2, 3].map(() => call("POST", "/api/app-events", said)));
    assert.deepEqual(told.map(({ status }) => status), [204, 204, 204]); // biome-ignore format: one line
    assert.equal(await installs(), 1, "as its SDK knows, it was not");
    for (const _ of [1, 2]) {
      const referrer = `cid=${await click(api, app_id, "hello")}`;
      await call("POST", "/api/install-referrer", { referrer });
      await call("POST", "/api/install-referrer", { referrer });
    }
    assert.equal(await installs(), 3);
    const cid = await click(api, app_id, "hello");
    assert.equal((await claim(api, app_id, { platform: "web" })).body.cid, cid);
    await call("GET", `/api/deeplink?cid=${cid}`);
    assert.equal(await installs(), 4);
  });

  test("what an app has reported goes with it", async () => {
    const { api, app_id } = await start({ analytics_consent: true });
    const other = await api.createApp();
    const cid = await click(api, app_id, "hello");
    for (const id of [app_id, other]) {
      const body = { type: "install", cid, userId: "ada" };
      await send(api, "POST", "/api/app-events", body, { headers: { "x-app-id": id } });
    }
    assert.equal((await api.db.query(sql`select key from identities`)).length, 1);
    assert.equal((await api.call("DELETE", `/api/apps/${app_id}`)).status, 204);
    const left = async () => (await api.db.query(sql`select app_id from app_events`)).map((row) => row["app_id"]);
    await waitUntil(async () => (await left()).length < 2, "the removal");
    await waitUntil(async () => (await api.db.query(sql`select key from identities`)).length === 0, "who was known");
    assert.deepEqual(await left(), [other]);
    const { status } = await send(api, "POST", "/api/app-events", { type: "x" }, { headers: { "x-app-id": app_id } });
    assert.equal(status, 404);
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
    const writing = await api.createKey(app_id, { kind: "app", can_read: false, can_write: true });
    const cases: [Record<string, string>, number][] = [
      [{ "x-app-id": app_id }, 401],
      [{ "x-app-id": app_id, "x-api-key": `ak_${"x".repeat(43)}` }, 401],
      [{ "x-app-id": app_id, "x-api-key": "nonsense" }, 401],
      [{ "x-app-id": app_id, "x-api-key": foreign }, 403],
      [{ "x-app-id": app_id, "x-api-key": key }, 204],
      [{ "x-app-id": app_id, "x-api-key": writing }, 204],
      [{ "x-api-key": key }, 204],
    ];
    for (const [headers, expected] of cases) {
      const { status } = await send(api, "POST", "/api/app-events", { type: "open" }, { headers });
      assert.equal(status, expected, JSON.stringify(headers));
    }
    assert.equal((await ofType(api, app_id, "link.app_open")).length, 3);
    const { status } = await claim(api, app_id, { platform: "ios" }, { headers: { "x-api-key": writing } });
    assert.equal(status, 403, "a claim reads");
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
