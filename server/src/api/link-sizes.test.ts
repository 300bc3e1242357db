// How large links may be: what is taken can be opened, listed, exported and imported again, and is not kept in memory for ever.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";

/** The characters of a map as JSON. */
const MAP_MAX = 8_000;
const TOO_LONG = `at most ${MAP_MAX} characters as JSON`;
const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 Version/17.4 Mobile/15E148 Safari/604.1";

/** An object whose JSON text has so many characters, of which most take three bytes. */
function mapOf(chars: number): Record<string, string> {
  const map: Record<string, string> = {};
  let left = chars - 2;
  for (let n = 10; left > 0; n += 1) {
    const frame = `"k${n}":"",`.length;
    const length = left - frame < 2 * frame ? left - frame + 1 : Math.min(1_000, left - 2 * frame);
    map[`k${n}`] = "漢".repeat(length);
    left -= frame + length;
  }
  assert.equal(JSON.stringify(map).length, chars);
  return map;
}

async function refusedFor(api: TestApi, method: string, url: string, body: object, field: string): Promise<void> {
  const { status, body: told } = await api.call(method, url, body);
  assert.equal(status, 400, JSON.stringify(told));
  assert.deepEqual(told["details"], [{ path: field, message: TOO_LONG }]);
}

forEachEngine((engine) => {
  const start = async () => openApi({ DATABASE_URL: await engine.address(), LINKME_PUBLIC_URL: "http://links.test" });

  test("a map has one bound, whether it is written as an object or as text, when a link is made and when it is changed", async () => {
    const api = await start();
    const app_id = await api.createApp();
    const links = `/api/apps/${app_id}/links`;
    const long = mapOf(MAP_MAX + 1);
    for (const field of ["deep_link_params", "custom_data", "utm_override"]) {
      await refusedFor(api, "POST", links, { [field]: long }, field);
      await refusedFor(api, "POST", links, { [field]: JSON.stringify(long) }, field);
    }
    for (const field of ["deepLinkParams", "customData"])
      await refusedFor(api, "POST", links, { [field]: long }, field);
    await api.call("POST", links, { slug: "wide" });
    for (const field of ["deep_link_params", "custom_data", "utm", "utm_override"]) {
      await refusedFor(api, "PATCH", "/api/links/wide", { [field]: long }, field);
      await refusedFor(api, "PATCH", "/api/links/wide", { [field]: JSON.stringify(long) }, field);
    }
  });

  test("the largest link is opened, shown, written as it is shown, and brought back by a file", async () => {
    const api = await start();
    const app_id = await api.createApp();
    const widest = mapOf(MAP_MAX);
    const body = {
      slug: "wide",
      deepLinkParams: widest,
      customData: widest,
      web_fallback_url: "https://shop.example/",
    };
    const made = await api.call("POST", `/api/apps/${app_id}/links`, body);
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const visit = { token: null, headers: { host: "links.test", "user-agent": IPHONE } };
    assert.equal((await api.call("GET", "/wide", undefined, visit)).status, 302);
    const { body: shown } = await api.call("GET", "/api/links/wide");
    const again = { custom_data: shown["custom_data"], deep_link_params: shown["deep_link_params"] };
    assert.equal((await api.call("PATCH", "/api/links/wide", again)).status, 200);
    const { body: text } = await api.call("GET", `/api/apps/${app_id}/links/export`);
    await api.call("DELETE", "/api/links/wide");
    const csv = { headers: { "content-type": "text/csv" } };
    const imported = await api.call("POST", `/api/apps/${app_id}/links/import`, text, csv);
    assert.deepEqual(imported.body, { created: 1, failed: 0, errors: [] });
    const { body: back } = await api.call("GET", "/api/links/wide");
    for (const field of ["custom_data", "deep_link_params", "web_fallback_url"])
      assert.equal(back[field], shown[field]);
  });

  test("LinkMe's list ends with the link that makes it 8 MiB of text", async () => {
    const api = await start();
    const app_id = await api.createApp();
    const large = { customData: mapOf(MAP_MAX), deepLinkParams: mapOf(MAP_MAX), utm_override: mapOf(MAP_MAX) };
    // 24,000 characters each and some more: 350 are too many.
    for (let made = 0; made < 360; made += 12) {
      const bulk = { links: Array.from({ length: 12 }, () => large) };
      assert.equal((await api.call("POST", `/api/apps/${app_id}/links/bulk`, bulk)).body["created"], 12);
    }
    const { body } = await api.call("GET", `/api/apps/${app_id}/links`);
    const listed = body as unknown as Record<string, string>[];
    const chars = (list: typeof listed) =>
      list.reduce(
        (sum, link) =>
          sum +
          (["custom_data", "deep_link_params", "utm_override"] as const).reduce(
            (of, key) => of + (link[key]?.length ?? 0),
            0,
          ),
        0,
      );
    assert.ok(listed.length < 360 && chars(listed) > 7.9 * 1024 * 1024, `${listed.length} links`);
    assert.ok(chars(listed.slice(1)) < 8 * 1024 * 1024, `${chars(listed)} characters`);
  });
});
