// LinkMe's Node SDK as it stands on the wire: Bearer alone, a JSON type on every request, addresses that it has built, and
// what its strict schemas need of the answers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { DatabaseError } from "../../src/platform/database.ts";
import { openApi } from "../support/api.ts";
import { PIXEL, send } from "../support/sdk.ts";

const api = await openApi({ LINKME_PUBLIC_URL: "http://links.test" });
const app_id = await api.createApp();
const token = await api.createKey(app_id, { can_write: true });
const flag = z.union([z.literal(0), z.literal(1)]);
const text = z.string().nullish();
const Created = z.object({
  ...{ id: z.string(), app_id: z.string(), domain_id: z.string().nullable(), slug: z.string(), slugUrl: z.string() },
});
const Link = z.object({
  ...{ id: z.string(), app_id: z.string(), slug: z.string(), domain_id: text, deep_link_path: text },
  ...{ deep_link_params: text, ios_custom_url: text, android_custom_url: text, web_fallback_url: text },
  ...{ og_title: text, og_description: text, og_image_url: text, utm: text, utm_override: text, last_click_at: text },
  ...{ allow_param_passthrough: flag, force_redirect_web: flag, enabled: flag, internal: flag.optional() },
  ...{ click_count: z.number(), created_at: z.string().optional() },
});
const Listed = z.array(
  Link.extend({
    ...{ hostname: text, idUrl: z.string().optional(), slugUrl: z.string().optional() },
    ...{ clicks: z.number().optional(), installs: z.number().optional() },
  }),
);

/** As the SDK's `request()` builds it: no slash twice, however the caller has joined the parts. */
function call(method: string, path: string, body?: unknown) {
  const headers = { accept: "application/json", "content-type": "application/json" };
  const url = `/${path}`.replaceAll(/\/{2,}/g, "/");
  return api.call(method, url, body === undefined ? undefined : JSON.stringify(body), { token, headers });
}

const CREATE = {
  ...{ slug: "from-node", deepLink: "/product/42", displayInPortal: false, allowParamPassthrough: true },
  ...{ redirects: { ios: "shop://p", android: null, web: "https://w.example/", forceWeb: false } },
  ...{
    utm: { utm_source: "mail" },
    utmOverrides: { utm_source: true },
    customData: { a: 1, b: true, c: null, d: "x" },
  },
  ...{ og_title: "T", og_description: "D", og_image_url: "https://w.example/i.png" },
};

test("a link is created, listed, read by id and by slug, changed and deleted", async () => {
  const created = await call("POST", `//api//apps/${app_id}/links`, CREATE);
  assert.equal(created.status, 201);
  const { id, slug, domain_id, slugUrl } = Created.parse(created.body);
  assert.deepEqual([slug, domain_id, slugUrl], ["from-node", null, "http://links.test/from-node"]);

  const listed = await call("GET", `/api/apps/${app_id}/links`);
  const [first] = Listed.parse(listed.body);
  assert.equal(first?.id, id, "hidden ones too, for it hides what it makes");
  assert.equal(first?.internal, 1);

  for (const name of [id, slug]) {
    const { status, body } = await call("GET", `/api/links/${encodeURIComponent(name)}`);
    const link = Link.parse(body);
    assert.deepEqual([status, link.id, link.deep_link_path], [200, id, "/product/42"]);
    assert.deepEqual(JSON.parse(link.utm ?? ""), { utm_source: "mail" });
    assert.deepEqual(JSON.parse(link.utm_override ?? ""), { utm_source: true });
    assert.deepEqual([link.og_title, link.og_description, link.og_image_url], ["T", "D", "https://w.example/i.png"]);
    assert.deepEqual([link.ios_custom_url, link.android_custom_url ?? null], ["shop://p", null]);
    assert.deepEqual([link.web_fallback_url, link.force_redirect_web], ["https://w.example/", 0]);
    assert.deepEqual(JSON.parse(body.custom_data), CREATE.customData, "told beside what the SDK reads");
  }

  const patched = await call("PATCH", `/api/links/${id}`, { enabled: 0, utm: '{"utm_source":"ad"}', og_title: null });
  const changed = Link.parse(patched.body);
  assert.deepEqual([patched.status, changed.enabled, changed.og_title ?? null], [200, 0, null]);
  assert.deepEqual(JSON.parse(changed.utm ?? ""), { utm_source: "ad" });
  const unchanged = await call("PATCH", `/api/links/${id}`, {});
  assert.deepEqual([unchanged.status, Link.parse(unchanged.body).enabled], [200, 0], "nothing to change is no mistake");

  const deleted = await call("DELETE", `/api/links/${id}`);
  assert.deepEqual([deleted.status, deleted.body], [204, ""]);
  const gone = await call("GET", `/api/links/${id}`);
  assert.deepEqual([gone.status, gone.body.error], [404, "not_found"], "its error has a status and a code");
});

test("what it may not do, or asks wrongly, is an error with a code that is a text", async () => {
  const read_only = await api.createKey(app_id, { can_write: false });
  const path = `/api/apps/${app_id}/links`;
  const cases: [string, string | null, unknown, number, string][] = [
    ["no key", null, CREATE, 401, "unauthorized"],
    ["a key of nobody", "lk_live_read_1234567890", CREATE, 401, "unauthorized"],
    ["a key that may read", read_only, CREATE, 403, "forbidden"],
    ["a slug that cannot be", token, { ...CREATE, slug: "a b" }, 400, "invalid_request"],
    ["a slug that is reserved", token, { ...CREATE, slug: "api" }, 400, "invalid_request"],
  ];
  for (const [name, bearer, body, status, error] of cases) {
    const answer = await api.call("POST", path, body, { token: bearer });
    assert.deepEqual([answer.status, answer.body.error], [status, error], name);
  }
  await call("POST", path, { ...CREATE, slug: "taken" });
  const taken = await call("POST", path, { ...CREATE, slug: "taken" });
  assert.deepEqual([taken.status, taken.body.error], [409, "slug_taken"]);
});

test("a preset gives a link its UTM values, custom data reach the app as texts, and a preview shows the og_* fields", async () => {
  const utm = { utm_source: "paper", utm_medium: "print" };
  const preset = await api.call("POST", `/api/apps/${app_id}/utm-presets`, { name: "Paper", utm });
  assert.equal(preset.status, 201);
  const body = { ...CREATE, slug: "preset", utm: { utm_medium: "flyer" }, utmPresetId: preset.body.id };
  Created.parse((await call("POST", `/api/apps/${app_id}/links`, body)).body);
  const link = (await call("GET", "/api/links/preset")).body;
  assert.deepEqual([link.utm_preset_id, JSON.parse(link.utm)], [preset.body.id, { utm_medium: "flyer" }]);

  const headers = { "x-app-id": app_id };
  const url = "http://links.test/preset";
  const opened = await send(api, "POST", "/api/deeplink/resolve-url", { url }, { headers });
  assert.deepEqual(opened.body.utm, { utm_source: "paper", utm_medium: "flyer" });
  assert.deepEqual(opened.body.custom, { a: "1", b: "true", d: "x" });
  const preview = await send(api, "GET", "/preset", undefined, { agent: "facebookexternalhit/1.1" });
  assert.equal(preview.status, 200);
  for (const [name, text] of [
    ["title", "T"],
    ["description", "D"],
    ["image", "https://w.example/i.png"],
  ]) {
    assert.ok(preview.body.includes(`<meta property="og:${name}" content="${text}">`), `${name}: ${preview.body}`);
  }

  const unknown = await call("POST", `/api/apps/${app_id}/links`, { slug: "none", utmPresetId: "utp_none" });
  assert.deepEqual([unknown.status, unknown.body.error], [404, "not_found"]);
});

// A real outage, of minutes, is in server/test/flows/start-stop.test.ts; each code and its status in server/src/api/failures.test.ts.
test("while the database is away every call is 503 temporarily_unavailable, and says when to ask again", async (t) => {
  const away = await openApi({ LINKME_PUBLIC_URL: "http://links.test" });
  const of_app = await away.createApp();
  const headers = { "x-app-id": of_app };
  const ask = () =>
    Promise.all([
      away.call("GET", `/api/apps/${of_app}/links`),
      away.call("GET", "/api/links/any"),
      send(away, "GET", `/api/deeplink?cid=${"0".repeat(32)}`, undefined, { headers, agent: PIXEL }),
      send(away, "POST", "/api/install-referrer", { referrer: `cid=${"0".repeat(32)}` }, { headers, agent: PIXEL }),
      send(away, "POST", "/api/deferred/claim", { platform: "android" }, { headers, agent: PIXEL }),
    ]);
  assert.deepEqual(
    (await ask()).map(({ status }) => status),
    [200, 404, 404, 404, 404],
  );
  t.mock.method(away.db, "query", async () => {
    throw new DatabaseError("unavailable", "no route");
  });
  for (const answer of await ask()) {
    assert.deepEqual([answer.status, answer.body.error], [503, "temporarily_unavailable"], answer.body.message);
    assert.match(String(answer.headers["retry-after"]), /^[1-9]\d*$/);
  }
});
