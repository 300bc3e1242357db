// A lock that one process at a time holds on a path, in a file beside it. Used by main.ts for a database file and by the
// spool. It is SQLite's own exclusive lock, so the system ends it with the process, however that ends.
import { DatabaseSync } from "node:sqlite";
import { DatabaseError } from "./database.ts";

/** SQLite's code for a lock that somebody else holds. */
const BUSY = 5;

/**
 * Takes `<path>.lock` and answers how to let go of it; keep that function, for the lock ends when it is collected.
 * Null while another process, or another holder in this one, has the lock.
 * @throws DatabaseError "unavailable" when the file cannot be opened
 */
export function tryLock(path: string): (() => void) | null {
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(`${path}.lock`, { timeout: 0 });
    lock.exec("pragma locking_mode = exclusive; begin exclusive");
    const held = lock;
    return () => held.close();
  } catch (error) {
    lock?.close();
    if (error instanceof Error && "errcode" in error && error.errcode === BUSY) return null;
    throw new DatabaseError("unavailable", `${path}.lock cannot be opened: ${String(error)}`, { cause: error });
  }
}
