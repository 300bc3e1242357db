// Scenario `backlog`: the receiver refuses, hangs or is gone while events keep coming, in batches of 500, until a
// million deliveries are pending. What counts is the server's memory: it must not grow with the backlog, which
// belongs on disk. Then the receiver is well, and what counts is how fast the backlog drains. Longer than the others, so it
// runs only when it is named.
import { setTimeout as sleep } from "node:timers/promises";
import { Agent, request } from "undici";
import { callApi, createApp, createServerKey, createWebhook, pendingDeliveries } from "../api.ts";
import { readUsage } from "../measure.ts";
import type { BacklogSink, Engine, Options } from "../options.ts";
import { type Server, type SinkProcess, startServer, startSink } from "../processes.ts";
import { formatCount, formatGoals, formatMib, formatTable, type Goal } from "../report.ts";
import { batchBody, EVENT_ID_BYTES } from "../workload.ts";

const EVENTS_PER_CALL = 500;
const CALLS_IN_FLIGHT = 4;
const CALL_TIMEOUT_MS = 60_000;
/** A server that is told to wait this often is not going to take a million events. */
const REFUSALS_MAX = 1_000;
const REFUSED_PAUSE_MS = 100;
const SAMPLE_MS = 250;
const PEAK_MAX_MIB = 350;
/** Flat: the second half of the ingest may peak this much above the first, which garbage collection alone explains. */
const GROWTH_MAX = 1.15;
const STEPS = 4;
/** After a stop a receiver is sent little at first, and more by steps: that pace is over after half a minute. */
const PACE_MAX_MS = 60_000;

/** `steps`: the highest memory while each quarter of the events came in; `held`: while nothing came in any more. */
export type Backlog = {
  engine: Engine["kind"];
  sink: BacklogSink;
  accepted: number;
  pending: number;
  accepted_per_s: number;
  cpu_us_per_event: number;
  peak_bytes: number;
  steps: { events: number; rss_bytes: number }[];
  held_rss_bytes: number;
  drained_per_s: number;
  drain_rss_bytes: number;
  goals: Goal[];
  problems: string[];
};

export async function runBacklog(options: Options, say: (text: string) => void): Promise<Backlog> {
  say(`backlog: ${formatCount(options.events)} events, receiver ${options.sink}`);
  let sink = await startSink();
  const server = await startServer(options.engine);
  try {
    if (options.sink === "stopped") await sink.stop();
    else await sink.ask({ do: "mode", mode: options.sink });
    const appId = await createApp(server);
    const key = await createServerKey(server, appId);
    const webhookId = await createWebhook(server, { app_id: appId, url: sink.url, event: "link.app_open" });
    const before = readUsage(server.pid);
    const startedAt = performance.now();
    const steps = await ingest({ server, app_id: appId, key }, options.events, say);
    const seconds = (performance.now() - startedAt) / 1000;
    const after = readUsage(server.pid);
    const held = await hold(server, options.seconds);
    const pending = await pendingDeliveries(server, webhookId);
    const accepted = steps.at(-1)?.events ?? 0;
    if (options.sink === "stopped") sink = await startSink();
    const drained = await drain({ server, sink, webhook_id: webhookId }, options.seconds);
    const is_empty = (await pendingDeliveries(server, webhookId)) === 0;
    const peak = Math.max(readUsage(server.pid).peak_bytes, held, ...steps.map((step) => step.rss_bytes));
    return {
      engine: options.engine.kind,
      sink: options.sink,
      accepted,
      pending,
      accepted_per_s: accepted / seconds,
      cpu_us_per_event: (after.cpu_us - before.cpu_us) / accepted,
      peak_bytes: peak,
      steps,
      held_rss_bytes: held,
      drained_per_s: drained.per_s,
      drain_rss_bytes: drained.rss_bytes,
      goals: memoryGoals(peak, steps),
      problems: [
        ...(pending < accepted ? [`${accepted - pending} of ${accepted} deliveries are not pending`] : []),
        ...(is_empty ? ["The backlog was gone before its drain was measured; take more --events."] : []),
      ],
    };
  } finally {
    await server.stop();
    await sink.stop();
  }
}

export type Ingest = { server: Server; app_id: string; key: string };

/** Sends batches until `events` are accepted, and notes the highest memory of each quarter. */
export async function ingest(target: Ingest, events: number, say: (text: string) => void): Promise<Backlog["steps"]> {
  const agent = new Agent({ connections: CALLS_IN_FLIGHT, pipelining: 1 });
  const body = Buffer.from(batchBody(EVENTS_PER_CALL));
  const steps: Backlog["steps"] = [];
  let planned = 0;
  let accepted = 0;
  let highest = 0;
  const sampler = setInterval(() => {
    highest = Math.max(highest, sampleMemory(target.server));
  }, SAMPLE_MS);
  const sendSome = async () => {
    while (planned < events) {
      planned += EVENTS_PER_CALL;
      await sendBatch(target, body, agent);
      accepted += EVENTS_PER_CALL;
      if (accepted < (events * (steps.length + 1)) / STEPS) continue;
      steps.push({ events: accepted, rss_bytes: Math.max(highest, sampleMemory(target.server)) });
      say(`backlog: ${formatCount(accepted)} accepted, ${formatMib(steps.at(-1)!.rss_bytes)} MiB`);
      highest = 0;
    }
  };
  try {
    await Promise.all(Array.from({ length: CALLS_IN_FLIGHT }, sendSome));
  } finally {
    clearInterval(sampler);
    await agent.destroy();
  }
  return steps;
}

/** One batch over a connection of its own. */
export async function sendOneBatch(target: Ingest, body: string): Promise<void> {
  const agent = new Agent({ connections: 1, pipelining: 1 });
  try {
    await sendBatch(target, Buffer.from(body), agent);
  } finally {
    await agent.destroy();
  }
}

/** One batch; a server that asks to wait (429, 503) is asked again, within bounds. */
async function sendBatch(target: Ingest, body: Buffer, dispatcher: Agent): Promise<void> {
  const headers = { authorization: `Bearer ${target.key}`, "content-type": "application/json" };
  const url = `${target.server.url}/api/apps/${target.app_id}/events`;
  for (let refusals = 0; refusals < REFUSALS_MAX; refusals++) {
    const timeouts = { headersTimeout: CALL_TIMEOUT_MS, bodyTimeout: CALL_TIMEOUT_MS };
    const answer = await request(url, { method: "POST", headers, body, dispatcher, ...timeouts });
    const text = await answer.body.text();
    if (answer.statusCode === 202) return;
    if (answer.statusCode !== 429 && answer.statusCode !== 503) {
      throw new Error(`A batch of ${EVENTS_PER_CALL} events was answered ${answer.statusCode}: ${text}`);
    }
    await sleep(REFUSED_PAUSE_MS);
  }
  throw new Error(`A batch was refused ${REFUSALS_MAX} times in a row.`);
}

/** Memory while nothing comes in and the dispatcher has the whole backlog before it. */
async function hold(server: Server, seconds: number): Promise<number> {
  const end = performance.now() + seconds * 1000;
  let highest = 0;
  while (performance.now() < end) {
    highest = Math.max(highest, sampleMemory(server));
    await sleep(SAMPLE_MS);
  }
  return highest;
}

type Drain = { server: Server; sink: SinkProcess; webhook_id: string };

/** The receiver takes everything again; what counts is the rate once nothing holds deliveries back any more. */
async function drain({ server, sink, webhook_id }: Drain, seconds: number) {
  await sink.ask({ do: "mode", mode: "ok" });
  const path = `/api/webhooks/${webhook_id}`;
  for (const change of [{ enabled: false }, { enabled: true, url: sink.url }]) {
    await callApi(server, { method: "PATCH", path, body: change });
  }
  const until = performance.now() + PACE_MAX_MS;
  while (performance.now() < until && (await isPaced(server, webhook_id))) await sleep(SAMPLE_MS);
  await sink.ask({ do: "reset", marker: '"id":"', key_bytes: EVENT_ID_BYTES });
  const started_at = performance.now();
  const rss_bytes = await hold(server, seconds);
  const { count } = await sink.ask({ do: "count" });
  return { per_s: count / ((performance.now() - started_at) / 1000), rss_bytes };
}

async function isPaced(server: Server, webhook_id: string): Promise<boolean> {
  const { health } = await callApi(server, { method: "GET", path: `/api/webhooks/${webhook_id}` });
  const reason =
    typeof health === "object" && health !== null && "limited_because" in health ? health.limited_because : null;
  return typeof reason === "string";
}

function sampleMemory(server: Server): number {
  try {
    return readUsage(server.pid).rss_bytes;
  } catch {
    // The process is gone; the call that is in flight fails and says so.
    return 0;
  }
}

export function memoryGoals(peakBytes: number, steps: Backlog["steps"]): Goal[] {
  const highest = (some: Backlog["steps"]) => Math.max(...some.map((step) => step.rss_bytes));
  const growth = highest(steps.slice(STEPS / 2)) / highest(steps.slice(0, STEPS / 2));
  return [
    {
      name: "peak memory with the backlog",
      value: peakBytes / 2 ** 20,
      limit: PEAK_MAX_MIB,
      at_least: false,
      unit: "MiB",
    },
    { name: "memory of the second half ÷ the first", value: growth, limit: GROWTH_MAX, at_least: false, unit: "x" },
  ];
}

/** The figures as plain text. */
export function formatBacklog(backlog: Backlog): string {
  const steps = backlog.steps.map((step) => [`  up to ${formatCount(step.events)} events`, formatMib(step.rss_bytes)]);
  const memory = [["highest memory while they came in", "MiB"], ...steps];
  return [
    `backlog, receiver ${backlog.sink}: ${formatCount(backlog.accepted)} accepted, ${formatCount(backlog.pending)} pending`,
    `${formatCount(backlog.accepted_per_s)} accepted/s, ${backlog.cpu_us_per_event.toFixed(1)} µs CPU per event`,
    "",
    formatTable([
      ...memory,
      ["  afterwards, nothing coming in", formatMib(backlog.held_rss_bytes)],
      ["  while it drains", formatMib(backlog.drain_rss_bytes)],
    ]),
    "",
    `drained once the receiver is well: ${formatCount(backlog.drained_per_s)} deliveries/s`,
    "",
    formatGoals(backlog.goals),
    ...backlog.problems.map((text) => `PROBLEM  ${text}`),
  ].join("\n");
}
