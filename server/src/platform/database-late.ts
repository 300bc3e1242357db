// An SQLite file that could not be opened yet: every call is refused like those to a database that is out of reach, until
// somebody has opened it. Used by main.ts, so that a disk that is full at the start is waited for with the health checks answering.
import { type Database, DatabaseError } from "./database.ts";

export interface LateDatabase extends Database {
  /** Tries to open it; once it is open, does nothing. Not to be called while that is under way. @rejects what `open` does */
  open(): Promise<void>;
}

export function createLateDatabase(open: () => Promise<Database>): LateDatabase {
  let opened: Database | undefined;

  function database(): Database {
    if (opened === undefined) throw new DatabaseError("unavailable", "SQLite: the file is not open yet");
    return opened;
  }

  return {
    engine: "sqlite",
    async open() {
      opened ??= await open();
    },
    query: async (statement) => database().query(statement),
    batch: async (statements) => database().batch(statements),
    transaction: async (work, limits) => database().transaction(work, limits),
    async close() {
      await opened?.close();
    },
  };
}
