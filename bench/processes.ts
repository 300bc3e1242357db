// Starts and ends every process of a run: sink, generator, floors and the server, which is started exactly as
// `npm start` starts it, with a data directory of its own, and where a scenario wants it as two processes with a role
// each. Called by the scenarios. Whatever happens to this process, its children end: forked ones when their channel
// closes, the server's through guard.ts.
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { createDatabase } from "./engine.ts";
import type { LoadPlan, LoadResult } from "./generator.ts";
import type { Engine } from "./options.ts";
import type { SinkCommand, SinkReport } from "./sink.ts";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const NODE_FLAGS = ["--disable-warning=ExperimentalWarning"];
/** Those of `npm start` for the collector (docs/performance.md). */
const SERVER_FLAGS = (readPackage().scripts.start.match(/ --(?:max|heap|no-allocation)-\S+/g) ?? []).map((flag) =>
  flag.trim(),
);
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;
const SINK_TIMEOUT_MS = 30_000;
/** Beyond a plan's own seconds: connecting, the generator's grace and sending the logs back. */
const PLAN_MARGIN_MS = 60_000;
const LAST_LINES = 30;
const ADMIN_TOKEN = "benchmark-admin-token-0123456789abcdef";

/** Something that takes requests and is measured: the server or a floor. */
export type Target = { pid: number; host: string; port: number; url: string; stop: () => Promise<void> };
/** `startDispatcher`: a second process on the same database that only delivers; to be stopped before the server. */
export type Server = Target & { admin_token: string; database_url: string; startDispatcher: () => Promise<Target> };
export type SinkProcess = {
  url: string;
  ask: (command: SinkCommand) => Promise<SinkReport>;
  stop: () => Promise<void>;
};

function readPackage(): { scripts: { start: string } } {
  return JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { scripts: { start: string } }; // our own file
}

/** @param sink required by `accept+post` */
export async function startFloor(floor: "accept" | "accept+post", sink: SinkProcess | null): Promise<Target> {
  const child = forkFile("floors.ts", sink === null ? [floor] : [floor, sink.url]);
  const { address: host, port } = await receive<AddressInfo>(child, START_TIMEOUT_MS);
  return { pid: child.pid!, host, port, url: `http://${host}:${port}`, stop: () => stop(child) };
}

export async function startSink(): Promise<SinkProcess> {
  const child = forkFile("sink.ts", []);
  const { address, port } = await receive<AddressInfo>(child, START_TIMEOUT_MS);
  return {
    url: `http://${address}:${port}/webhook`,
    ask: async (command) => {
      const answer = receive<SinkReport>(child, SINK_TIMEOUT_MS);
      child.send(command);
      return await answer;
    },
    stop: () => stop(child),
  };
}

/** Runs one plan in a generator process of its own. */
export async function generate(plan: LoadPlan): Promise<LoadResult> {
  const child = forkFile("generator.ts", []);
  try {
    await receive(child, START_TIMEOUT_MS);
    const answer = receive<{ ok: true; result: LoadResult } | { ok: false; error: string }>(
      child,
      plan.seconds * 1000 + PLAN_MARGIN_MS,
    );
    child.send(plan);
    const reply = await answer;
    if (!reply.ok) throw new Error(`The generator failed: ${reply.error}`);
    return reply.result;
  } finally {
    await stop(child);
  }
}

/**
 * Starts the server on an empty database and waits until it says that it is ready.
 * @param role as in LINKME_ROLE; all roles when left out
 * @param more settings beside those that every run has
 */
export async function startServer(engine: Engine, role?: string, more: NodeJS.ProcessEnv = {}): Promise<Server> {
  const directory = mkdtempSync(join(tmpdir(), "linkme-bench-"));
  const database = await createDatabase(engine, directory);
  const place = { ...more, DATABASE_URL: database.url, LINKME_DATA_DIR: directory };
  const remove = async () => {
    await database.drop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const server = await spawnServer({ ...place, ...(role !== undefined && { LINKME_ROLE: role }) });
    return {
      ...server,
      admin_token: ADMIN_TOKEN,
      database_url: database.url,
      startDispatcher: () => spawnServer({ ...place, LINKME_ROLE: "dispatcher" }),
      stop: async () => {
        await server.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

type Settings = { DATABASE_URL: string; LINKME_DATA_DIR: string; LINKME_ROLE?: string };

/** One process of the server, and the guard that ends it should this process be killed. */
async function spawnServer(settings: Settings): Promise<Target> {
  const child = spawn(process.execPath, [...NODE_FLAGS, ...SERVER_FLAGS, "server/src/main.ts"], {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...cleanEnvironment(),
      ...settings,
      PORT: "0",
      HOST: "127.0.0.1",
      LINKME_ADMIN_TOKEN: ADMIN_TOKEN,
      LINKME_EGRESS_ALLOW: "127.0.0.0/8",
    },
  });
  const guard = forkFile("guard.ts", [String(child.pid), settings.LINKME_DATA_DIR]);
  const stopBoth = async () => {
    await stop(child);
    await stop(guard);
  };
  try {
    const { hostname: host, port } = new URL(await readyUrl(child));
    return { pid: child.pid!, host, port: Number(port), url: `http://${host}:${port}`, stop: stopBoth };
  } catch (error) {
    await stopBoth();
    throw error;
  }
}

/** The address in the server's ready line; afterwards its output is read on and forgotten, so that it never blocks. */
function readyUrl(child: ChildProcess): Promise<string> {
  const last: string[] = [];
  return new Promise((resolve, reject) => {
    const fail = (what: string) => reject(new Error(`The server ${what}. Its last lines:\n${last.join("\n")}`));
    const timer = setTimeout(() => fail(`was not ready after ${START_TIMEOUT_MS} ms`), START_TIMEOUT_MS);
    child.once("exit", (code, signal) => {
      clearTimeout(timer);
      // Let what it wrote last arrive first.
      setImmediate(() => fail(`ended while starting (${signal ?? `exit code ${code}`})`));
    });
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on("line", (line) => {
        last.push(line);
        if (last.length > LAST_LINES) last.shift();
        const url = readyLine(line);
        if (url === null) return;
        clearTimeout(timer);
        resolve(url);
      });
    }
  });
}

/** The `url` of a JSON log line whose event is `server.ready`; null for every other line. */
export function readyLine(line: string): string | null {
  if (!line.includes('"server.ready"')) return null;
  try {
    const parsed: unknown = JSON.parse(line);
    const isReady = typeof parsed === "object" && parsed !== null && "event" in parsed && "url" in parsed;
    return isReady && parsed.event === "server.ready" && typeof parsed.url === "string" ? parsed.url : null;
  } catch {
    // Any text may mention the words; only a JSON line is the announcement.
    return null;
  }
}

/** The server sees none of the caller's settings, so that a run means the same on every machine. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  const own = (name: string) => !/^(LINKME_|DATABASE_URL|PORT|HOST)/.test(name) && name !== "NODE_OPTIONS";
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => own(name)));
}

function forkFile(file: string, args: string[]): ChildProcess {
  return fork(join(ROOT, "bench", file), args, { execArgv: NODE_FLAGS, serialization: "advanced" });
}

/** The child's next message. The type parameter is what that file sends: both ends are ours. */
async function receive<Message>(child: ChildProcess, timeoutMs: number): Promise<Message> {
  const signal = AbortSignal.timeout(timeoutMs);
  const gone = new AbortController();
  const message = once(child, "message", { signal: AbortSignal.any([signal, gone.signal]) });
  const exited = () => gone.abort(new Error(`${child.spawnargs.slice(-2).join(" ")} ended before it answered`));
  child.once("exit", exited);
  try {
    const [value] = (await message) as [Message];
    return value;
  } catch (error) {
    throw gone.signal.aborted ? gone.signal.reason : error;
  } finally {
    child.off("exit", exited);
  }
}

/** Asks a child to end and insists after a while. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_TIMEOUT_MS);
  child.kill("SIGTERM");
  await exited;
  clearTimeout(timer);
}
