// What migration 0029 makes of counts of an app that were spread over shards: one row each, and nothing is lost.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openDatabase } from "../../src/platform/database-open.ts";
import { migrate, readMigrations } from "../../src/platform/migrate.ts";
import { sql } from "../../src/platform/sql.ts";
import { forEachEngine } from "../support/engines.ts";

const VERSION = 29;

forEachEngine((engine) => {
  test("counts from before are added up over their shards", async () => {
    const database = await openDatabase(await engine.address());
    await migrate(
      database,
      readMigrations().filter(({ version }) => version < VERSION),
    );
    for (const table of ["click_hours", "click_days"]) {
      const into = { kind: "statement", parts: [table], values: [] } as const;
      await database.query(sql`insert into ${into} (app_id, link_id, at, shard, clicks, bots)
        values ('shop', '', 0, 0, 5, 1), ('shop', '', 0, 3, 2, 1), ('shop', 'lnk_1', 0, 0, 7, 2)`);
    }
    await database.query(sql`insert into click_parts (app_id, link_id, dimension, at, shard, value, clicks)
      values ('shop', '', 'os', 0, 1, 'iOS', 3), ('shop', '', 'os', 0, 2, 'iOS', 1), ('shop', '', 'os', 0, 2, '', 4)`);
    await migrate(database);
    const totals = [
      { app_id: "shop", link_id: "", at: 0, clicks: 7, bots: 2 },
      { app_id: "shop", link_id: "lnk_1", at: 0, clicks: 7, bots: 2 },
    ];
    assert.deepEqual(await database.query(sql`select * from click_hours order by link_id`), totals);
    assert.deepEqual(await database.query(sql`select * from click_days order by link_id`), totals);
    const part = { app_id: "shop", link_id: "", dimension: "os", at: 0 };
    assert.deepEqual(await database.query(sql`select * from click_parts order by value`), [
      { ...part, value: "", clicks: 4 },
      { ...part, value: "iOS", clicks: 4 },
    ]);
    await database.close();
  });
});
