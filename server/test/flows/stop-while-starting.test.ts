// A server that is stopped while it starts: whatever it waits for at that moment, nothing begins afterwards.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { composeServer } from "../../src/compose.ts";
import { readConfig } from "../../src/config.ts";
import type { Database } from "../../src/platform/database.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { migrate } from "../../src/platform/migrate.ts";

const SECRETS = { admin_token: "the-operator-of-these-tests", token_file: null, is_token_new: false };

const countTimers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

for (const { waits_for, pattern, nth } of [
  { waits_for: "the journal", pattern: /insert into journal/, nth: 1 },
  { waits_for: "what the process before left", pattern: /with recursive d /, nth: 1 },
  { waits_for: "the first poll of the dispatcher", pattern: /with recursive d /, nth: 2 },
]) {
  test(`a stop while a start waits for ${waits_for} is the end of it`, async (t) => {
    const directory = mkdtempSync(join(tmpdir(), "linkme-stop-"));
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const env = { DATABASE_URL: `file:${join(directory, "linkme.db")}`, LINKME_DATA_DIR: directory };
    const reading = readConfig(env, () => "");
    if (reading.kind === "problems") throw new Error(reading.problems.join("\n"));
    const db = await openDatabase(reading.config.database_url);
    await migrate(db);
    const held = holdQuery(db, pattern, nth);
    const server = await composeServer(reading.config, { ...SECRETS, seal_key: randomBytes(32) }, held.db);
    await server.app.ready();
    const opening = server.open();
    await held.reached;
    const stopping = server.stop(2_000);
    held.letGo();
    await stopping;
    await opening;
    assert.deepEqual(held.late(), [], "nothing is asked of a database that is closed");
    assert.equal(countTimers(), 0, "no timer is left");
  });
}

/** The nth query of that kind waits until it is let go. */
function holdQuery(db: Database, pattern: RegExp, nth: number) {
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
  const { promise: letting, resolve: letGo } = Promise.withResolvers<void>();
  const late: string[] = [];
  let is_closed = false;
  let count = 0;
  const query: Database["query"] = async (statement) => {
    const text = statement.parts.join("?");
    if (is_closed) late.push(text);
    if (pattern.test(text) && ++count === nth) {
      reach();
      await letting;
    }
    return db.query(statement);
  };
  const close = () => {
    is_closed = true;
    return db.close();
  };
  return { db: { ...db, query, close }, reached, letGo, late: () => late };
}
