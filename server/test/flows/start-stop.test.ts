// The process as an operator sees it: how it starts, what it says when it cannot, and how it stops.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { request } from "undici";
import { createTestDatabase } from "../support/postgres.ts";
import { logLine, run, runToEnd } from "../support/program.ts";
import { startReceiver } from "../support/receiver.ts";
import { startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

/** Promised, whatever the receiver does. */
const STOP_MAX_MS = 10_000;
const ROOT = join(import.meta.dirname, "..", "..", "..");
const root = mkdtempSync(join(tmpdir(), "linkme-start-"));
after(() => rmSync(root, { recursive: true, force: true }));

const url = (name: string) => `file:${join(root, name, "linkme.db")}`;

test("what the server keeps is readable for nobody else, also in a directory that others may enter", async (t) => {
  const data_dir = join(root, "open-to-others");
  mkdirSync(data_dir, { mode: 0o755 });
  const { child, out } = run({ LINKME_DATA_DIR: data_dir, DATABASE_URL: `file:${join(data_dir, "linkme.db")}` });
  t.after(() => child.kill("SIGKILL"));
  await logLine(out, "server.ready");
  const files = readdirSync(data_dir);
  assert.ok(files.includes("linkme.db") && files.includes("linkme.db-wal"), files.join(" "));
  for (const name of files) assert.equal(statSync(join(data_dir, name)).mode & 0o077, 0, name);
});

test("a port that is in use is one sentence that says what to do", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  after(() => other.close());
  await once(other, "listening");
  const address = other.address();
  const port = typeof address === "object" && address ? String(address.port) : "";
  const { code, err } = await runToEnd({ PORT: port, DATABASE_URL: url("port") });
  assert.equal(code, 1);
  // The last thing to be seen, behind the token.
  assert.match(err.trim().split("\n").at(-1) ?? "", new RegExp(`^PORT ${port} on 127\\.0\\.0\\.1 is in use`));
  // The next start finds the token made already, and does not show it.
  assert.ok(err.includes(readFileSync(join(root, "port", "admin.token"), "utf8").trim()));
});

test("a database file that another server uses is waited for, and nothing of that server is sent again", async () => {
  const env = { DATABASE_URL: url("shared"), LINKME_ADMIN_TOKEN: "token-of-this-test" };
  const first = run(env);
  await logLine(first.out, "server.ready");
  // By another name it is the same file.
  symlinkSync(join(root, "shared", "linkme.db"), join(root, "link.db"));
  const second = run({ ...env, DATABASE_URL: `file:${join(root, "link.db")}`, LINKME_DATA_DIR: join(root, "shared") });
  await logLine(second.out, "database.in_use");
  assert.ok(!second.out().includes('"server.ready"'));
  first.child.kill("SIGTERM");
  assert.deepEqual(await once(first.child, "close"), [0, null]);
  await logLine(second.out, "server.ready");
  second.child.kill("SIGKILL");
  await once(second.child, "close");
  const third = run(env);
  await logLine(third.out, "server.ready");
  assert.ok(!third.out().includes('"database.in_use"'), "a lock ends with its process");
  const fourth = await runToEnd(env);
  assert.equal(fourth.code, 1);
  assert.match(fourth.err, /^DATABASE_URL \S+linkme\.db is in use by another LinkMe Server; stop that one first/);
  third.child.kill("SIGTERM");
  await once(third.child, "close");
});

test("the first start shows its admin token once, on stderr, and the second start does not", async () => {
  const env = { DATABASE_URL: url("first") };
  const first = run(env);
  const ready = await logLine(first.out, "server.ready");
  assert.match(ready["url"] ?? "", /^http:\/\/127\.0\.0\.1:\d+$/);
  const token = readFileSync(join(root, "first", "admin.token"), "utf8").trim();
  assert.equal(statSync(join(root, "first", "admin.token")).mode & 0o777, 0o600);
  await waitUntil(() => first.err().includes(token), "the token on stderr");
  assert.ok(!first.out().includes(token), "secrets are not logged");
  assert.ok(first.err().includes(`${ready["url"]}/docs`));
  const answer = await request(`${ready["url"]}/api/apps`, { headers: { authorization: `Bearer ${token}` } });
  assert.equal(answer.statusCode, 200);
  await answer.body.dump();
  first.child.kill("SIGTERM");
  assert.deepEqual(await once(first.child, "close"), [0, null]);

  const second = run(env);
  await logLine(second.out, "server.ready");
  second.child.kill("SIGINT");
  assert.deepEqual(await once(second.child, "close"), [0, null]);
  assert.ok(!second.err().includes(token));
  assert.match(second.err(), /\/docs\nAdmin token: in \S+admin\.token\n\n$/);
});

test("a database that is late is waited for, with the health checks answering", async () => {
  const { child, out } = run({
    DATABASE_URL: "postgres://nobody@127.0.0.1:1/none",
    LINKME_DATA_DIR: join(root, "late"),
  });
  const address = (await logLine(out, "server.waiting"))["url"];
  assert.equal((await request(`${address}/api/health`)).statusCode, 200);
  for (const path of ["/", "/some-slug", "/some-slug/deeper"]) {
    const { statusCode, headers, body } = await request(`${address}${path}`);
    assert.deepEqual([statusCode, headers["retry-after"]], [503, "1"], path);
    assert.match(await body.text(), /<h1>Please try again<\/h1>/);
  }
  for (const path of ["/api/ready", "/api/apps", "/api/apps/none"]) {
    const { statusCode, headers, body } = await request(`${address}${path}`);
    assert.equal(statusCode, 503, path);
    assert.equal(headers["retry-after"], "1");
    assert.equal(((await body.json()) as { error: string }).error, "temporarily_unavailable");
  }
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "close"), [0, null]);
});

test("what is in flight at SIGTERM is finished, and no new connection is taken", async () => {
  const server = await startServer();
  const port = Number(new URL(server.url).port);
  const body = JSON.stringify({ name: "Late" });
  const socket = await sendHead(port, server.admin_token, body.length);
  const stopping = server.stop();
  await logLine(server.stdout, "server.stopping");
  await waitUntil(() => isRefused(port), "new connections to be refused");
  socket.write(body);
  assert.match(await readAll(socket), /^HTTP\/1\.1 201 /);
  assert.deepEqual(await stopping, { code: 0, signal: null });
});

test("a check that waits for its receiver does not hold up the stop: it is refused, and may be asked again", async (t) => {
  const receiver = await startReceiver(() => "hang");
  t.after(() => receiver.close());
  const server = await startServer();
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const { body: app } = await server.request<{ id: string }>("POST", "/api/apps", { name: "App" }, headers);
  const asked = { url: receiver.url, timeout_ms: 60_000 };
  const checking = server.request<{ error: string }>("POST", `/api/apps/${app.id}/webhooks/check`, asked, headers);
  await receiver.waitFor(1);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  const answer = await checking;
  assert.deepEqual([answer.status, answer.body.error], [503, "temporarily_unavailable"]);
});

for (const engine of ["SQLite", "PostgreSQL"]) {
  test(`a receiver that outlasts the stop is not waited for, and costs its delivery nothing: ${engine}`, async (t) => {
    const receiver = await startReceiver(() => "hang");
    t.after(() => receiver.close());
    const database = engine === "SQLite" ? null : await createTestDatabase();
    const env: Record<string, string> = database === null ? {} : { DATABASE_URL: database.url };
    const server = await startServer({ env });
    if (database !== null) t.after(() => database.drop());
    const headers = { authorization: `Bearer ${server.admin_token}` };
    const { body: app } = await server.request<{ id: string }>("POST", "/api/apps", { name: "App" }, headers);
    const webhook = { url: receiver.url, events: ["link.claim"], timeout_ms: 60_000, retry_schedule: [] };
    const at = `/api/apps/${app.id}/webhooks`;
    const { body: made } = await server.request<{ id: string }>("POST", at, webhook, headers);
    await server.request("POST", `/api/apps/${app.id}/events`, { event: "link.claim", data: {} }, headers);
    await receiver.waitFor(1);
    const asked_at = performance.now();
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.ok(performance.now() - asked_at < STOP_MAX_MS);
    assert.equal((await logLine(server.stdout, "server.stopped"))["drained"], false);

    receiver.setAnswer(() => ({}));
    const next = await startServer({ dir: server.dir, env });
    await receiver.waitFor(2);
    const [first, second] = receiver.received;
    assert.deepEqual(second?.body, first?.body);
    const ask = async <Body>(path: string) =>
      (await next.request<Body>("GET", path, undefined, { authorization: `Bearer ${next.admin_token}` })).body;
    const list = `/api/webhooks/${made.id}/deliveries?state=succeeded`;
    const find = async () => (await ask<{ items: { id: string }[] }>(list)).items[0];
    const { id } = await waitUntil(find, "its end");
    const { attempts } = await ask<{ attempts: { error: string | null }[] }>(`/api/deliveries/${id}`);
    const errors = attempts.map(({ error }) => error);
    assert.deepEqual(
      errors.sort(),
      ["This server is stopping", null],
      "its schedule has one attempt, and this was none",
    );
    assert.deepEqual(await next.stop(), { code: 0, signal: null });
  });
}

test("a second signal ends the process on the spot, whatever is in flight", async () => {
  const { child, out } = run({ DATABASE_URL: url("second"), LINKME_ADMIN_TOKEN: "token-of-this-test" });
  const { url: address = "" } = await logLine(out, "server.ready");
  const socket = await sendHead(Number(new URL(address).port), "token-of-this-test", 100);
  socket.on("error", () => {});
  child.kill("SIGTERM");
  await logLine(out, "server.stopping");
  const ended = once(child, "close");
  // Two signals close together count as one, so it is sent until it is heard.
  await waitUntil(() => {
    child.kill("SIGTERM");
    return child.exitCode !== null;
  }, "the end of the process");
  assert.deepEqual(await ended, [143, null]);
  assert.ok(!out().includes('"server.stopped"'));
});

for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  test(`the server that npm start runs ends in order when npm gets ${signal}`, async () => {
    const env = { PATH: process.env["PATH"] ?? "", HOME: root, PORT: "0", DATABASE_URL: url(signal) };
    const npm = spawn("npm", ["start"], { cwd: ROOT, env });
    after(() => npm.kill("SIGKILL"));
    let text = "";
    npm.stdout.on("data", (chunk) => (text += chunk));
    await logLine(() => text, "server.ready");
    npm.kill(signal);
    assert.equal((await logLine(() => text, "server.stopped"))["drained"], true);
  });
}

/** Sends a request up to its body, and waits until the server has read that much. */
async function sendHead(port: number, token: string, length: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  const lines = [
    "POST /api/apps HTTP/1.1",
    "host: localhost",
    `authorization: Bearer ${token}`,
    "content-type: application/json",
    `content-length: ${length}`,
    // The interim answer tells that the server has begun with the request.
    "expect: 100-continue",
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  const [chunk] = await once(socket, "data");
  assert.match(String(chunk), /^HTTP\/1\.1 100 /);
  return socket;
}

async function readAll(socket: Socket): Promise<string> {
  let text = "";
  socket.on("data", (chunk) => (text += chunk));
  await once(socket, "close");
  return text;
}

function isRefused(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(port, "127.0.0.1");
    probe.once("error", () => resolve(true));
    probe.once("connect", () => {
      probe.destroy();
      resolve(false);
    });
  });
}
