// Chooses the engine from DATABASE_URL. Called by main.ts and by the tests.
import { fileURLToPath } from "node:url";
import type { Database } from "./database.ts";

/**
 * Opens `file:…` with SQLite and `postgres://…` with PostgreSQL; each driver is loaded only when it is used.
 * @throws DatabaseError "unavailable" when a file cannot be opened. PostgreSQL connects with the first query.
 */
export async function openDatabase(url: string, options: { connections?: number } = {}): Promise<Database> {
  if (/^postgres(ql)?:/.test(url)) return (await import("./postgres.ts")).openPostgres(url, options);
  return (await import("./sqlite.ts")).openSqlite(databasePath(url));
}

/** The path of a `file:` address: absolute (`file:///var/lib/linkme.db`) or relative (`file:./data/linkme.db`). */
export function databasePath(url: string): string {
  return url.startsWith("file://") ? fileURLToPath(url) : url.replace(/^file:/, "");
}
