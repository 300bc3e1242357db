// Readers of the live streams that go away and come back at any moment, while events, clicks and deliveries are written, the
// server is killed with SIGKILL and started again, and on PostgreSQL another one writes beside it: in the end each has got
// every event, and every attempt, exactly once.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openDatabase } from "../../src/platform/database-open.ts";
import { sql } from "../../src/platform/sql.ts";
import { waitUntilDrained } from "../support/drain.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { createRandom, type Random } from "../support/random.ts";
import { startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite, type Site } from "../support/site.ts";
import { createStreamReader, type StreamReader } from "../support/stream-reader.ts";
import { commonSettings } from "../support/together.ts";
import { createTraffic } from "../support/traffic.ts";
import { waitUntil } from "../support/wait.ts";

const KILLS = 5;
const LIFE_MAX = 150;
const READ_MAX = 60;
const DRAIN_TIMEOUT_MS = 120_000;

test("on SQLite, a reader gets every event and attempt once, across its own reconnects and kills of the server", async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "linkme-tail-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  await readThroughKills(t, { dir, url: `file:${join(dir, "linkme.db")}`, beside: false });
});

test("on PostgreSQL, the same while a second process writes", async (t) => {
  const database = await createTestDatabase();
  t.after(() => database.drop());
  const dir = mkdtempSync(join(tmpdir(), "linkme-tail-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  await readThroughKills(t, { dir, url: database.url, beside: true });
});

interface Place {
  dir: string;
  url: string;
  /** Whether a second process works on the same database. */
  beside: boolean;
}

async function readThroughKills(t: TestContext, place: Place): Promise<void> {
  const random = createRandom();
  t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
  const receiver = await startReceiver();
  t.after(() => receiver.close());
  const env = commonSettings(place.url);
  const start = () => startServer({ dir: place.dir, env });
  let server = await start();
  /** Readers wait for it while a process is started. */
  let running = Promise.resolve(server);
  const second = place.beside ? await startServer({ env }) : null;
  const site = await createSite(server, receiver.url, [{ path: "/all" }]);
  const readers = createReaders(site, random, async () =>
    second !== null && random.below(2) === 0 ? second : await running,
  );
  // Without an id a stream begins when it is opened.
  await waitUntil(() => readers.deliveries.lastId() !== null, "the first id of the deliveries");
  const traffic = createTraffic(site, random);
  const beside = createTraffic(site, random);
  const besides = second === null ? Promise.resolve() : beside.run(second.url);
  for (let kills = 0; kills < KILLS; kills++) {
    const end = traffic.counts.answered + random.below(LIFE_MAX);
    const sending = traffic.run(server.url);
    await Promise.race([sending, waitUntil(() => traffic.counts.answered >= end, "the moment of the next kill")]);
    await server.kill9();
    await sending;
    running = start();
    server = await running;
  }
  beside.stop();
  await besides;
  const processes: [ServerProcess, ...ServerProcess[]] = second === null ? [server] : [server, second];
  await waitUntilDrained(processes, site, DRAIN_TIMEOUT_MS);
  await assertSeenOnce(t, readers, place.url, site);
  await readers.stop();
  for (const process of processes) assert.deepEqual(await process.stop(), { code: 0, signal: null });
}

/** One of each stream, which connect again and again, wherever the server is. */
function createReaders(site: Site, random: Random, place: () => Promise<ServerProcess>) {
  const events = createStreamReader(
    `/api/apps/${site.app_id}/events/stream?since=2020-01-01T00:00:00Z`,
    site.admin_token,
  );
  const hook = site.hooks[0] ?? assert.fail("a webhook");
  const deliveries = createStreamReader(`/api/webhooks/${hook.id}/deliveries/stream`, site.admin_token);
  let is_stopped = false;
  let connections = 0;
  const keepReading = async (reader: StreamReader) => {
    while (!is_stopped) {
      const status = await reader.read((await place()).url, 1 + random.below(READ_MAX));
      assert.ok([0, 200, 503].includes(status), `the stream was answered with ${status}`);
      connections++;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const reading = [events, deliveries].map(keepReading);
  return {
    ...{ events, deliveries, hook, connections: () => connections },
    async stop() {
      is_stopped = true;
      events.close();
      deliveries.close();
      await Promise.all(reading);
    },
  };
}

async function assertSeenOnce(
  t: TestContext,
  { events, deliveries, hook, connections }: ReturnType<typeof createReaders>,
  url: string,
  site: Site,
): Promise<void> {
  const db = await openDatabase(url);
  t.after(() => db.close());
  const stored = await db.query<{ id: string }>(sql`select id from events where app_id = ${site.app_id} order by id`);
  const attempts = await db.query<{ position: string; number: number }>(
    sql`select position, number from attempt_history where destination_id = ${hook.id}`,
  );
  const made = await db.query<{ position: string }>(
    sql`select position from deliveries where destination_id = ${hook.id}`,
  );
  const changes = () => deliveries.messages.map(({ data }) => JSON.parse(data));
  const attempted = () => changes().filter(({ change }) => change === "attempted");
  await waitUntil(() => events.messages.length >= stored.length, `${stored.length} events on the stream`);
  await waitUntil(() => attempted().length >= attempts.length, `${attempts.length} attempts on the stream`);
  const ids = events.messages.map(({ data }) => JSON.parse(data).id).sort();
  assert.deepEqual(
    ids,
    stored.map(({ id }) => id),
  );
  assert.equal(deliveries.messages.filter(({ event }) => event === "reset").length, 0);
  const keys = attempted().map(({ attempt }) => attempt.id);
  assert.equal(new Set(keys).size, keys.length, "no attempt came twice");
  assert.equal(keys.length, attempts.length);
  const created = changes().filter(({ change }) => change === "created");
  assert.equal(new Set(created.map(({ id }) => id)).size, created.length, "no delivery was created twice");
  t.diagnostic(
    `${stored.length} events, ${attempts.length} attempts, ${made.length} deliveries, ${connections()} connections`,
  );
}

test("a reader that does not read is dropped, while another one gets everything", async (t) => {
  const server = await startServer({ role: "api" });
  t.after(() => server.stop());
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const app = await server.request<{ id: string }>("POST", "/api/apps", { name: "Tail" }, headers);
  const path = `/api/apps/${app.body.id}/events`;
  const { hostname, port } = new URL(server.url);
  const deaf = connect(Number(port), hostname);
  t.after(() => deaf.destroy());
  deaf.pause();
  deaf.write(`GET ${path}/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${server.admin_token}\r\n\r\n`);
  const reader = createStreamReader(`${path}/stream`, server.admin_token);
  const reading = reader.read(server.url);
  await waitUntil(() => reader.lastId() !== null, "the stream to begin");
  const data = { text: "x".repeat(200 * 1024) };
  let count = 0;
  await waitUntil(
    async () => {
      // More than the buffers of two sockets hold, whatever the system gives them.
      if (count < 200) {
        const { status } = await server.request("POST", path, { event: "link.claim", data }, headers);
        assert.equal(status, 202);
        count++;
      }
      return server.stdout().includes('"stream.dropped"');
    },
    "the deaf reader to be dropped",
    { timeout_ms: DRAIN_TIMEOUT_MS },
  );
  const dropped = JSON.parse(
    server
      .stdout()
      .split("\n")
      .find((line) => line.includes("stream.dropped")) ?? "{}",
  );
  assert.ok(dropped.waiting_bytes < 2 * 1024 * 1024, `${dropped.waiting_bytes} bytes waited`);
  await waitUntil(() => reader.messages.length >= count, "the other reader to have everything");
  assert.equal(new Set(reader.messages.map(({ data }) => JSON.parse(data).id)).size, count);
  const begun_at = performance.now();
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.equal(await reading, 200);
  t.diagnostic(`${count} events of 200 KiB, stopped in ${Math.round(performance.now() - begun_at)} ms`);
});
