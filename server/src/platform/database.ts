// What the stores see of a database: five members and a wire, the same on SQLite and PostgreSQL. Values are text, numbers and null;
// times are milliseconds since 1970 in `bigint` columns, flags are 0 and 1, structures are JSON text.
import type { Statement } from "./sql.ts";

export type Value = string | number | null;
export type Row = Record<string, Value>;

/** Runs one statement and answers its rows. */
export type Query = <Result = Row>(statement: Statement) => Promise<Result[]>;

export interface Limits {
  /** How long one statement may take, where that is longer than usual. SQLite has no such limit. */
  readonly statement_ms?: number;
}

/** Short texts from process to process. They may be lost and may be doubled, so they are never more than hints. */
export interface Wire {
  /** To every process that listens, this one included. At most WIRE_TEXT_MAX_CHARS of ASCII. @rejects DatabaseError */
  send(text: string): Promise<void>;
  /** Listens until the answer is called, through every outage; that resolves when the connection is closed. */
  listen(listener: WireListener): () => Promise<void>;
}

export const WIRE_TEXT_MAX_CHARS = 7_000;

export interface WireListener {
  heard(text: string): void;
  /** Listening began, or began again: what was sent before is not heard any more. */
  missed(): void;
  /** Nothing is heard, with the reason; said once until it is heard again, which is said too. */
  cut(error: Error): void;
  mended(): void;
}

export interface Database {
  readonly engine: "sqlite" | "postgres";
  /** One statement in a transaction of its own. A text that begins with `select` may run beside the writer. */
  query: Query;
  /** Several statements, all or nothing, in one round trip where the engine can. Answers the rows of each. */
  batch(statements: readonly Statement[]): Promise<Row[][]>;
  /** A transaction that reads before it decides. Nothing but queries may be awaited inside. */
  transaction<Result>(work: (query: Query) => Promise<Result>, limits?: Limits): Promise<Result>;
  /** To the other processes that use the database; absent where there is nothing to send over. */
  readonly wire?: Wire;
  close(): Promise<void>;
}

export type DatabaseErrorKind =
  /** Out of reach, shutting down, out of disk, locked for too long: the same call may succeed later. */
  | "unavailable"
  /** A unique constraint was violated. */
  | "unique"
  /** A statement with `expect` returned another number of rows; everything was undone. */
  | "unmet"
  /** Anything else is a bug of ours. */
  | "bug";

export class DatabaseError extends Error {
  readonly kind: DatabaseErrorKind;
  /** For `unmet`: which statement of the batch. */
  readonly statement: number | undefined;
  constructor(kind: DatabaseErrorKind, message: string, options?: { cause?: unknown; statement?: number }) {
    super(message, options);
    this.name = "DatabaseError";
    this.kind = kind;
    this.statement = options?.statement;
  }
}

export function isDatabaseError(error: unknown, kind: DatabaseErrorKind): boolean {
  return error instanceof DatabaseError && error.kind === kind;
}
