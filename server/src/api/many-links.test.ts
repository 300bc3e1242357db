// Many links in one call, on both engines: each is judged by itself, and an app never has more than it may.
import assert from "node:assert/strict";
import { test } from "node:test";
import { LINKS_PER_CALL_MAX, type LinksCreated } from "#contract/link-lists.ts";
import type { LinkCreate } from "#contract/links.ts";
import { openApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { AppError } from "../errors.ts";
import { DatabaseError } from "../platform/database.ts";
import { sql } from "../platform/sql.ts";
import { createEach } from "./link-lists.ts";

forEachEngine((engine) => {
  const start = async (env: Record<string, string> = {}) => {
    const api = await openApi({ DATABASE_URL: await engine.address(), LINKME_PUBLIC_URL: "http://links.test", ...env });
    const app_id = await api.createApp();
    const create = async (links: unknown[]): Promise<LinksCreated> => {
      const { status, body } = await api.call("POST", `/api/apps/${app_id}/links/bulk`, { links });
      assert.equal(status, 200, JSON.stringify(body));
      return body;
    };
    const count = async () => {
      const [found] = await api.db.query<{ links: number; counted: number }>(sql`select
        (select count(*) from links where app_id = ${app_id}) as links, links as counted from app_links where app_id = ${app_id}`);
      return [found?.links, found?.counted];
    };
    return { api, app_id, create, count };
  };
  /** What became of each: its slug, or its error and the field. */
  const told = ({ results }: LinksCreated) =>
    results.map(({ link, error }) => link?.slug ?? [error?.error, error?.details?.[0]?.path]);

  test("what is wrong with one link is said of that one, and the others are made", async () => {
    const { api, create, count } = await start();
    const made = await create([
      { slug: "one", tags: ["A"], utm: { utm_source: "mail" } },
      { slug: "two", web_fallback_url: "shop" },
      "three",
      { slug: "one" },
      { slugg: "x" },
      { slug: "api" },
      { slug: `lnk_${"0".repeat(32)}` },
      { slug: "four", redirects: { ios: "shop://4" }, click_limit: 0 },
      { slug: "five", deepLink: "/5" },
    ]);
    assert.deepEqual(told(made), [
      "one",
      ["invalid_request", "web_fallback_url"],
      ["invalid_request", "link"],
      ["slug_taken", "slug"],
      ["invalid_request", "slugg"],
      ["invalid_request", "slug"],
      ["slug_taken", "slug"],
      ["invalid_request", "click_limit"],
      "five",
    ]);
    assert.deepEqual([made.created, made.failed, made.results.map(({ index }) => index)], [2, 7, [...Array(9).keys()]]);
    assert.match(made.results[3]?.error?.suggestions?.[0] ?? "", /^one-/);
    assert.deepEqual(await count(), [2, 2]);
    const { body: one } = await api.call("GET", "/api/links/one");
    assert.deepEqual([one.tags, one.utm, one.internal], [["a"], '{"utm_source":"mail"}', 0]);
  });

  test("a full call is taken, and the same call again makes nothing", async () => {
    const { create, count } = await start();
    const links = Array.from({ length: LINKS_PER_CALL_MAX }, (_, n) => ({ slug: `s${n}`, og_title: `Number ${n}` }));
    assert.deepEqual(
      told(await create(links)),
      links.map(({ slug }) => slug),
    );
    const again = await create([...links.slice(0, -1), {}]);
    assert.deepEqual([again.created, again.failed], [1, LINKS_PER_CALL_MAX - 1]);
    assert.ok(again.results.slice(0, -1).every(({ error }) => error?.error === "slug_taken"));
    assert.deepEqual(await count(), [LINKS_PER_CALL_MAX + 1, LINKS_PER_CALL_MAX + 1]);
  });

  test("near its limit an app gets as many as it may have, the first ones first, whoever asks at once", async () => {
    const { create, count } = await start({ LINKME_LINKS_PER_APP: "50" });
    await create([{ slug: "taken" }]);
    const bad = { slug: "x", expired_url: 1 };
    const asked = Array.from({ length: 40 }, (_, n) => ({ slug: `s${n}` }));
    const all = await Promise.all(
      Array.from({ length: 4 }, () => create([bad, { slug: "taken" }, ...asked.toReversed(), {}, ...asked, {}])),
    );
    const [made, counted] = await count();
    assert.deepEqual([made, counted], [all.reduce((sum, { created }) => sum + created, 1), made]);
    assert.deepEqual(await create(Array.from({ length: 60 }, () => ({}))).then(() => count()), [50, 50]);
    const [taken, full] = told(await create([{ slug: "taken" }, { slug: "free" }]));
    assert.deepEqual(
      [taken, full],
      [
        ["slug_taken", "slug"],
        ["conflict", undefined],
      ],
    );
    const slugs = all.flatMap(({ results }) => results.flatMap(({ link }) => link?.slug ?? []));
    assert.equal(new Set(slugs).size, slugs.length, "no slug was given twice");
  });
});

test("when the database goes away in the midst of many, what was made is told, and the rest is to be sent again", async () => {
  const links = Array.from({ length: 250 }, (_, n) => ({ slug: `s${n}` }));
  const failing = (after: number) => {
    let calls = 0;
    return {
      async createMany(app_id: string, inputs: readonly LinkCreate[]) {
        if (calls++ === after) throw new DatabaseError("unavailable", "gone");
        return inputs.map(({ slug }) => ({
          id: `lnk_${slug}`,
          app_id,
          domain_id: null,
          slug: slug ?? "",
          slugUrl: "",
        }));
      },
    };
  };
  const outcomes = await createEach(failing(1), "app", links);
  const codes = outcomes.map((one) => (one instanceof AppError ? one.code : "made"));
  assert.deepEqual(
    codes,
    links.map((_, n) => (n < 100 ? "made" : "temporarily_unavailable")),
  );
  await assert.rejects(createEach(failing(0), "app", links), DatabaseError);
});
