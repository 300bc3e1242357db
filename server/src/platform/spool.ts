// A durable local queue: texts that must outlive this process while the database cannot take them. Used by the click
// recorder. The embedded engine again, in its worker threads: WAL, `synchronous=FULL`, natural group commit.
// The file is opened with the first text, or to recover what an earlier run left. One process, one file: each
// holds a lock that ends with it, and takes over what files of ended processes still hold.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Committer, createCommitter } from "./committer.ts";
import { type Database, DatabaseError } from "./database.ts";
import { makeDirectory } from "./directories.ts";
import { tryLock } from "./file-lock.ts";
import { rows, sql } from "./sql.ts";
import { openSqlite } from "./sqlite.ts";

/** Files of one directory: as many processes can share it. */
const FILES_MAX = 32;
/** About half a million clicks. */
const BYTES_MAX = 1024 * 1024 * 1024;
const BATCH = 500;
const READ_MAX = 500;

export interface SpoolEntry {
  /** Rising in the order of appending; never given twice by one process. */
  readonly seq: number;
  readonly body: string;
}

export interface Spool {
  /** Resolves with the entry's number when it is on the disk. @rejects DatabaseError "unavailable", also when it is full */
  append(body: string): Promise<number>;
  /** Entries after a number, oldest first, at most `limit`. */
  read(after: number, limit: number): Promise<SpoolEntry[]>;
  remove(seqs: readonly number[]): Promise<void>;
  /**
   * Opens what an earlier run left, and takes over the files of processes that have ended; what does not fit stays where it
   * is. To be called again when it failed. @rejects DatabaseError "unavailable"
   */
  recover(): Promise<void>;
  /** Entries that are on the disk, as far as it was opened. */
  count(): number;
  close(): Promise<void>;
}

interface OpenFile {
  readonly path: string;
  readonly db: Database;
  readonly committer: Committer;
  readonly append: (entry: SpoolEntry) => Promise<void>;
  readonly remove: (seq: number) => Promise<void>;
  unlock(): void;
}

/** @param directory where `spool.db` lives, or will live; nothing is touched before the first call */
export function createSpool(directory: string, options: { max_bytes?: number } = {}): Spool {
  const max_bytes = options.max_bytes ?? BYTES_MAX;
  const sizes = new Map<number, number>();
  let bytes = 0;
  let last_seq = 0;
  let opening: Promise<OpenFile> | null = null;
  let is_closed = false;
  let taking: Promise<void> | null = null;

  function open(): Promise<OpenFile> {
    opening ??= openOwn().catch((error: unknown) => {
      // The next text tries again: the disk may have been full, or the directory may have been missing.
      opening = null;
      throw error;
    });
    return opening;
  }

  async function openOwn(): Promise<OpenFile> {
    makeDirectory(directory);
    for (const path of paths(directory)) {
      const unlock = tryLock(path);
      if (unlock === null) continue;
      try {
        return await learn(await openFile(path, unlock));
      } catch (error) {
        unlock();
        throw error;
      }
    }
    throw new DatabaseError("unavailable", `${directory} is shared by more than ${FILES_MAX} processes.`);
  }

  /** What an earlier run left in the file counts like what this one appended. */
  async function learn(file: OpenFile): Promise<OpenFile> {
    try {
      const found = await file.db.query<{ seq: number; bytes: number }>(
        sql`select seq, length(body) as bytes from entries`,
      );
      for (const entry of found) keep(entry.seq, entry.bytes);
      return file;
    } catch (error) {
      await file.db.close();
      throw error;
    }
  }

  function keep(seq: number, size: number): void {
    sizes.set(seq, size);
    bytes += size;
    last_seq = Math.max(last_seq, seq);
  }

  async function append(body: string): Promise<number> {
    if (is_closed) throw new DatabaseError("unavailable", "The spool is closed.");
    if (bytes + body.length > max_bytes) throw new DatabaseError("unavailable", `The spool in ${directory} is full.`);
    const file = await open();
    const seq = ++last_seq;
    bytes += body.length;
    try {
      await file.append({ seq, body });
      sizes.set(seq, body.length);
      return seq;
    } catch (error) {
      bytes -= body.length;
      throw error;
    }
  }

  async function read(after: number, limit: number): Promise<SpoolEntry[]> {
    if (opening === null) return [];
    const { db } = await opening;
    return db.query(
      sql`select seq, body from entries where seq > ${after} order by seq limit ${Math.min(limit, READ_MAX)}`,
    );
  }

  async function remove(seqs: readonly number[]): Promise<void> {
    if (opening === null || seqs.length === 0) return;
    const file = await opening;
    await Promise.all(seqs.map(file.remove));
    for (const seq of seqs) {
      bytes -= sizes.get(seq) ?? 0;
      sizes.delete(seq);
    }
  }

  async function close(): Promise<void> {
    is_closed = true;
    // A take-over ends with the batch that it is at.
    await taking?.catch(() => {});
    if (opening === null) return;
    const file = await opening;
    await file.committer.idle();
    await closeFile(file, sizes.size === 0);
  }

  function recover(): Promise<void> {
    taking ??= takeOverAll().finally(() => {
      taking = null;
    });
    return taking;
  }

  async function takeOverAll(): Promise<void> {
    const left = paths(directory).filter(existsSync);
    if (left.length === 0) return;
    const own = await open();
    const failures: unknown[] = [];
    for (const path of left) {
      const unlock = path === own.path ? null : tryLock(path);
      if (unlock === null) continue;
      // One file that cannot be read must not keep the others from being taken over.
      await takeOver(path, unlock).catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  }

  async function takeOver(path: string, unlock: () => void): Promise<void> {
    let other: OpenFile;
    try {
      other = await openFile(path, unlock);
    } catch (error) {
      unlock();
      throw error;
    }
    let is_empty = false;
    try {
      // Copied before they are removed: a crash in between leaves an entry twice, and storing it twice is harmless.
      for (;;) {
        const found = await other.db.query<SpoolEntry>(
          sql`select seq, body from entries order by seq limit ${READ_MAX}`,
        );
        if (found.length === 0) break;
        const copies = await Promise.allSettled(found.map((entry) => append(entry.body)));
        const copied = found.filter((_, index) => copies[index]?.status === "fulfilled");
        await Promise.all(copied.map((entry) => other.remove(entry.seq)));
        for (const copy of copies) if (copy.status === "rejected") throw copy.reason;
      }
      is_empty = true;
    } finally {
      await closeFile(other, is_empty);
    }
  }

  return { append, read, remove, recover, count: () => sizes.size, close };
}

function paths(directory: string): string[] {
  return Array.from({ length: FILES_MAX }, (_, index) =>
    join(directory, index === 0 ? "spool.db" : `spool-${index}.db`),
  );
}

async function openFile(path: string, unlock: () => void): Promise<OpenFile> {
  const db = await openSqlite(path);
  try {
    await db.query(sql`create table if not exists entries (seq integer primary key, body text not null)`);
  } catch (error) {
    await db.close();
    throw error;
  }
  const committer = createCommitter(db);
  const append = committer.channel<SpoolEntry>({
    max_items: BATCH,
    compose: (entries) => [
      sql`insert into entries (seq, body) values ${rows(entries.map(({ seq, body }) => [seq, body]))}`,
    ],
  });
  // Grouped like the appends: a click that is stored after all leaves alone, and an fsync for each would be too much.
  const remove = committer.channel<number>({
    max_items: BATCH,
    compose: (seqs) => [sql`delete from entries where seq in (values ${rows(seqs.map((seq) => [seq]))})`],
  });
  return { path, db, committer, append, remove, unlock };
}

/** An empty file goes, so that the next start has nothing to look at. */
async function closeFile(file: OpenFile, is_empty: boolean): Promise<void> {
  await file.db.close();
  if (is_empty) for (const end of ["", "-wal", "-shm"]) rmSync(file.path + end, { force: true });
  file.unlock();
}
