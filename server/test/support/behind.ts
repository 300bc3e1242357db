// Does something at a moment that a test could not hit from outside: right behind a statement. Used by the tests of persons.
import type { Database } from "../../src/platform/database.ts";

/** A database that does something once, behind the first call, or the nth, with a statement that matches. */
export function behind(db: Database, pattern: RegExp, work: () => Promise<unknown>, nth = 1): Database {
  let left = nth;
  async function workBehind<Result>(
    call: Promise<Result>,
    statements: readonly { parts: readonly string[] }[],
  ): Promise<Result> {
    const result = await call;
    if (statements.some(({ parts }) => pattern.test(parts.join("?"))) && --left === 0) await work();
    return result;
  }
  return {
    ...db,
    query: (statement) => workBehind(db.query(statement), [statement]),
    batch: (statements) => workBehind(db.batch(statements), statements),
  };
}
