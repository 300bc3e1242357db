// Counting clicks at their links, on real databases: at once or later, each once, whoever folds them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { insertTestApp } from "../../test/support/event-log.ts";
import { foldingOf } from "../../test/support/folding.ts";
import { BLANK } from "../../test/support/links.ts";
import { type Database, isDatabaseError } from "../platform/database.ts";
import { createIds } from "../platform/ids.ts";
import { sql } from "../platform/sql.ts";
import { countClicks, countInstalls, createLinkCounting, LINKS_AT_ONCE_MAX } from "./count-store.ts";
import { deleteLink, insertLinks } from "./writing-store.ts";

const { uuid } = createIds();
const MANY = LINKS_AT_ONCE_MAX + 1;

const linkId = (n: number) => `lnk_${String(n).padStart(3, "0")}`;
const clickOf = (n: number, created_at = 1_000) => ({ row: { link_id: linkId(n), created_at } });
const clicksOf = (links: number, at?: number) => Array.from({ length: links }, (_, n) => clickOf(n, at));

forEachEngine((engine) => {
  async function open(links = MANY) {
    const db = await engine.open();
    await insertTestApp(db, "shop");
    for (let n = 0; n < links; n++) {
      await insertLinks(db, [{ ...BLANK, id: linkId(n), app_id: "shop", slug: linkId(n) }], links);
    }
    return db;
  }

  test("clicks of few links are counted at once, with the newest time", async () => {
    const db = await open(2);
    await db.batch(countClicks([clickOf(0, 5), clickOf(1, 9), clickOf(0, 7)], uuid));
    await db.batch(countClicks([clickOf(0, 6)], uuid));
    assert.deepEqual(await countsOf(db), { links: ["3 at 7", "1 at 9"], waiting: 0 });
  });

  test("clicks of many links are counted when they are folded, and add to what was counted at once", async () => {
    const db = await open();
    await db.batch(countClicks([clickOf(0, 3_000)], uuid));
    await db.batch(countClicks([...clicksOf(MANY), clickOf(1, 2_000)], uuid));
    await db.batch(countClicks(clicksOf(MANY, 500), uuid));
    const { links, waiting } = await countsOf(db);
    assert.deepEqual([links[0], links[1], waiting], ["1 at 3000", "0 at null", 2]);
    await foldingOf(db).fold();
    const others = Array.from({ length: MANY - 2 }, () => "2 at 1000");
    assert.deepEqual(await countsOf(db), { links: ["3 at 3000", "3 at 2000", ...others], waiting: 0 });
  });

  test("a link with a click limit is counted at once among however many", async () => {
    const db = await open();
    await db.batch(countClicks([...clicksOf(MANY), { ...clickOf(3), is_limited: true as const }], uuid));
    const { links, waiting } = await countsOf(db);
    assert.deepEqual([links[3], waiting], ["2 at 1000", 1]);
  });

  test("installs are counted when they are folded, and leave the time of the last click as it is", async () => {
    const db = await open(3);
    await db.batch(countClicks([clickOf(0, 3_000)], uuid));
    await db.batch(countInstalls([linkId(0), linkId(1), linkId(0)], uuid));
    await db.batch(countInstalls([linkId(0)], uuid));
    assert.equal((await countsOf(db)).waiting, 2);
    await foldingOf(db).fold();
    assert.deepEqual(await countsOf(db), { links: ["1 at 3000", "0 at null", "0 at null"], waiting: 0 });
    const counted = await db.query(sql`select install_count from links order by id`);
    assert.deepEqual(counted.map((row) => row["install_count"]), [3, 1, 0]); // biome-ignore format: one line
  });

  test("what waits for a link that is gone goes, and the others are counted", async () => {
    const db = await open();
    await db.batch(countClicks(clicksOf(MANY), uuid));
    await deleteLink(db, { id: linkId(0), app_id: "shop" }, 0);
    await foldingOf(db).fold();
    assert.deepEqual(await countsOf(db), { links: Array.from({ length: MANY - 1 }, () => "1 at 1000"), waiting: 0 });
  });

  test("those that fold at the same time count each click once", async () => {
    const db = await open();
    for (let round = 0; round < 40; round++) await db.batch(countClicks(clicksOf(MANY), uuid));
    const countings = Array.from({ length: 4 }, () => createLinkCounting(db));
    let is_left = true;
    while (is_left) {
      const steps = await Promise.allSettled(countings.map(({ foldSome }) => foldSome()));
      for (const step of steps) {
        assert.ok(step.status === "fulfilled" || isDatabaseError(step.reason, "unmet"), String(step.status));
      }
      is_left = (await countsOf(db)).waiting > 0;
    }
    assert.deepEqual(
      (await countsOf(db)).links,
      Array.from({ length: MANY }, () => "40 at 1000"),
    );
  });
});

async function countsOf(db: Database) {
  const links = await db.query<{ click_count: number; last_click_at: number | null }>(
    sql`select click_count, last_click_at from links order by id`,
  );
  const waiting = await db.query(sql`select id from link_tallies`);
  return {
    links: links.map(({ click_count, last_click_at }) => `${click_count} at ${last_click_at}`),
    waiting: waiting.length,
  };
}
