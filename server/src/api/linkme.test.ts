// Claims and app events over HTTP, on both engines: each token is claimed once, whoever asks and however many do.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EVENT_DATA } from "#contract/events.ts";
import { LinkPayload } from "#contract/links.ts";
import { openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";

const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Version/17.4 Mobile/15E148 Safari/604.1";
const PIXEL = "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/126.0.0.0 Mobile Safari/537.36";
const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/126.0.0.0 Safari/537.36";
const NATIVE_IOS = "Shop/12 CFNetwork/1494.0.7 Darwin/23.4.0";
const NATIVE_ANDROID = "Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8)";
const HOST = "127.0.0.1:8080";

interface Caller {
  ip?: string;
  agent?: string;
  host?: string;
  headers?: Record<string, string>;
}

function send(
  api: TestApi,
  method: string,
  url: string,
  body: unknown,
  { ip = "203.0.113.7", agent = MAC, host = HOST, headers = {} }: Caller,
) {
  const all = { host, "user-agent": agent, "x-forwarded-for": ip, ...headers };
  return api.call(method, url, body, { token: null, headers: all });
}

/** Opens a link and answers the token that its click got. */
async function click(api: TestApi, app_id: string, slug: string, caller: Caller = {}): Promise<string> {
  const { status } = await send(api, "GET", `/${slug}`, undefined, caller);
  assert.equal(status, 302);
  const events = await eventsOf(api, app_id);
  return String(events.findLast(({ event }) => event === "link.token_created")?.data["cid"]);
}

const claim = (api: TestApi, app_id: string, body: object, caller: Caller = {}) =>
  send(api, "POST", "/api/deferred/claim", body, { ...caller, headers: { "x-app-id": app_id, ...caller.headers } });

async function eventsOf(api: TestApi, app_id: string) {
  const { body } = await api.call("GET", `/api/apps/${app_id}/events?limit=100`);
  return body.items.reverse() as { event: keyof typeof EVENT_DATA; data: Record<string, unknown> }[];
}

async function ofType(api: TestApi, app_id: string, type: keyof typeof EVENT_DATA) {
  const events = (await eventsOf(api, app_id)).filter(({ event }) => event === type);
  for (const { data } of events) assert.deepEqual(EVENT_DATA[type].strict().parse(data), data);
  return events.map(({ data }) => data);
}

forEachEngine((engine) => {
  async function start(settings: object = {}) {
    const api = await openApi({
      DATABASE_URL: await engine.address(),
      LINKME_PUBLIC_URL: "http://links.test",
      LINKME_TRUSTED_PROXIES: "127.0.0.0/8",
    });
    const app_id = await api.createApp(settings);
    const link = await api.call("POST", `/api/apps/${app_id}/links`, {
      slug: "hello",
      deepLink: "/größe/42",
      deepLinkParams: { id: 42, note: 'a "b"' },
      customData: { line: "1\n2", emoji: "👟", on: true, none: null },
      utm: { utm_source: "mail" },
      redirects: { web: "https://w.example/", forceWeb: false },
      allowParamPassthrough: true,
    });
    return { api, app_id, link: link.body };
  }

  test("a token gives the payload, is claimed once, and answers as a duplicate from then on", async () => {
    const { api, app_id, link } = await start();
    const cid = await click(api, app_id, "hello?ref=7&utm_term=shoes", { agent: IPHONE });
    const device = JSON.stringify({ platform: "ios", osVersion: "17.4" });
    const headers = { "x-app-id": app_id, "x-linkme-device": device };
    const first = await send(api, "GET", `/api/deeplink?cid=${cid.toUpperCase()}`, undefined, { headers });
    assert.equal(first.status, 200);
    assert.deepEqual(LinkPayload.strict().parse(first.body), first.body);
    const payload = {
      linkId: link.id,
      cid,
      path: "/größe/42",
      url: "http://links.test/hello",
      isLinkMe: true,
      duplicate: false,
      forceRedirectWeb: false,
      params: { ref: "7", id: "42", note: 'a "b"' },
      utm: { utm_source: "mail", utm_term: "shoes" },
      custom: { line: "1\n2", emoji: "👟", on: "true" },
    };
    assert.equal(JSON.stringify(first.body), JSON.stringify(payload), "in this order: old Android SDKs read it so");
    assert.equal(first.headers["cache-control"], "no-store");
    assert.equal(first.headers["access-control-allow-origin"], "*");
    for (let again = 0; again < 2; again++) {
      const { status, body } = await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, { headers });
      assert.deepEqual([status, body.duplicate], [200, true]);
    }
    const [event, ...more] = await ofType(api, app_id, "link.claim");
    assert.deepEqual(more, []);
    const { claimed_at, clicked_at, ...data } = event ?? {};
    assert.deepEqual(data, {
      link_id: link.id,
      platform: "ios",
      cid,
      claim_type: "direct",
      duplicate: false,
      path: "/größe/42",
      params: payload.params,
      utm: payload.utm,
    });
    assert.ok(String(clicked_at) <= String(claimed_at));
  });

  test("a token that is unknown, too old or another app's is refused", async () => {
    const { api, app_id } = await start();
    const other = await api.createApp();
    const cid = await click(api, app_id, "hello");
    const ask = async (text: string, app: string) => {
      const { status, body } = await send(api, "GET", `/api/deeplink${text}`, undefined, {
        headers: { "x-app-id": app },
      });
      return [status, body.error];
    };
    assert.deepEqual(await ask(`?cid=${cid}`, other), [404, "not_found"]);
    assert.deepEqual(await ask("?cid=0123456789abcdef", app_id), [404, "not_found"]);
    for (const text of [
      "",
      "?cid=",
      "?cid=xyz",
      "?cid=1234567",
      `?cid=${"a".repeat(65)}`,
      "?cid=%00",
      "?cid=a&cid=b",
    ]) {
      assert.deepEqual(await ask(text, app_id), [400, "invalid_request"], text);
    }
    assert.deepEqual(await ask(`?cid=${cid}`, "none"), [404, "not_found"]);
    assert.deepEqual(await ofType(api, app_id, "link.claim"), []);
  });

  test("of a hundred claims of one token at the same time one is the first", async () => {
    const { api, app_id } = await start();
    const cid = await click(api, app_id, "hello");
    const headers = { "x-app-id": app_id };
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, { headers })),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.equal(answers.filter(({ body }) => body.duplicate === false).length, 1);
    assert.equal((await ofType(api, app_id, "link.claim")).length, 1);
  });

  test("of a hundred claims without a token one matches the click, and every one is told of", async () => {
    const { api, app_id } = await start();
    const cid = await click(api, app_id, "hello", { agent: IPHONE });
    const answers = await Promise.all(
      Array.from({ length: 100 }, () => claim(api, app_id, { platform: "ios", bundleId: "" }, { agent: NATIVE_IOS })),
    );
    const won = answers.filter(({ status }) => status === 200);
    assert.deepEqual(
      won.map(({ body }) => [body.cid, body.duplicate]),
      [[cid, false]],
    );
    assert.ok(answers.every(({ status, body }) => status === 200 || (status === 404 && body.error === "no_match")));
    assert.equal((await ofType(api, app_id, "link.claim")).length, 1);
    const { body } = await api.call("GET", `/api/apps/${app_id}/events?event=link.deferred_claim_attempt&limit=100`);
    const reasons = body.items.map((item: { data: { reason: string } }) => item.data.reason);
    assert.equal(reasons.length, 100);
    assert.equal(reasons.filter((reason: string) => reason === "matched").length, 1);
    assert.equal(reasons.filter((reason: string) => reason === "already_claimed").length, 99);
  });

  test("a claim without a token matches by network and tells what it did", async () => {
    const { api, app_id, link } = await start({ android_package: "com.example.shop" });
    const cid = await click(api, app_id, "hello", { agent: PIXEL, ip: "2001:db8:1:2::1" });
    const body = {
      bundleId: "com.example.shop",
      platform: "android",
      device: { platform: "android", osVersion: "14" },
    };
    const caller = { agent: NATIVE_ANDROID, ip: "2001:db8:1:2:ffff::9" };
    assert.equal((await claim(api, app_id, body, { ...caller, ip: "2001:db8:1:3::1" })).status, 404);
    const won = await claim(api, app_id, body, caller);
    assert.deepEqual([won.status, won.body.cid, won.body.linkId], [200, cid, link.id]);
    assert.equal((await claim(api, app_id, body, caller)).status, 404);
    const bundle_id = "com.example.shop";
    const miss = { platform: "android", matched: false, method: "fingerprint", bundle_id };
    assert.deepEqual(await ofType(api, app_id, "link.deferred_claim_attempt"), [
      { ...miss, reason: "no_match" },
      { ...miss, matched: true, reason: "matched", link_id: link.id, cid },
      { ...miss, reason: "already_claimed" },
    ]);
    assert.equal((await ofType(api, app_id, "link.claim"))[0]?.["claim_type"], "fingerprint");
    const duplicate = await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, {
      headers: { "x-app-id": app_id },
    });
    assert.equal(duplicate.body.duplicate, true);
  });

  test("which click matches: the platform must fit, likeness ranks, the newest wins", async () => {
    const { api, app_id } = await start();
    const iphone = await click(api, app_id, "hello", { agent: IPHONE });
    const pixel = await click(api, app_id, "hello", { agent: PIXEL });
    const desktop = await click(api, app_id, "hello", { agent: MAC });
    const won = async (body: object, agent: string) => (await claim(api, app_id, body, { agent })).body.cid;
    assert.equal(
      await won({ platform: "ios", device: { osVersion: "17.4.1" } }, NATIVE_IOS),
      iphone,
      "same system version",
    );
    assert.equal(await won({ platform: "ios" }, NATIVE_IOS), desktop, "a desktop click fits everybody");
    assert.equal(await won({ platform: "ios" }, NATIVE_IOS), undefined, "an Android click does not fit iOS");
    assert.equal(await won({ platform: "web" }, PIXEL), pixel, "a web page in the phone's browser");
    const older = await click(api, app_id, "hello", { agent: NATIVE_IOS });
    const newer = await click(api, app_id, "hello", { agent: MAC });
    assert.equal(await won({ platform: "ios" }, NATIVE_IOS), older, "same User-Agent");
    assert.equal(await won({ platform: "android" }, NATIVE_ANDROID), newer);
  });

  test("the Play Install Referrer claims its token, in every form in which it comes", async () => {
    const { api, app_id } = await start();
    const forms = [
      (cid: string) => `cid=${cid}&utm_source=linkme`,
      (cid: string) => `utm_source=linkme&cid=${cid}`,
      (cid: string) => encodeURIComponent(`utm_source=linkme&cid=${cid}`),
      (cid: string) => encodeURIComponent(encodeURIComponent(`cid=${cid}`)),
      (cid: string) => `linkme:cid=${cid}`,
      (cid: string) => `https://go.example.com/x?cid=${cid}#y`,
    ];
    const headers = { "x-app-id": app_id };
    for (const form of forms) {
      const cid = await click(api, app_id, "hello", { agent: PIXEL });
      const { status, body } = await send(api, "POST", "/api/install-referrer", { referrer: form(cid) }, { headers });
      assert.deepEqual([status, body.cid, body.duplicate], [200, cid, false], form("…"));
    }
    const events = await ofType(api, app_id, "link.claim");
    assert.deepEqual(
      new Set(events.map((data) => `${data["claim_type"]} ${data["platform"]}`)),
      new Set(["install_referrer android"]),
    );
    for (const referrer of [
      "utm_source=google-play&utm_medium=organic",
      "",
      "acid=0123456789abcdef",
      "cid=xyz",
      "%E0%A4%A",
      "cid=0123",
    ]) {
      const { status, body } = await send(api, "POST", "/api/install-referrer", { referrer }, { headers });
      assert.deepEqual([status, body.error], [404, "no_match"], referrer);
    }
  });

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

  test("the calling app is found by header, key, bundle id, host, or by being the only one", async () => {
    const { api, app_id } = await start({ ios_bundle_id: "com.example.shop" });
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
      ["header before host", { host: "go.other.example", headers: { "x-app-id": app_id } }, {}, app_id],
      ["unknown bundle id, then host", { host: "go.other.example" }, { bundleId: "com.nobody" }, other],
    ];
    for (const [name, caller, body, expected] of cases) {
      const before = (await eventsOf(api, expected)).length;
      assert.equal((await open(caller, body)).status, 204, name);
      assert.equal((await eventsOf(api, expected)).length, before + 1, name);
    }
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

  test("an opened address is resolved: to its link, to path and query, or to nobody's", async () => {
    const { api, app_id, link } = await start();
    await api.call("POST", `/api/apps/${app_id}/domains`, { hostname: "go.shop.example" });
    const resolve = (url: unknown, app = app_id) =>
      send(api, "POST", "/api/deeplink/resolve-url", { url, device: 7 }, { headers: { "x-app-id": app } });
    const { status, body } = await resolve("https://go.shop.example/hello?ref=7&utm_term=x");
    assert.equal(status, 200);
    assert.deepEqual([body.linkId, body.path, body.isLinkMe, body.cid], [link.id, "/größe/42", true, undefined]);
    assert.deepEqual([body.params["ref"], body.utm["utm_term"]], ["7", "x"]);
    const passed = await resolve("https://go.shop.example/no/link?a=b&utm_source=c");
    assert.deepEqual(passed.body, {
      path: "/no/link",
      url: "https://go.shop.example/no/link?a=b&utm_source=c",
      isLinkMe: true,
      duplicate: false,
      forceRedirectWeb: false,
      params: { a: "b" },
      utm: { utm_source: "c" },
      custom: {},
    });
    assert.equal((await resolve("https://go.shop.example/?path=settings")).body.path, "settings");
    const foreign = await resolve("https://other.example/hello");
    assert.deepEqual([foreign.status, foreign.body.error], [404, "domain_not_found"]);
    const not_theirs = await resolve("https://go.shop.example/hello", await api.createApp());
    assert.deepEqual([not_theirs.status, not_theirs.body.error], [404, "domain_not_found"]);
    for (const url of ["shop://x", "", "//x", "https://", 7, null]) assert.equal((await resolve(url)).status, 400);
    assert.deepEqual(await eventsOf(api, app_id), []);
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
