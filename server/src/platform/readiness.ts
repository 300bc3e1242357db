// Whether the database answers, for the readiness check. However many ask, one question is under way at a time.
import type { Database } from "./database.ts";
import { sql } from "./sql.ts";

const ANSWER_TIMEOUT_MS = 2_000;

/** Answers true when the database did within ANSWER_TIMEOUT_MS; never rejects. */
export function createReadiness(db: Pick<Database, "query">): () => Promise<boolean> {
  let asking: Promise<boolean> | undefined;
  return () => {
    asking ??= ask(db).finally(() => {
      asking = undefined;
    });
    return asking;
  };
}

async function ask(db: Pick<Database, "query">): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => late.resolve(false), ANSWER_TIMEOUT_MS);
  const answer = db.query(sql`select 1 as answer`).then(
    () => true,
    // Why it does not answer is in the log of whoever needed it (write-watch.ts); here it only counts that it does not.
    () => false,
  );
  try {
    return await Promise.race([answer, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
