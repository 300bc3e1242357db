// Each SDK of both generations claims as it does in installed apps: its own headers and bodies, its own reading of the answer.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { click, IPHONE, MAC, NATIVE_ANDROID, NATIVE_IOS, PIXEL, send, startShop } from "../support/sdk.ts";
import { received, receivedOrLocal } from "../support/sdk-readers.ts";
import { headersOf, SDKS, type Sdk } from "../support/sdk-rows.ts";

const UNKNOWN = "0123456789abcdef";
const { api, app_id, link } = await startShop(null, { ios_bundle_id: "com.example.shop" });

async function addLink(body: object): Promise<{ id: string; slug: string }> {
  return (await api.call("POST", `/api/apps/${app_id}/links`, body)).body;
}

/** A network for each case: nobody else's click is near. */
let networks = 0;
const newNetwork = () => `198.51.100.${++networks}`;
const callerOf = (sdk: Sdk, method: "GET" | "POST", ip: string) => ({
  ...{ ip, agent: sdk.agent, headers: headersOf(sdk, app_id, method) },
});
const phoneOf = ({ deferred }: Sdk) => (deferred.includes('"platform":"ios"') ? IPHONE : PIXEL);
const get = (sdk: Sdk, cid: string, ip = newNetwork()) =>
  send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, callerOf(sdk, "GET", ip));
const post = (sdk: Sdk, url: string, body: unknown, ip = newNetwork()) =>
  send(api, "POST", url, body, callerOf(sdk, "POST", ip));

for (const sdk of SDKS) {
  describe(sdk.name, () => {
    test("a token gives the payload, and once more as a duplicate", async () => {
      const cid = await click(api, app_id, "hello?ref=7", { agent: phoneOf(sdk), ip: newNetwork() });
      const payload = received(sdk.read, await get(sdk, cid));
      assert.ok(payload !== null);
      const { linkId, path, url, isLinkMe, duplicate, forceRedirectWeb, webFallbackUrl } = payload;
      assert.deepEqual([linkId, payload.cid, path], [link.id, cid, "/größe/42"]);
      assert.deepEqual([url, isLinkMe, duplicate], ["http://links.test/hello", true, false]);
      assert.deepEqual([forceRedirectWeb, webFallbackUrl], [false, undefined]);
      assert.deepEqual([payload.params?.["ref"], payload.params?.["id"]], ["7", "42"]);
      assert.equal(payload.utm?.["utm_source"], "mail");
      assert.deepEqual([payload.custom?.["emoji"], payload.custom?.["on"]], ["👟", "true"]);
      assert.equal(received(sdk.read, await get(sdk, cid))?.duplicate, true);
    });

    test("a token that is unknown is nothing", async () => {
      const answer = await get(sdk, UNKNOWN);
      assert.equal(received(sdk.read, answer), null);
      assert.equal(typeof answer.body.error, "string");
    });

    test("without a token the click of its network is found, once", async () => {
      const ip = newNetwork();
      assert.equal(received(sdk.read, await post(sdk, "/api/deferred/claim", sdk.deferred, ip)), null);
      const cid = await click(api, app_id, "hello", { agent: phoneOf(sdk), ip });
      const payload = received(sdk.read, await post(sdk, "/api/deferred/claim", sdk.deferred, ip));
      assert.deepEqual([payload?.linkId, payload?.cid, payload?.duplicate], [link.id, cid, false]);
      const again = await post(sdk, "/api/deferred/claim", sdk.deferred, ip);
      assert.deepEqual([again.status, again.body.error], [404, "no_match"]);
      assert.equal(received(sdk.read, again), null);
    });

    test("a link that only goes to the web says where", async () => {
      const slug = `forced-${++networks}`;
      await addLink({ slug, deepLink: "/x", redirects: { web: "https://w.example/landing", forceWeb: true } });
      const cid = await click(api, app_id, slug, { agent: phoneOf(sdk), ip: newNetwork() });
      const payload = received(sdk.read, await get(sdk, cid));
      assert.deepEqual([payload?.forceRedirectWeb, payload?.webFallbackUrl], [true, "https://w.example/landing"]);
    });

    if (sdk.calls.resolves) {
      test("an address that the system opened is resolved, and a foreign one is the app's own business", async () => {
        const resolve = async (url: string) => {
          const body = sdk.device === null ? { url } : { url, device: sdk.device };
          return receivedOrLocal(sdk.read, await post(sdk, "/api/deeplink/resolve-url", body), url);
        };
        const known = await resolve("http://links.test/hello?ref=7&utm_term=shoes");
        assert.deepEqual([known?.linkId, known?.path, known?.isLinkMe], [link.id, "/größe/42", true]);
        assert.deepEqual([known?.params?.["ref"], known?.utm?.["utm_term"]], ["7", "shoes"]);
        const foreign = await resolve("https://foreign.example/a?b=1");
        assert.deepEqual(foreign, { path: "/a", url: "https://foreign.example/a?b=1", isLinkMe: false });
        const root = await resolve("http://links.test/?path=settings&tab=2&utm_id=9");
        assert.deepEqual([root?.path, root?.isLinkMe, root?.linkId], ["settings", true, undefined]);
        assert.deepEqual([root?.params, root?.utm], [{ tab: "2" }, { utm_id: "9" }]);
        assert.equal((await resolve("http://links.test/no-such-link"))?.path, "/no-such-link");
      });
    }

    if (sdk.calls.referrer) {
      test("the Play referrer tells the token in every form, and an organic one is a miss", async () => {
        const forms = [
          (cid: string) => `utm_source=linkme&cid=${cid}`,
          (cid: string) => encodeURIComponent(`cid=${cid}&utm_source=mail`),
          (cid: string) => encodeURIComponent(encodeURIComponent(`cid=${cid}`)),
          (cid: string) => `linkme:cid=${cid}`,
          (cid: string) => `http://links.test/hello?cid=${cid}`,
        ];
        for (const form of forms) {
          const cid = await click(api, app_id, "hello", { agent: PIXEL, ip: newNetwork() });
          const payload = received(sdk.read, await post(sdk, "/api/install-referrer", { referrer: form(cid) }));
          assert.deepEqual([payload?.cid, payload?.duplicate], [cid, false], form("…"));
        }
        for (const referrer of ["utm_source=google-play&utm_medium=organic", "", `cid=${UNKNOWN}`, "%"]) {
          const answer = await post(sdk, "/api/install-referrer", { referrer });
          assert.equal(received(sdk.read, answer), null, referrer);
          assert.equal(answer.status, 404, referrer);
        }
      });
    }

    if ("origin" in sdk.headers) {
      test("a browser may call from a page of another origin", async () => {
        for (const [path, method] of [
          ["/api/deeplink?cid=x", "GET"],
          ["/api/deeplink/resolve-url", "POST"],
          ["/api/deferred/claim", "POST"],
          ["/api/app-events", "POST"],
        ] as const) {
          const asked = { "access-control-request-method": method };
          const names = "accept,content-type,x-app-id,x-api-key,x-linkme-device";
          const headers = { ...sdk.headers, ...asked, "access-control-request-headers": names };
          const preflight = await send(api, "OPTIONS", path, undefined, { agent: sdk.agent, headers });
          assert.equal(preflight.status, 204, path);
          assert.equal(preflight.headers["access-control-allow-origin"], "*");
          assert.equal(preflight.headers["access-control-allow-credentials"], undefined);
          const allowed = String(preflight.headers["access-control-allow-headers"]).toLowerCase();
          for (const name of names.split(",")) assert.ok(allowed.includes(name), name);
          assert.ok(String(preflight.headers["access-control-allow-methods"]).includes(method), path);
        }
      });
    }
  });
}

describe("what all of them rely on", () => {
  test("members stand where a pattern finds them first, whatever params and custom data are called", async () => {
    const named = { linkId: "no", cid: "no", path: "no", url: "no", isLinkMe: "no", duplicate: "true" };
    const trap = await addLink({
      ...{ slug: "trap", deepLink: "/right", deepLinkParams: named },
      ...{ customData: { ...named, n: 1, on: true, off: null }, utm: { utm_source: "mail" } },
    });
    const android = SDKS.find(({ name }) => name === "Android up to 0.2.13");
    assert.ok(android !== undefined);
    const cid = await click(api, app_id, "trap", { ip: newNetwork() });
    const payload = received(android.read, await get(android, cid));
    assert.deepEqual([payload?.linkId, payload?.cid, payload?.path], [trap.id, cid, "/right"]);
    assert.deepEqual([payload?.url, payload?.isLinkMe], ["http://links.test/trap", true]);
    assert.deepEqual([payload?.duplicate, payload?.utm], [false, { utm_source: "mail" }]);
    assert.deepEqual(payload?.custom, { ...named, n: "1", on: "true" });
  });

  test("a click by an app's own HTTP client, of a platform that nobody can tell, is claimable on a phone", async () => {
    for (const [agent, platform] of [
      [NATIVE_IOS, "ios"],
      [NATIVE_ANDROID, "android"],
      ["okhttp/4.12.0", "android"],
      ["curl/8.5.0", "ios"],
      [MAC, "ios"],
    ] as const) {
      const ip = newNetwork();
      const cid = await click(api, app_id, "hello", { agent, ip });
      const headers = { "x-app-id": app_id };
      const { body } = await send(api, "POST", "/api/deferred/claim", { platform }, { ip, headers, agent: NATIVE_IOS });
      assert.equal(body.cid, cid, agent);
    }
  });

  test("of several clicks that fit alike the newest is claimed, and then the one before it", async () => {
    const ip = newNetwork();
    const cids: string[] = [];
    for (const slug of ["hello", "trap", "hello"]) cids.push(await click(api, app_id, slug, { agent: IPHONE, ip }));
    const headers = { "x-app-id": app_id };
    const claimed: string[] = [];
    for (const _ of cids) {
      const body = { platform: "ios" };
      claimed.push((await send(api, "POST", "/api/deferred/claim", body, { ip, headers, agent: NATIVE_IOS })).body.cid);
    }
    // Tokens begin with their time; of one millisecond the larger one counts as newer.
    assert.deepEqual(claimed, cids.toSorted().reverse());
  });
});
