import assert from "node:assert/strict";
import { test } from "node:test";
import { HOURS_KEPT_DAYS } from "#contract/analytics.ts";
import { createAnalytics } from "../server/src/analytics/analytics.ts";
import { DAY_MS } from "../server/src/analytics/visit.ts";
import { sql } from "../server/src/platform/sql.ts";
import { forEachEngine } from "../server/test/support/engines.ts";
import { allClicks, type Counted, clicksOfLink, FOLDED_DAYS, fillCounts } from "./counts.ts";
import { linkIdOf } from "./fill.ts";

const END = Date.UTC(2027, 0, 31);
const COUNTED: Counted = { app_id: "shop", clicks: 5_003, links: 12, days: 4 * FOLDED_DAYS, end: END };

forEachEngine((engine) => {
  test("The counts are those of all clicks, by link, day and property, and hours for as long as they are kept", async () => {
    const db = await engine.open();
    await fillCounts(db, COUNTED, () => {});
    const findLink = async (id: string) => ({ id, app_id: "shop" });
    const { getAnalytics } = createAnalytics({ db, findLink, now: () => END });
    const range = { since: new Date(END - COUNTED.days * DAY_MS).toISOString(), until: new Date(END).toISOString() };
    const ask = { ...range, by: "day", limit: 100 } as const;
    const app = await getAnalytics("shop", { ...ask, dimension: "platform" });
    assert.equal(app.totals.clicks, allClicks(COUNTED));
    assert.ok(app.totals.bots > 0);
    assert.ok(app.series.every(({ clicks }) => Math.abs(clicks - COUNTED.clicks / COUNTED.days) < 2));
    assert.deepEqual([app.top?.values.length, app.top?.other, app.top?.unknown], [3, 0, 0]);
    let clicks = 0;
    for (let link = 0; link < COUNTED.links; link++) {
      const { totals } = await getAnalytics("shop", { ...ask, link_id: linkIdOf(link) });
      assert.equal(totals.clicks, clicksOfLink(COUNTED, link));
      clicks += totals.clicks;
    }
    assert.equal(clicks, allClicks(COUNTED));
    assert.deepEqual(await db.query(sql`select min(at) as first from click_hours where link_id = ''`), [
      { first: END - HOURS_KEPT_DAYS * DAY_MS },
    ]);
    assert.deepEqual(await db.query(sql`select id from click_tallies where id <> ''`), []);
  });
});

test("The most popular link has as many times the clicks of another as that one's number says", () => {
  const counted = { ...COUNTED, clicks: 10_000_000, links: 1_000, days: 90 };
  const [first, tenth] = [clicksOfLink(counted, 0), clicksOfLink(counted, 9)];
  assert.ok(Math.abs(first / tenth - 10) < 0.01, `${first} ${tenth}`);
});
