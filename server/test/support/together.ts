// Several processes of the product on one PostgreSQL, for tests of what they share.
import { randomBytes } from "node:crypto";
import type { TestContext } from "node:test";
import { createTestDatabase } from "./postgres.ts";
import { type ServerProcess, startServer } from "./server-process.ts";
import { waitUntil } from "./wait.ts";

/** What processes on one database have in common: its address, the operator's token and the key that seals secrets. */
export function commonSettings(database_url: string) {
  return {
    DATABASE_URL: database_url,
    LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url"),
    LINKME_SEAL_KEY: randomBytes(32).toString("base64"),
  };
}

/** Starts one for each role, all at once on an empty database; they come in the order of the roles. */
export async function startTogether<const Roles extends readonly string[]>(t: TestContext, roles: Roles) {
  const database = await createTestDatabase();
  t.after(() => database.drop());
  const env = commonSettings(database.url);
  const started = await Promise.all(roles.map((role) => startServer({ env, role })));
  // One for each role, which `map` does not say of a tuple.
  const processes = started as { -readonly [Index in keyof Roles]: ServerProcess };
  return { database_url: database.url, processes };
}

/** On PostgreSQL the process that is asked is not the one that delivers; on SQLite one does both. They stop with the test. */
export async function startOnEngine(
  t: TestContext,
  engine: "sqlite" | "postgres",
): Promise<[asked: ServerProcess, ...others: ServerProcess[]]> {
  const processes: [ServerProcess, ...ServerProcess[]] =
    engine === "sqlite" ? [await startServer()] : (await startTogether(t, ["edge,api", "dispatcher"])).processes;
  t.after(() => Promise.all(processes.map((one) => one.stop())));
  return processes;
}

/** Waits until each has said that there are so many dispatchers, and nothing else since. */
export async function knowOf(dispatchers: readonly ServerProcess[], count: number): Promise<void> {
  const last = ({ stdout }: ServerProcess) =>
    [...stdout().matchAll(/"event":"dispatchers\.changed".*?"count":(\d+)/g)].at(-1)?.[1];
  await waitUntil(
    () => dispatchers.every((process) => last(process) === String(count)),
    `${dispatchers.length} dispatchers to know of ${count}`,
  );
}
