// Links over HTTP, on both engines: every way of making and changing one, its end, and how many an app may have.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Link, LinkCreated } from "#contract/links.ts";
import { openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { waitUntil } from "../../test/support/wait.ts";

const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15";
const SHOP = "https://shop.example/";

function open(api: TestApi, url: string) {
  return api.call("GET", url, undefined, { token: null, headers: { host: "links.test", "user-agent": MAC } });
}

/** What a link is made of, by the names that it is stored under, and what it then shows. */
const WRITTEN = {
  deep_link_path: "/p/1",
  deep_link_params: { a: 1 },
  ios_custom_url: "shop://p/1",
  android_custom_url: null,
  ios_store_url: "https://apps.apple.com/app/id1",
  android_store_url: "https://play.google.com/store/apps/details?id=a.b",
  web_fallback_url: SHOP,
  og_title: "One",
  utm: '{"utm_source":"mail"}',
  utm_override: { utm_source: true },
  custom_data: { b: true },
  allow_param_passthrough: true,
  force_redirect_web: 1,
  enabled: true,
  internal: 0,
  tags: ["Spring", "spring", "b c"],
  expires_at: "2099-01-01T00:00:00+01:00",
  click_limit: 7,
  expired_url: "https://shop.example/over",
} as const;
const SHOWN = {
  ...WRITTEN,
  deep_link_params: '{"a":1}',
  utm_override: '{"utm_source":true}',
  custom_data: '{"b":true}',
  allow_param_passthrough: 1,
  enabled: 1,
  tags: ["spring", "b c"],
  expires_at: "2098-12-31T23:00:00.000Z",
};

forEachEngine((engine) => {
  const start = async (env: Record<string, string> = {}) =>
    openApi({ DATABASE_URL: await engine.address(), LINKME_PUBLIC_URL: "http://links.test", ...env });

  test("a link is made by the names that it is stored under, for the app of the key or the one that is named", async () => {
    const api = await start();
    const app_id = await api.createApp();
    const token = await api.createKey(app_id);
    const body = { slug: "one", ...WRITTEN, surprise: 1 };
    const made = await api.call("POST", "/api/links", body, { token });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    assert.deepEqual(LinkCreated.strict().parse(made.body), { ...made.body, app_id, domain_id: null, slug: "one" });
    const { body: link } = await api.call("GET", "/api/links/one");
    assert.deepEqual(Link.strict().parse(link), { ...link, ...SHOWN });
    const named = await api.call("POST", "/api/links", { app_id });
    assert.deepEqual([named.status, named.body.app_id], [201, app_id]);
    const nobody = await api.call("POST", "/api/links", {});
    assert.deepEqual([nobody.status, nobody.body.details[0].path], [400, "app_id"]);
    const foreign = await api.call("POST", "/api/links", { app_id: await api.createApp() }, { token });
    assert.deepEqual([foreign.status, foreign.body.details[0].path], [404, "app_id"]);
    assert.equal((await api.call("POST", "/api/links", { app_id: "none" })).status, 404);
    const reader = await api.createKey(app_id, { can_write: false });
    assert.equal((await api.call("POST", "/api/links", {}, { token: reader })).status, 403);
  });

  test("on create null is the same as absent, under either name", async () => {
    const api = await start();
    const app_id = await api.createApp();
    const nothing = Object.fromEntries(Object.keys(WRITTEN).map((name) => [name, null]));
    const camel = { redirects: null, utmOverrides: null, allowParamPassthrough: null, displayInPortal: null };
    const answer = await api.call("POST", `/api/apps/${app_id}/links`, { ...nothing, ...camel, slug: null });
    assert.equal(answer.status, 201, JSON.stringify(answer.body));
    const bare = await api.call("POST", `/api/apps/${app_id}/links`, {});
    const read = async (id: string) => (await api.call("GET", `/api/links/${id}`)).body;
    const { id: _, slug: __, created_at: ___, ...left } = await read(answer.body.id);
    assert.deepEqual({ ...(await read(bare.body.id)), ...left }, await read(bare.body.id));
    assert.equal(left.internal, 1, "LinkMe's SDK hides what does not say");
  });

  test("an address is shortened with a write key", async () => {
    const api = await start();
    const token = await api.createKey(await api.createApp());
    for (const [body, slug] of [
      [{ url: SHOP, slug: "s1" }, "s1"],
      [{ web_fallback_url: SHOP }, null],
    ] as const) {
      const { status, body: made } = await api.call("POST", "/s", body, { token });
      assert.deepEqual([status, made.domain_id], [201, null], JSON.stringify(made));
      if (slug !== null) assert.equal(made.slug, slug);
      assert.equal((await open(api, `/${made.slug}`)).headers["location"], SHOP);
    }
    for (const body of [{}, { url: null }, { url: "shop" }]) {
      const { status, body: refused } = await api.call("POST", "/s", body, { token });
      assert.deepEqual([status, refused.details[0].path], [400, "url"]);
    }
    assert.equal((await api.call("POST", "/s", { url: SHOP }, { token: null })).status, 401);
  });

  test("a change takes all that a new link can be given, and nothing is a change too", async () => {
    const api = await start();
    const { body: made } = await api.call("POST", `/api/apps/${await api.createApp()}/links`, {});
    const url = `/api/links/${made.id}`;
    const { status, body } = await api.call("PATCH", url, { ...WRITTEN, slug: "renamed" });
    assert.equal(status, 200, JSON.stringify(body));
    assert.deepEqual(body, { ...body, ...SHOWN, slug: "renamed" });
    assert.deepEqual((await api.call("PATCH", url, {})).body, body);
    const cleared = { tags: null, expires_at: null, click_limit: null, expired_url: null, ios_store_url: null };
    assert.deepEqual((await api.call("PATCH", url, cleared)).body, { ...body, ...cleared, tags: [] });
    assert.equal((await open(api, "/renamed")).status, 302);
    assert.equal((await open(api, `/${made.slug}`)).status, 404);
    for (const [field, value] of [
      ["enabled", 2],
      ["tags", ["a,b"]],
      ["tags", Array.from({ length: 21 }, (_, n) => `t${n}`)],
      ["expires_at", "tomorrow"],
      ["click_limit", 0],
      ["expired_url", "shop://x"],
      ["custom_data", "x"],
      ["slug", "api"],
    ] as const) {
      const refused = await api.call("PATCH", url, { [field]: value });
      assert.equal(refused.status, 400, field);
      assert.match(refused.body.details[0].path, new RegExp(`^${field}`));
    }
    const headers = { "content-type": "application/json" };
    assert.equal((await api.call("DELETE", url, undefined, { headers })).status, 204);
  });

  test("a slug that is taken is refused with others that are free", async () => {
    const api = await start();
    const app_id = await api.createApp();
    const create = (slug: string) => api.call("POST", `/api/apps/${app_id}/links`, { slug });
    for (const slug of ["sale", "sale-2", "sale-4"]) assert.equal((await create(slug)).status, 201);
    const taken = await create("sale");
    assert.deepEqual([taken.status, taken.body.error], [409, "slug_taken"]);
    const { suggestions } = taken.body;
    assert.deepEqual([suggestions.length, ...suggestions.slice(0, 2)], [3, "sale-3", "sale-5"]);
    const changed = await api.call("PATCH", "/api/links/sale-2", { slug: "sale" });
    assert.deepEqual([changed.status, changed.body.suggestions.length], [409, 3]);
    for (const slug of suggestions) assert.equal((await create(slug)).status, 201, slug);
    const long = "a".repeat(64);
    assert.equal((await create(long)).status, 201);
    for (const slug of (await create(long)).body.suggestions) assert.equal((await create(slug)).status, 201, slug);
  });

  test("a link ends at its time or after its clicks, at its fallback or with a page, and tells of no click", async () => {
    const api = await start();
    const app_id = await api.createApp();
    const create = async (body: object) =>
      (await api.call("POST", "/api/links", { app_id, web_fallback_url: SHOP, ...body })).body;
    const past = "2020-01-01T00:00:00Z";
    const gone = await create({ slug: "gone", expires_at: past });
    assert.equal((await open(api, "/gone")).status, 410);
    assert.equal((await open(api, "/d/gone")).status, 410);
    await api.call("PATCH", `/api/links/${gone.id}`, { expired_url: "https://shop.example/over" });
    const led = await open(api, "/gone");
    assert.deepEqual([led.status, led.headers["location"]], [302, "https://shop.example/over"]);
    await api.call("PATCH", `/api/links/${gone.id}`, { expires_at: "2099-01-01T00:00:00Z" });
    assert.equal((await open(api, "/gone")).headers["location"], SHOP);
    const two = await create({ slug: "two", click_limit: 2 });
    assert.deepEqual([(await open(api, "/two")).status, (await open(api, "/two")).status], [302, 302]);
    const read = async () => (await api.call("GET", `/api/links/${two.id}`)).body.click_count;
    await waitUntil(async () => (await read()) === 2, "both clicks to be counted");
    for (let more = 0; more < 3; more++) assert.equal((await open(api, "/two")).status, 410);
    assert.equal(await read(), 2);
  });

  test("an app has so many links and domains as the operator allows, and room again after a deletion", async () => {
    const api = await start({ LINKME_LINKS_PER_APP: "2", LINKME_DOMAINS_PER_APP: "1" });
    const [app_id, other] = [await api.createApp(), await api.createApp()];
    const create = (body: object = {}, app = app_id) => api.call("POST", `/api/apps/${app}/links`, body);
    const answers = await Promise.all(Array.from({ length: 5 }, () => create()));
    const statuses = answers.map(({ status }) => status).sort();
    assert.deepEqual(statuses, [201, 201, 409, 409, 409]);
    const refused = answers.find(({ status }) => status === 409)?.body;
    assert.deepEqual([refused.error, /LINKME_LINKS_PER_APP/.test(refused.message)], ["conflict", true]);
    assert.equal((await create({ slug: "mine" }, other)).status, 201);
    const { id } = answers.find(({ status }) => status === 201)?.body ?? {};
    await api.call("DELETE", `/api/links/${id}`);
    assert.equal((await create({ slug: "mine" })).body.error, "slug_taken");
    assert.equal((await create()).status, 201, "what was not made does not count");
    assert.equal((await create()).status, 409);
    const connect = (hostname: string) => api.call("POST", `/api/apps/${app_id}/domains`, { hostname });
    assert.equal((await connect("a.example.com")).status, 201);
    const full = await connect("b.example.com");
    assert.deepEqual([full.status, /LINKME_DOMAINS_PER_APP/.test(full.body.message)], [409, true]);
  });
});
