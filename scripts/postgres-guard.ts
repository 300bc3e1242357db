// Stands between a test process and its PostgreSQL server, so that the server never outlives whoever needs it: the
// owner holds this process's standard input open, and when that closes (for any reason, SIGKILL included) the server is
// stopped and its folder removed. Started by scripts/postgres.ts. A line "fast" or "immediate" stops the server and keeps
// the folder, and so does "kill", which gives none of its processes a moment; the process then exits with the server's own code.
import { spawn, spawnSync } from "node:child_process";
import { openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { GuardPlan } from "./postgres.ts";

const STOP_DEADLINE_MS = 10_000;
const GONE_POLL_MS = 10;

// Written by scripts/postgres.ts a moment ago, in the same version of this code.
const plan = JSON.parse(process.argv[2] ?? "") as GuardPlan;
const log = openSync(join(plan.folder, "postgres.log"), "a");
const server = spawn(plan.program, plan.args, {
  ...plan.account,
  cwd: plan.folder,
  env: { PATH: process.env["PATH"], LC_ALL: "C" },
  stdio: ["ignore", log, log],
});
let isOrphan = false;
let killed: number[] = [];

server.on("error", () => process.exit(1));
server.on("exit", (code) => void end(code ?? 1));

process.stdin.setEncoding("utf8");
process.stdin.on("data", (line: string) => {
  if (line.includes("kill")) kill();
  else stop(line.includes("immediate") ? "SIGQUIT" : "SIGINT");
});
process.stdin.on("end", abandon);
process.stdin.on("error", abandon);
process.on("SIGTERM", abandon);
process.on("SIGHUP", abandon);

function abandon(): void {
  isOrphan = true;
  stop("SIGQUIT");
}

/** SIGINT is PostgreSQL's fast shutdown and SIGQUIT its immediate one, which loses nothing that was committed. */
function stop(signal: "SIGINT" | "SIGQUIT"): void {
  server.kill(signal);
  setTimeout(() => server.kill("SIGQUIT"), STOP_DEADLINE_MS).unref();
}

/** The server first, so that it cannot start its processes anew, then all of them: as when the machine's power goes. */
function kill(): void {
  const found = spawnSync("pgrep", ["-P", String(server.pid)], { encoding: "utf8" }).stdout ?? "";
  killed = found.split("\n").filter(Boolean).map(Number);
  server.kill("SIGKILL");
  for (const pid of killed) if (isAlive(pid)) process.kill(pid, "SIGKILL");
}

/** The next start of the server refuses while processes of this one are left. */
async function end(code: number): Promise<void> {
  while (killed.some(isAlive)) await pause(GONE_POLL_MS);
  if (isOrphan) rmSync(plan.folder, { recursive: true, force: true });
  process.exit(code);
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    // There is no such process.
    return false;
  }
}
