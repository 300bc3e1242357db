// Runs the same tests on SQLite and on PostgreSQL, each with a real, empty, migrated database.
// Used by the conformance suite and by every store's tests.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe } from "node:test";
import type { Database } from "../../src/platform/database.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { migrate } from "../../src/platform/migrate.ts";
import { createTestDatabase } from "./postgres.ts";

export interface Engine {
  readonly name: Database["engine"];
  /** The address of a new, empty database, removed when the tests are done. */
  address(): Promise<string>;
  /** A connection to a new, migrated database; closed when the tests are done. */
  open(): Promise<Database>;
}

/** Declares the tests once for each engine. */
export function forEachEngine(declare: (engine: Engine) => void): void {
  for (const name of ["sqlite", "postgres"] as const) describe(`on ${name}`, () => declare(createEngine(name)));
}

function createEngine(name: Database["engine"]): Engine {
  const ending: (() => Promise<void> | void)[] = [];
  after(async () => {
    for (const end of ending.reverse()) await end();
  });

  async function address(): Promise<string> {
    if (name === "postgres") {
      const database = await createTestDatabase();
      ending.push(() => database.drop());
      return database.url;
    }
    const directory = mkdtempSync(join(tmpdir(), "linkme-test-"));
    ending.push(() => rmSync(directory, { recursive: true, force: true }));
    return `file:${join(directory, "linkme.db")}`;
  }

  async function open(): Promise<Database> {
    const database = await openDatabase(await address());
    ending.push(() => database.close());
    await migrate(database);
    return database;
  }

  return { name, address, open };
}
