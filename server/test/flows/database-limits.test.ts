// What one process may take of a PostgreSQL that others use as well: no more connections than it was given, and none of them
// for longer than a statement may run. A transaction of the test holds a lock that every call waits for.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import pg from "pg";
import { createTestDatabase } from "../support/postgres.ts";
import { startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

const CONNECTIONS = 4;
/** Of them one listens. */
const WORKING = CONNECTIONS - 1;
const CALLS = 30;

interface Session {
  pid: number;
  query_start: Date;
  is_blocked: boolean;
}

test("however much is asked, a process keeps to its connections, and a statement that waits is ended after 10 s", async (t) => {
  const database = await createTestDatabase();
  // Within a transaction the list of sessions stays what it was.
  const locker = new pg.Client({ connectionString: database.url });
  const observer = new pg.Client({ connectionString: database.url });
  await Promise.all([locker.connect(), observer.connect()]);
  const server = await startServer({
    env: { DATABASE_URL: database.url, LINKME_DATABASE_CONNECTIONS: String(CONNECTIONS) },
  });
  after(async () => {
    await server.stop();
    await Promise.all([locker.end(), observer.end()]);
    await database.drop();
  });
  const headers = { authorization: `Bearer ${server.admin_token}` };
  let most = 0;
  const sessions = async () => {
    const { rows } = await observer.query<Session>(
      `select pid, query_start, wait_event_type is not distinct from 'Lock' as is_blocked
        from pg_stat_activity where datname = current_database() and application_name = 'linkme-server'`,
    );
    most = Math.max(most, rows.length);
    return rows;
  };
  const blocked = async () => (await sessions()).filter((one) => one.is_blocked);
  await locker.query("begin; lock table apps in access exclusive mode");
  const calls = Array.from({ length: CALLS }, (_, n) =>
    server.request("POST", "/api/apps", { name: `App ${n}` }, headers),
  );
  await waitUntil(async () => (await blocked()).length >= WORKING, "every connection to wait for the lock");
  await waitUntil(async () => (await sessions()).length >= CONNECTIONS, "the one that listens");
  const first = await blocked();
  const isWaiting = (now: readonly Session[], { pid, query_start }: Session) =>
    now.some((one) => one.pid === pid && one.query_start.getTime() === query_start.getTime());
  await waitUntil(async () => {
    const now = await sessions();
    return first.every((one) => !isWaiting(now, one));
  }, "the server to end statements that wait");
  assert.equal(most, CONNECTIONS);
  await locker.query("rollback");

  for (const { status } of await Promise.all(calls)) assert.ok(status === 201 || status === 503, String(status));
  const answer = await server.request("POST", "/api/apps", { name: "Afterwards" }, headers);
  assert.equal(answer.status, 201);
  t.diagnostic(`${first.length} statements waited`);
});
