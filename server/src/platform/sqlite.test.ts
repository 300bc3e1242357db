// What both engines do is in test/conformance; here is what a thread of SQLite's brings with it.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { sql } from "./sql.ts";
import { openSqlite } from "./sqlite.ts";

test("what was asked before it is closed is answered, what is asked later is refused at once", async () => {
  const directory = mkdtempSync(join(tmpdir(), "linkme-sqlite-"));
  after(() => rmSync(directory, { recursive: true, force: true }));
  for (let round = 0; round < 20; round++) {
    const db = await openSqlite(join(directory, `${round}.db`));
    const before = Promise.all([db.batch([sql`select 1 as one`]), db.query(sql`select 2 as two`)]);
    const closing = db.close();
    const late = Promise.allSettled([db.batch([sql`select 3 as three`]), db.query(sql`select 4 as four`)]);
    assert.deepEqual(await before, [[[{ one: 1 }]], [{ two: 2 }]]);
    const settled = await late;
    await closing;
    for (const one of settled) {
      if (one.status === "rejected") assert.match(one.reason.message, /is closed$/);
    }
    assert.ok(settled.some(({ status }) => status === "rejected"));
    await assert.rejects(db.batch([sql`select 5 as five`]), { kind: "unavailable" });
  }
});
