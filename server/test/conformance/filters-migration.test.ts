// What migration 0010 reads from the history of destinations that were there before it: the last time each was stopped.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openDatabase } from "../../src/platform/database-open.ts";
import { migrate, readMigrations } from "../../src/platform/migrate.ts";
import { rows, sql } from "../../src/platform/sql.ts";
import { forEachEngine } from "../support/engines.ts";

const VERSION = 10;

/** States from the first entry on, one a moment; and what is to be known of the last stop. */
const HISTORIES: { id: string; states: string[]; stopped_at: number | null; restarted_at: number | null }[] = [
  { id: "never", states: ["active", "paused", "active"], stopped_at: null, restarted_at: null },
  { id: "still", states: ["active", "off", "active", "disabled", "disabled"], stopped_at: 4, restarted_at: null },
  {
    id: "twice",
    states: ["active", "off", "active", "off", "off", "paused", "active"],
    stopped_at: 4,
    restarted_at: 6,
  },
  { id: "born", states: ["off", "off"], stopped_at: 1, restarted_at: null },
  { id: "begun", states: ["off", "active"], stopped_at: 1, restarted_at: 2 },
];

forEachEngine((engine) => {
  test("destinations from before know when they were last stopped", async () => {
    const database = await openDatabase(await engine.address());
    await migrate(
      database,
      readMigrations().filter(({ version }) => version < VERSION),
    );
    await database.query(sql`insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key,
      match_window_seconds, destinations_version, created_at, updated_at) values ('shop', 'Shop', 0, '[]', 0, 3600, 1, 0, 0)`);
    const destinations = HISTORIES.map(({ id, states }) => {
      return [id, "shop", "webhook", "{}", "{}", "[]", "", 1, states.at(-1) ?? "", 0, "[]", 1, 1, "retriable", 1, 1];
    });
    await database.query(sql`insert into destinations (id, app_id, type, config, secrets, events, description, enabled, state,
      state_changed_at, retry_schedule, timeout_ms, max_in_flight, retry_on, created_at, updated_at) values ${rows(destinations)}`);
    const entries = HISTORIES.flatMap(({ id, states }) => states.map((state, n) => [id, n + 1, state, "[]", "test"]));
    await database.query(
      sql`insert into destination_history (destination_id, at, state, events, cause) values ${rows(entries)}`,
    );
    await migrate(database);
    const known = await database.query(sql`select id, stopped_at, restarted_at, filter from destinations order by id`);
    const expected = HISTORIES.map(({ states: _, ...stop }) => ({ ...stop, filter: null }));
    assert.deepEqual(
      known,
      expected.sort((a, b) => (a.id < b.id ? -1 : 1)),
    );
    await database.close();
  });
});
