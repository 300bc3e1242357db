// What is said of a chaos run that failed has to be right without a run that fails: its questions are asked of the schema as it is.
import assert from "node:assert/strict";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { databasePath, openDatabase } from "../../src/platform/database-open.ts";
import { migrate } from "../../src/platform/migrate.ts";
import { sql } from "../../src/platform/sql.ts";
import { forEachEngine } from "../support/engines.ts";
import type { Traffic } from "../support/traffic.ts";
import { describeFailure, type Failed } from "./failure.ts";

const AT = Date.UTC(2026, 2, 1, 5);
const NOWHERE = { sqlite: "file:/nowhere/linkme.db", postgres: "postgres://127.0.0.1:1/linkme" };
const TRAFFIC: Traffic = {
  promises: {
    events: new Set(["one", "two"]),
    clicks: new Set(),
    claims: new Set(),
    opens: new Set(),
    cut_batches: [],
  },
  counts: { answered: 3, unavailable: 0, without_token: 0 },
  run: async () => {},
  stop: () => {},
};
const LOG = ['{"level":"info","event":"fine"}', '{"level":"warn","event":"spool.failed"}'].join("\n");

function failedWith(engine: string, database_url: string): Failed {
  const dir = engine === "sqlite" ? dirname(databasePath(database_url)) : join(tmpdir(), "linkme-nowhere");
  return {
    ...{ seed: 7, engine, mishaps: 2, database_url, dir, clock_ahead_ms: 3_600_000 },
    spans: [
      { mishap: "a kill", began_at: AT, ms: 12.4 },
      { mishap: "an outage", began_at: AT + 1_000, ms: null },
    ],
    ...{ traffic: TRAFFIC, received: [], servers: [{ stdout: () => LOG }] },
  };
}

forEachEngine((engine) => {
  test("what befell the server, what was promised, what is stored and what the log complains of is told", async () => {
    const address = await engine.address();
    const db = await openDatabase(address);
    await migrate(db);
    await db.query(sql`insert into events (app_id, position, id, event, created_at, body)
      values ('shop', 'p1', 'e1', 'link.click', ${AT}, '{}')`);
    await db.close();
    const text = await describeFailure(failedWith(engine.name, address));
    for (const part of [
      `npm run chaos -- --mishaps 2 --engine ${engine.name} --seed 7`,
      "05:00:00.000 a kill, recovered after 12 ms; 05:00:01.000 an outage, not recovered from",
      "60 min ahead",
      "promised events 2, clicks 0",
      "spool: 0 clicks",
      '{"event":"link.click","n":1}',
      '  {"level":"warn","event":"spool.failed"}',
    ]) {
      assert.ok(text.includes(part), `${part} is missing in:\n${text}`);
    }
    assert.doesNotMatch(text, /does not answer|cannot be read|fine/);
  });

  test("a database that is away is told of, and the rest all the same", async () => {
    const text = await describeFailure(failedWith(engine.name, NOWHERE[engine.name]));
    assert.match(text, engine.name === "sqlite" ? /there is no file/ : /does not answer: .*ECONNREFUSED/);
    assert.match(text, /spool\.failed/);
  });
});
