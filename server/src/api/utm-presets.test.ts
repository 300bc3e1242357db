// UTM presets over HTTP, on both engines: how links take their values, and that none goes while a link uses it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { UtmPreset } from "#contract/utm-presets.ts";
import { openApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";

import { PRESETS_PER_APP_MAX, USES_COUNTED_MAX } from "../links/presets.ts";
import { sql } from "../platform/sql.ts";

const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Safari/605.1.15";
const LANDING = "https://shop.example/";

forEachEngine((engine) => {
  const start = async () => {
    const api = await openApi({ DATABASE_URL: await engine.address(), LINKME_PUBLIC_URL: "http://links.test" });
    const app_id = await api.createApp();
    const createPreset = async (name: string, utm: object, of = app_id): Promise<UtmPreset> => {
      const answer = await api.call("POST", `/api/apps/${of}/utm-presets`, { name, utm });
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      return UtmPreset.parse(answer.body);
    };
    const createLink = (body: object) => api.call("POST", "/api/links", { app_id, web_fallback_url: LANDING, ...body });
    const visit = async (path: string) => {
      const headers = { host: "links.test", "user-agent": MAC };
      const { headers: answered } = await api.call("GET", path, undefined, { token: null, headers });
      return Object.fromEntries(new URL(String(answered["location"])).searchParams);
    };
    return { api, app_id, createPreset, createLink, visit };
  };

  test("a link takes what it has not itself from its preset, and a change of the preset holds at once", async () => {
    const { api, createPreset, createLink, visit } = await start();
    const { id } = await createPreset("Mail", { utm_source: "mail", utm_medium: "email", utm_campaign: "all" });
    const utm = { utm_campaign: "own", utm_term: "x" };
    const flags = { allow_param_passthrough: 1, utm_override: { utm_medium: true, utm_term: true } };
    assert.equal((await createLink({ slug: "a", utm, utm_preset_id: id, ...flags })).status, 201);
    assert.equal((await createLink({ slug: "b", utmPresetId: id })).status, 201);
    const mixed = { utm_source: "mail", utm_medium: "email", utm_campaign: "own", utm_term: "x" };
    assert.deepEqual(await visit("/a"), mixed);
    assert.deepEqual(await visit("/b"), { utm_source: "mail", utm_medium: "email", utm_campaign: "all" });
    // Where it is overridden the visit wins over both, else it fills what neither has.
    const query = "utm_source=v&utm_medium=v&utm_campaign=v&utm_term=v&utm_content=v";
    assert.deepEqual(await visit(`/a?${query}`), { ...mixed, utm_medium: "v", utm_term: "v", utm_content: "v" });
    const headers = { host: "links.test", "user-agent": MAC, accept: "application/json" };
    const told = await api.call("GET", `/a+?${query}`, undefined, { token: null, headers });
    assert.deepEqual(told.body.visit.utm_from, {
      ...{ utm_source: "preset", utm_campaign: "link" },
      ...{ utm_medium: "visit", utm_term: "visit", utm_content: "visit" },
    });
    const changed = await api.call("PATCH", `/api/utm-presets/${id}`, { utm: { utm_source: "paper" } });
    assert.deepEqual([changed.status, changed.body.utm, changed.body.name], [200, { utm_source: "paper" }, "Mail"]);
    assert.deepEqual(
      [await visit("/b"), await visit("/a")],
      [{ utm_source: "paper" }, { ...utm, utm_source: "paper" }],
    );
    assert.equal((await api.call("PATCH", "/api/links/b", { utm_preset_id: null })).body.utm_preset_id, null);
    assert.deepEqual(await visit("/b"), {});
    assert.equal((await api.call("PATCH", "/api/links/b", { utm_preset_id: id })).body.utm_preset_id, id);
    assert.deepEqual(await visit("/b"), { utm_source: "paper" });
  });

  test("a preset goes when no link uses it, and says before how many do", async () => {
    const { api, app_id, createPreset, createLink } = await start();
    const { id } = await createPreset("Mail", { utm_source: "mail" });
    const remove = () => api.call("DELETE", `/api/utm-presets/${id}`);
    for (const slug of ["a", "b"]) await createLink({ slug, utm_preset_id: id });
    const used = await remove();
    assert.deepEqual([used.status, /for 2 links use it/.test(used.body.message)], [409, true], used.body.message);
    const found = await api.call("GET", `/api/apps/${app_id}/links/search?utm_preset_id=${id}`);
    assert.equal(found.body.items.length, 2);
    await api.db.query(sql`with recursive n (i) as (select 1 union all select i + 1 from n where i < ${USES_COUNTED_MAX})
      insert into links (id, app_id, slug, utm_preset_id, allow_param_passthrough, force_redirect_web, enabled, internal,
        click_count, created_at, updated_at)
      select 'lnk_' || i, ${app_id}, 'many' || i, ${id}, 0, 0, 1, 0, 0, 0, 0 from n`);
    assert.match((await remove()).body.message, /for more than 10000 links use it/);
    await api.db.query(sql`delete from links where slug like 'many%'`);
    await api.call("DELETE", "/api/links/a");
    assert.match((await remove()).body.message, /for 1 link uses it/);
    await api.call("PATCH", "/api/links/b", { utm_preset_id: null });
    assert.equal((await remove()).status, 204);
    assert.equal((await remove()).status, 404);
    const late = await createLink({ utm_preset_id: id });
    assert.deepEqual([late.status, late.body.details[0].path], [404, "utm_preset_id"]);
  });

  test("of a preset that goes and links that begin to use it at the same moment, one is refused", async () => {
    const { api, app_id, createPreset, createLink } = await start();
    for (let round = 0; round < 8; round++) {
      const { id } = await createPreset(`Round ${round}`, { utm_source: "mail" });
      const { body: link } = await createLink({});
      const [removed, created, patched] = await Promise.all([
        api.call("DELETE", `/api/utm-presets/${id}`),
        createLink({ utm_preset_id: id }),
        api.call("PATCH", `/api/links/${link.id}`, { utm_preset_id: id }),
      ]);
      const is_gone = removed.status === 204;
      assert.deepEqual([created.status, patched.status], is_gone ? [404, 404] : [201, 200], `${removed.status}`);
    }
    const lost = await api.db.query(sql`select id from links where app_id = ${app_id} and utm_preset_id is not null
      and not exists (select 1 from utm_presets where utm_presets.id = links.utm_preset_id)`);
    assert.deepEqual(lost, []);
  });

  test("another app's preset is none, on every way to a link", async () => {
    const { api, app_id, createPreset, createLink } = await start();
    const { id } = await createPreset("Theirs", { utm_source: "mail" }, await api.createApp());
    await createLink({ slug: "mine" });
    const token = await api.createKey(app_id);
    for (const [method, url, body] of [
      ["POST", "/api/links", { utm_preset_id: id }],
      ["POST", `/api/apps/${app_id}/links`, { utmPresetId: id }],
      ["PATCH", "/api/links/mine", { utm_preset_id: id }],
    ] as const) {
      const answer = await api.call(method, url, body, { token });
      assert.deepEqual([answer.status, answer.body.details[0].path], [404, "utm_preset_id"], url);
    }
    const links = [{ slug: "x", utm_preset_id: id }, { slug: "y" }];
    const { body: many } = await api.call("POST", `/api/apps/${app_id}/links/bulk`, { links });
    assert.deepEqual([many.created, many.results[0].error.error], [1, "not_found"]);
    const headers = { "content-type": "text/csv" };
    const { body: imported } = await api.call("POST", `/api/apps/${app_id}/links/import`, `utm_preset_id\n${id}\n`, {
      headers,
    });
    assert.deepEqual([imported.errors[0].line, imported.errors[0].details[0].path], [2, "utm_preset_id"]);
    assert.deepEqual((await api.call("GET", `/api/utm-presets/${id}`, undefined, { token })).status, 404);
  });

  test("names are unique in an app, fields are checked, and an app has so many", async () => {
    const { api, app_id, createPreset } = await start();
    const { id } = await createPreset("One", { utm_source: "a" });
    await createPreset("One", { utm_source: "a" }, await api.createApp());
    const two = await createPreset("Two", { utm_source: "b", tags: "x" });
    const url = `/api/apps/${app_id}/utm-presets`;
    for (const [method, at, body] of [
      ["POST", url, { name: " One ", utm: { utm_source: "c" } }],
      ["PATCH", `/api/utm-presets/${two.id}`, { name: "One" }],
    ] as const) {
      const taken = await api.call(method, at, body);
      assert.deepEqual([taken.status, taken.body.details[0].path], [409, "name"]);
    }
    for (const [body, path] of [
      [{ name: "", utm: { utm_source: "a" } }, "name"],
      [{ name: "x" }, "utm"],
      [{ name: "x", utm: {} }, "utm"],
      [{ name: "x", utm: { utm_source: "" } }, "utm"],
      [{ name: "x", utm: { source: "a" } }, "utm.source"],
      [{ name: "x", utm: '{"utm_source":"a"}' }, "utm"],
      [{ name: "x", utm: { utm_source: "a" }, app_id }, "app_id"],
    ] as const) {
      const refused = await api.call("POST", url, body);
      assert.deepEqual([refused.status, refused.body.details[0].path], [400, path], JSON.stringify(refused.body));
    }
    const names = async () => (await api.call("GET", url)).body.items.map(({ name }: UtmPreset) => name);
    assert.deepEqual(await names(), ["Two", "One"]);
    await api.call("PATCH", `/api/utm-presets/${id}`, { name: "Eins" });
    assert.deepEqual(await names(), ["Two", "Eins"]);
    await api.db.query(sql`with recursive n (i) as (select 3 union all select i + 1 from n where i < ${PRESETS_PER_APP_MAX})
      insert into utm_presets (id, app_id, name, utm, created_at, updated_at)
      select 'utp_' || i, ${app_id}, 'N' || i, '{}', 0, 0 from n`);
    const full = await api.call("POST", url, { name: "More", utm: { utm_source: "a" } });
    assert.deepEqual([full.status, /may have 500 UTM presets/.test(full.body.message)], [409, true]);
  });
});
