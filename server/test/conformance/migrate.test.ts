// Forward-only migrations: applied once, by whoever comes first, and never over a schema that does not fit.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openDatabase } from "../../src/platform/database-open.ts";
import { type Migration, MigrationError, migrate, readMigrations } from "../../src/platform/migrate.ts";
import { sql } from "../../src/platform/sql.ts";
import { forEachEngine } from "../support/engines.ts";

const FIRST: Migration = { version: 1, name: "0001_a.sql", text: "-- one\ncreate table a (id text primary key);" };
const SECOND: Migration = {
  version: 2,
  name: "0002_b.sql",
  text: "create table b (id text primary key);\ncreate index b_id on b (id);\n",
};

forEachEngine((engine) => {
  test("the real migrations apply to an empty database, once", async () => {
    const database = await openDatabase(await engine.address());
    assert.deepEqual(
      await migrate(database),
      readMigrations().map((one) => one.name),
    );
    assert.deepEqual(await migrate(database), []);
    await database.query(sql`select * from deliveries`);
    await database.close();
  });

  test("two processes that start at once apply each migration once", async () => {
    const address = await engine.address();
    const databases = await Promise.all([openDatabase(address), openDatabase(address), openDatabase(address)]);
    const applied = await Promise.all(databases.map((database) => migrate(database)));
    assert.deepEqual(
      applied.flat().sort(),
      readMigrations().map((one) => one.name),
    );
    await Promise.all(databases.map((database) => database.close()));
  });

  test("a later version applies only what is missing", async () => {
    const database = await openDatabase(await engine.address());
    assert.deepEqual(await migrate(database, [FIRST]), [FIRST.name]);
    assert.deepEqual(await migrate(database, [FIRST, SECOND]), [SECOND.name]);
    await database.close();
  });

  test("a newer schema, or an edited file, is refused with a way out", async () => {
    const database = await openDatabase(await engine.address());
    await migrate(database, [FIRST, SECOND]);
    await assert.rejects(migrate(database, [FIRST]), (error: Error) => {
      assert.ok(error instanceof MigrationError);
      assert.match(error.message, /0002_b\.sql.*newer version/);
      return true;
    });
    const edited = { ...FIRST, text: `${FIRST.text}\ncreate table c (id text);` };
    await assert.rejects(migrate(database, [edited, SECOND]), /0001_a\.sql was edited.*new migration/s);
    const recoded = { ...FIRST, text: FIRST.text.replaceAll("\n", "\r\n") };
    assert.deepEqual(await migrate(database, [recoded, SECOND]), []);
    await database.close();
  });

  test("a migration that fails leaves nothing behind", async () => {
    const database = await openDatabase(await engine.address());
    const broken = { ...SECOND, text: "create table b (id text primary key);\ncreate table a (id text);" };
    await assert.rejects(migrate(database, [FIRST, broken]));
    assert.deepEqual(await migrate(database, [FIRST, SECOND]), [FIRST.name, SECOND.name]);
    await database.close();
  });
});
