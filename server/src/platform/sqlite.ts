// SQLite behind `Database`: a writer thread and a reader thread on one file (WAL), so that a long list never holds up a
// commit. Opened by database-open.ts. A reader sees every commit that was answered before it was asked. A thread that ends
// unasked ends the process.
import assert from "node:assert/strict";
import { accessSync, constants, existsSync } from "node:fs";
import { dirname } from "node:path";
import type { SQLInputValue } from "node:sqlite";
import { Worker } from "node:worker_threads";
import { type Database, DatabaseError, type Query, type Row, type Value } from "./database.ts";
import { makeDirectory } from "./directories.ts";
import { isRows, localise, type Rows, type SqlValue, type Statement } from "./sql.ts";
import type { Answer, Call, Found, Request, WorkerOptions } from "./sqlite-worker.ts";

/** Distinct texts that each thread keeps prepared; a text that comes later is prepared for each use. */
const PREPARED_MAX = 400;
/** Rows pass through a thread and are forgotten: a small nursery keeps its memory small. */
const YOUNG_GENERATION_MIB = 16;

interface Thread {
  call(kind: Request["kind"], statements?: readonly Statement[]): Promise<Row[][]>;
  close(): Promise<void>;
}

interface Waiting {
  readonly id: number;
  readonly resolve: (rows: Row[][]) => void;
  readonly reject: (error: unknown) => void;
  readonly calls: readonly Call[];
}

/** Opens or creates the file. @throws DatabaseError "unavailable" when it cannot be opened. */
export async function openSqlite(path: string): Promise<Database> {
  makeDirectory(dirname(path));
  refuseReadOnly(path);
  const writer = startThread({ path, role: "writer" });
  // The writer creates the file and its journal before a reader looks at them.
  await writer.call("step", []);
  const reader = startThread({ path, role: "reader" });
  try {
    await reader.call("step", []);
  } catch (error) {
    await writer.close();
    throw error;
  }

  // Calls wait only while a transaction of several round trips holds the writer.
  let exclusive: Promise<void> | undefined;

  // What the columns are only the text of the statement says: whoever writes it names the type of its rows.
  const query: Query = async <Result>(statement: Statement) => {
    if (isRead(statement)) return (await reader.call("step", [statement]))[0] as Result[];
    while (exclusive !== undefined) await exclusive;
    // A statement with an expectation must be undone when it is not met, and many rows are one commit.
    const kind = statement.expect === undefined && !statement.values.some(isRows) ? "step" : "batch";
    return (await writer.call(kind, [statement]))[0] as Result[];
  };

  async function batch(statements: readonly Statement[]): Promise<Row[][]> {
    while (exclusive !== undefined) await exclusive;
    return writer.call("batch", statements);
  }

  async function transaction<Result>(work: (query: Query) => Promise<Result>): Promise<Result> {
    while (exclusive !== undefined) await exclusive;
    let release = () => {};
    exclusive = new Promise((resolve) => {
      release = resolve;
    });
    try {
      await writer.call("begin");
      // As above.
      const result = await work(async <R>(statement: Statement) => (await writer.call("step", [statement]))[0] as R[]);
      await writer.call("commit");
      return result;
    } catch (error) {
      // What went wrong first is what the caller is told. SQLite refuses to roll back only where it has done so itself.
      await writer.call("rollback").catch(() => {});
      throw error;
    } finally {
      exclusive = undefined;
      release();
    }
  }

  async function close(): Promise<void> {
    while (exclusive !== undefined) await exclusive;
    await reader.close();
    await writer.close();
  }

  return { engine: "sqlite", query, batch, transaction, close };
}

/** SQLite opens such a file all the same, for reading, and would go on so when it has become writable again. */
function refuseReadOnly(path: string): void {
  if (!existsSync(path)) return;
  try {
    accessSync(path, constants.W_OK);
  } catch (error) {
    const advice = "give the account of this process the right to write the file and its folder";
    throw new DatabaseError("unavailable", `SQLite: ${path} cannot be written; ${advice}`, { cause: error });
  }
}

function isRead(statement: Statement): boolean {
  return /^\s*select\b/.test(statement.parts[0] ?? "");
}

function startThread(options: WorkerOptions): Thread {
  const worker = new Worker(new URL("./sqlite-worker.ts", import.meta.url), {
    workerData: options,
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
  });
  /** In the order of their calls, in which the thread answers them. */
  const waiting: Waiting[] = [];
  const known = new Map<string, number>();
  /** How rows of texts are read that the thread has surely prepared; until then each use carries its text. */
  const prepared = new Map<number, RowReader>();
  let last_id = 0;
  let dead: DatabaseError | undefined;
  /** Open from its first answer until it is asked to close: an end in between is nobody's wish. */
  let state: "opening" | "open" | "closing" = "opening";

  worker.on("message", (answer: Answer) => {
    // Of a thread that has ended a last answer may still be on its way; its caller was told of the end.
    if (dead !== undefined) return;
    if (state === "opening") state = "open";
    const call = waiting.shift();
    assert.equal(call?.id, answer.id, "a thread answers one call after another");
    if ("found" in answer) call?.resolve(answer.found.map((found, index) => read(found, call.calls[index])));
    else
      call?.reject(new DatabaseError(answer.kind, `SQLite: ${answer.message}`, { statement: answer.statement ?? 0 }));
  });
  worker.on("error", end);
  worker.on("exit", (code) => end(new Error(`exit code ${code}`)));

  function read({ names, rows }: Found, call: Call | undefined): Row[] {
    const reader = names === undefined ? prepared.get(call?.id ?? -1) : createRowReader(names);
    assert(reader !== undefined, "names come with the text");
    if (names !== undefined && call !== undefined && call.id >= 0) prepared.set(call.id, reader);
    return rows.map(reader);
  }

  /** @throws DatabaseError, caught by nobody, when the thread was open */
  function end(cause: unknown): void {
    if (dead !== undefined) return;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const what = state === "opening" ? `SQLite at ${options.path}` : `The ${options.role} of ${options.path} has ended`;
    dead = new DatabaseError("unavailable", `${what}: ${reason}`, { cause });
    // Every later call would be refused for as long as the process lives. What was answered is on the disk, and what was
    // not is as after any other end of the process: the next start goes on from there.
    if (state === "open") throw dead;
    for (const call of waiting.splice(0)) call.reject(dead);
  }

  function prepare(statement: Statement): Call {
    const rendered = render(statement);
    let id = known.get(rendered.text);
    if (id === undefined) {
      id = known.size < PREPARED_MAX ? known.size : -1;
      if (id >= 0) known.set(rendered.text, id);
    }
    const text = prepared.has(id) ? undefined : rendered.text;
    return { id, text, before: rendered.before, rows: rendered.rows, after: rendered.after, expect: statement.expect };
  }

  function call(kind: Request["kind"], statements: readonly Statement[] = []): Promise<Row[][]> {
    return new Promise((resolve, reject) => {
      if (dead !== undefined) return reject(dead);
      // The thread would be gone before it answers.
      if (state === "closing" && kind !== "close") return reject(closedError());
      const id = ++last_id;
      const calls = statements.map(prepare);
      waiting.push({ id, resolve, reject, calls });
      worker.postMessage({ id, kind, calls });
    });
  }

  function closedError(): DatabaseError {
    return new DatabaseError("unavailable", `SQLite at ${options.path} is closed`);
  }

  async function close(): Promise<void> {
    state = "closing";
    try {
      if (dead === undefined) await call("close");
    } finally {
      await worker.terminate();
    }
  }

  return { call, close };
}

type RowReader = (values: readonly Value[]) => Row;

/** Of one shape for each text, as the engine makes rows. */
function createRowReader(names: readonly string[]): RowReader {
  const blank = Object.fromEntries(names.map((name): [string, Value] => [name, null]));
  return (values) => {
    const row = { ...blank };
    let index = 0;
    for (const name of names) row[name] = values[index++] ?? null;
    return row;
  };
}

export interface Rendered {
  text: string;
  before: readonly SQLInputValue[];
  rows: Rows["list"] | undefined;
  after: readonly SQLInputValue[];
}

const texts = new WeakMap<readonly string[], string>();

/** The text with `?` for each value, and the values around the rows of a bulk statement. */
export function render(statement: Statement): Rendered {
  const at = statement.values.findIndex(isRows);
  // The only one that is not a scalar, as isRows has found.
  const bulk = at < 0 ? undefined : (statement.values[at] as Rows);
  // The text of a template is the same at each use, and so is the width of its rows: built once for each.
  let text = texts.get(statement.parts);
  if (text === undefined) {
    text = statement.parts.reduce((sum, part, index) => sum + placeholder(statement.values[index - 1]) + part);
    // As an expression: SQLite would plan the statement anew whenever the parameter of a limit is bound. Measured: 2 µs of a
    // plain statement's 4, 60 of a long one's 65.
    text = localise(text, "sqlite").replaceAll(/\blimit \?/g, "limit +?");
    if (bulk?.kind === "each_row") text = text.replaceAll(/\bcolumn(\d+)\b/g, "?$1");
    texts.set(statement.parts, text);
  }
  if (bulk === undefined) return { text, before: statement.values as SqlValue[], rows: undefined, after: [] };
  const scalars = statement.values as SqlValue[];
  return { text, before: scalars.slice(0, at), rows: bulk.list, after: scalars.slice(at + 1) };
}

function placeholder(value: SqlValue | Rows | undefined): string {
  if (value === undefined || !isRows(value)) return "?";
  if (value.kind === "each_row") return "";
  return `(${(value.list[0] ?? []).map(() => "?").join(", ")})`;
}
