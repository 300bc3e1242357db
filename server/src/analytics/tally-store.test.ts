// Tallies on real databases: each becomes counts once, whoever folds, fails or dies, and nothing is counted of what is gone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { insertTestApp } from "../../test/support/event-log.ts";
import { accountsAt, foldingOf } from "../../test/support/folding.ts";
import { BLANK } from "../../test/support/links.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { deleteLink, insertLinks } from "../links/writing-store.ts";
import { type Database, DatabaseError } from "../platform/database.ts";
import { createIds } from "../platform/ids.ts";
import { sql } from "../platform/sql.ts";
import { insertTallies } from "./tally-store.ts";
import { tallyVisits } from "./visit.ts";

const AT = Date.UTC(2026, 2, 1, 5);
const LINKS = ["lnk_1", "lnk_2", "lnk_3"];
/** Neither so short that steps grow nor so long that they shrink. */
const STEP_MS = 6;
const ids = createIds();

forEachEngine((engine) => {
  async function open() {
    const db = await engine.open();
    for (const app_id of ["shop", "other"]) await insertTestApp(db, app_id);
    for (const id of LINKS) await insertLinks(db, [{ ...BLANK, id, app_id: "shop", slug: id }], 10);
    return db;
  }

  test("two that fold side by side count each click once, those that come meanwhile included", async () => {
    const db = await open();
    const foldings = [foldingOf(db), foldingOf(db), foldingOf(db)];
    for (let round = 0; round < 10; round++) {
      await Promise.all([
        ...foldings.map(({ fold }) => fold()),
        ...[0, 1, 2].map((n) => write(db, clicks(30, `${round} ${n}`))),
      ]);
    }
    await foldings[0]?.fold();
    assert.deepEqual(await countsOf(db), { clicks: 900, of_links: 900, values: 900, left: 0 });
  });

  test("who folds while another one is at it has written nothing before that one is done, and each click counts once", async () => {
    const db = await open();
    for (const count of [5, 2]) await write(db, clicks(count));
    // It reads the same tallies, for the first has not committed that they are gone.
    const writing = await during(db, () => foldingOf(db).fold());
    assert.deepEqual(writing, [], "of the tables that it would change");
    await foldingOf(db).fold();
    assert.deepEqual(await countsOf(db), { clicks: 7, of_links: 7, values: 7, left: 0 });
  });

  test("a link that is removed while its clicks are folded takes them along", async () => {
    const db = await open();
    await write(db, clicks(3));
    await during(db, async () => {
      await deleteLink(db, { id: "lnk_2", app_id: "shop" }, AT);
      await accountsAt(db, AT).finishRemovals();
    });
    assert.deepEqual(await countsOf(db), { clicks: 3, of_links: 2, values: 3, left: 0 });
  });

  test("a fold that fails before its commit left nothing behind, and is made again", async () => {
    const db = await open();
    await write(db, clicks(5));
    const dying: Database = {
      ...db,
      batch: (statements) =>
        db.batch([...statements, sql`insert into click_tallies (id, app_id, tallies) values ('', '', '')`]),
    };
    await assert.rejects(foldingOf(dying).fold(), DatabaseError);
    assert.deepEqual(await countsOf(db), { clicks: 0, of_links: 0, values: 0, left: 1 });
    await foldingOf(db).fold();
    assert.deepEqual(await countsOf(db), { clicks: 5, of_links: 5, values: 5, left: 0 });
  });

  test("a fold whose answer is lost is not made again", async () => {
    const db = await open();
    await write(db, clicks(5));
    const deaf: Database = {
      ...db,
      async batch(statements) {
        await db.batch(statements);
        throw new DatabaseError("unavailable", "connection lost");
      },
    };
    await assert.rejects(foldingOf(deaf).fold(), DatabaseError);
    await foldingOf(db).fold();
    assert.deepEqual(await countsOf(db), { clicks: 5, of_links: 5, values: 5, left: 0 });
  });

  test("a link or an app that is deleted at this moment is noticed, and nothing is counted of it", async () => {
    for (const [gone, left] of [
      ["link", { clicks: 3, of_links: 2, values: 3, left: 0 }],
      ["app", { clicks: 0, of_links: 0, values: 0, left: 0 }],
    ] as const) {
      const db = await open();
      await write(db, clicks(3));
      const late: Database = {
        ...db,
        async batch(statements) {
          if (gone === "link") await deleteLink(db, { id: "lnk_2", app_id: "shop" }, AT);
          else await db.query(sql`delete from apps where id = 'shop'`);
          return db.batch(statements);
        },
      };
      await foldingOf(late).fold();
      assert.deepEqual(await countsOf(db), { clicks: 0, of_links: 0, values: 0, left: 1 }, gone);
      await foldingOf(db).fold();
      assert.deepEqual(await countsOf(db), left, gone);
    }
  });

  test("any number of tallies is folded in steps of a few hundred rows", async () => {
    const db = await open();
    const many = Array.from({ length: 100 }, (_, n) => ({ id: `lnk_many_${n}`, slug: `many-${n}` }));
    await insertLinks(
      db,
      many.map((one) => ({ ...BLANK, ...one, app_id: "shop" })),
      1_000,
    );
    for (let n = 0; n < 3; n++) {
      await write(
        db,
        many.map(({ id: link_id }) => ({ app_id: "shop", link_id, at: AT, values: { os: `os ${n}` } })),
      );
    }
    const written: number[] = [];
    const counting: Database = {
      ...db,
      batch(statements) {
        const lists = statements.flatMap(({ values }) =>
          values.map((one) => (typeof one === "object" ? one?.list.length : 0)),
        );
        written.push(lists.reduce<number>((sum, length) => sum + (length ?? 0), 0));
        return db.batch(statements);
      },
    };
    await foldingOf(counting, STEP_MS).fold();
    assert.deepEqual(await countsOf(db), { clicks: 300, of_links: 300, values: 300, left: 0 });
    assert.ok(written.length > 3 && Math.max(...written) <= 600, written.join());
  });
});

function clicks(count: number, source = "mail") {
  return Array.from({ length: count }, (_, n) => {
    const values = { os: `os ${n % 2}`, utm_source: source };
    return { app_id: "shop", link_id: LINKS[n % LINKS.length] ?? "", at: AT, values };
  });
}

function write(db: Database, visits: Parameters<typeof tallyVisits>[0]) {
  return db.query(insertTallies(tallyVisits(visits), ids.uuid));
}

/**
 * Folds, and before that is committed lets somebody else begin, until they wait or are done. Answers, for PostgreSQL, which
 * tables of counts and tallies those who wait have begun to change. SQLite has one writer, before whom the others queue.
 */
async function during(db: Database, begin: () => Promise<unknown>): Promise<string[]> {
  let writing: string[] = [];
  let others: Promise<unknown> = Promise.resolve();
  const held: Database = {
    ...db,
    batch: (statements) =>
      db.transaction(async (query) => {
        const answers = [];
        for (const statement of statements) answers.push(await query(statement));
        let are_done = false;
        others = begin().finally(() => {
          are_done = true;
        });
        if (db.engine === "postgres") {
          await waitUntil(async () => are_done || (await areWaiting(db)), "the others to wait");
          writing = await writtenByWaiting(db);
        }
        return answers;
      }),
  };
  await foldingOf(held).fold();
  await others;
  return writing;
}

async function areWaiting(db: Database): Promise<boolean> {
  const waiting = await db.query(
    sql`select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return waiting.length > 0;
}

/** The tables of clicks that connections change which wait for a lock. */
async function writtenByWaiting(db: Database): Promise<string[]> {
  const tables = await db.query<{ name: string }>(sql`select distinct c.relname as name from pg_stat_activity as a
    join pg_locks as l on l.pid = a.pid and l.locktype = 'relation' and l.mode = 'RowExclusiveLock'
    join pg_class as c on c.oid = l.relation and c.relkind = 'r' and c.relname like 'click%'
    where a.datname = current_database() and a.wait_event_type = 'Lock'`);
  return tables.map(({ name }) => name);
}

/** Of the app and of its links, and tallies that wait. */
async function countsOf(db: Database) {
  const [found] = await db.query(sql`select
    (select coalesce(cast(sum(clicks) as bigint), 0) from click_hours where link_id = '') as clicks,
    (select coalesce(cast(sum(clicks) as bigint), 0) from click_days where link_id <> '') as of_links,
    (select coalesce(cast(sum(clicks) as bigint), 0) from click_parts where link_id = '' and dimension = 'os') as "values",
    (select count(*) from click_tallies where id > '') as "left"`);
  return { ...found };
}
