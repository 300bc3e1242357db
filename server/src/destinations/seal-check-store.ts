// The table `seal_check`: whether the key of this process is the one that the secrets of this database are sealed with.
// Called by main.ts at every start, after the migration and before anything is served: a server with another key would
// take deliveries that it cannot send, and seal new secrets that the others cannot read.
import type { Database, Query } from "../platform/database.ts";
import { SealError, type Sealed, type Sealer } from "../platform/sealing.ts";
import { sql } from "../platform/sql.ts";
import { readSecrets } from "./secrets.ts";

const CHECK_TEXT = "linkme seal check";
/** Destinations of a database that was never checked, newest first, that may show which key it was used with. */
const SAMPLES_MAX = 100;

interface CheckRow {
  sealed: Sealed | null;
}

/**
 * Returns when the key fits. The first start on a database writes the check; of several with different keys one wins.
 * @throws SealError when the database was used with another key
 */
export async function checkSealKey(db: Pick<Database, "query" | "transaction">, sealer: Sealer): Promise<void> {
  const checked = await readCheck(db.query);
  if (checked?.sealed) return void sealer.open(checked.sealed);
  await db.transaction((query) => writeCheck(query, sealer));
}

async function writeCheck(query: Query, sealer: Sealer): Promise<void> {
  const before = await readCheck(query);
  if (before === undefined) await trySamples(query, sealer);
  const sealed = sealer.seal(CHECK_TEXT);
  // Whoever comes second waits here for the first, and finds its text below.
  await query(sql`insert into seal_check (id, sealed) values (1, ${sealed})
    on conflict (id) do update set sealed = excluded.sealed where seal_check.sealed is null`);
  const after = await readCheck(query);
  if (after?.sealed) sealer.open(after.sealed);
}

async function readCheck(query: Query): Promise<CheckRow | undefined> {
  return (await query<CheckRow>(sql`select sealed from seal_check where id = 1`))[0];
}

/** One secret that opens is enough: others may be of a key that was lost long ago. What is damaged tells nothing. */
async function trySamples(query: Query, sealer: Sealer): Promise<void> {
  const samples = await query<{ secrets: string }>(
    sql`select secrets from destinations order by id desc limit ${SAMPLES_MAX}`,
  );
  let refusal: SealError | undefined;
  for (const sample of samples) {
    try {
      sealer.open(readSecrets(sample).current);
      return;
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      if (error.is_other_key) refusal ??= error;
    }
  }
  if (refusal !== undefined) throw refusal;
}
