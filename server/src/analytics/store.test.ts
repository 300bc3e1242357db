// Counts on real databases: what is added, what is bounded, and what goes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { insertTestApp } from "../../test/support/event-log.ts";
import { accountsAt, foldingOf } from "../../test/support/folding.ts";
import { BLANK } from "../../test/support/links.ts";
import { meanwhile } from "../../test/support/meanwhile.ts";
import { deleteLink, insertLinks } from "../links/writing-store.ts";
import type { Database } from "../platform/database.ts";
import { createIds } from "../platform/ids.ts";
import { sql } from "../platform/sql.ts";
import { createAnalytics } from "./analytics.ts";
import { createRobots } from "./robots.ts";
import { createAnalyticsStore } from "./store.ts";
import { insertTallies, LINK_VALUES_MAX } from "./tally-store.ts";
import { DAY_MS, HOUR_MS, type TalliesOfApp, tallyBots, tallyVisits, type Visit } from "./visit.ts";

const DAY = Date.UTC(2026, 2, 1);
const TABLES = ["click_hours", "click_days", "click_parts"];

function visit(changes: Partial<Visit> = {}): Visit {
  return { app_id: "shop", link_id: "lnk_1", at: DAY + 5 * HOUR_MS, values: { platform: "ios" }, ...changes };
}

forEachEngine((engine) => {
  async function open() {
    const db = await engine.open();
    for (const app_id of ["shop", "other"]) await insertTestApp(db, app_id);
    for (const id of ["lnk_1", "lnk_2"]) await insertLinks(db, [{ ...BLANK, id, app_id: "shop", slug: id }], 10);
    const store = createAnalyticsStore(db);
    const ids = createIds();
    const write = (tallies: TalliesOfApp[]) => db.query(insertTallies(tallies, ids.uuid));
    const { fold } = foldingOf(db);
    const add = async (visits: Visit[]) => {
      await write(tallyVisits(visits));
      await fold();
    };
    const top = async (link_id: string, dimension: "utm_source" | "platform", limit = 10) =>
      store.selectTop({ app_id: "shop", link_id, since: DAY, until: DAY + DAY_MS }, dimension, limit);
    return { db, store, write, fold, add, top };
  }

  test("clicks are added up by link and for the app, over hours and days", async () => {
    const { store, add } = await open();
    await add([visit(), visit({ at: DAY + 6 * HOUR_MS }), visit({ link_id: "lnk_2" })]);
    await add([visit(), visit({ at: DAY + DAY_MS })]);
    const range = { app_id: "shop", since: DAY, until: DAY + 2 * DAY_MS };
    assert.deepEqual(await store.selectDays({ ...range, link_id: "" }), [
      { at: DAY, clicks: 4, bots: 0 },
      { at: DAY + DAY_MS, clicks: 1, bots: 0 },
    ]);
    assert.deepEqual(await store.selectHours({ ...range, link_id: "lnk_1" }), [
      { at: DAY + 5 * HOUR_MS, clicks: 2, bots: 0 },
      { at: DAY + 6 * HOUR_MS, clicks: 1, bots: 0 },
      { at: DAY + DAY_MS, clicks: 1, bots: 0 },
    ]);
    assert.deepEqual(await store.selectDays({ ...range, link_id: "", until: DAY }), []);
    assert.deepEqual(await store.selectDays({ ...range, app_id: "other", link_id: "" }), []);
  });

  test("values beyond what is kept apart are counted together, and those that are there go on", async () => {
    const { add, top } = await open();
    const from = (utm_source: string) => visit({ values: { utm_source } });
    for (let n = 0; n < LINK_VALUES_MAX; n++) await add([from(`source ${n}`)]);
    await add([from("late"), from("later"), from("source 0"), from("late")]);
    const { values, clicks } = await top("lnk_1", "utm_source", 100);
    assert.equal(values.length, LINK_VALUES_MAX);
    assert.deepEqual(values[0], { value: "source 0", clicks: 2 });
    assert.equal(clicks, LINK_VALUES_MAX + 4);
    // The app has more room.
    assert.deepEqual((await top("", "utm_source", 2)).values, [
      { value: "late", clicks: 2 },
      { value: "source 0", clicks: 2 },
    ]);
  });

  test("where all values are counted together there are none to show, and their clicks count", async () => {
    const { db, top } = await open();
    await db.query(sql`insert into click_parts values ('shop', 'lnk_1', 'utm_source', ${DAY}, '', 7)`);
    assert.deepEqual(await top("lnk_1", "utm_source"), { values: [], clicks: 7 });
  });

  test("a deleted link takes its own counts along, later ones included; the app keeps what it had", async () => {
    const { db, store, write, add } = await open();
    await add([visit(), visit({ link_id: "lnk_2" })]);
    await write(tallyVisits([visit()]));
    await deleteLink(db, { id: "lnk_1", app_id: "shop" }, DAY);
    await accountsOf(db).finishRemovals();
    await write(tallyBots("shop", [{ link_id: "lnk_1", at: DAY, bots: 1 }]));
    await add([visit()]);
    for (const table of TABLES) {
      assert.deepEqual(await linksOf(db, table), ["", "lnk_2"], table);
    }
    const range = { app_id: "shop", link_id: "", since: DAY, until: DAY + DAY_MS };
    assert.deepEqual(await store.selectDays(range), [{ at: DAY, clicks: 4, bots: 1 }]);
  });

  test("what is folded of a link or app while that is deleted goes too", async () => {
    for (const gone of ["link", "app"]) {
      const { db } = await open();
      const remove = async () => {
        if (gone === "link") await deleteLink(db, { id: "lnk_1", app_id: "shop" }, DAY);
        else await accountsOf(db).deleteApp("shop");
        await accountsOf(db).finishRemovals();
      };
      const folding = sql`insert into click_days (app_id, link_id, at, clicks, bots)
        select 'shop', 'lnk_1', cast(${DAY} as bigint), 1, 0
        from (select id from click_tallies where id = '' /* locked */) as folding`;
      const [removal] = await meanwhile(db, [remove], folding);
      assert.equal(removal?.status, "fulfilled");
      assert.deepEqual(await linksOf(db, "click_days"), [], gone);
    }
  });

  test("nothing of a deleted app is left, and nothing is counted of it any more", async () => {
    const { db, write, add } = await open();
    await add([visit(), visit({ link_id: "lnk_2" })]);
    await write(tallyVisits([visit(), visit({ app_id: "other" })]));
    await accountsOf(db).deleteApp("shop");
    await accountsOf(db).finishRemovals();
    const waiting = await db.query(sql`select app_id from click_tallies where id > ''`);
    assert.deepEqual(waiting, [{ app_id: "other" }], "so that no app that gets the name is given them");
    await write(tallyBots("shop", [{ link_id: "lnk_1", at: DAY, bots: 1 }]));
    await add([visit()]);
    for (const table of TABLES) assert.deepEqual(await linksOf(db, table), [], table);
    assert.deepEqual(await db.query(sql`select id from click_tallies`), [{ id: "" }]);
  });

  test("bots are counted apart, by link and app", async () => {
    const { store, write, fold } = await open();
    const robots = createRobots({
      write,
      now: () => DAY,
      failed: assert.ifError,
    });
    for (const id of ["lnk_1", "lnk_1", "lnk_2"]) robots.count({ app_id: "shop", id });
    await robots.stop();
    await fold();
    const range = { app_id: "shop", since: DAY, until: DAY + DAY_MS };
    assert.deepEqual(await store.selectHours({ ...range, link_id: "lnk_1" }), [{ at: DAY, clicks: 0, bots: 2 }]);
    assert.deepEqual(await store.selectDays({ ...range, link_id: "" }), [{ at: DAY, clicks: 0, bots: 3 }]);
  });

  test("hours go when their time is over, days stay", async () => {
    const { db, add } = await open();
    await add([visit(), visit({ at: DAY + 40 * DAY_MS })]);
    const options = { db, findLink: async () => null, now: () => DAY + 41 * DAY_MS };
    await createAnalytics(options).removeOldHours();
    const hours = await db.query<{ at: number }>(sql`select distinct at from click_hours`);
    const days = await db.query<{ at: number }>(sql`select distinct at from click_days order by at`);
    assert.deepEqual(hours, [{ at: DAY + 40 * DAY_MS }]);
    assert.deepEqual(days, [{ at: DAY }, { at: DAY + 40 * DAY_MS }]);
  });
});

const accountsOf = (db: Database) => accountsAt(db, DAY);

async function linksOf(db: Database, table: string): Promise<string[]> {
  const text = `select distinct link_id from ${table} where app_id = 'shop' order by link_id`;
  const found = await db.query<{ link_id: string }>({ kind: "statement", parts: [text], values: [] });
  return found.map(({ link_id }) => link_id);
}
