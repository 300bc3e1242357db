// The load, a process of its own: raw TCP connections with one request in flight each. Started by processes.ts; runs
// one plan per message and replies with the result; ends with its parent. Closed loop: a connection sends again as
// soon as it is answered. Open loop: request i is due at start + i / rate whether or not a connection is free, and its
// latency counts from that moment, so a server that stalls cannot hide the requests it kept waiting.
import { connect, type Socket } from "node:net";
import { createRecorder, createSeries, type EventLog, type Recorder, type Series } from "./event-log.ts";
import { createMessageReader, findAfter, statusAt } from "./http-message.ts";
import { now as sharedNow } from "./measure.ts";
import { type Popularity, popularRank, type RequestTemplate, writeDigits } from "./workload.ts";

const READ_BUFFER_BYTES = 16 * 1024;
const TICK_MS = 1;
/** How long answers may still come in after the last request was due. */
const GRACE_MS = 10_000;
const RECONNECTS_MAX = 1_000;

export type LoadPlan = {
  host: string;
  port: number;
  requests: RequestTemplate[];
  /** an answer with this status was accepted, and its key follows the first of these markers */
  expected_status: number;
  key_markers: string[];
  key_bytes: number;
  connections: number;
  seconds: number;
  /** requests per second, or null for a closed loop */
  rate: number | null;
  /** what the first request carries where numbers are written, and how many there are until it begins again */
  first_number?: number;
  numbers?: number;
  /** whether the numbers come in turn; or each at random, the n-th about a n-th as often as the first; or the first alone */
  popularity?: Popularity;
};

/** Times on the shared clock, in ms. `refused` counts other answers by status, `failed` requests without an answer. */
export type LoadResult = {
  started_at: number;
  stopped_at: number;
  accepted: EventLog;
  accepted_in_time: number;
  accept_ms: Float64Array;
  refused: Record<string, number>;
  failed: number;
  unkeyed: number;
  unsent: number;
  cpu_us: number;
};

type Run = {
  plan: LoadPlan;
  now(): number;
  started_at: number;
  stop_at: number;
  issued: number;
  in_flight: number;
  accepted: Recorder;
  accept_ms: Series;
  markers: Buffer[];
  idle: Connection[];
  result: Pick<LoadResult, "accepted_in_time" | "refused" | "failed" | "unkeyed"> & { reconnects: number };
};
type Connection = { socket: Socket; requests: Buffer[]; sent_at: number; busy: boolean };

/** Runs one plan to its end; takes at most its seconds plus ten. `now` is the shared clock, in ms. */
export async function runLoad(plan: LoadPlan, now = sharedNow): Promise<LoadResult> {
  const run = newRun(plan, now);
  const sockets = new Set<Socket>();
  await Promise.all(Array.from({ length: plan.connections }, () => open(run, sockets)));
  const cpu = process.cpuUsage();
  run.started_at = now();
  run.stop_at = run.started_at + plan.seconds * 1000;
  issue(run);
  await new Promise<void>((resolve) => {
    const ticker = setInterval(() => {
      issue(run);
      const at = now();
      const over = at >= run.stop_at && run.in_flight === 0 && dueBy(run, at) <= run.issued;
      if (!over && at < run.stop_at + GRACE_MS) return;
      clearInterval(ticker);
      resolve();
    }, TICK_MS);
  });
  const { user, system } = process.cpuUsage(cpu);
  const unsent = plan.rate === null ? 0 : Math.max(0, dueBy(run, now()) - run.issued);
  run.result.failed += run.in_flight;
  for (const socket of sockets) socket.destroy();
  const { reconnects: _, ...counts } = run.result;
  const times = { started_at: run.started_at, stopped_at: run.stop_at, cpu_us: user + system };
  return { ...counts, ...times, unsent, accepted: run.accepted.take(), accept_ms: run.accept_ms.take() };
}

function newRun(plan: LoadPlan, now: Run["now"]): Run {
  return {
    plan,
    now,
    started_at: 0,
    stop_at: 0,
    issued: 0,
    in_flight: 0,
    accepted: createRecorder(plan.key_bytes),
    accept_ms: createSeries(),
    markers: plan.key_markers.map((marker) => Buffer.from(marker)),
    idle: [],
    result: { accepted_in_time: 0, refused: {}, failed: 0, unkeyed: 0, reconnects: 0 },
  };
}

/** How many requests should have been sent by `at`. */
function dueBy(run: Run, at: number): number {
  const { rate, seconds } = run.plan;
  if (rate === null) return at < run.stop_at ? Number.POSITIVE_INFINITY : run.issued;
  return Math.min(Math.floor(((at - run.started_at) * rate) / 1000) + 1, Math.floor(rate * seconds));
}

/** Sends what is due on the connections that are free. */
function issue(run: Run): void {
  const at = run.now();
  const due = dueBy(run, at);
  while (run.idle.length > 0 && run.issued < due) {
    const connection = run.idle.pop()!;
    const request = run.issued % run.plan.requests.length;
    const digits = run.plan.requests[request]!.digits_at;
    const bytes = connection.requests[request]!;
    if (digits >= 0) writeDigits(bytes, digits, numberOf(run));
    connection.sent_at = run.plan.rate === null ? at : run.started_at + (run.issued * 1000) / run.plan.rate;
    connection.busy = true;
    run.issued += 1;
    run.in_flight += 1;
    // The bytes are ours again before they change: the answer cannot come before the request has left.
    connection.socket.write(bytes);
  }
}

function numberOf({ plan, issued }: Run): number {
  const { first_number = 0, numbers = Number.POSITIVE_INFINITY, popularity } = plan;
  if (popularity === "one") return first_number % numbers;
  return (first_number + (popularity === "zipf" ? popularRank(numbers, Math.random()) : issued)) % numbers;
}

function settle(run: Run, connection: Connection, response: { bytes: Buffer; start: number; end: number }): void {
  const { bytes, start, end } = response;
  const at = run.now();
  const status = statusAt(bytes, start);
  if (status === run.plan.expected_status) {
    if (at <= run.stop_at) run.result.accepted_in_time += 1;
    run.accept_ms.push(at - connection.sent_at);
    const key = findAfter(bytes, run.markers, start, end);
    if (key < 0 || key + run.plan.key_bytes > end) run.result.unkeyed += 1;
    else run.accepted.append(bytes, key, connection.sent_at);
  } else {
    run.result.refused[status] = (run.result.refused[status] ?? 0) + 1;
  }
  connection.busy = false;
  run.in_flight -= 1;
  run.idle.push(connection);
  issue(run);
}

/** Opens one connection and resolves when it can be used; it is replaced when the server closes it. */
function open(run: Run, sockets: Set<Socket>): Promise<void> {
  return new Promise((resolve, reject) => {
    const onread = {
      buffer: Buffer.allocUnsafe(READ_BUFFER_BYTES),
      callback: (size: number, buffer: Uint8Array) => {
        // Node passes the very Buffer that `buffer` above is.
        read((buffer as Buffer).subarray(0, size));
        return true;
      },
    };
    const socket = connect({ host: run.plan.host, port: run.plan.port, noDelay: true, onread });
    const requests = run.plan.requests.map((request) => Buffer.from(request.bytes));
    const connection: Connection = { socket, requests, sent_at: 0, busy: false };
    const read = createMessageReader((bytes, start, _body, end) => settle(run, connection, { bytes, start, end }));
    sockets.add(socket);
    socket.on("connect", () => {
      run.idle.push(connection);
      resolve();
    });
    socket.on("error", reject);
    socket.on("close", () => {
      sockets.delete(socket);
      run.idle = run.idle.filter((other) => other !== connection);
      if (connection.busy) {
        run.result.failed += 1;
        run.in_flight -= 1;
      }
      run.result.reconnects += 1;
      const running = run.stop_at === 0 || run.now() < run.stop_at;
      // A failed reconnect is counted by the next close; the run goes on with the connections that are left.
      if (running && run.result.reconnects < RECONNECTS_MAX) open(run, sockets).catch(() => undefined);
    });
  });
}

if (import.meta.main) {
  // The parent's messages are typed by LoadPlan; nobody else can reach this channel.
  process.on("message", async (plan: LoadPlan) => {
    try {
      process.send?.({ ok: true, result: await runLoad(plan) });
    } catch (error) {
      process.send?.({ ok: false, error: String(error) });
    }
  });
  process.on("disconnect", () => process.exit(0));
  process.send?.({ ready: true });
}
