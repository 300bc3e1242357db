// The SQLite connection, in a worker thread: runs what `sqlite.ts` sends, one message after another, so that a
// transaction never interleaves with another call. Measured: the same throughput as on the main thread, a third of the
// p99. Rows of a bulk statement run one by one through one prepared statement, which is the fastest way in SQLite.
import assert from "node:assert/strict";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import type { DatabaseErrorKind, Value } from "./database.ts";

/** One statement: values stand around the rows of a bulk statement; the text comes with the first use of an id. */
export interface Call {
  readonly id: number;
  readonly text: string | undefined;
  readonly before: readonly SQLInputValue[];
  readonly rows: readonly (readonly SQLInputValue[])[] | undefined;
  readonly after: readonly SQLInputValue[];
  readonly expect: number | undefined;
}

export type Request =
  | { readonly id: number; readonly kind: "batch"; readonly calls: readonly Call[] }
  | { readonly id: number; readonly kind: "step"; readonly calls: readonly Call[] }
  | { readonly id: number; readonly kind: "begin" | "commit" | "rollback" | "close"; readonly calls: readonly [] };

/** Rows as lists, which cost half of what objects do on their way through a thread. The names come with the text. */
export interface Found {
  readonly names: readonly string[] | undefined;
  readonly rows: readonly (readonly Value[])[];
}

export type Answer =
  | { readonly id: number; readonly found: readonly Found[] }
  | { readonly id: number; readonly kind: DatabaseErrorKind; readonly message: string; readonly statement?: number };

export interface WorkerOptions {
  readonly path: string;
  readonly role: "writer" | "reader";
}

const BUSY_TIMEOUT_MS = 5_000;
const CACHE_KIB = { writer: 32 * 1024, reader: 8 * 1024 };
/** For new files. Measured: a tenth less CPU per event than pages of 4 KiB, for there are fewer writes in a commit. */
const PAGE_BYTES = 16 * 1024;
/** Pages between checkpoints, 16 MiB. Measured: against SQLite's 4 MiB the commit p99 falls to a third. */
const CHECKPOINT_PAGES = 1_000;
const JOURNAL_LIMIT_BYTES = 64 * 1024 * 1024;

const SQLITE_PRIMARY_CODE = 0xff;
/** BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN, PROTOCOL: the same call may succeed later. */
const UNAVAILABLE_CODES = [5, 6, 8, 10, 13, 14, 15];
const UNIQUE_CODES = [1555, 2067];

class Unmet extends Error {}

const port = parentPort;
assert(port !== null, "sqlite-worker.ts runs in a worker thread only");
// The options are written by sqlite.ts alone.
const options = workerData as WorkerOptions;
const database = open();
const prepared = new Map<number, Prepared>();

interface Prepared {
  readonly statement: StatementSync;
  /** None of what answers no rows. */
  readonly names: readonly string[];
}

port.on("message", (request: Request) => port.postMessage(answer(request)));

function open(): DatabaseSync {
  const connection = new DatabaseSync(options.path, { timeout: BUSY_TIMEOUT_MS });
  connection.exec(
    `pragma page_size = ${PAGE_BYTES}; pragma journal_mode = wal; pragma synchronous = full; pragma foreign_keys = on; pragma temp_store = memory;
     pragma cache_size = -${CACHE_KIB[options.role]}; pragma wal_autocheckpoint = ${CHECKPOINT_PAGES};
     pragma journal_size_limit = ${JOURNAL_LIMIT_BYTES};`,
  );
  if (options.role === "reader") connection.exec("pragma query_only = on");
  else forgetStatistics(connection);
  return connection;
}

/**
 * Statistics are of the day on which somebody made them. Those of a table with one row make SQLite read a table of millions
 * from end to end, and every statement is written for the plan that it chooses without any: measured, claims an eighth as fast.
 */
function forgetStatistics(connection: DatabaseSync): void {
  const tables = connection
    .prepare("select name from sqlite_master where name in ('sqlite_stat1', 'sqlite_stat4')")
    .all();
  for (const { name } of tables) connection.exec(`drop table ${name}`);
}

function answer(request: Request): Answer {
  let statement = 0;
  try {
    const found: Found[] = [];
    if (request.kind === "batch") database.exec("begin immediate");
    else if (request.kind === "begin") database.exec("begin immediate");
    else if (request.kind === "commit") database.exec("commit");
    else if (request.kind === "rollback") rollback();
    else if (request.kind === "close") close();
    for (const call of request.calls) {
      found.push(run(call));
      statement++;
    }
    if (request.kind === "batch") database.exec("commit");
    return { id: request.id, found };
  } catch (error) {
    if (request.kind === "batch" || request.kind === "commit") rollback();
    return failure(request.id, error, statement);
  }
}

function run(call: Call): Found {
  const { statement, names } = prepare(call);
  const returns = names.length > 0;
  let count = 0;
  let rows: Value[][] = [];
  const once = (values: readonly SQLInputValue[]): void => {
    if (!returns) count += Number(statement.run(...values).changes);
    else {
      // Lists, as prepared; the driver answers numbers, text and null for the column types that migrations use.
      const more = statement.all(...values) as unknown as Value[][];
      rows = rows.length === 0 ? more : rows.concat(more);
    }
  };
  if (call.rows === undefined) once(call.before);
  else if (call.before.length === 0 && call.after.length === 0) for (const row of call.rows) once(row);
  else for (const row of call.rows) once([...call.before, ...row, ...call.after]);
  if (call.expect !== undefined && call.expect !== (returns ? rows.length : count)) {
    throw new Unmet(`expected ${call.expect} rows, got ${returns ? rows.length : count}`);
  }
  return { names: call.text === undefined ? undefined : names, rows };
}

function prepare(call: Call): Prepared {
  const known = prepared.get(call.id);
  if (known !== undefined) return known;
  assert(call.text !== undefined, "the first use of a statement carries its text");
  const statement = database.prepare(call.text);
  const names = statement.columns().map(({ name }) => name);
  if (names.length > 0) statement.setReturnArrays(true);
  const entry = { statement, names };
  // A text that is used once only has the id -1 and is not kept.
  if (call.id >= 0) prepared.set(call.id, entry);
  return entry;
}

function rollback(): void {
  // SQLite ends the transaction itself on some errors (disk full, I/O): then there is nothing left to undo.
  if (database.isTransaction) database.exec("rollback");
}

function close(): void {
  prepared.clear();
  database.close();
}

function failure(id: number, error: unknown, statement: number): Answer {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof Unmet) return { id, kind: "unmet", message, statement };
  return { id, kind: classify(error), message };
}

function classify(error: unknown): DatabaseErrorKind {
  const code = error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode : 0;
  if (UNIQUE_CODES.includes(code)) return "unique";
  return UNAVAILABLE_CODES.includes(code & SQLITE_PRIMARY_CODE) ? "unavailable" : "bug";
}
