// The supports of the tests, tested: a receiver that loses a request or a server that outlives its test would make every
// other test lie.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import pg from "pg";
import { request } from "undici";
import { type Cluster, createTestDatabase, startCluster } from "./postgres.ts";
import { startReceiver } from "./receiver.ts";
import { startServer } from "./server-process.ts";
import { waitUntil } from "./wait.ts";

const folder = mkdtempSync(join(tmpdir(), "linkme-support-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const READY_PROGRAM = `
  import { createServer } from "node:http";
  const server = createServer((request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ method: request.method, path: request.url, env: process.env }));
  });
  server.listen(0, "127.0.0.1", () => {
    console.log(JSON.stringify({ level: "info", event: "server.ready", url: "http://127.0.0.1:" + server.address().port }));
  });
  process.on("SIGTERM", () => { server.closeAllConnections(); server.close(() => process.exit(0)); });
`;

test("two test databases are separate, durable and gone after being dropped", async () => {
  const [first, second] = await Promise.all([createTestDatabase(), createTestDatabase()]);
  await query(first.url, "create table only_here (id text)");
  await assert.rejects(query(second.url, "select * from only_here"), /does not exist/);
  assert.deepEqual(await query(second.url, "show fsync"), [{ fsync: "on" }]);
  await Promise.all([first.drop(), second.drop()]);
  await assert.rejects(query(first.url, "select 1"), /does not exist/);
});

for (const mode of ["fast", "immediate", "kill"] as const) {
  test(`a server of one's own refuses connections after a ${mode} stop and has its data after a start`, async () => {
    const cluster = await startCluster();
    try {
      await query(cluster.url, "create table kept (id int)");
      await query(cluster.url, "insert into kept values (7)");
      await cluster.stop(mode);
      await assert.rejects(query(cluster.url, "select 1"), /ECONNREFUSED/);
      await cluster.start();
      assert.deepEqual(await query(cluster.url, "select id from kept"), [{ id: 7 }]);
    } finally {
      await cluster.remove();
    }
    await assert.rejects(query(cluster.url, "select 1"), /ECONNREFUSED/);
  });
}

test("a server of one's own listens on loopback only and asks for its password", async () => {
  const cluster: Cluster = await startCluster();
  try {
    const wrong = new URL(cluster.url);
    wrong.password = "guess";
    await assert.rejects(query(wrong.href, "select 1"), /password authentication failed/);
    assert.deepEqual(await query(cluster.url, "show listen_addresses"), [{ listen_addresses: "127.0.0.1" }]);
  } finally {
    await cluster.remove();
  }
});

test("a PostgreSQL server ends with the process that started it, even when that is killed", async () => {
  const module = join(import.meta.dirname, "postgres.ts");
  const owner = runProgram(`
    import { startCluster } from ${JSON.stringify(module)};
    console.log((await startCluster()).url);
    setInterval(() => {}, 1000);
  `);
  const [line] = await once(owner.stdout, "data");
  const url = String(line).trim();
  assert.deepEqual(await query(url, "select 1 as one"), [{ one: 1 }]);
  owner.kill("SIGKILL");
  await waitUntil(() => query(url, "select 1").then(() => false, isRefused), "the orphaned server to stop");
});

test("the receiver keeps method, path, headers and the raw body, and answers as told", async () => {
  const receiver = await startReceiver(({ path }) => ({ status: 201, headers: { "x-path": path }, body: "made" }));
  const body = Buffer.from([0, 255, 10, 13]);
  const response = await request(`${receiver.url}/a?b=%20c`, { method: "PUT", headers: { "x-one": "1" }, body });
  assert.equal(response.statusCode, 201);
  assert.equal(response.headers["x-path"], "/a?b=%20c");
  assert.equal(await response.body.text(), "made");
  const [kept] = await receiver.waitFor(1);
  assert.equal(kept?.method, "PUT");
  assert.equal(kept?.headers["x-one"], "1");
  assert.deepEqual(kept?.body, body);
  await receiver.close();
});

test("the receiver can reset, hang, change its mind and break without ending the test", async () => {
  const receiver = await startReceiver(() => "reset");
  await assert.rejects(request(receiver.url), /reset|other side closed/i);
  receiver.setAnswer(() => {
    throw new Error("a broken receiver");
  });
  await assert.rejects(request(receiver.url), /other side closed|reset/i);
  receiver.setAnswer(() => "hang");
  const hanging = request(receiver.url);
  hanging.catch(() => {});
  await receiver.waitFor((received) => received.length === 3, "the third request");
  await receiver.close();
  await assert.rejects(hanging);
});

test("waiting fails with what was awaited", async () => {
  await assert.rejects(
    waitUntil(() => false, "rain", { timeout_ms: 1 }),
    { message: "Waited 0.001 s for rain." },
  );
  assert.equal(await waitUntil(() => 0, "a value"), 0);
});

test("a started server is reachable, sees only its own environment and ends when asked", async () => {
  process.env["LINKME_SUPPORT_LEAK"] = "leaked";
  const server = await startServer({ main: writeProgram(READY_PROGRAM), env: { EXTRA: "yes" }, role: "edge" });
  const answer = await server.request<{ method: string; env: Record<string, string> }>("POST", "/x", { a: 1 });
  assert.equal(answer.status, 200);
  assert.equal(answer.body.method, "POST");
  const { env } = answer.body;
  assert.equal(env["EXTRA"], "yes");
  assert.equal(env["LINKME_ROLE"], "edge");
  assert.equal(env["LINKME_ADMIN_TOKEN"], server.admin_token);
  assert.equal(env["DATABASE_URL"], `file:${join(server.dir, "linkme.db")}`);
  assert.equal(env["LINKME_SUPPORT_LEAK"], undefined);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test("a server can be killed", async () => {
  const server = await startServer({ main: writeProgram(READY_PROGRAM) });
  await server.kill9();
  await assert.rejects(server.request("GET", "/"), /ECONNREFUSED/);
  assert.deepEqual(await server.stop(), { code: null, signal: "SIGKILL" });
});

test("a server that ends early fails the start with what it printed", async () => {
  const main = writeProgram(`console.error("PORT is taken"); process.exit(3);`);
  await assert.rejects(startServer({ main }), /ended before it was ready \(code 3\):\nPORT is taken/);
});

test("a server ends with the test process, even when that is killed", async () => {
  const module = join(import.meta.dirname, "server-process.ts");
  const owner = runProgram(`
    import { startServer } from ${JSON.stringify(module)};
    const main = ${JSON.stringify(writeProgram(READY_PROGRAM))};
    console.log((await startServer({ main, dir: ${JSON.stringify(folder)} })).url);
    setInterval(() => {}, 1000);
  `);
  const [line] = await once(owner.stdout, "data");
  const url = String(line).trim();
  assert.equal((await request(url)).statusCode, 200);
  owner.kill("SIGKILL");
  await waitUntil(() => request(url).then(() => false, isRefused), "the orphaned server to end");
});

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  // A server that stops breaks the connection; the query or the connect rejects with the reason.
  client.on("error", () => {});
  try {
    await client.connect();
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

function isRefused(error: Error & { code?: string }): boolean {
  return error.code === "ECONNREFUSED";
}

let programs = 0;

function writeProgram(text: string): string {
  const path = join(folder, `program-${programs++}.mjs`);
  writeFileSync(path, text);
  return path;
}

function runProgram(text: string) {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", writeProgram(text)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  after(() => child.kill("SIGKILL"));
  return child;
}
