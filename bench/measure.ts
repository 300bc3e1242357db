// The instruments: a clock that all processes of this machine share, percentiles, and what the operating system says
// about one process. Parsing is pure; `readUsage` is the only effect. Linux answers from /proc, other systems from ps.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";

/** Linux reports CPU time in ticks of 10 ms on every architecture that Node runs on (USER_HZ). */
const TICKS_PER_SECOND = 100;
const PS_TIMEOUT_MS = 5_000;

/** Milliseconds on the machine's monotonic clock: comparable between processes, and never set back. */
export function now(): number {
  // Not performance.now(): its zero is the start of each process, and no second call can tell the distance exactly.
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e3 + nanoseconds / 1e6;
}

export type Percentiles = { p50: number; p95: number; p99: number };

/** Nearest-rank percentiles in the unit of the values; NaN when there are none. Sorts `values` in place. */
export function percentiles(values: Float64Array): Percentiles {
  values.sort();
  return { p50: rank(values, 0.5), p95: rank(values, 0.95), p99: rank(values, 0.99) };
}

function rank(sorted: Float64Array, fraction: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? Number.NaN;
}

/** The middle value, or the mean of the two middle ones; NaN values are left out, and an empty list yields NaN. */
export function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** CPU time (user and system, all threads) since the process started, memory now, and its peak where it is known. */
export type Usage = { cpu_us: number; rss_bytes: number; peak_bytes: number };

/** @throws when the process is gone */
export function readUsage(pid: number): Usage {
  if (process.platform === "linux") {
    return {
      cpu_us: parseProcStat(readFileSync(`/proc/${pid}/stat`, "latin1")),
      ...parseProcStatus(readFileSync(`/proc/${pid}/status`, "latin1")),
    };
  }
  const text = execFileSync("ps", ["-o", "time=,rss=", "-p", String(pid)], { timeout: PS_TIMEOUT_MS });
  return parsePs(text.toString("latin1"));
}

/** CPU time in µs that all programs of this machine have used, summed over its cores. */
export function machineCpu(): number {
  return cpus().reduce((sum, { times }) => sum + (times.user + times.nice + times.sys) * 1e3, 0);
}

/** CPU µs from /proc/<pid>/stat: fields 14 and 15, counted after the command name, which may hold anything. */
export function parseProcStat(text: string): number {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1e6;
}

export function parseProcStatus(text: string): { rss_bytes: number; peak_bytes: number } {
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) * 1024;
  return { rss_bytes: kib("VmRSS"), peak_bytes: kib("VmHWM") };
}

/** `[[dd-]hh:]mm:ss[.cc]  <rss in KiB>`; ps knows no peak, so the caller keeps the highest sample. */
export function parsePs(text: string): Usage {
  const [time = "", rss = ""] = text.trim().split(/\s+/);
  const [clock = "", days = "0"] = time.split("-").reverse();
  const seconds = clock.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
  const rssBytes = Number(rss) * 1024;
  return { cpu_us: (Number(days) * 86_400 + seconds) * 1e6, rss_bytes: rssBytes, peak_bytes: rssBytes };
}
