// Runs before every npm script, on whatever Node the machine has (20 or newer): installs what is missing, else does
// nothing. "Missing" means that the lock file differs from the one that was installed last, so a second start is
// quick. Two scripts started at once take turns.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const STAMP = join(ROOT, "node_modules", ".linkme-installed");
const LOCK = join(ROOT, ".cache", "install.lock");
const LOCK_STALE_MS = 10 * 60_000;
const LOCK_POLL_MS = 200;

const wanted = createHash("sha256")
  .update(readFileSync(join(ROOT, "package-lock.json")))
  .update(`${process.platform} ${process.arch}`)
  .digest("hex");

if (!isInstalled()) {
  mkdirSync(dirname(LOCK), { recursive: true });
  await takeLock();
  try {
    if (!isInstalled()) install();
  } finally {
    rmSync(LOCK, { recursive: true, force: true });
  }
}

function isInstalled() {
  return (
    existsSync(STAMP) && readFileSync(STAMP, "utf8") === wanted && existsSync(join(ROOT, "node_modules/.bin/node"))
  );
}

function install() {
  console.log("Installing what is missing (once; about a minute) ...");
  // npm_execpath is the npm that runs this script, so no second npm is needed on PATH.
  const npm = process.env.npm_execpath;
  const [command, args] = npm ? [process.execPath, [npm]] : ["npm", []];
  const result = spawnSync(command, [...args, "ci", "--no-fund", "--no-audit", "--loglevel=error"], {
    cwd: ROOT,
    stdio: "inherit",
  });
  if (result.status !== 0) {
    console.error("`npm ci` failed; its message is above. Mend that and run the same command again.");
    process.exit(1);
  }
  writeFileSync(STAMP, wanted);
}

async function takeLock() {
  for (;;) {
    try {
      mkdirSync(LOCK);
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
      // A killed install leaves its lock behind; nothing that installs takes ten minutes.
      const age = Date.now() - (statSync(LOCK, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
      if (age > LOCK_STALE_MS) rmSync(LOCK, { recursive: true, force: true });
      else await sleep(LOCK_POLL_MS);
    }
  }
}
