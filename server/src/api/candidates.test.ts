// Which clicks of a network a claim without a token gets to see, on both engines: none that fits is hidden by however many
// that do not, or that others were faster with.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { claim, click, IPHONE, NATIVE_IOS, ofType, PIXEL, startShop } from "../../test/support/sdk.ts";
import { CANDIDATES_MAX, PAGES_MAX } from "../claims/matching.ts";
import { sql } from "../platform/sql.ts";

const AGE_MS = 60_000;

/** So many later clicks like one, which becomes older for it. */
async function addNewer({ db }: TestApi, cid: string, count: number, { platform = "ios", link_id = "" }) {
  await db.query(sql`update clicks set created_at = created_at - ${AGE_MS} where cid = ${cid}`);
  const link = link_id === "" ? sql`link_id` : sql`cast(${link_id} as text)`;
  await db.query(sql`insert into clicks (cid, app_id, link_id, platform, dest_url, ip_hash, created_at, expires_at)
    with recursive n (i) as (select 1 union all select i + 1 from n where i < ${count})
    select substr(cid, 1, 24) || (10000000 + i), app_id, ${link}, cast(${platform} as text), dest_url, ip_hash,
      created_at + 1 + i / 10, expires_at from n cross join clicks where cid = ${cid}`);
}

forEachEngine((engine) => {
  const ask = (api: TestApi, app_id: string) => claim(api, app_id, { platform: "ios" }, { agent: NATIVE_IOS });

  for (const [title, newer] of [
    ["of another platform", { platform: "android" }],
    ["of links that are gone", { link_id: "lnk_gone" }],
  ] as const) {
    test(`a click is found behind hundreds ${title}`, async () => {
      const { api, app_id } = await startShop(engine);
      const cid = await click(api, app_id, "hello", { agent: IPHONE });
      await addNewer(api, cid, CANDIDATES_MAX * (PAGES_MAX - 1) + 5, newer);
      const { status, body } = await ask(api, app_id);
      assert.deepEqual([status, body.cid], [200, cid]);
      assert.equal((await ask(api, app_id)).status, 404);
    });
  }

  test("the newest that fits wins, and what fits nobody here is left for whom it fits", async () => {
    const { api, app_id } = await startShop(engine);
    const android = await click(api, app_id, "hello", { agent: PIXEL });
    await addNewer(api, android, 3 * CANDIDATES_MAX, { platform: "ios" });
    const newest = await ask(api, app_id);
    assert.equal(newest.body.cid, `${android.slice(0, 24)}${10_000_000 + 3 * CANDIDATES_MAX}`);
    assert.equal((await claim(api, app_id, { platform: "android" }, { agent: "okhttp/4" })).body.cid, android);
  });

  test("a claim ends behind so many clicks of links that are gone", async () => {
    const { api, app_id } = await startShop(engine);
    const cid = await click(api, app_id, "hello", { agent: IPHONE });
    await addNewer(api, cid, CANDIDATES_MAX * PAGES_MAX, { link_id: "lnk_gone" });
    assert.equal((await ask(api, app_id)).status, 404);
  });

  test("a hundred who claim a hundred clicks of one network at once get one each", async () => {
    const { api, app_id } = await startShop(engine);
    const cid = await click(api, app_id, "hello", { agent: IPHONE });
    await addNewer(api, cid, 99, {});
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(api, app_id)));
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    assert.equal(new Set(answers.map(({ body }) => body.cid)).size, 100);
    const attempts = await ofType(api, app_id, "link.deferred_claim_attempt");
    assert.ok(attempts.every(({ reason }) => reason === "matched"));
  });
});
