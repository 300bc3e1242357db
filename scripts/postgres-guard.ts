// Stands between a test process and its PostgreSQL server, so that the server never outlives whoever needs it: the
// owner holds this process's standard input open, and when that closes (for any reason, SIGKILL included) the server is
// stopped and its folder removed. Started by scripts/postgres.ts. A line "fast" or "immediate" stops the server and keeps
// the folder; the process then exits with the server's own code.
import { spawn } from "node:child_process";
import { openSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { GuardPlan } from "./postgres.ts";

const STOP_DEADLINE_MS = 10_000;

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

server.on("error", () => process.exit(1));
server.on("exit", (code) => {
  if (isOrphan) rmSync(plan.folder, { recursive: true, force: true });
  process.exit(code ?? 1);
});

process.stdin.setEncoding("utf8");
process.stdin.on("data", (line: string) => stop(line.includes("immediate") ? "SIGQUIT" : "SIGINT"));
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
