// Does something at a moment that a test could not hit from outside: right behind a statement. Used by the tests of persons.
import type { Database } from "../../src/platform/database.ts";

/** A database that does something once, behind the first call with a statement that matches. */
export function behind(db: Database, pattern: RegExp, work: () => Promise<unknown>): Database {
  let is_done = false;
  async function workBehind<Result>(
    call: Promise<Result>,
    statements: readonly { parts: readonly string[] }[],
  ): Promise<Result> {
    const result = await call;
    if (is_done || !statements.some(({ parts }) => pattern.test(parts.join("?")))) return result;
    is_done = true;
    await work();
    return result;
  }
  return {
    ...db,
    query: (statement) => workBehind(db.query(statement), [statement]),
    batch: (statements) => workBehind(db.batch(statements), statements),
  };
}
