// Finds Chromium for the tests, and installs it where a machine has none: what CHROMIUM_PATH names, what is on PATH, then
// Debian's package. Called by scripts/test.ts. Either a program that runs comes back or an error says what to do: a test
// that needs a browser is never skipped.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
const OLDEST_MAJOR = 110;
const PROBE_TIMEOUT_MS = 30_000;
const INSTALL_TIMEOUT_MS = 10 * 60_000;
const ADVICE = "install the package `chromium`, or name the program in CHROMIUM_PATH.";

/**
 * The path of Chromium, installing it first where need be.
 * @throws when there is none and none can be installed; the message says what to do.
 */
export function ensureChromium(env: NodeJS.ProcessEnv = process.env, install: () => boolean = installPackage): string {
  const named = env["CHROMIUM_PATH"];
  if (named) {
    if (isUsable(named)) return named;
    throw new Error(`CHROMIUM_PATH=${named} is no Chromium of version ${OLDEST_MAJOR} or newer: ${ADVICE}`);
  }
  const found = findOnPath(env) ?? (install() ? findOnPath(env) : undefined);
  if (found) return found;
  throw new Error(`The browser tests need Chromium, and it could be neither found nor installed: ${ADVICE}`);
}

function findOnPath(env: NodeJS.ProcessEnv): string | undefined {
  const folders = (env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.flatMap((folder) => NAMES.map((name) => join(folder, name))).find(isUsable);
}

function isUsable(program: string): boolean {
  if (!existsSync(program)) return false;
  const probe = spawnSync(program, ["--version"], { encoding: "utf8", timeout: PROBE_TIMEOUT_MS });
  return probe.status === 0 && Number(/(\d+)\.\d+\.\d+/.exec(probe.stdout)?.[1] ?? 0) >= OLDEST_MAJOR;
}

/** Debian's package, where apt-get is there and may be used without a question. */
function installPackage(): boolean {
  if (!runs("apt-get", ["--version"])) return false;
  const asRoot = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  if (asRoot.length > 0 && !runs("sudo", ["-n", "true"])) return false;
  const apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"];
  console.log("Installing Chromium with apt-get for the tests (once) ...");
  const steps = [
    [...apt, "update", "-q"],
    [...apt, "install", "-y", "-q", "--no-install-recommends", "chromium"],
  ];
  return steps.every((step) => runInstaller([...asRoot, ...step]));
}

function runInstaller([command, ...args]: string[]): boolean {
  // What the installer prints goes to stderr: stdout is the test report.
  const stdio = ["ignore", process.stderr, process.stderr] as const;
  return spawnSync(command ?? "", args, { stdio: [...stdio], timeout: INSTALL_TIMEOUT_MS }).status === 0;
}

function runs(command: string, args: string[]): boolean {
  return spawnSync(command, args, { stdio: "ignore", timeout: PROBE_TIMEOUT_MS }).status === 0;
}
