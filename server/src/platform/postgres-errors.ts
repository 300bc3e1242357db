// What PostgreSQL and its driver throw, in the words of `Database`: is it an outage, a refusal, or a mistake of ours? What
// only the operator can mend is an outage too, and its message says what to do. Called by postgres.ts and postgres-pool.ts.
import { AppError } from "../errors.ts";
import { DatabaseError, type DatabaseErrorKind } from "./database.ts";

const CONNECTION_MESSAGES = /terminated|timeout|not queryable|closed|ended|ECONN|socket/i;
/**
 * Connection lost, refused or not allowed, no such database, rights withdrawn, out of resources, shutting down or starting
 * up, lock or statement timeout, a server that only reads, network errors.
 */
const UNAVAILABLE_CODES = /^(08|28|3D000|42501|53|57P|58|55P03|57014|25P0[34]|40001|40P01|25006|E[A-Z]+$)/;

/** A server that takes no writes: a standby, or a primary that was demoted. */
export const READ_ONLY_CODE = "25006";

const ADVICE: readonly [RegExp, string][] = [
  [/^28/, "Check user and password in DATABASE_URL, and the server's pg_hba.conf."],
  [/^3D000$/, "Create that database, or mend its name in DATABASE_URL."],
  [/^42501$/, "Give the role of DATABASE_URL its rights on the tables back."],
  [/^53300$/, "Raise the server's max_connections, or lower LINKME_DATABASE_CONNECTIONS."],
  [/^25006$/, "DATABASE_URL leads to a server that takes no writes; it has to lead to the primary."],
  [/^08P01$/, "With pgbouncer in between, see docs/guide/scale-out.md for its ignore_startup_parameters."],
];

/** Runs work on a connection; what the driver throws becomes a DatabaseError. */
export async function translate<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof DatabaseError || !isDriverError(error)) throw error;
    throw toDatabaseError(kindOf(error), error);
  }
}

/** Whatever keeps a process from connecting is an outage, a wrong password and an expired certificate included. */
export function connectionError(error: unknown): DatabaseError {
  if (error instanceof DatabaseError) return error;
  return toDatabaseError("unavailable", error instanceof Error ? error : new Error(String(error)));
}

function toDatabaseError(kind: DatabaseErrorKind, error: Error): DatabaseError {
  const advice = ADVICE.find(([code]) => code.test(codeOf(error) ?? ""))?.[1];
  const message = advice === undefined ? error.message : `${error.message.replace(/\.?$/, ".")} ${advice}`;
  return new DatabaseError(kind, `PostgreSQL: ${message}`, { cause: error });
}

/** A refusal thrown inside a transaction is the caller's own, although it has a code too. */
function isDriverError(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof AppError) return false;
  return codeOf(error) !== undefined || CONNECTION_MESSAGES.test(error.message);
}

export function kindOf(error: unknown): DatabaseErrorKind {
  if (error instanceof DatabaseError) return error.kind;
  if (!isDriverError(error)) return "bug";
  const code = codeOf(error);
  if (code === "23505") return "unique";
  return code === undefined || UNAVAILABLE_CODES.test(code) ? "unavailable" : "bug";
}

/** The SQLSTATE, or the code of a network error; also of what a DatabaseError was made from. */
export function codeOf(error: unknown): string | undefined {
  const own = error instanceof DatabaseError ? error.cause : error;
  return own instanceof Error && "code" in own && typeof own.code === "string" ? own.code : undefined;
}
