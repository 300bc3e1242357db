// Clicks on real databases: stored with their events and counted exactly once, whatever happens on the way; and their
// fingerprints, which go when the match window has passed.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { createTestEventLog, insertTestApp } from "../../test/support/event-log.ts";
import { foldingOf } from "../../test/support/folding.ts";
import { BLANK } from "../../test/support/links.ts";
import { meanwhile } from "../../test/support/meanwhile.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { composeEvent } from "../events/event.ts";
import { type Database, DatabaseError } from "../platform/database.ts";
import { createIds, SYSTEM_IDS } from "../platform/ids.ts";
import { createSpool } from "../platform/spool.ts";
import { sql } from "../platform/sql.ts";
import type { Click } from "./click.ts";
import { createForgetting } from "./forget.ts";
import { createRecorder, SPOOL_WAIT_MS } from "./recorder.ts";
import { selectClickFate } from "./store.ts";
import { insertLinks } from "./writing-store.ts";

const HOUR = 3_600_000;
const ids = createIds();
/** However slow the database is, a click is not spooled for that. */
const NEVER = { now: () => 0, set: () => null, clear: () => {} };
/** However busy the machine is, a click gets its place in the spool. */
const PATIENT_WITH_SPOOL = {
  now: () => performance.now(),
  set: (run: () => void, delay_ms: number) => (delay_ms === SPOOL_WAIT_MS ? undefined : setTimeout(run, delay_ms)),
  // What `set` returned.
  clear: (timer: unknown) => clearTimeout(timer as NodeJS.Timeout | undefined),
};

function clickAt(at: number, link_id = "lnk_1", app_id = "shop"): Click {
  const cid = createIds({ now: () => at, random: SYSTEM_IDS.random }).cid();
  const row = { cid, app_id, link_id, platform: "web", dest_url: "https://x.example/", created_at: at, expires_at: at };
  const rest = { utm: null, params: null, os_version: null, locale: null, ip_hash: "ip", ua_hash: "ua" };
  const event = (type: "link.click" | "link.token_created") =>
    composeEvent({ app_id, event: type, link_id, ts: at, data: { cid } }, ids, at);
  return { row: { ...row, ...rest }, events: [event("link.click"), event("link.token_created")] };
}

async function insertTestLink(db: Database, id: string, app_id = "shop"): Promise<void> {
  await insertLinks(db, [{ ...BLANK, id, app_id, slug: id }], 10);
}

async function countClicks(db: Database) {
  const [clicks] = await db.query<{ n: number }>(sql`select count(*) as n from clicks`);
  return clicks?.n;
}

/** To be called when nothing is being stored: a click that comes after the look at the tallies would be missing in the counts. */
async function stored(db: Database) {
  const clicks = await countClicks(db);
  const [events] = await db.query<{ n: number }>(sql`select count(*) as n from events`);
  const links = await db.query(sql`select id, click_count, last_click_at from links order by id`);
  await assertCounted(db);
  return { clicks, events: events?.n, links };
}

/** Whatever happens, the counts of the app say what the table of clicks says. */
async function assertCounted(db: Database): Promise<void> {
  await foldingOf(db).fold();
  const [found] = await db.query<Record<string, number>>(sql`select (select count(*) from clicks) as clicks,
    (select coalesce(cast(sum(clicks) as bigint), 0) from click_hours where link_id = '') as by_hour,
    (select coalesce(cast(sum(clicks) as bigint), 0) from click_days where link_id = '') as by_day,
    (select coalesce(cast(sum(clicks) as bigint), 0) from click_parts where link_id = '' and dimension = 'platform') as by_platform`);
  const { clicks, ...counted } = found ?? {};
  assert.deepEqual(counted, { by_hour: clicks, by_day: clicks, by_platform: clicks });
}

/** A database that can be taken away, and that can lose an answer after it has committed. */
function breakable(db: Database) {
  const state = { mode: "works" as "works" | "down" | "loses answers" };
  const batch: Database["batch"] = async (statements) => {
    if (state.mode === "down") throw new DatabaseError("unavailable", "down");
    const rows = await db.batch(statements);
    if (state.mode === "loses answers") throw new DatabaseError("unavailable", "connection lost");
    return rows;
  };
  return { state, log: createTestEventLog({ engine: db.engine, batch }) };
}

forEachEngine((engine) => {
  async function open() {
    const db = await engine.open();
    await insertTestApp(db, "shop");
    for (const id of ["lnk_1", "lnk_2"]) await insertTestLink(db, id);
    const directory = mkdtempSync(join(tmpdir(), "linkme-clicks-"));
    const spool = createSpool(directory);
    const { state, log } = breakable(db);
    const options = {
      log,
      spool,
      fateOf: (click: Click) => selectClickFate(db, click.row),
      newId: ids.uuid,
      now: Date.now,
      timers: PATIENT_WITH_SPOOL,
    };
    const recorder = createRecorder(options);
    after(async () => {
      // What is being written is written to the spool, too.
      await recorder.stop();
      await spool.close();
      rmSync(directory, { recursive: true, force: true });
    });
    const patient = () => createRecorder({ ...options, timers: NEVER });
    return { db, state, log, spool, recorder, patient, restart: () => createRecorder(options) };
  }

  test("a link of an app that is deleted at this moment is not stored", async () => {
    const db = await engine.open();
    await insertTestApp(db, "shop");
    const made = () => insertLinks(db, [{ ...BLANK, app_id: "shop" }], 10);
    const [result] = await meanwhile(db, [made], sql`delete from apps where id = 'shop'`);
    assert.deepEqual(result, { status: "fulfilled", value: null });
  });

  test("clicks are stored with their events, and counted by link with the newest time", async () => {
    const { db, recorder } = await open();
    const clicks = [clickAt(1_000), clickAt(3_000), clickAt(2_000), clickAt(500, "lnk_2"), clickAt(600, "lnk_gone")];
    const recorded = await Promise.all(clicks.map((click) => recorder.record(click)));
    assert.ok(recorded.every((one) => one !== "unrecorded"));
    await waitUntil(async () => (await countClicks(db)) === 5, "all clicks to be stored");
    assert.deepEqual(await stored(db), {
      clicks: 5,
      events: 10,
      links: [
        { id: "lnk_1", click_count: 3, last_click_at: 3_000 },
        { id: "lnk_2", click_count: 1, last_click_at: 500 },
      ],
    });
    await recorder.record(clickAt(100, "lnk_1"));
    await waitUntil(async () => (await countClicks(db)) === 6, "the sixth click");
    assert.deepEqual((await stored(db)).links[0], { id: "lnk_1", click_count: 4, last_click_at: 3_000 });
  });

  test("a click that is recorded again, alone or among others, changes nothing", async () => {
    const { db, recorder } = await open();
    const again = clickAt(1_000);
    await recorder.record(again);
    await Promise.all([again, clickAt(2_000), again, clickAt(3_000), again].map((click) => recorder.record(click)));
    await waitUntil(async () => (await countClicks(db)) === 3, "the clicks to be stored");
    assert.equal((await stored(db)).events, 6);
    assert.equal((await stored(db)).links[0]?.["click_count"], 3);
  });

  test("what a click keeps of Google Analytics goes through the spool; clicks of an older version have nothing of it", async () => {
    const { db, state, spool, recorder } = await open();
    state.mode = "down";
    const [old, fresh] = [clickAt(1_000), clickAt(2_000)];
    const ga = '{"cookies":{"_ga":"GA1.1.1.2"}}';
    await recorder.record(old);
    await recorder.record({ ...fresh, row: { ...fresh.row, ga } });
    state.mode = "works";
    await waitUntil(() => spool.count() === 0, "the spool to be drained");
    assert.deepEqual(await db.query(sql`select ga from clicks order by cid`), [{ ga: null }, { ga }]);
  });

  test("clicks of an outage are drained once, also those whose commit was only not heard of", async () => {
    const { db, state, spool, recorder } = await open();
    state.mode = "loses answers";
    assert.equal(await recorder.record(clickAt(1_000)), "spooled");
    state.mode = "down";
    const recorded = await Promise.all(Array.from({ length: 300 }, () => recorder.record(clickAt(2_000))));
    assert.deepEqual(new Set(recorded), new Set(["spooled"]));
    assert.equal((await stored(db)).clicks, 1);
    state.mode = "works";
    await waitUntil(() => spool.count() === 0, "the spool to be drained");
    const { clicks, events, links } = await stored(db);
    assert.deepEqual([clicks, events, links[0]?.["click_count"]], [301, 602, 301]);
  });

  test("what is in the spool when the process ends is drained by the next one, and by two at once only once", async () => {
    const { db, state, spool, recorder, restart } = await open();
    state.mode = "down";
    for (let left = 20; left > 0; left--) assert.equal(await recorder.record(clickAt(1_000)), "spooled");
    await recorder.stop();
    state.mode = "works";
    const next = [restart(), restart()];
    await Promise.all(next.map((one) => one.start()));
    await waitUntil(() => spool.count() === 0, "the spool to be drained");
    for (const one of next) await one.stop();
    const { clicks, events, links } = await stored(db);
    assert.deepEqual([clicks, events, links[0]?.["click_count"]], [20, 40, 20]);
  });

  test("two writers of one click at the same time count it once", async () => {
    const { db } = await open();
    const recorders = [1, 2]
      .map(() => createTestEventLog(db))
      .map((log) =>
        createRecorder({
          log,
          spool: {
            append: async () => 0,
            read: async () => [],
            remove: async () => {},
            recover: async () => {},
            count: () => 0,
            close: async () => {},
          },
          fateOf: (click) => selectClickFate(db, click.row),
          newId: ids.uuid,
          now: Date.now,
          timers: NEVER,
        }),
      );
    const clicks = Array.from({ length: 50 }, () => clickAt(1_000));
    const all = await Promise.all(recorders.flatMap((one) => clicks.map((click) => one.record(click))));
    assert.deepEqual(new Set(all), new Set(["committed"]));
    const { clicks: rows, events, links } = await stored(db);
    assert.deepEqual([rows, events, links[0]?.["click_count"]], [50, 100, 50]);
  });

  test("a click of an app that is gone stores nothing, and its token is not given out", async () => {
    const { db, spool, patient } = await open();
    assert.equal(await patient().record(clickAt(1_000, "lnk_9", "gone")), "unrecorded");
    assert.equal((await stored(db)).clicks, 0);
    assert.equal(spool.count(), 0);
  });

  test("fingerprints go when the app's match window has passed, and not before", async () => {
    const { db, recorder } = await open();
    await insertTestApp(db, "slow", { match_window_seconds: 24 * 3600 });
    const now = Date.now();
    const ages = [0, 0.9, 1.1, 5, 23, 25, 100];
    for (const app_id of ["shop", "slow"]) {
      for (const age of ages) await recorder.record(clickAt(now - age * HOUR, "lnk_1", app_id));
    }
    await waitUntil(async () => (await countClicks(db)) === 2 * ages.length, "the clicks to be stored");
    const kept = async () => {
      const found = await db.query<{ app_id: string; created_at: number }>(
        sql`select app_id, created_at from clicks where ip_hash is not null or ua_hash is not null order by cid`,
      );
      return found.map(({ app_id, created_at }) => `${app_id} ${((now - created_at) / HOUR).toFixed(1)}`).sort();
    };
    const { forget } = createForgetting(db);
    await Promise.all([forget(now), forget(now)]);
    assert.deepEqual(await kept(), [
      "shop 0.0",
      "shop 0.9",
      "slow 0.0",
      "slow 0.9",
      "slow 1.1",
      "slow 23.0",
      "slow 5.0",
    ]);
    await db.query(sql`update apps set match_window_seconds = 60 where id = 'slow'`);
    await forget(now + 0.2 * HOUR);
    assert.deepEqual(
      (await kept()).filter((one) => one.startsWith("shop")),
      ["shop 0.0"],
    );
    await db.query(sql`delete from apps`);
    await forget(now + 24.1 * HOUR);
    assert.deepEqual(await kept(), []);
  });
});
