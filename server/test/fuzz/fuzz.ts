// Sends requests that nobody expects to a server process, over several connections, and says what must not be: an answer of
// 5xx, a request without an end, memory that grows. Called by main.ts (`npm run fuzz`) and, for a short run, by fuzz.test.ts.
import { readFileSync } from "node:fs";
import { createRandom } from "../support/random.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { createConnection, type Ending } from "./connection.ts";
import { createRequests, type Names, type Sent } from "./requests.ts";

/** From the last byte of a request to the end of its answer, on a machine that does other things too. */
export const DEADLINE_MS = 15_000;
const CONNECTIONS = 8;
/** Caches fill up within this part of a run; what is there then is held against the end. */
const WARM_UP_SHARE = 0.3;
const SAMPLES = 100;
const SAMPLES_COMPARED = 10;
/** A leak of a kilobyte with each request of a whole run is more. */
export const GROWTH_MAX_BYTES = 64 * 1024 * 1024;
const FAILURES_MAX = 20;

export interface FuzzOptions {
  server: ServerProcess;
  names: Names;
  seed: number;
  requests: number;
  log(text: string): void;
}

export interface Failure {
  what: string;
  /** The input as a line of cases.ts. */
  as_case: string;
}

export interface FuzzReport {
  sent: number;
  /** How many of each: a status, or that the connection was closed. */
  endings: Record<string, number>;
  /** Answers 503 of overload, as the server sheds them. They are no failures. */
  shed: number;
  failures: Failure[];
  /** Resident memory after the warm-up and at the end. */
  warm_bytes: number;
  end_bytes: number;
}

export async function runFuzz({ server, names, seed, requests, log }: FuzzOptions): Promise<FuzzReport> {
  const report: FuzzReport = { sent: 0, endings: {}, shed: 0, failures: [], warm_bytes: 0, end_bytes: 0 };
  const port = Number(new URL(server.url).port);
  const memory: number[] = [];
  const sample_every = Math.max(1, Math.floor(requests / SAMPLES));

  async function work(index: number): Promise<void> {
    const next = createRequests(createRandom(seed + index), names);
    const connection = createConnection(port, DEADLINE_MS);
    while (report.sent < requests && report.failures.length < FAILURES_MAX) {
      report.sent++;
      if (report.sent % sample_every === 0) memory.push(readResidentBytes(server.pid));
      if (report.sent % (sample_every * 10) === 0)
        log(`${report.sent} sent, ${report.failures.length} failed, memory ${toMib(memory.at(-1) ?? 0)}`);
      const sent = next();
      note(sent, await connection.send(sent.bytes, sent.method, sent.is_broken));
    }
    connection.close();
  }

  function note(sent: Sent, ending: Ending): void {
    const name = ending.kind === "answered" ? String(ending.status) : ending.kind;
    report.endings[name] = (report.endings[name] ?? 0) + 1;
    if (isShed(ending)) report.shed++;
    const what = findFault(sent, ending);
    if (what !== null) report.failures.push({ what, as_case: writeCase(sent, names) });
  }

  await Promise.all(Array.from({ length: CONNECTIONS }, (_, index) => work(index)));
  const warm_at = Math.floor(memory.length * WARM_UP_SHARE);
  // The lowest of some: what waits to be collected is not held.
  report.warm_bytes = Math.min(...memory.slice(warm_at, warm_at + SAMPLES_COMPARED));
  report.end_bytes = Math.min(...memory.slice(-SAMPLES_COMPARED));
  return report;
}

/** What must not be about how a request ended; null when nothing is. */
export function findFault(sent: Pick<Sent, "is_broken">, ending: Ending): string | null {
  if (ending.kind === "hung") return `no end after ${DEADLINE_MS} ms; received: ${JSON.stringify(ending.received)}`;
  if (ending.kind === "closed") return sent.is_broken ? null : "the connection was closed without an answer";
  if (ending.status < 100) return `no HTTP: ${JSON.stringify(ending.head.slice(0, 200))}`;
  return ending.status >= 500 && !isShed(ending) ? `answered ${ending.status}` : null;
}

/** Overload is told with 503 and when to come again; every other 5xx is a fault. */
function isShed(ending: Ending): boolean {
  return ending.kind === "answered" && ending.status === 503 && /^retry-after: \d/im.test(ending.head);
}

/** The input as it is kept in cases.ts: ids and keys of this run go by their names. */
export function writeCase({ bytes, method, is_broken }: Sent, names: Names): string {
  let text = bytes.toString("latin1");
  for (const [name, value] of Object.entries(names)) text = text.replaceAll(value, `{${name}}`);
  const sent = JSON.stringify(text).replace(/[\u007f-\u00ff]/g, (char) => `\\x${char.charCodeAt(0).toString(16)}`);
  return `{ title: "…", method: ${JSON.stringify(method)}, is_broken: ${is_broken}, sent: ${sent} },`;
}

export const toMib = (bytes: number) => `${Math.round(bytes / 1024 / 1024)} MiB`;

export function readResidentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}
