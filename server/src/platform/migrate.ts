// Brings the schema up to date. Called by main.ts before anything else uses the database, and by the tests.
// Forward only; safe when several processes start at once; refuses a schema that is newer, or a file that was edited.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Database, Query } from "./database.ts";
import { type Statement, sql } from "./sql.ts";

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly text: string;
}

/** The schema and this program do not fit together; the message says what to do. */
export class MigrationError extends Error {
  override readonly name = "MigrationError";
}

/** Any number: it only has to be the same in every process that migrates this database. */
const ADVISORY_LOCK = 7_235_846_113;
/** An index over millions of rows takes minutes. */
const STATEMENT_MAX_MS = 30 * 60_000;
/** How long one process waits for another that migrates; then it says that it waits, and asks again. */
const TURN_MAX_MS = 10_000;
/** Whoever waits for a table's lock holds up everybody behind it, so the wait is short, and whoever starts asks again. */
const LOCK_MAX_MS = 3_000;
const MIGRATIONS_DIR = fileURLToPath(new URL("../../migrations/", import.meta.url));

/**
 * Applies what is missing and answers the names of the files that it applied. Unavailable while another process is at it,
 * or while a table is in use: to be called again.
 * @throws MigrationError when the database is newer than this program, or an applied file was edited.
 */
export function migrate(database: Database, migrations = readMigrations()): Promise<string[]> {
  const work = (query: Query) => applyMissing(query, database.engine, migrations);
  return database.transaction(work, { statement_ms: STATEMENT_MAX_MS });
}

async function applyMissing(query: Query, engine: Database["engine"], migrations: readonly Migration[]) {
  // SQLite transactions exclude each other from the start; PostgreSQL needs to be told.
  if (engine === "postgres") {
    await query(sql`select set_config('lock_timeout', ${String(TURN_MAX_MS)}, true)`);
    await query(sql`select pg_advisory_xact_lock(${ADVISORY_LOCK})`);
    await query(sql`select set_config('lock_timeout', ${String(LOCK_MAX_MS)}, true)`);
  }
  await query(sql`create table if not exists schema_migrations (
    version bigint primary key, name text not null, checksum text not null, applied_at bigint not null)`);
  const applied = await query<{ version: number; name: string; checksum: string }>(
    sql`select version, name, checksum from schema_migrations order by version`,
  );
  refuseMismatch(applied, migrations);
  const missing = migrations.filter((one) => !applied.some((other) => other.version === one.version));
  for (const migration of missing) await apply(query, migration);
  return missing.map((one) => one.name);
}

function refuseMismatch(
  applied: readonly { version: number; name: string; checksum: string }[],
  migrations: readonly Migration[],
): void {
  for (const row of applied) {
    const migration = migrations.find((one) => one.version === row.version);
    if (migration === undefined) {
      throw new MigrationError(
        `The database has migration ${row.name}, which this version of the server does not know. ` +
          "Start the newer version of the server, or restore a backup of the database.",
      );
    }
    if (checksum(migration) !== row.checksum) {
      throw new MigrationError(
        `Migration ${row.name} was edited after it had been applied to this database. ` +
          "Restore the file, and put the change into a new migration.",
      );
    }
  }
}

async function apply(query: Query, migration: Migration): Promise<void> {
  for (const statement of statements(migration.text)) await query(statement);
  await query(sql`insert into schema_migrations (version, name, checksum, applied_at)
    values (${migration.version}, ${migration.name}, ${checksum(migration)}, ${Date.now()})`);
}

/** Migrations hold plain statements: no semicolon inside a literal, no procedure. */
function statements(text: string): Statement[] {
  return text
    .replaceAll(/^\s*--.*$/gm, "")
    .split(";")
    .map((one) => one.trim())
    .filter((one) => one !== "")
    .map((one) => ({ kind: "statement", parts: [one], values: [] }));
}

export function readMigrations(directory = MIGRATIONS_DIR): Migration[] {
  return readdirSync(directory)
    .filter((name) => /^\d{4}_[a-z0-9_]+\.sql$/.test(name))
    .sort()
    .map((name) => ({ version: Number(name.slice(0, 4)), name, text: readFileSync(`${directory}/${name}`, "utf8") }));
}

function checksum(migration: Migration): string {
  // Line endings may differ between check-outs.
  return createHash("sha256").update(migration.text.replaceAll("\r\n", "\n")).digest("hex");
}
