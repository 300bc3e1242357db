// Our own list of links over HTTP, on both engines: search, filters and pages.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LINK_STATES, LinksPage } from "#contract/link-lists.ts";
import { openApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { PAGE_SCAN_MAX } from "../platform/cursor.ts";
import { sql } from "../platform/sql.ts";

forEachEngine((engine) => {
  const start = async () => {
    const api = await openApi({ DATABASE_URL: await engine.address(), LINKME_PUBLIC_URL: "http://links.test" });
    const app_id = await api.createApp();
    const search = async (query = "", of = app_id) => {
      const answer = await api.call("GET", `/api/apps/${of}/links/search?${query}`);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
      return LinksPage.parse(answer.body);
    };
    const create = async (body: object) => {
      const answer = await api.call("POST", "/api/links", { app_id, ...body });
      assert.equal(answer.status, 201, JSON.stringify(answer.body));
      return answer.body;
    };
    return { api, app_id, search, create };
  };
  const slugs = ({ items }: LinksPage) => items.map(({ slug }) => slug);

  test("links are found by a part of what people know of them, by tag and by state", async () => {
    const { api, app_id, search, create } = await start();
    await api.call("POST", "/api/links", { app_id: await api.createApp(), slug: "theirs", og_title: "Spring" });
    await create({ slug: "first", og_title: "Spring Sale 100%", tags: ["Mail", "b c"] });
    await create({ slug: "SECOND_1", web_fallback_url: "https://shop.example/spring", tags: ["mails"] });
    await create({ slug: "third", ios_custom_url: "shop://p/1", deep_link_path: "/Größe/İ!", enabled: 0 });
    await create({ slug: "past", expires_at: "2020-01-01T00:00:00Z", click_limit: 1, internal: 1 });
    await create({ slug: "full", click_limit: 2, expires_at: "2099-01-01T00:00:00Z" });
    await api.db.query(sql`update links set click_count = 2 where slug in ('full', 'past')`);
    const all = ["full", "past", "third", "SECOND_1", "first"];
    for (const [query, expected] of [
      ["", all],
      ["q=spring", ["SECOND_1", "first"]],
      ["q=SPRING%20sale", ["first"]],
      ["q=second_", ["SECOND_1"]],
      ["q=%25", ["first"]],
      ["q=_", ["SECOND_1"]],
      ["q=%5C", []],
      ["q=shop://", ["third"]],
      ["q=Größe/İ!", ["third"]],
      ["q=größe", ["third"]],
      // What is found stands in one place, not across two.
      ["q=1shop", []],
      ["q=%20third%20", ["third"]],
      ["tag=mail", ["first"]],
      ["tag=B%20C", ["first"]],
      ["tag=b", []],
      ["state=active", ["SECOND_1", "first"]],
      ["state=disabled", ["third"]],
      ["state=expired", ["past"]],
      ["state=limit_reached", ["full"]],
      ["internal=1", ["past"]],
      ["internal=0&tag=mail&q=first&state=active", ["first"]],
    ] as const) {
      assert.deepEqual(slugs(await search(query)), expected, query);
    }
    const { items } = await search();
    const states = { full: "limit_reached", past: "expired", third: "disabled", SECOND_1: "active", first: "active" };
    assert.deepEqual(Object.fromEntries(items.map(({ slug, state }) => [slug, state])), states);
    assert.deepEqual(Object.keys(LINK_STATES).length, new Set(Object.values(states)).size);
    const [full] = items;
    assert.deepEqual([full?.slugUrl, full?.hostname, full?.clicks], ["http://links.test/full", null, 2]);
    for (const [query, path] of [
      ["q=", "q"],
      [`q=${"a".repeat(101)}`, "q"],
      ["tag=a,b", "tag"],
      ["internal=2", "internal"],
      ["cursor=W10", "cursor"],
    ] as const) {
      const refused = await api.call("GET", `/api/apps/${app_id}/links/search?${query}`);
      assert.deepEqual([refused.status, refused.body.details[0].path], [400, path], query);
    }
  });

  test("pages show every link once, also those of one millisecond, and a rare word is found behind thousands", async () => {
    const { api, app_id, search, create } = await start();
    const rare = await create({ slug: "needle" });
    const at = Date.now() + 1_000;
    await api.db.query(sql`with recursive n (i) as (select 1 union all select i + 1 from n where i < ${PAGE_SCAN_MAX + 10})
      insert into links (id, app_id, slug, allow_param_passthrough, force_redirect_web, enabled, internal, click_count,
        created_at, updated_at)
      select 'lnk_' || (100000 + i), ${app_id}, 's' || i, 0, 0, 1, 0, 0, cast(${at} as bigint) + i / 7, 0 from n`);
    const walk = async (query: string) => {
      const seen: string[] = [];
      let cursor: string | null = null;
      let pages = 0;
      do {
        const page: LinksPage = await search(`limit=100&${query}${cursor === null ? "" : `&cursor=${cursor}`}`);
        seen.push(...slugs(page));
        cursor = page.next_cursor;
        pages++;
      } while (cursor !== null);
      return { seen, pages };
    };
    const { seen } = await walk("");
    assert.equal(seen.length, PAGE_SCAN_MAX + 11);
    assert.equal(new Set(seen).size, seen.length);
    assert.equal(seen.at(-1), rare.slug);
    assert.deepEqual(await walk("q=needle"), { seen: ["needle"], pages: 2 });
  });
});
