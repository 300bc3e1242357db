// Runs real PostgreSQL servers for tests: each in a fresh folder, on its own loopback port, with a random password and
// durable writes. Called by scripts/test.ts (one for the whole run) and by tests that stop and start one of their own.
// A server dies with the process that started it (scripts/postgres-guard.ts), and what a crash of both left behind is
// cleared by the next run.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { once } from "node:events";
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Account, ensureBinaries, unprivilegedAccount } from "./postgres-binaries.ts";

const GUARD = join(import.meta.dirname, "postgres-guard.ts");
const FOLDER_PREFIX = "linkme-postgres-";
const USER = "linkme";
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;
const POLL_MS = 20;
const PORT_TRIES = 5;
const LOG_TAIL_CHARS = 2_000;
/** A folder that names no owner and is younger than this may have been made a moment ago. */
const LEFTOVER_AGE_MS = 10 * 60_000;
// Below every system's range of ephemeral ports, so that no outgoing connection takes the port while the server is down.
const PORT_MIN = 20_000;
const PORT_MAX = 32_000;
// Small, but with fsync and full_page_writes at their defaults: the tests are about durability too.
const SETTINGS = { shared_buffers: "64MB", max_connections: "200", listen_addresses: "127.0.0.1" };

export interface GuardPlan {
  program: string;
  args: string[];
  folder: string;
  account: Account | undefined;
}

export type StopMode = "fast" | "immediate" | "kill";

export interface Cluster {
  /** The address of the database `postgres`, as a user who may create others. */
  url: string;
  port: number;
  /**
   * Stops the server and keeps its data: "fast" lets it finish cleanly, "immediate" lets it say goodbye to its clients and
   * nothing else, "kill" is `kill -9` of all its processes.
   */
  stop(mode?: StopMode): Promise<void>;
  /** Starts it again on the same port, with the same data. */
  start(): Promise<void>;
  /** Makes another server that follows this one and may be read from until it is promoted. Restarts this one for it. */
  startStandby(): Promise<Cluster>;
  /** Stops it and deletes its data. */
  remove(): Promise<void>;
}

/** Makes a cluster and starts it; resolves when it takes connections. */
export async function startCluster(bin = ensureBinaries()): Promise<Cluster> {
  const account = unprivilegedAccount();
  const password = randomBytes(12).toString("hex");
  const folder = createFolder(account);
  initialise(bin, folder, password, account);
  return runCluster(bin, folder, password);
}

/** Starts the server whose data is in the folder. */
async function runCluster(bin: string, folder: string, password: string): Promise<Cluster> {
  const account = unprivilegedAccount();
  let { port, guard } = await startOnFreePort(bin, folder, account);

  async function stop(mode: StopMode = "fast"): Promise<void> {
    if (hasEnded(guard)) return;
    guard.ref();
    const ended = once(guard, "exit");
    guard.stdin?.write(`${mode}\n`);
    await ended;
  }
  async function start(): Promise<void> {
    if (hasEnded(guard)) guard = await startServer(bin, folder, port, account);
  }

  async function startStandby(): Promise<Cluster> {
    await stop();
    const copy = copyAsStandby(folder, `host=127.0.0.1 port=${port} user=${USER} password=${password}`);
    await start();
    return runCluster(bin, copy, password);
  }

  return {
    url: `postgres://${USER}:${password}@127.0.0.1:${port}/postgres`,
    port,
    stop,
    start,
    startStandby,
    async remove() {
      await stop("immediate");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Stops the servers and deletes the folders of runs that were killed together with their guards. */
export async function removeLeftovers(base = baseFolder(), now = Date.now()): Promise<void> {
  for (const name of readdirSync(base).filter((entry) => entry.startsWith(FOLDER_PREFIX))) {
    const folder = join(base, name);
    const stats = statSync(folder, { throwIfNoEntry: false });
    if (!stats || stats.uid !== expectedOwner() || isInUse(folder, now - stats.mtimeMs)) continue;
    const server = Number(readLines(join(folder, "data", "postmaster.pid"))[0]);
    if (server > 0 && commandOf(server).includes(folder)) process.kill(server, "SIGQUIT");
    const deadline = performance.now() + STOP_TIMEOUT_MS;
    while (server > 0 && commandOf(server).includes(folder) && performance.now() < deadline) await pause(POLL_MS);
    rmSync(folder, { recursive: true, force: true });
  }
}

function isInUse(folder: string, ageMs: number): boolean {
  const [owner, guard] = readLines(join(folder, "owner")).map(Number);
  if (!owner) return ageMs < LEFTOVER_AGE_MS;
  return commandOf(owner) !== "" || (guard !== undefined && guard > 0 && commandOf(guard).includes(folder));
}

function createFolder(account: Account | undefined): string {
  const folder = mkdtempSync(join(baseFolder(), FOLDER_PREFIX));
  chmodSync(folder, 0o700);
  writeFileSync(join(folder, "owner"), `${process.pid}\n`);
  if (account) chownSync(folder, account.uid, account.gid);
  return folder;
}

/** Of a server that was stopped cleanly a copy of its files is a whole backup, so no further program is needed. */
function copyAsStandby(folder: string, primary: string): string {
  const account = unprivilegedAccount();
  const copy = createFolder(account);
  const data = join(copy, "data");
  // Keeps the owner, which Node's own copying does not.
  const result = spawnSync("cp", ["-a", join(folder, "data"), data], { encoding: "utf8", timeout: START_TIMEOUT_MS });
  if (result.status !== 0) throw new Error(`The data could not be copied: ${result.error?.message ?? result.stderr}`);
  const files = { "standby.signal": "", "postgresql.auto.conf": `primary_conninfo = '${primary}'\n` };
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(data, name), text, { mode: 0o600 });
    if (account) chownSync(join(data, name), account.uid, account.gid);
  }
  return copy;
}

/** Root's own temporary folder may be closed to the account that runs the server; /tmp is open to all. */
function baseFolder(): string {
  return process.getuid?.() === 0 ? "/tmp" : tmpdir();
}

function expectedOwner(): number | undefined {
  return unprivilegedAccount()?.uid ?? process.getuid?.();
}

function initialise(bin: string, folder: string, password: string, account: Account | undefined): void {
  const passwordFile = join(folder, "password");
  writeFileSync(passwordFile, password, { mode: 0o600 });
  if (account) chownSync(passwordFile, account.uid, account.gid);
  const flags = ["--auth=scram-sha-256", `--pwfile=${passwordFile}`, "--encoding=UTF8", "--locale=C", "--no-sync"];
  const result = spawnSync(join(bin, "initdb"), ["-D", join(folder, "data"), "-U", USER, ...flags], {
    ...account,
    cwd: folder,
    encoding: "utf8",
    timeout: START_TIMEOUT_MS,
  });
  rmSync(passwordFile);
  if (result.status === 0) return;
  rmSync(folder, { recursive: true, force: true });
  throw new Error(`PostgreSQL's initdb failed: ${result.error?.message ?? result.stderr}`);
}

async function startOnFreePort(bin: string, folder: string, account: Account | undefined) {
  for (let tried = 1; ; tried++) {
    const port = await findFreePort();
    try {
      return { port, guard: await startServer(bin, folder, port, account) };
    } catch (error) {
      // Another process may have taken the port in between; any other reason will not go away.
      if (tried < PORT_TRIES && String(error).includes("could not bind")) continue;
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }
}

async function startServer(
  bin: string,
  folder: string,
  port: number,
  account: Account | undefined,
): Promise<ChildProcess> {
  const settings = { ...SETTINGS, port: String(port), unix_socket_directories: folder };
  const flags = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const args = ["-D", join(folder, "data"), ...flags];
  const plan: GuardPlan = { program: join(bin, "postgres"), args, folder, account };
  const guard = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", GUARD, JSON.stringify(plan)], {
    cwd: folder,
    // In a session of its own, a Ctrl-C in the terminal reaches the owner only, which then stops in good order.
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  writeFileSync(join(folder, "owner"), `${process.pid}\n${guard.pid}\n`);
  await waitUntilReady(guard, folder);
  // A server that nobody stops must not keep its owner's event loop alive.
  guard.unref();
  if (guard.stdin && "unref" in guard.stdin && typeof guard.stdin.unref === "function") guard.stdin.unref();
  return guard;
}

async function waitUntilReady(guard: ChildProcess, folder: string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS;
  // PostgreSQL writes its state to this line of its lock file, which a server that was killed leaves behind.
  const state = () => {
    const lines = readLines(join(folder, "data", "postmaster.pid"));
    return commandOf(Number(lines[0])).includes(folder) ? lines[7]?.trim() : undefined;
  };
  while (state() !== "ready" && state() !== "standby") {
    if (hasEnded(guard) || performance.now() > deadline) {
      guard.stdin?.end();
      const log = readLines(join(folder, "postgres.log")).join("\n").slice(-LOG_TAIL_CHARS);
      throw new Error(`PostgreSQL did not start. Its log ends with:\n${log}`);
    }
    await pause(POLL_MS);
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

/** A port that stays free while its server is down: no system gives it to an outgoing connection. */
export async function findFreePort(): Promise<number> {
  for (;;) {
    const port = randomInt(PORT_MIN, PORT_MAX);
    const probe = createServer();
    const listening = new Promise<boolean>((resolve) => {
      probe.once("error", () => resolve(false));
      probe.listen(port, "127.0.0.1", () => resolve(true));
    });
    const isFree = await listening;
    await new Promise((resolve) => probe.close(resolve));
    if (isFree) return port;
  }
}

/** A process's command line, empty when there is no such process. */
function commandOf(pid: number): string {
  const fromKernel = readLines(`/proc/${pid}/cmdline`).join(" ");
  return fromKernel || spawnSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" }).stdout || "";
}

function readLines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n");
  } catch {
    // Absent is an answer here: no such process, or not started yet.
    return [];
  }
}
