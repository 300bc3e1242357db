// The real event log on a test's database, without destinations: for tests of what records clicks and claims.
import { createEventLog, type EventLog } from "../../src/events/append.ts";
import { createCommitter } from "../../src/platform/committer.ts";
import type { Database } from "../../src/platform/database.ts";
import { sql } from "../../src/platform/sql.ts";

export function createTestEventLog(db: Pick<Database, "engine" | "batch">): EventLog {
  return createEventLog({
    committer: createCommitter(db),
    destinations: {
      peek: () => ({ version: 0, destinations: [], conditions: 0, takers: new Map() }),
      refresh: async () => {},
      runLocked: (_, compose) => db.batch(compose()),
    },
    dispatcher: { reserve: () => 0, release: () => {}, accept: () => {}, wake: () => {} },
    now: Date.now,
  });
}

/** An app as the management API would have made it. */
export async function insertTestApp(db: Database, id: string, settings: { match_window_seconds?: number } = {}) {
  await db.query(sql`insert into apps (id, name, ios_enable_pasteboard, android_sha256, require_api_key,
      match_window_seconds, destinations_version, created_at, updated_at)
    values (${id}, ${id}, 0, '[]', 0, ${settings.match_window_seconds ?? 3600}, 0, 0, 0)`);
}
