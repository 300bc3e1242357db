// What the stores see of a database: five members, the same on SQLite and PostgreSQL. Values are text, numbers and null;
// times are milliseconds since 1970 in `bigint` columns, flags are 0 and 1, structures are JSON text.
import type { Statement } from "./sql.ts";

export type Row = Record<string, string | number | null>;

/** Runs one statement and answers its rows. */
export type Query = <Result = Row>(statement: Statement) => Promise<Result[]>;

export interface Database {
  readonly engine: "sqlite" | "postgres";
  /** One statement in a transaction of its own. A text that begins with `select` may run beside the writer. */
  query: Query;
  /** Several statements, all or nothing, in one round trip where the engine can. Answers the rows of each. */
  batch(statements: readonly Statement[]): Promise<Row[][]>;
  /** A transaction that reads before it decides. Nothing but queries may be awaited inside. */
  transaction<Result>(work: (query: Query) => Promise<Result>): Promise<Result>;
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
