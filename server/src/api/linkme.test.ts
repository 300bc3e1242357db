// Claims over HTTP, on both engines: each token is claimed once, whoever asks and however many do.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LinkPayload } from "#contract/links.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import {
  claim,
  click,
  eventsOf,
  IPHONE,
  MAC,
  NATIVE_ANDROID,
  NATIVE_IOS,
  ofType,
  PIXEL,
  send,
  startShop,
} from "../../test/support/sdk.ts";

forEachEngine((engine) => {
  const start = (settings: object = {}) => startShop(engine, settings);

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

  test("a token tells its app where nothing else does, and that app's demands hold", async () => {
    const { api, app_id } = await start();
    const other = await api.createApp();
    const ways = [
      (cid: string, headers = {}) => send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, { headers }),
      (cid: string, headers = {}) =>
        send(api, "POST", "/api/install-referrer", { referrer: `cid=${cid}` }, { headers, agent: NATIVE_ANDROID }),
    ];
    const key = await api.createKey(app_id, { kind: "app" });
    const cids: string[] = [];
    for (const claimBy of ways) {
      const cid = await click(api, app_id, "hello");
      cids.push(cid);
      for (const headers of [{ "x-app-id": "none" }, { "x-app-id": other }]) {
        assert.equal((await claimBy(cid, headers)).status, 404, JSON.stringify(headers));
      }
      const { status, body } = await claimBy(cid);
      assert.deepEqual([status, body.cid, body.duplicate], [200, cid, false]);
      const unknown = await claimBy("0123456789abcdef");
      assert.deepEqual([unknown.status, unknown.body.error], [404, "not_found"]);
    }
    const nothing = await send(api, "GET", "/api/deeplink", undefined, {});
    assert.deepEqual([nothing.status, nothing.body.details[0].path], [400, "cid"]);
    const organic = await send(api, "POST", "/api/install-referrer", { referrer: "utm_source=google-play" }, {});
    assert.deepEqual([organic.status, organic.body.error], [404, "no_match"]);
    await api.call("PATCH", `/api/apps/${app_id}`, { require_api_key: true });
    for (const [index, claimBy] of ways.entries()) {
      const cid = cids[index] ?? "";
      assert.equal((await claimBy(cid)).status, 401);
      assert.equal((await claimBy(cid, { "x-app-id": app_id })).status, 401);
      assert.equal((await claimBy(cid, { "x-api-key": key })).status, 200);
    }
    assert.equal((await ofType(api, app_id, "link.claim")).length, 2);
  });

  test("on the domain of an app that demands a key every call does, whatever it names", async () => {
    const { api, app_id } = await start({ require_api_key: true });
    await api.createApp();
    await api.call("POST", `/api/apps/${app_id}/domains`, { hostname: "go.shop.example" });
    const key = await api.createKey(app_id, { kind: "app" });
    const unknown = "0123456789abcdef";
    for (const [method, url, body, status] of [
      ["GET", `/api/deeplink?cid=${unknown}`, undefined, 404],
      ["POST", "/api/install-referrer", { referrer: "utm_source=google-play&utm_medium=organic" }, 404],
      ["POST", "/api/install-referrer", { referrer: `cid=${unknown}` }, 404],
      ["POST", "/api/deferred/claim", { platform: "ios" }, 404],
      ["POST", "/api/deeplink/resolve-url", { url: "https://go.shop.example/none" }, 200],
      ["POST", "/api/app-events", { type: "open", cid: unknown }, 204],
    ] as const) {
      const caller = { host: "go.shop.example" };
      const refused = await send(api, method, url, body, caller);
      assert.deepEqual([refused.status, refused.body.error], [401, "unauthorized"], url);
      const let_in = await send(api, method, url, body, { ...caller, headers: { "x-api-key": key } });
      assert.equal(let_in.status, status, url);
    }
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
