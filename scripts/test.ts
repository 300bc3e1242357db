// `npm test`: runs every suite of the project against one PostgreSQL server, Node's first and then Python's, and ends with
// one line that adds them up. Arguments narrow it down: `npm test -- server/src/platform` runs the files whose path contains
// that, and arguments that begin with "-" go to Node's test runner. The server is stopped however this ends.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ensureChromium } from "./chromium.ts";
import { type Cluster, removeLeftovers, startCluster } from "./postgres.ts";
import { ensureBinaries } from "./postgres-binaries.ts";
import { ensurePythonPackages } from "./python-packages.ts";
import {
  addTotals,
  BROKEN_RUN,
  findFault,
  type NodeReport,
  readNodeTotals,
  readPythonTotals,
  type Totals,
} from "./test-totals.ts";

const ROOT = dirname(import.meta.dirname);
const FOLDERS = ["contract", "destination-types", "server", "sdk/node", "scripts", "bench"];
/** Files spend most of their time waiting: on two cores three at a time take three quarters of the time of two. */
const CONCURRENT_FILES = 3;
const PYTHON_PROJECT = "sdk/python";
const PYTHON_TESTS = `${PYTHON_PROJECT}/tests`;
/** No test takes this long; one that does hangs, and is named in the report. */
const TEST_TIMEOUT_MS = 3 * 60_000;
/** Ends a runner whose test file never exits; the report names the file. Half as much again as a slow machine needs for all. */
const RUN_TIMEOUT_MS = 15 * 60_000;
const READABLE = ["--test-reporter=spec", "--test-reporter-destination=stdout"];
/** As `npm start` has it. */
const COMPILED = ".cache/compiled";
/** The files that drive a browser: nobody who asks for others needs one. */
const BROWSER_TEST = /browser\.test\.ts$/;
const COUNTER = join(import.meta.dirname, "test-count.ts");
/** Exit code of a run that a signal ended, as shells write it for SIGINT. */
const INTERRUPTED = 130;

type Environment = Record<string, string | undefined>;

let running: ChildProcess | undefined;
let isInterrupted = false;

if (import.meta.main) {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, interrupt);
  process.exitCode = await main(process.argv.slice(2));
}

async function main(args: string[]): Promise<number> {
  const flags = args.filter((arg) => arg.startsWith("-"));
  const filters = args.filter((arg) => !arg.startsWith("-"));
  const files = findTestFiles(filters);
  const withPython = existsSync(join(ROOT, PYTHON_TESTS)) && isWanted(PYTHON_TESTS, filters);
  if (files.length === 0 && !withPython) return fail(`No test file's path contains ${filters.join(" or ")}.`);
  let cluster: Cluster | undefined;
  try {
    await removeLeftovers();
    const bin = ensureBinaries();
    cluster = await startCluster(bin);
    const CHROMIUM_PATH = files.some((file) => BROWSER_TEST.test(file)) ? ensureChromium() : undefined;
    const env = { ...process.env, LINKME_TEST_POSTGRES_URL: cluster.url, LINKME_TEST_PG_BIN: bin, CHROMIUM_PATH };
    const python = withPython ? ensurePythonPackages(env) : env;
    const totals: Totals[] = [];
    if (files.length > 0 && !isInterrupted) totals.push(await runNodeTests(files, [...READABLE, ...flags], env));
    if (withPython && !isInterrupted) totals.push(await runPythonTests(python));
    return isInterrupted ? INTERRUPTED : report(addTotals(totals));
  } catch (error) {
    return fail(error instanceof Error ? error.message : String(error));
  } finally {
    await cluster?.remove();
  }
}

/** The test files whose path contains one of the filters; all of them when there is no filter. */
function findTestFiles(filters: string[]): string[] {
  const patterns = FOLDERS.map((folder) => `${folder}/**/*.test.ts`);
  const all = globSync(patterns, { cwd: ROOT, exclude: (path) => path.includes("node_modules") });
  return all.filter((path) => isWanted(path, filters)).sort();
}

function isWanted(path: string, filters: string[]): boolean {
  return filters.length === 0 || filters.some((filter) => path.includes(filter) || filter.startsWith(`${path}/`));
}

/** Runs the files under Node's own runner, a process each, and resolves with its numbers. */
export async function runNodeTests(files: string[], flags: string[], env: Environment): Promise<Totals> {
  const folder = mkdtempSync(join(tmpdir(), "linkme-test-"));
  const counts = join(folder, "counts.json");
  const counting = [`--test-reporter=${COUNTER}`, `--test-reporter-destination=${counts}`];
  const bounds = [`--test-concurrency=${CONCURRENT_FILES}`, `--test-timeout=${TEST_TIMEOUT_MS}`];
  const options = ["--disable-warning=ExperimentalWarning", ...bounds, ...counting];
  // Each file is a process of its own: compiling what they share once takes a third off the start of most.
  const NODE_COMPILE_CACHE = join(ROOT, COMPILED);
  // With this variable set the runner would take itself for a file of another run and print no report.
  const childEnv = { ...env, NODE_COMPILE_CACHE, NODE_TEST_CONTEXT: undefined };
  try {
    const child = spawn(process.execPath, ["--test", ...options, ...flags, ...files], {
      cwd: ROOT,
      env: childEnv,
      stdio: ["ignore", "inherit", "inherit"],
      timeout: RUN_TIMEOUT_MS,
    });
    const code = await waitForEnd(child);
    if (!existsSync(counts) || statSync(counts).size === 0) return BROKEN_RUN;
    // Written by our own reporter.
    const report = JSON.parse(readFileSync(counts, "utf8")) as NodeReport;
    // When a name is asked for, most files rightly have nothing to say.
    if (flags.some((flag) => flag.startsWith("--test-name-pattern"))) report.silent_files = [];
    for (const file of report.silent_files) console.error(`${file} ended without having run a test.`);
    return withExitCode(readNodeTotals(report), code);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs the Python SDK's suite with the machine's python3; without one the run fails. */
async function runPythonTests(env: Environment): Promise<Totals> {
  const args = ["-m", "unittest", "discover", "-s", PYTHON_TESTS, "-t", PYTHON_PROJECT, "-v"];
  const child = spawn("python3", args, {
    cwd: ROOT,
    env,
    stdio: ["ignore", "inherit", "pipe"],
    timeout: RUN_TIMEOUT_MS,
  });
  let output = "";
  child.stderr.setEncoding("utf8");
  child.stderr.on("data", (text: string) => {
    process.stdout.write(text);
    output += text;
  });
  const code = await waitForEnd(child);
  return withExitCode(readPythonTotals(output), code);
}

/** A runner that says it failed is believed, even when its numbers show no failure. */
function withExitCode(totals: Totals, code: number | null): Totals {
  return code === 0 || totals.failed > 0 ? totals : addTotals([totals, BROKEN_RUN]);
}

async function waitForEnd(child: ChildProcess): Promise<number | null> {
  running = child;
  // "close" comes after the last output has been read.
  const [code] = await once(child, "close").catch((error: NodeJS.ErrnoException) => {
    console.error(`${error.path ?? "The test runner"} could not be started: ${error.message}.`);
    return [null];
  });
  running = undefined;
  return code;
}

function report(totals: Totals): number {
  const fault = findFault(totals);
  if (fault) console.error(`\nThe tests do not pass: ${fault}.`);
  console.log(`\n${totals.passed} passed, ${totals.failed} failed`);
  return fault ? 1 : 0;
}

function fail(message: string): number {
  console.error(`\nThe tests did not run: ${message}`);
  return 1;
}

function interrupt(): void {
  isInterrupted = true;
  running?.kill("SIGTERM");
}
