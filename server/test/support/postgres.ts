// PostgreSQL for tests: a fresh database on the run's server, or a whole server of one's own for tests that stop and start
// it. Under `npm test` the server comes from scripts/test.ts; a test file run by itself starts one for its process, which
// ends with it.
import { randomBytes } from "node:crypto";
import pg from "pg";
import { startCluster } from "../../../scripts/postgres.ts";

export { type Cluster, startCluster } from "../../../scripts/postgres.ts";

export interface TestDatabase {
  url: string;
  /** Deletes the database, closing the connections that are still open to it. */
  drop(): Promise<void>;
}

let ownServer: Promise<string> | undefined;

/** An empty database under a name of its own, so that tests may run side by side. */
export async function createTestDatabase(server = process.env["LINKME_TEST_POSTGRES_URL"]): Promise<TestDatabase> {
  ownServer ??= server ? undefined : startCluster().then((cluster) => cluster.url);
  const address = server ?? (await ownServer) ?? "";
  const name = `linkme_test_${randomBytes(8).toString("hex")}`;
  await runStatement(address, `create database ${name} template template0`);
  const url = new URL(address);
  url.pathname = `/${name}`;
  return { url: url.href, drop: () => runStatement(address, `drop database if exists ${name} with (force)`) };
}

async function runStatement(url: string, text: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(text);
  } finally {
    await client.end();
  }
}
