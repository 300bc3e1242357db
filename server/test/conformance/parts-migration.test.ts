// What migration 0037 makes of the counts of parts: the same, in the order of their key, and they go on growing.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openDatabase } from "../../src/platform/database-open.ts";
import { migrate, readMigrations } from "../../src/platform/migrate.ts";
import { sql } from "../../src/platform/sql.ts";
import { forEachEngine } from "../support/engines.ts";

const VERSION = 37;

forEachEngine((engine) => {
  test("counts of parts from before are kept, each once", async () => {
    const database = await openDatabase(await engine.address());
    await migrate(
      database,
      readMigrations().filter(({ version }) => version < VERSION),
    );
    await database.query(sql`insert into click_parts (app_id, link_id, dimension, at, value, clicks)
      values ('shop', 'lnk_1', 'os', 0, 'iOS', 3), ('shop', '', 'os', 86400000, 'iOS', 2), ('shop', '', 'os', 0, '', 4)`);
    await migrate(database);
    await database.query(sql`insert into click_parts (app_id, link_id, dimension, at, value, clicks)
      values ('shop', '', 'os', 0, '', 1)
      on conflict (app_id, link_id, dimension, at, value) do update set clicks = click_parts.clicks + excluded.clicks`);
    const part = { app_id: "shop", dimension: "os" };
    assert.deepEqual(await database.query(sql`select * from click_parts order by clicks`), [
      { ...part, link_id: "", at: 86_400_000, value: "iOS", clicks: 2 },
      { ...part, link_id: "lnk_1", at: 0, value: "iOS", clicks: 3 },
      { ...part, link_id: "", at: 0, value: "", clicks: 5 },
    ]);
    await database.close();
  });

  test("what a question of many days adds up lies in the key", async () => {
    const database = await openDatabase(await engine.address());
    await migrate(database);
    if (engine.name === "sqlite") {
      const [step] = await database.query<{ detail: string }>(sql`explain query plan
        select sum(clicks) from click_parts where app_id = 'shop' and link_id = '' and dimension = 'os'`);
      assert.match(step?.detail ?? "", /^SEARCH click_parts USING PRIMARY KEY /);
    } else {
      const indexes = await database.query<{ indexdef: string }>(
        sql`select indexdef from pg_indexes where tablename = 'click_parts'`,
      );
      assert.equal(indexes.length, 1);
      assert.match(indexes[0]?.indexdef ?? "", /\(app_id, link_id, dimension, at, value\) INCLUDE \(clicks\)$/);
    }
    await database.close();
  });
});
