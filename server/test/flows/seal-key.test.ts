// A start with a seal key that is not the one of the database: refused before anything is served, in whichever way it comes.
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createTestDatabase } from "../support/postgres.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { startSwitch } from "../support/tcp-switch.ts";
import { waitUntil } from "../support/wait.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const EXIT_BAD_CONFIG = 78;
const root = mkdtempSync(join(tmpdir(), "linkme-seal-"));
after(() => rmSync(root, { recursive: true, force: true }));

/** A start of which no more is known than how it ends. */
function run(env: Record<string, string>): { child: ChildProcess; ended: Promise<unknown[]>; text: () => string } {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "server/src/main.ts"], {
    cwd: ROOT,
    env: { PATH: process.env["PATH"] ?? "", HOST: "127.0.0.1", PORT: "0", ...env },
  });
  after(() => child.kill("SIGKILL"));
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk) => (text += chunk));
  return { child, ended: once(child, "close"), text: () => text };
}

async function assertRefused(env: Record<string, string>, sentence: RegExp): Promise<void> {
  const { ended, text } = run(env);
  assert.deepEqual(await ended, [EXIT_BAD_CONFIG, null], text());
  assert.match(text().trim().split("\n").at(-1) ?? "", sentence);
  assert.doesNotMatch(text(), /"server\.ready"/);
}

async function createWebhook(server: ServerProcess): Promise<void> {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const app = await server.request<{ id: string }>("POST", "/api/apps", { name: "App" }, headers);
  const hook = { url: "https://hooks.example.com/", events: ["link.click"] };
  const made = await server.request("POST", `/api/apps/${app.body.id}/webhooks`, hook, headers);
  assert.equal(made.status, 201);
}

test("a seal.key that is gone stops the start, leaves no new one behind, and the old one works again", async () => {
  const dir = join(root, "gone");
  const first = await startServer({ dir });
  await createWebhook(first);
  await first.stop();
  const file = join(dir, "seal.key");
  renameSync(file, `${file}.away`);
  const env = { DATABASE_URL: `file:${join(dir, "linkme.db")}` };
  const sentence = /^LINKME_SEAL_KEY is not set and \S+seal\.key was missing, .*; accepted is the key that .* before/;
  await assertRefused(env, sentence);
  assert.ok(!existsSync(file));
  await assertRefused(
    { ...env, LINKME_SEAL_KEY: randomBytes(32).toString("base64") },
    /^LINKME_SEAL_KEY does not fit /,
  );
  renameSync(`${file}.away`, file);
  assert.deepEqual(await (await startServer({ dir })).stop(), { code: 0, signal: null });
});

test("a second process with another key never serves, also when its database comes late", async (t) => {
  const { url, drop } = await createTestDatabase();
  t.after(drop);
  const env = { DATABASE_URL: url, LINKME_SEAL_KEY: randomBytes(32).toString("base64") };
  const server = await startServer({ env });
  const other = {
    DATABASE_URL: url,
    LINKME_DATA_DIR: join(root, "other"),
    LINKME_SEAL_KEY: randomBytes(32).toString("base64"),
    LINKME_ROLE: "dispatcher,api",
  };
  await assertRefused(other, /^LINKME_SEAL_KEY does not fit this database; accepted is /);
  // Nothing listens there yet.
  const way = await startSwitch(1);
  t.after(() => way.close());
  const address = new URL(url);
  const port = Number(address.port);
  address.port = String(way.port);
  const late = run({ ...other, DATABASE_URL: address.href });
  await waitUntil(() => late.text().includes('"server.waiting"'), "the start to wait");
  way.turnTo(port);
  assert.deepEqual(await late.ended, [EXIT_BAD_CONFIG, null], late.text());
  assert.match(late.text().trim().split("\n").at(-1) ?? "", /^LINKME_SEAL_KEY does not fit this database; /);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
