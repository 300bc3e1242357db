// Runs the product as a process of its own, as a user would start it, for tests that look at it from the outside: over
// HTTP, by signals, by its log and by what is on disk after a crash. The process ends at the latest when the test process does.
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { request as sendRequest } from "undici";
import { waitUntil } from "./wait.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
const MAIN = join("server", "src", "main.ts");
/** Halves the work of a start; what it holds is checked against each source. A process that is killed adds nothing. */
const COMPILE_CACHE = join(ROOT, "node_modules", ".cache", "linkme-tests");
const READY_TIMEOUT_MS = 60_000;
const OUTPUT_MAX_CHARS = 4 * 1024 * 1024;
const OUTPUT_SHOWN_CHARS = 8_000;
/** Timers of so long and longer are those that a test may let come sooner. */
const SELDOM_MS = 30_000;
// Loaded into the server before its own code: the channel to the test process closes however that process ends, SIGKILL
// included, and takes the server with it.
const END_WITH_PARENT = `data:text/javascript,${encodeURIComponent(
  "import workers from 'node:worker_threads'; import { syncBuiltinESMExports } from 'node:module';" +
    "process.on('disconnect', () => process.kill(process.pid, 'SIGKILL')); process.channel?.unref();" +
    // Where a test limits the size of files, a write beyond it fails as on a full disk, and does not end the process.
    "process.on('SIGXFSZ', () => {});" +
    // A wall clock that a test can set, beside timers that go on as they do when a real one is set.
    "let ahead_ms = 0; const { now } = Date; Date.now = () => now() + ahead_ms;" +
    "const RealDate = Date; globalThis.Date = class extends RealDate" +
    " { constructor(...of) { if (of.length === 0) super(RealDate.now()); else super(...of); } };" +
    // Where a test is in a hurry, what is done once in half a minute or less often comes sooner.
    "const { setTimeout, setInterval } = globalThis, hurry = Number(process.env.TEST_HURRY ?? 1);" +
    "delete process.env.TEST_HURRY;" +
    "for (const [name, set] of Object.entries(hurry > 1 ? { setTimeout, setInterval } : {}))" +
    ` globalThis[name] = (run, ms, ...of) => set(run, ms >= ${SELDOM_MS} ? ms / hurry : ms, ...of);` +
    // Threads that a test can end: it takes the last one that was started for the file and the role.
    "const threads = []; workers.Worker = class extends workers.Worker" +
    " { constructor(...of) { super(...of); threads.push({ worker: this, ...of[1]?.workerData }); } };" +
    "syncBuiltinESMExports();" +
    "const endThread = ({ file, role, by }) => { const { worker } = threads.findLast((one) =>" +
    " one.path.endsWith(file) && one.role === role);" +
    // No request is null: it ends the thread with an error that nobody catches there.
    " if (by === 'error') worker.postMessage(null); else worker.terminate(); };" +
    "process.on('message', ({ clock_ahead_ms, end_thread }) => { ahead_ms = clock_ahead_ms ?? ahead_ms;" +
    " if (end_thread !== undefined) endThread(end_thread); }); process.channel?.unref();",
)}`;

export interface ServerOptions {
  /** Settings beside the ones every test server gets; an empty string removes one of those. */
  env?: Record<string, string>;
  /** The data folder to use, left in place afterwards: give the one of an earlier process to start it again. */
  dir?: string;
  role?: string;
  /** So many times sooner comes what the server does once in 30 s or less often: watches, removals. */
  hurry?: number;
  /** Who it runs as, where that is not who runs the tests. */
  account?: { uid: number; gid: number } | undefined;
  /** The program, relative to the project: another one in this file's own tests. */
  main?: string;
}

export interface Answer<Body> {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** Parsed when the answer says it is JSON, else the text. */
  body: Body;
}

export interface DatabaseThread {
  /** How the path of its file ends. */
  file: string;
  role: "writer" | "reader";
}

export interface End {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ServerProcess {
  url: string;
  pid: number;
  admin_token: string;
  dir: string;
  /** Asks it to stop (SIGTERM) and resolves with how it ended. */
  stop(): Promise<End>;
  /** Resolves with how it ended by itself. */
  ended(): Promise<End>;
  kill9(): Promise<void>;
  /** Sets its clock ahead of the test's by so much; once it returns the next request finds it so. */
  setClock(ahead_ms: number): Promise<void>;
  /** Ends one of its threads, as running out of memory would or as an error does. */
  endThread(thread: DatabaseThread, by: "exit" | "error"): Promise<void>;
  /** All it has printed so far. */
  stdout(): string;
  /**
   * Sends one request; an object as the body goes as JSON. Redirects are not followed.
   * `Body` is what the test expects back: nothing checks it but the test's own assertions.
   */
  request<Body = unknown>(
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer<Body>>;
}

/** Starts the server and resolves when it says that it is ready. */
export async function startServer(options: ServerOptions = {}): Promise<ServerProcess> {
  const dir = options.dir ?? createDataFolder();
  const admin_token = options.env?.["LINKME_ADMIN_TOKEN"] ?? randomBytes(24).toString("base64url");
  const flags = ["--disable-warning=ExperimentalWarning", `--import=${END_WITH_PARENT}`];
  const child = spawn(process.execPath, [...flags, options.main ?? MAIN], {
    ...options.account,
    cwd: ROOT,
    env: createEnvironment(dir, admin_token, options),
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  // A server that a failed test did not stop must not keep the test process alive.
  for (const handle of [child, child.channel, child.stdout, child.stderr]) unref(handle);
  const output = collectOutput(child);
  const ended = once(child, "exit");
  await waitUntil(() => readyUrl(output.stdout()) || hasEnded(child), "the server to be ready", {
    timeout_ms: READY_TIMEOUT_MS,
  }).catch((error: Error) => {
    child.kill("SIGKILL");
    throw new Error(`${error.message} Its output:\n${output.all()}`);
  });
  const url = readyUrl(output.stdout());
  if (!url) throw new Error(`The server ended before it was ready (${howEnded(child)}):\n${output.all()}`);
  async function waitForEnd(): Promise<End> {
    child.ref();
    if (!hasEnded(child)) await ended;
    return { code: child.exitCode, signal: child.signalCode };
  }
  function end(signal: NodeJS.Signals) {
    child.kill(signal);
    return waitForEnd();
  }
  function tell(message: object): Promise<void> {
    return new Promise((resolve, reject) => {
      child.send(message, (error) => (error === null ? resolve() : reject(error)));
    });
  }
  return {
    url,
    pid: child.pid ?? 0,
    admin_token,
    dir,
    stop: () => end("SIGTERM"),
    ended: waitForEnd,
    async kill9() {
      await end("SIGKILL");
    },
    setClock: (ahead_ms) => tell({ clock_ahead_ms: ahead_ms }),
    endThread: (thread, by) => tell({ end_thread: { ...thread, by } }),
    stdout: output.stdout,
    request: (method, path, body, headers) => send(method, `${url}${path}`, body, headers),
  };
}

function createDataFolder(): string {
  const dir = mkdtempSync(join(tmpdir(), "linkme-server-"));
  process.once("exit", () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Nothing of the test process's own environment reaches the server but what every program needs. */
function createEnvironment(dir: string, admin_token: string, options: ServerOptions): Record<string, string> {
  const all: Record<string, string> = {
    PATH: process.env["PATH"] ?? "",
    HOME: dir,
    NODE_COMPILE_CACHE: COMPILE_CACHE,
    HOST: "127.0.0.1",
    PORT: "0",
    DATABASE_URL: `file:${join(dir, "linkme.db")}`,
    LINKME_DATA_DIR: dir,
    LINKME_ADMIN_TOKEN: admin_token,
    LINKME_EGRESS_ALLOW: "127.0.0.0/8",
    // All of a test's apps call from one address.
    LINKME_CLAIMS_PER_MINUTE: "0",
    LINKME_APP_EVENTS_PER_MINUTE: "0",
    LINKME_CALLS_PER_MINUTE: "0",
    LINKME_ROLE: options.role ?? "",
    TEST_HURRY: options.hurry === undefined ? "" : String(options.hurry),
    ...options.env,
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ""));
}

function collectOutput(child: ChildProcess) {
  const text = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name]?.setEncoding("utf8");
    child[name]?.on("data", (chunk: string) => {
      text[name] = (text[name] + chunk).slice(-OUTPUT_MAX_CHARS);
    });
  }
  return {
    stdout: () => text.stdout,
    all: () => `${text.stderr}${text.stdout}`.slice(-OUTPUT_SHOWN_CHARS),
  };
}

/** The address in the line {"event":"server.ready","url":...}, once it is there and whole. */
function readyUrl(stdout: string): string | undefined {
  const line = stdout.split("\n").find((text) => text.includes('"server.ready"') && text.endsWith("}"));
  return line ? JSON.parse(line).url : undefined;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function howEnded(child: ChildProcess): string {
  return child.signalCode ? `signal ${child.signalCode}` : `code ${child.exitCode}`;
}

/** Pipes of a child process can be unreferenced, though the type of a stream does not say so. */
function unref(handle: object | null | undefined): void {
  if (handle && "unref" in handle && typeof handle.unref === "function") handle.unref();
}

async function send<Body>(
  method: string,
  url: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Body>> {
  const isRaw = body === undefined || typeof body === "string" || Buffer.isBuffer(body);
  const response = await sendRequest(url, {
    method,
    headers: isRaw ? headers : { "content-type": "application/json", ...headers },
    body: isRaw ? body : JSON.stringify(body),
  });
  const text = await response.body.text();
  const isJson = String(response.headers["content-type"]).includes("json");
  return { status: response.statusCode, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}
