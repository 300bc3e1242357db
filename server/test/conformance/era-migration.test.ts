// What migration 0025 makes of the failures that were counted before it: they are of the era that their destination is in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openDatabase } from "../../src/platform/database-open.ts";
import { migrate, readMigrations } from "../../src/platform/migrate.ts";
import { rows, sql } from "../../src/platform/sql.ts";
import { forEachEngine } from "../support/engines.ts";

const VERSION = 25;

forEachEngine((engine) => {
  test("failures from before are of the present era, and of none where the destination is gone", async () => {
    const database = await openDatabase(await engine.address());
    await migrate(
      database,
      readMigrations().filter(({ version }) => version < VERSION),
    );
    await database.query(sql`insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key,
      match_window_seconds, destinations_version, created_at, updated_at) values ('shop', 'Shop', 0, '[]', 0, 3600, 1, 0, 0)`);
    const destinations = [0, 3].map((era) => {
      const state = [1, "active", 0, "[]", 1, 1, "retriable", 1, 1];
      return [`dst_${era}`, era, "shop", "webhook", "{}", "{}", "[]", "", ...state];
    });
    await database.query(sql`insert into destinations (id, era, app_id, type, config, secrets, events, description, enabled,
      state, state_changed_at, retry_schedule, timeout_ms, max_in_flight, retry_on, created_at, updated_at)
      values ${rows(destinations)}`);
    const health = ["dst_0", "dst_3", "dst_gone"].map((id) => [id, 7]);
    await database.query(
      sql`insert into destination_health (destination_id, consecutive_failures) values ${rows(health)}`,
    );
    await migrate(database);
    const known = await database.query(
      sql`select destination_id, consecutive_failures, era from destination_health order by destination_id`,
    );
    const of = (destination_id: string, era: number) => ({ destination_id, consecutive_failures: 7, era });
    assert.deepEqual(known, [of("dst_0", 0), of("dst_3", 3), of("dst_gone", 0)]);
    await database.close();
  });
});
