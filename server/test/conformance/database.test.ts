// What every store relies on, the same on both engines.
import assert from "node:assert/strict";
import { test } from "node:test";
import { invalid, refuse } from "../../src/errors.ts";
import { type Database, isDatabaseError } from "../../src/platform/database.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { eachRow, expectRows, list, rows, SKIP_LOCKED, sql } from "../../src/platform/sql.ts";
import { forEachEngine } from "../support/engines.ts";

async function withTable(database: Database): Promise<Database> {
  await database.query(sql`create table things (id text primary key, size bigint, note text)`);
  return database;
}

const all = (database: Database) => database.query(sql`select id, size, note from things order by id`);

forEachEngine((engine) => {
  test("text, numbers and null come back as they were stored", async () => {
    const database = await withTable(await engine.open());
    const text = "naïve — 日本語 🎉 'quoted' \"double\" $1 ? \\ \n end";
    await database.query(sql`insert into things values (${text}, ${Date.UTC(2100, 0, 1)}, ${null})`);
    assert.deepEqual({ ...(await all(database))[0] }, { id: text, size: Date.UTC(2100, 0, 1), note: null });
  });

  test("a batch is all or nothing", async () => {
    const database = await withTable(await engine.open());
    await assert.rejects(
      database.batch([
        sql`insert into things values ('a', 1, null)`,
        sql`insert into things values ('b', 2, null)`,
        sql`insert into things values ('a', 3, null)`,
      ]),
      (error) => isDatabaseError(error, "unique"),
    );
    assert.deepEqual(await all(database), []);
    await database.batch([sql`insert into things values ('a', 1, null)`]);
    assert.equal((await all(database)).length, 1);
  });

  test("a batch answers the rows of each statement", async () => {
    const database = await withTable(await engine.open());
    const answers = await database.batch([
      sql`insert into things values ${rows([
        ["a", 1, "x"],
        ["b", 2, "y"],
      ])} returning id`,
      sql`update things set size = size + 10 where id = 'b'`,
      sql`select size from things order by id`,
    ]);
    assert.deepEqual(
      answers[0]?.map((row) => row["id"]),
      ["a", "b"],
    );
    assert.deepEqual(answers[1], []);
    assert.deepEqual(
      answers[2]?.map((row) => row["size"]),
      [1, 12],
    );
  });

  test("an unmet expectation undoes the batch and names the kind", async () => {
    const database = await withTable(await engine.open());
    const guarded = (count: number) =>
      database.batch([
        sql`insert into things values ('new', 1, null)`,
        expectRows(count, sql`update things set note = 'claimed' where id = 'other' and note is null returning id`),
      ]);
    await assert.rejects(guarded(1), (error) => isDatabaseError(error, "unmet"));
    assert.deepEqual(await all(database), []);
    await guarded(0);
    assert.equal((await all(database)).length, 1);
    await assert.rejects(
      database.query(expectRows(2, sql`delete from things where id = 'new' returning id`)),
      (error) => isDatabaseError(error, "unmet"),
    );
    assert.equal((await all(database)).length, 1);
  });

  test("bulk statements take rows beside other values", async () => {
    const database = await withTable(await engine.open());
    await database.query(
      sql`insert into things values ${rows([
        ["a", 1, null],
        ["b", 2, null],
        ["c", 3, null],
      ])}`,
    );
    const changed = await database.query(
      sql`update things set size = v.column2, note = ${"set"}
          from (values ${rows(
            [
              ["a", 10],
              ["c", 30],
              ["x", 99],
            ],
            ["text", "bigint"],
          )}) as v
          where things.id = v.column1 and things.size < ${5} returning things.id as id`,
    );
    assert.deepEqual(changed.map((row) => row["id"]).sort(), ["a", "c"]);
    assert.deepEqual(
      (await all(database)).map((row) => row["size"]),
      [10, 2, 30],
    );
  });

  test("each row changes by its own values", async () => {
    const database = await withTable(await engine.open());
    await database.query(
      sql`insert into things values ${rows([["a", 1, null], ["b", 2, null], ["c", 3, null]])}`, // biome-ignore format: a table
    );
    const update = (list: [string, number | null, string][]) =>
      database.query(sql`update things set size = coalesce(column2, size), note = column3
        ${eachRow(list, ["text", "bigint", "text"])} where id = column1 and (size < 3 or column3 = 'all') returning id`);
    const changed = await update([["a", 10, "x"], ["b", null, "y"], ["c", 30, "z"], ["nobody", 1, "x"]]); // biome-ignore format: a table
    assert.deepEqual(changed.map((row) => row["id"]).sort(), ["a", "b"]);
    assert.deepEqual((await all(database)).map((row) => [row["size"], row["note"]]), [[10, "x"], [2, "y"], [3, null]]); // biome-ignore format: a table
    assert.equal((await update([["c", 30, "all"]])).length, 1);
  });

  test("a bulk insert ignores what is there already, also twice in one call", async () => {
    const database = await withTable(await engine.open());
    const insert = () =>
      database.query(
        sql`insert into things values ${rows([
          ["a", 1, null],
          ["a", 2, null],
          ["b", 3, null],
        ])} on conflict do nothing returning id`,
      );
    assert.equal((await insert()).length, 2);
    assert.equal((await insert()).length, 0);
  });

  test("a bulk statement may be longer than one message of the protocol allows", async () => {
    const database = await withTable(await engine.open());
    const many = Array.from({ length: 25_000 }, (_, index) => [`id-${index}`, index, "note"]);
    await database.batch([sql`insert into things values ${rows(many)}`]);
    const counted = await database.query<{ count: number }>(sql`select count(*) as count from things`);
    assert.equal(counted[0]?.count, many.length);
  });

  test("statements nest and lists of placeholders keep their order", async () => {
    const database = await withTable(await engine.open());
    await database.query(
      sql`insert into things values ${rows([
        ["a", 1, null],
        ["b", 2, null],
        ["c", 3, null],
      ])}`,
    );
    const condition = sql`id in (${list(["a", "b"])}) and size > ${1}`;
    const found = await database.query(sql`select id from things where ${condition} and note is null`);
    assert.deepEqual(
      found.map((row) => row["id"]),
      ["b"],
    );
  });

  test("rows are claimed with the skip-locked clause where the engine has one", async () => {
    const database = await withTable(await engine.open());
    await database.query(
      sql`insert into things values ${rows([
        ["a", 1, null],
        ["b", 2, null],
      ])}`,
    );
    const claimed = await database.query(
      sql`update things set note = 'mine' where id in
          (select id from things where note is null order by size limit ${1} ${SKIP_LOCKED}) returning id`,
    );
    assert.deepEqual(
      claimed.map((row) => row["id"]),
      ["a"],
    );
  });

  test("a transaction that throws leaves nothing, and the next one works", async () => {
    const database = await withTable(await engine.open());
    const failing = database.transaction(async (query) => {
      await query(sql`insert into things values ('a', 1, null)`);
      throw new Error("changed my mind");
    });
    await assert.rejects(failing, /changed my mind/);
    assert.deepEqual(await all(database), []);
    await database.transaction((query) => query(sql`insert into things values ('b', 1, null)`));
    assert.equal((await all(database)).length, 1);
  });

  test("a refusal thrown inside a transaction reaches the caller as it is", async () => {
    const database = await withTable(await engine.open());
    for (const refusal of [refuse("conflict", "The connection is closed."), invalid("timeout_ms", "a number")]) {
      const failing = database.transaction(async (query) => {
        await query(sql`insert into things values ('a', 1, null)`);
        throw refusal;
      });
      await assert.rejects(failing, (error) => error === refusal);
      assert.deepEqual(await all(database), []);
    }
  });

  test("counters survive a hundred transactions and batches at once", async () => {
    const database = await withTable(await engine.open());
    await database.query(sql`insert into things values ('n', 0, null)`);
    const add = sql`update things set size = size + 1 where id = 'n'`;
    const one = (index: number) =>
      index % 2 === 0 ? database.batch([add]) : database.transaction((query) => query(add));
    await Promise.all(Array.from({ length: 100 }, (_, index) => one(index)));
    assert.equal((await all(database))[0]?.["size"], 100);
  });

  test("what was committed is there after closing and opening again", async () => {
    const address = await engine.address();
    const first = await openDatabase(address);
    await withTable(first);
    await first.query(sql`insert into things values ('kept', 1, null)`);
    await first.close();
    const second = await openDatabase(address);
    assert.equal((await all(second)).length, 1);
    await second.close();
  });

  test("a mistake in a statement is reported as a bug, not as an outage", async () => {
    const database = await engine.open();
    await assert.rejects(database.query(sql`select nothing from nowhere`), (error) => isDatabaseError(error, "bug"));
    await assert.rejects(database.batch([sql`update nowhere set a = 1`]), (error) => isDatabaseError(error, "bug"));
  });

  test("readers go on while a transaction is open, and see only what is committed", async () => {
    const database = await withTable(await engine.open());
    await database.query(sql`insert into things values ('a', 1, null)`);
    await database.transaction(async (query) => {
      await query(sql`insert into things values ('b', 1, null)`);
      // Another reader sees only what is committed.
      assert.equal((await all(database)).length, 1);
    });
    assert.equal((await all(database)).length, 2);
  });
});
