// Opened links over HTTP, on both engines: what a visitor is answered, and what of the visit is kept.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EVENT_DATA } from "#contract/events.ts";
import { Link, LinkCreated, ListedLink } from "#contract/links.ts";
import { openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { waitUntil } from "../../test/support/wait.ts";

const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Version/17.4 Mobile/15E148 Safari/604.1";
const PIXEL = "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/126.0.0.0 Mobile Safari/537.36";
const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/126.0.0.0 Safari/537.36";
const HOST = "127.0.0.1:8080";

interface Visit {
  agent?: string;
  host?: string;
  method?: string;
  headers?: Record<string, string>;
}

/** Opens an address as a visitor would. */
function open(api: TestApi, url: string, { agent = MAC, host = HOST, method = "GET", headers = {} }: Visit = {}) {
  return api.call(method, url, undefined, { token: null, headers: { host, "user-agent": agent, ...headers } });
}

async function createLink(api: TestApi, app_id: string, input: object) {
  const answer = await api.call("POST", `/api/apps/${app_id}/links`, input);
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return LinkCreated.parse(answer.body);
}

async function eventsOf(api: TestApi, app_id: string) {
  const { body } = await api.call("GET", `/api/apps/${app_id}/events`);
  return body.items.reverse() as {
    id: string;
    event: keyof typeof EVENT_DATA;
    ts: string;
    data: Record<string, unknown>;
  }[];
}

forEachEngine((engine) => {
  const start = async (env: Record<string, string> = {}) =>
    openApi({ DATABASE_URL: await engine.address(), LINKME_PUBLIC_URL: "http://links.test", ...env });

  test("a visit is redirected by platform, and leaves a click and a token that the events tell of", async () => {
    const api = await start();
    const app_id = await api.createApp({
      ios_store_url: "https://apps.apple.com/app/id1",
      android_store_url: "https://play.google.com/store/apps/details?id=a",
    });
    const redirects = { ios: "shop://open", web: "https://shop.example/welcome" };
    const link = await createLink(api, app_id, { slug: "hello", redirects, utm: { utm_source: "mail" } });
    const referer = "https://news.example.com/secret";
    const ios = await open(api, "/hello?x=1", { agent: IPHONE, headers: { referer, "accept-language": "de-AT" } });
    const cid = /^shop:\/\/open\?cid=([0-9a-f]{32})$/.exec(String(ios.headers["location"]))?.[1];
    assert.equal(ios.status, 302);
    assert.ok(cid, String(ios.headers["location"]));
    assert.equal(ios.headers["cache-control"], "no-store");
    assert.equal(ios.headers["referrer-policy"], "no-referrer");
    const android = await open(api, "/hello", { agent: PIXEL });
    assert.match(String(android.headers["location"]), /&referrer=cid%3D[0-9a-f]{32}%26utm_source%3Dmail$/);
    const desktop = await open(api, `/${link.id}`);
    assert.equal(desktop.headers["location"], "https://shop.example/welcome?utm_source=mail");

    const events = await eventsOf(api, app_id);
    const types = events.map(({ event }) => event);
    assert.deepEqual(types, [
      "link.click",
      "link.token_created",
      "link.click",
      "link.token_created",
      "link.click",
      "link.token_created",
    ]);
    for (const { event, data } of events) assert.deepEqual(EVENT_DATA[event].strict().parse(data), data);
    assert.deepEqual(events[0]?.data, {
      link_id: link.id,
      platform: "ios",
      dest_url: `shop://open?cid=${cid}`,
      slug: "hello",
      hostname: "127.0.0.1",
      cid,
      utm: { utm_source: "mail" },
      referrer: "news.example.com",
    });
    assert.deepEqual(events[1]?.data["methods"], ["direct", "fingerprint"]);
    assert.deepEqual(events[3]?.data["methods"], ["install_referrer", "fingerprint"]);
    assert.deepEqual(
      events.map(({ data }) => data["platform"]),
      ["ios", "ios", "android", "android", "web", "web"],
    );
    const { body } = await api.call("GET", "/api/links/hello");
    assert.equal(body.click_count, 3);
    assert.equal(body.last_click_at, events[4]?.ts);
  });

  test("a link is created, listed and read in LinkMe's shapes, changed at once and deleted for good", async () => {
    const api = await start();
    const app_id = await api.createApp();
    const made = await createLink(api, app_id, {
      deepLink: "/products/42",
      customData: { n: 1, ok: true, nothing: null },
      utmOverrides: { utm_source: true },
      something_new: "ignored",
    });
    assert.match(made.slug, /^[a-km-np-z2-9]{8}$/);
    assert.equal(made.domain_id, null);
    assert.equal(made.slugUrl, `http://links.test/${made.slug}`);
    const { body: read } = await api.call("GET", `/api/links/${made.slug}`);
    assert.deepEqual(Link.strict().parse(read), read);
    assert.equal(read.custom_data, '{"n":1,"ok":true,"nothing":null}');
    assert.deepEqual((await api.call("GET", `/api/links/${made.id}`)).body, read);
    const { body: list } = await api.call("GET", `/api/apps/${app_id}/links`);
    assert.deepEqual(ListedLink.strict().array().parse(list), list);
    assert.equal(list[0].slugUrl, made.slugUrl);

    assert.equal((await open(api, `/${made.slug}`)).headers["location"], `http://${HOST}/d/${made.slug}`);
    // The visitor waits 20 ms for the commit of the click and no longer: counted late, it would come between what follows.
    const isCounted = async () => (await api.call("GET", `/api/links/${made.id}`)).body.click_count === 1;
    await waitUntil(isCounted, "the click to be counted");
    const patched = await api.call("PATCH", `/api/links/${made.id}`, {
      web_fallback_url: "https://new.example/",
      metadata: 1,
    });
    assert.equal(patched.status, 200);
    assert.deepEqual(patched.body, (await api.call("GET", `/api/links/${made.id}`)).body);
    assert.equal((await open(api, `/${made.slug}`)).headers["location"], "https://new.example/");
    await api.call("PATCH", `/api/links/${made.id}`, { enabled: 0 });
    assert.equal((await open(api, `/${made.slug}`)).status, 404);
    assert.equal((await api.call("PATCH", `/api/links/${made.id}`, {})).body.enabled, 0);
    await api.call("PATCH", `/api/links/${made.id}`, { enabled: 1 });
    assert.equal((await open(api, `/${made.slug}`)).status, 302);
    assert.equal((await api.call("DELETE", `/api/links/${made.id}`)).status, 204);
    assert.equal((await open(api, `/${made.slug}`)).status, 404);
    assert.equal((await api.call("GET", `/api/links/${made.id}`)).status, 404);
  });

  test("a link of an app that another process has just deleted is refused as the app's", async () => {
    const DATABASE_URL = await engine.address();
    const [one, other] = [await start({ DATABASE_URL }), await start({ DATABASE_URL })];
    const app_id = await one.createApp();
    await createLink(other, app_id, { slug: "kept" });
    assert.equal((await one.call("DELETE", `/api/apps/${app_id}`)).status, 204);
    const token = null;
    for (const input of [{ slug: "fresh" }, {}]) {
      const answer = await other.call("POST", `/api/apps/${app_id}/links`, input);
      assert.deepEqual([answer.status, answer.body.error], [404, "not_found"]);
    }
    assert.equal((await other.call("GET", "/fresh", undefined, { token })).status, 404);
  });

  test("changes of a link at the same moment all hold", async () => {
    const api = await start();
    const { id } = await createLink(api, await api.createApp(), {});
    const changes = { og_title: "Title", utm: '{"utm_source":"x"}', enabled: 0, deep_link_path: "a" };
    await Promise.all(
      Object.entries(changes).map(([name, value]) => api.call("PATCH", `/api/links/${id}`, { [name]: value })),
    );
    const { body: link } = await api.call("GET", `/api/links/${id}`);
    assert.deepEqual({ ...link, ...changes }, link);
  });

  test("a slug is unique over all apps, and links of another app do not exist for a key", async () => {
    const api = await start();
    const [one, two] = [await api.createApp(), await api.createApp()];
    const link = await createLink(api, one, { slug: "Mine" });
    for (const app_id of [one, two]) {
      const taken = await api.call("POST", `/api/apps/${app_id}/links`, { slug: "Mine" });
      assert.deepEqual([taken.status, taken.body.error], [409, "slug_taken"]);
    }
    await createLink(api, two, { slug: "mine" });
    const token = await api.createKey(two);
    for (const [method, url] of [
      ["GET", "/api/links/Mine"],
      ["PATCH", `/api/links/${link.id}`],
      ["DELETE", `/api/links/${link.id}`],
    ] as const) {
      const answer = await api.call(method, url, method === "PATCH" ? {} : undefined, { token });
      assert.deepEqual([answer.status, answer.body.error], [404, "not_found"]);
    }
    assert.equal((await open(api, "/Mine")).status, 302);
  });

  test("on a registered host only its app's links answer, on the server's own hosts all, elsewhere none", async () => {
    const api = await start();
    const [one, two] = [await api.createApp(), await api.createApp()];
    await api.call("POST", `/api/apps/${one}/domains`, { hostname: "go.one.example" });
    const link = await createLink(api, one, { slug: "a", deepLink: "x" });
    await createLink(api, two, { slug: "b" });
    assert.equal(link.slugUrl, "https://go.one.example/a");
    assert.ok(link.domain_id);
    const cases: [string, string, number][] = [
      ["go.one.example", "/a", 302],
      ["GO.One.Example:443", "/a", 302],
      ["go.one.example", `/${link.id}`, 302],
      ["go.one.example", "/b", 404],
      ["links.test", "/a", 302],
      ["links.test", "/b", 302],
      ["localhost:3000", "/b", 302],
      ["10.0.0.1", "/b", 302],
      ["[::1]:8080", "/b", 302],
      ["other.example", "/a", 404],
      ["evil.example/links.test", "/a", 404],
    ];
    for (const [host, url, status] of cases)
      assert.equal((await open(api, url, { host })).status, status, `${host}${url}`);
    const deep = await open(api, "/a", { host: "go.one.example", agent: IPHONE });
    assert.match(String(deep.headers["location"]), /^https:\/\/go\.one\.example\/x\?cid=[0-9a-f]{32}$/);
  });

  test("what is no visit of a person is answered and not recorded", async () => {
    const api = await start();
    const app_id = await api.createApp({ name: "Shop <1>" });
    const og_title = '</title><script>alert("1")</script>';
    await createLink(api, app_id, {
      slug: "hello",
      og_title,
      og_image_url: "https://x.example/i.png",
      redirects: { ios: "shop://x" },
    });
    const head = await open(api, "/hello", { method: "HEAD", agent: IPHONE });
    assert.deepEqual([head.status, head.headers["location"]], [302, "shop://x"]);
    const prefetched = await open(api, "/hello", { agent: IPHONE, headers: { "sec-purpose": "prefetch" } });
    assert.deepEqual([prefetched.status, prefetched.headers["location"]], [302, "shop://x"]);
    const crawled = await open(api, "/hello", { agent: "Twitterbot/1.0" });
    assert.equal(crawled.status, 200);
    assert.match(crawled.body, /<meta property="og:title" content="&lt;\/title&gt;&lt;script&gt;/);
    assert.doesNotMatch(crawled.body, /<script/);
    const landed = await open(api, "/d/hello");
    assert.equal(landed.status, 200);
    for (const page of [crawled, landed]) {
      assert.match(String(page.headers["content-security-policy"]), /^default-src 'none'; style-src 'sha256-/);
      assert.equal(page.headers["cache-control"], "no-store");
      assert.equal(page.headers["referrer-policy"], "no-referrer");
    }
    assert.deepEqual(await eventsOf(api, app_id), []);
  });

  test("the landing page offers the stores and asks nobody else for anything", async () => {
    const api = await start();
    const stores = {
      ios_store_url: "https://apps.apple.com/app/id1",
      android_store_url: "https://play.google.com/store/apps/details?id=a&b=c",
    };
    await createLink(api, await api.createApp(stores), { slug: "hello" });
    const { body } = await open(api, "/d/hello");
    assert.match(body, /href="\/d\/hello\/ios"/);
    assert.match(body, /href="\/d\/hello\/android"/);
    assert.doesNotMatch(body, /<(?:script|img|link|iframe)\b/);
    assert.equal((await open(api, "/d/none")).status, 404);
  });
});

describe("addresses that are no link", () => {
  const addresses = [
    "/none",
    "/hello+",
    "/%00",
    "/a%00b",
    "/ü",
    "/%F0%9F%91%9F",
    "/a.b",
    "/..%2fetc",
    "/'or'1'='1",
    "/robots.txt",
    `/${"a".repeat(65)}`,
  ];
  for (const address of addresses) {
    test(`${address.slice(0, 40)} is not found`, async () => {
      const api = await openApi();
      const answer = await open(api, address);
      assert.ok(answer.status === 404 || answer.status === 400, String(answer.status));
    });
  }

  test("a visitor reads a page wherever no link lives, and a program is refused in JSON", async () => {
    const api = await openApi({ LINKME_PUBLIC_URL: "http://links.test" });
    const app_id = await api.createApp();
    await createLink(api, app_id, { slug: "hello" });
    await api.call("POST", `/api/apps/${app_id}/domains`, { hostname: "go.shop.example" });
    const home = { host: "go.shop.example" };
    for (const [url, visit, status, text] of [
      ["/hello/", {}, 404, /Link not found/],
      ["/hello/more/of/it", {}, 404, /Link not found/],
      ["/d/hello/", {}, 404, /Link not found/],
      ["/hello/", { method: "HEAD" }, 404, /^$/],
      ["/products/42?x=1", home, 404, /Link not found/],
      ["/", home, 404, /Link not found/],
      ["/", { host: "other.example" }, 404, /Link not found/],
      ["/", {}, 200, /href="\/docs"/],
      ["/?utm_source=x", { host: "links.test" }, 200, /href="\/docs"/],
    ] as const) {
      const answer = await open(api, url, visit);
      assert.deepEqual([answer.status, answer.headers["content-type"]], [status, "text/html; charset=utf-8"], url);
      assert.match(answer.body, text, url);
    }
    for (const url of ["/api/none", "/api/none/deeper", "/api/", "/api/app-events", "/.well-known/x", "/mcp/x"]) {
      const answer = await open(api, url);
      assert.deepEqual([answer.status, answer.body.error], [404, "not_found"], url);
    }
    assert.equal((await open(api, "/hello/", { method: "POST" })).body.error, "not_found");
  });

  test("a malformed escape is refused", async () => {
    const api = await openApi();
    for (const address of ["/%", "/%zz", "/%ff", "/a%e0%a4%a"]) {
      const { status } = await open(api, address);
      assert.ok(status === 400 || status === 404, `${address}: ${status}`);
    }
  });
});

describe("a link that cannot be created is refused with the field's name", () => {
  const cases: [string, object, string][] = [
    ["a reserved slug", { slug: "api" }, "slug"],
    ["a reserved slug in capitals", { slug: "API" }, "slug"],
    ["a slug with other signs", { slug: "a b" }, "slug"],
    ["a slug that is too long", { slug: "a".repeat(65) }, "slug"],
    ["a slug that is no text", { slug: 7 }, "slug"],
    ["the text of a link id", { slug: `lnk_${"0".repeat(32)}` }, "slug"],
    ["a script as target", { redirects: { ios: "javascript:alert(1)" } }, "redirects.ios"],
    ["data as target", { redirects: { android: "data:text/html,x" } }, "redirects.android"],
    ["another scheme for the web", { redirects: { web: "shop://x" } }, "redirects.web"],
    ["UTM values that are no text", { utm: { utm_source: 1 } }, "utm.utm_source"],
    ["a nested value", { customData: { a: { b: 1 } } }, "customData.a"],
    ["a path that is too long", { deepLink: "x".repeat(1_001) }, "deepLink"],
    ["a NUL character", { deepLink: "a\u0000b" }, "deepLink"],
    ["half a surrogate pair", { og_title: "\ud800" }, "og_title"],
  ];
  for (const [name, input, path] of cases) {
    test(name, async () => {
      const api = await openApi();
      const answer = await api.call("POST", `/api/apps/${await api.createApp()}/links`, input);
      assert.equal(answer.status === 400 || answer.status === 409, true, JSON.stringify(answer.body));
      assert.ok(
        answer.body.details.some((detail: { path: string }) => detail.path === path),
        JSON.stringify(answer.body),
      );
    });
  }

  test("a map of a change that is not the JSON text of an object", async () => {
    const api = await openApi();
    const { id } = await createLink(api, await api.createApp(), { utm: { utm_source: "mail" } });
    const wrong = [
      "",
      "utm_source=mail",
      "null",
      "7",
      '"text"',
      "[]",
      '[{"utm_source":"x"}]',
      '{"utm_source":',
      7,
      [],
      true,
    ];
    for (const path of ["utm", "utm_override"]) {
      for (const value of wrong) {
        const { status, body } = await api.call("PATCH", `/api/links/${id}`, { [path]: value });
        assert.deepEqual([status, body.error, body.details?.[0].path], [400, "invalid_request", path], String(value));
      }
    }
    assert.equal((await api.call("GET", `/api/links/${id}`)).body.utm, '{"utm_source":"mail"}');
    for (const [given, kept] of [
      ['{"utm_source":"x"}', '{"utm_source":"x"}'],
      [{ tags: "a" }, '{"tags":"a"}'],
      ["{}", "{}"],
      [null, null],
    ]) {
      assert.equal((await api.call("PATCH", `/api/links/${id}`, { utm: given })).body.utm, kept);
    }
  });

  test("an app that does not exist", async () => {
    const api = await openApi();
    assert.equal((await api.call("POST", "/api/apps/none/links", {})).status, 404);
  });
});
