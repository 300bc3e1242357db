// Looks at an SQLite file before anything is written to it: one that belongs to another program must not be changed, and one
// that is damaged is better not used. Called by main.ts before the file is opened.
import { type Stats, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/**
 * Why the file is not ours to use, as the end of a sentence; null when it is, when it is empty or missing, or when only
 * opening it will tell.
 */
export function whyNotOurs(path: string): string | null {
  const found = lookAt(path);
  if (found?.isDirectory()) return "is a directory";
  // A pipe would be waited for, and a device holds nothing.
  if (found?.isFile() === false) return "is a device, a pipe or a socket";
  if ((found?.size ?? 0) === 0) return null;
  try {
    const file = new DatabaseSync(path, { readOnly: true });
    try {
      const count = file.prepare("select count(*) as n from sqlite_master where type = 'table'").get();
      if (count?.["n"] === 0) return null;
      const columns = file.prepare("select name from pragma_table_info('schema_migrations')").all();
      return columns.some(({ name }) => name === "checksum") ? null : "is the database of another program";
    } finally {
      file.close();
    }
  } catch (error) {
    return isNoDatabase(error) ? "is damaged, or not an SQLite database" : null;
  }
}

/** Null also where it cannot be looked at, which opening it will tell. */
function lookAt(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}

/** True of a disk that is full or fails (FULL, IOERR): nothing that a setting could mend. */
export function isOfDisk(error: unknown): boolean {
  return [10, 13].includes(primaryCode(error));
}

/** CORRUPT and NOTADB. */
function isNoDatabase(error: unknown): boolean {
  return [11, 26].includes(primaryCode(error));
}

/** 0 of an error that is not SQLite's. */
function primaryCode(error: unknown): number {
  return error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : 0;
}
