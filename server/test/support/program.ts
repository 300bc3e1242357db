// The program as an operator starts it, with exactly the environment of a test, whatever comes of it.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after } from "node:test";
import { waitUntil } from "./wait.ts";

/** Where it runs. */
export const ROOT = join(import.meta.dirname, "..", "..", "..");

/** A process that is over with the test file at the latest. */
export function run(env: Record<string, string>): { child: ChildProcess; out: () => string; err: () => string } {
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "server/src/main.ts"], {
    cwd: ROOT,
    env: { PATH: process.env["PATH"] ?? "", HOST: "127.0.0.1", PORT: "0", ...env },
  });
  after(() => child.kill("SIGKILL"));
  const text = { out: "", err: "" };
  child.stdout?.on("data", (chunk) => (text.out += chunk));
  child.stderr?.on("data", (chunk) => (text.err += chunk));
  return { child, out: () => text.out, err: () => text.err };
}

export async function runToEnd(env: Record<string, string>): Promise<{ code: number; out: string; err: string }> {
  const { child, out, err } = run(env);
  const [code] = await once(child, "close");
  return { code, out: out(), err: err() };
}

/** The fields of the log line with this event, once it is there. */
export function logLine(out: () => string, event: string): Promise<Record<string, string>> {
  const find = () =>
    out()
      .split("\n")
      .find((line) => line.includes(`"event":"${event}"`) && line.endsWith("}"));
  return waitUntil(() => find(), `the log line ${event}`).then((line) => JSON.parse(line));
}
