// More than the server can take, and disks and databases that take nothing: callers are told to come again, memory stays
// bounded, nothing is acknowledged that is not stored, and it goes on by itself when there is room.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmodSync, chownSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import { unprivilegedAccount } from "../../../scripts/postgres-binaries.ts";
import { tryLock } from "../../src/platform/file-lock.ts";
import { fillDisk, freeDisk } from "../support/full-disk.ts";
import { startCluster } from "../support/postgres.ts";
import { startReceiver } from "../support/receiver.ts";
import { residentBytes } from "../support/resident-bytes.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

const EVENTS_PER_CALL = 400;
const FILLER_CHARS = 2_000;
const CALLS = 300;
/** Held whole, the calls of the flood were twice as much. */
const MEMORY_GROWTH_MAX_BYTES = 512 * 1024 * 1024;
/** Less than any file of the server has already: no write that makes one longer succeeds. */
const FULL_DISK_BYTES = 4_096;
/** Enough for what SQLite shares between its connections, and less than the write-ahead log has already. */
const OPENED_BYTES = 64 * 1024;

interface Site {
  app_id: string;
  webhook_id: string;
  /** Sends events with ids of their own; null when it was asked to come again. */
  ingest(ids: string[]): Promise<string[] | null>;
  deliveries(state: string): Promise<number>;
}

async function furnish(server: ServerProcess, url: string): Promise<Site> {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const call = async <Body>(method: string, path: string, body?: unknown) =>
    server.request<Body>(method, path, body, headers);
  const { body: app } = await call<{ id: string }>("POST", "/api/apps", { name: "Shop" });
  const settings = { url, events: ["link.claim"] };
  const { body: webhook } = await call<{ id: string }>("POST", `/api/apps/${app.id}/webhooks`, settings);
  return {
    app_id: app.id,
    webhook_id: webhook.id,
    async ingest(ids) {
      const events = ids.map((id) => ({ id, event: "link.claim", data: {} }));
      const answer = await call<{ accepted: string[] }>("POST", `/api/apps/${app.id}/events`, { events });
      if (answer.status === 202) return answer.body.accepted;
      assert.equal(answer.status, 503, JSON.stringify(answer));
      assert.ok(Number(answer.headers["retry-after"]) >= 1);
      return null;
    },
    async deliveries(state) {
      const path = `/api/webhooks/${webhook.id}/deliveries?limit=100&state=${state}`;
      return (await call<{ items: unknown[] }>("GET", path)).body.items.length;
    },
  };
}

test("a flood of large bodies beside a database that is locked is turned away before memory grows", async () => {
  const server = await startServer({ role: "edge,api" });
  after(() => server.stop());
  const headers = { authorization: `Bearer ${server.admin_token}`, "content-type": "application/json" };
  const { body: app } = await server.request<{ id: string }>("POST", "/api/apps", { name: "Shop" }, headers);
  const event = { event: "link.claim", data: { text: "x".repeat(FILLER_CHARS) } };
  const body = Buffer.from(JSON.stringify({ events: Array.from({ length: EVENTS_PER_CALL }, () => event) }));
  const send = () => server.request<{ accepted?: string[] }>("POST", `/api/apps/${app.id}/events`, body, headers);
  assert.equal((await send()).status, 202);
  const before = residentBytes(server.pid);

  const file = new DatabaseSync(join(server.dir, "linkme.db"));
  file.exec("begin immediate");
  let turned_away = 0;
  const flood = Array.from({ length: CALLS }, async () => {
    const answer = await send();
    if (answer.status === 503) turned_away++;
    return answer;
  });
  // What finds no room is answered at once, while what found some waits for the lock.
  await waitUntil(() => turned_away > CALLS / 2, "most calls to be turned away");
  const health = await server.request("GET", "/api/health");
  assert.equal(health.status, 200, "calls without a body are answered all the while");
  file.exec("rollback");
  const answers = await Promise.all(flood);
  const accepted = answers.filter(({ status }) => status === 202);
  const refused = answers.filter(({ status }) => status === 503);
  assert.equal(accepted.length + refused.length, CALLS);
  assert.ok(accepted.length > 0, "what found room, or came when there was some again, was taken");
  for (const answer of refused) assert.equal(answer.headers["retry-after"], "1");
  const grown = residentBytes(server.pid) - before;
  assert.ok(grown < MEMORY_GROWTH_MAX_BYTES, `the server grew by ${grown} bytes`);
  const stored = file.prepare("select count(*) as count from events").get()?.["count"];
  assert.equal(stored, (accepted.length + 1) * EVENTS_PER_CALL, "what was accepted is there, and nothing else");
  assert.equal((await send()).status, 202, "there is room again");
  file.close();
});

for (const engine of ["sqlite", "postgres"] as const) {
  test(`a full disk under ${engine} is answered 503, never 202, and the server goes on when there is space`, async () => {
    const cluster = engine === "postgres" ? await startCluster() : undefined;
    after(() => cluster?.remove());
    const receiver = await startReceiver();
    after(() => receiver.close());
    const server = await startServer(cluster === undefined ? {} : { env: { DATABASE_URL: cluster.url } });
    after(() => server.stop());
    const site = await furnish(server, receiver.url);
    const accepted = new Set(await site.ingest([randomUUID(), randomUUID()]));
    const refused = new Set<string>();
    const limitFiles = (soft: string) => execFileSync("prlimit", [`--pid=${server.pid}`, `--fsize=${soft}:`]);

    if (cluster === undefined) limitFiles(String(FULL_DISK_BYTES));
    else await fillDisk(cluster.url);
    for (let tries = 0; tries < 20; tries++) {
      const ids = [randomUUID(), randomUUID()];
      const taken = await site.ingest(ids);
      // A little may still fit into what the files have already.
      for (const id of ids) (taken === null ? refused : accepted).add(id);
    }
    assert.ok(refused.size > 0);
    assert.equal((await server.request("GET", "/api/ready")).status, 503);
    assert.match(server.stdout(), /"event":"database\.not_writing"/);

    if (cluster === undefined) limitFiles("unlimited");
    else await freeDisk(cluster.url);
    const id = randomUUID();
    await waitUntil(async () => (await site.ingest([id])) !== null, "the server to take events again");
    accepted.add(id);
    const delivered = () => new Set(receiver.received.map(({ body }) => JSON.parse(body.toString()).id));
    await waitUntil(() => [...accepted].every((one) => delivered().has(one)), "every accepted event to be delivered");
    await waitUntil(async () => (await site.deliveries("pending")) === 0, "every delivery to be recorded");
    assert.deepEqual(
      [...refused].filter((one) => delivered().has(one)),
      [],
      "what was refused was not sent",
    );
    assert.equal((await server.request("GET", "/api/ready")).status, 200);
  });
}

const STARTS_ON_FULL_DISK = [
  { end: "kill9", max_bytes: OPENED_BYTES, last: "database.waiting", says: /full|disk I\/O/ },
  // Too full for the file to be opened at all; after a stop SQLite has to make its own files anew.
  {
    end: "kill9",
    max_bytes: FULL_DISK_BYTES,
    last: "server.waiting",
    says: /at the moment\. .*; see whether its disk/,
  },
  { end: "stop", max_bytes: FULL_DISK_BYTES, last: "server.waiting", says: /at the moment\. .*; see whether its disk/ },
] as const;

for (const { end, max_bytes, last, says } of STARTS_ON_FULL_DISK) {
  test(`a full disk (${max_bytes}) at the start after ${end} is waited for, then what was left is sent`, async () => {
    const receiver = await startReceiver(() => "hang");
    after(() => receiver.close());
    const server = await startServer();
    const site = await furnish(server, receiver.url);
    const [id] = (await site.ingest([randomUUID()])) ?? [];
    await receiver.waitFor(1);
    await server[end]();
    receiver.setAnswer(() => ({}));

    const { child, text } = startOnFullDisk(server, max_bytes);
    await waitUntil(() => text().includes(`"event":"${last}"`), "the server to wait");
    assert.match(text(), says);
    assert.equal((await server.request("GET", "/api/health")).status, 200);
    assert.equal((await server.request("GET", "/api/ready")).status, 503);
    assert.equal(await site.ingest([randomUUID()]), null);
    execFileSync("prlimit", [`--pid=${child.pid}`, "--fsize=unlimited:"]);
    await waitUntil(() => text().includes('"event":"server.ready"'), "the server to be ready");
    assert.equal(tryLock(join(server.dir, "linkme.db")), null, "no other process may deliver from its file");
    assert.equal((await site.ingest([randomUUID()]))?.length, 1);
    await receiver.waitFor((all) => all.filter(({ body }) => body.toString().includes(String(id))).length === 2);
    assert.equal(
      text()
        .match(/database\.waiting|backup/g)
        ?.join(),
      "database.waiting",
      "once, and no backup is asked for",
    );
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "close"), [0, null]);
  });
}

test("a start that waits for a full disk can be stopped", async () => {
  const server = await startServer();
  await server.stop();
  const { child, text } = startOnFullDisk(server, FULL_DISK_BYTES);
  await waitUntil(() => text().includes('"event":"server.waiting"'), "the server to wait");
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "close"), [0, null], text());
});

/** The server again, at its address and on its files, none of which can grow beyond so much. */
function startOnFullDisk({ dir, url, admin_token }: ServerProcess, max_bytes: number) {
  const program = [process.execPath, "--disable-warning=ExperimentalWarning", "server/src/main.ts"];
  const child = spawn("prlimit", [`--fsize=${max_bytes}:`, ...program], {
    env: {
      PATH: process.env["PATH"] ?? "",
      HOST: "127.0.0.1",
      PORT: new URL(url).port,
      DATABASE_URL: `file:${join(dir, "linkme.db")}`,
      LINKME_DATA_DIR: dir,
      LINKME_ADMIN_TOKEN: admin_token,
      LINKME_EGRESS_ALLOW: "127.0.0.0/8",
    },
  });
  after(() => child.kill("SIGKILL"));
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (text += chunk));
  return { child, text: () => text };
}

test("a file that must not be written stops the start with a sentence, and what was answered 202 before is there", async () => {
  const account = unprivilegedAccount();
  const dir = mkdtempSync(join(tmpdir(), "linkme-read-only-"));
  after(() => rmSync(dir, { recursive: true, force: true }));
  if (account !== undefined) chownSync(dir, account.uid, account.gid);
  const receiver = await startReceiver();
  after(() => receiver.close());
  const options = { dir, account, env: { LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url") } };
  const server = await startServer(options);
  const site = await furnish(server, receiver.url);
  const accepted = await site.ingest([randomUUID()]);
  allowWriting(dir, false);
  // Who has the file open already may write it still: what is accepted then is no less true.
  const later = await site.ingest([randomUUID()]);
  await server.kill9();

  await assert.rejects(startServer(options), (error: Error) => {
    assert.match(
      error.message,
      /\(code 78\):\nDATABASE_URL \S+linkme\.db cannot be used \(EACCES: give the account of this process the right to read and write it\);/,
    );
    return true;
  });
  allowWriting(dir, true);
  const next = await startServer(options);
  const headers = { authorization: `Bearer ${next.admin_token}` };
  for (const id of [...(accepted ?? []), ...(later ?? [])]) {
    assert.equal((await next.request("GET", `/api/events/${id}`, undefined, headers)).status, 200);
    await receiver.waitFor((received) => received.some(({ body }) => body.toString().includes(id)));
  }
  assert.deepEqual(await next.stop(), { code: 0, signal: null });
});

function allowWriting(dir: string, may_write: boolean): void {
  for (const name of readdirSync(dir)) chmodSync(join(dir, name), may_write ? 0o600 : 0o400);
  chmodSync(dir, may_write ? 0o700 : 0o500);
}

test("a database that became read-only is answered 503, never 202, until it takes writes again", async () => {
  const cluster = await startCluster();
  after(() => cluster.remove());
  const receiver = await startReceiver();
  after(() => receiver.close());
  const server = await startServer({ env: { DATABASE_URL: cluster.url } });
  after(() => server.stop());
  const site = await furnish(server, receiver.url);
  assert.equal((await site.ingest([randomUUID()]))?.length, 1);
  await receiver.waitFor(1);

  await setReadOnly(cluster.url, true);
  await waitUntil(async () => (await site.ingest([randomUUID()])) === null, "the server to refuse events");
  const sent = receiver.received.length;
  assert.equal(await site.ingest([randomUUID()]), null);
  assert.equal(receiver.received.length, sent, "what was refused is not sent");

  await setReadOnly(cluster.url, false);
  await waitUntil(async () => (await site.ingest([randomUUID()])) !== null, "the server to take events again");
  await receiver.waitFor(sent + 1);
});

async function setReadOnly(url: string, is_read_only: boolean): Promise<void> {
  const { default: pg } = await import("pg");
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("set default_transaction_read_only = off");
  await client.query(`alter system set default_transaction_read_only = ${is_read_only ? "on" : "off"}`);
  await client.query("select pg_reload_conf()");
  await client.end();
}
