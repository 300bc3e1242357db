// Scenario `nodes`: a backlog of pending deliveries on PostgreSQL, drained by one dispatcher process and, from a new database,
// by two. What counts is how much faster two are. Sink, database and dispatchers share the machine, so with few cores
// the ratio says more about the machine than about the server. Runs only when it is named.
import { setTimeout as sleep } from "node:timers/promises";
import { createApp, createServerKey, createWebhook, pendingDeliveries } from "../api.ts";
import { readUsage } from "../measure.ts";
import type { Options } from "../options.ts";
import { type Server, type SinkProcess, startServer, startSink, type Target } from "../processes.ts";
import { formatCount, formatMib, formatTable } from "../report.ts";
import { ingest } from "./backlog.ts";

/** Each event goes to all of them, so that several lanes are busy. */
const WEBHOOKS = 4;
const NODES = [1, 2] as const;
const SAMPLE_MS = 50;
/** A drain in which nothing arrives for so long is over. */
const STALL_MS = 20_000;

/** Of one drain. CPU and memory are those of the dispatchers, `peak_bytes` of the largest. */
export type Drain = {
  nodes: number;
  deliveries: number;
  arrived: number;
  pending: number;
  seconds: number;
  delivered_per_s: number;
  cpu_us_per_delivery: number;
  peak_bytes: number;
};
export type Nodes = { drains: Drain[]; ratio: number; problems: string[] };

export async function runNodes(options: Options, say: (text: string) => void): Promise<Nodes> {
  const drains: Drain[] = [];
  for (const nodes of NODES) drains.push(await runDrain(options, nodes, say));
  return { drains, ratio: ratioOf(drains), problems: problemsOf(drains) };
}

async function runDrain(options: Options, nodes: number, say: (text: string) => void): Promise<Drain> {
  say(`nodes: ${nodes} × dispatcher, ${formatCount(options.events)} deliveries`);
  const sink = await startSink();
  const server = await startServer(options.engine, "api");
  try {
    const appId = await createApp(server);
    const key = await createServerKey(server, appId);
    const create = () => createWebhook(server, { app_id: appId, url: sink.url, event: "link.app_open" });
    const webhookIds = await Promise.all(Array.from({ length: WEBHOOKS }, create));
    const steps = await ingest({ server, app_id: appId, key }, Math.ceil(options.events / WEBHOOKS), say);
    await sink.ask({ do: "reset", marker: '"id":"', key_bytes: 8 });
    const deliveries = (steps.at(-1)?.events ?? 0) * WEBHOOKS;
    const drained = await drain(server, sink, { nodes, deliveries });
    const arrived = await countArrived(sink);
    let pending = 0;
    for (const id of webhookIds) pending += await pendingDeliveries(server, id);
    return { ...drained, nodes, deliveries, arrived, pending };
  } finally {
    await server.stop();
    await sink.stop();
  }
}

type Drained = Omit<Drain, "nodes" | "deliveries" | "arrived" | "pending">;

/** From the moment when all dispatchers are ready until everything has arrived and is recorded. */
async function drain(
  server: Server,
  sink: SinkProcess,
  { nodes, deliveries }: { nodes: number; deliveries: number },
): Promise<Drained> {
  const dispatchers = await Promise.all(Array.from({ length: nodes }, () => server.startDispatcher()));
  try {
    const before = { arrived: await countArrived(sink), at: performance.now(), cpu_us: cpuOf(dispatchers) };
    const arrived = await waitForArrivals(sink, deliveries);
    const seconds = (performance.now() - before.at) / 1000;
    const timed = arrived - before.arrived;
    const peaks = dispatchers.map(({ pid }) => readUsage(pid).peak_bytes);
    const cpu_us = cpuOf(dispatchers) - before.cpu_us;
    return {
      seconds,
      delivered_per_s: timed / seconds,
      cpu_us_per_delivery: cpu_us / timed,
      peak_bytes: Math.max(...peaks),
    };
  } finally {
    // What has arrived is recorded before they end.
    await Promise.all(dispatchers.map((one) => one.stop()));
  }
}

async function waitForArrivals(sink: SinkProcess, wanted: number): Promise<number> {
  let arrived = 0;
  let grown_at = performance.now();
  while (arrived < wanted && performance.now() - grown_at < STALL_MS) {
    const count = await countArrived(sink);
    if (count > arrived) grown_at = performance.now();
    arrived = count;
    await sleep(SAMPLE_MS);
  }
  return arrived;
}

async function countArrived(sink: SinkProcess): Promise<number> {
  return (await sink.ask({ do: "count" })).count;
}

function cpuOf(processes: readonly Target[]): number {
  return processes.reduce((sum, { pid }) => sum + readUsage(pid).cpu_us, 0);
}

export function ratioOf(drains: readonly Pick<Drain, "nodes" | "delivered_per_s">[]): number {
  const rate = (nodes: number) => drains.find((one) => one.nodes === nodes)?.delivered_per_s ?? Number.NaN;
  return rate(NODES[1]) / rate(NODES[0]);
}

export function problemsOf(drains: readonly Pick<Drain, "nodes" | "deliveries" | "arrived" | "pending">[]): string[] {
  return drains.flatMap(({ nodes, deliveries, arrived, pending }) => {
    const problems: string[] = [];
    if (arrived < deliveries) problems.push(`${nodes} × dispatcher: ${deliveries - arrived} deliveries did not arrive`);
    if (arrived > deliveries) problems.push(`${nodes} × dispatcher: ${arrived - deliveries} deliveries arrived twice`);
    if (pending > 0) problems.push(`${nodes} × dispatcher: ${pending} deliveries are still pending`);
    return problems;
  });
}

/** The figures as plain text. */
export function formatNodes({ drains, ratio, problems }: Nodes): string {
  const rows = drains.map((one) => [
    `${one.nodes} × dispatcher`,
    formatCount(one.delivered_per_s),
    one.seconds.toFixed(1),
    one.cpu_us_per_delivery.toFixed(1),
    formatMib(one.peak_bytes),
  ]);
  const head = [
    ["nodes", "delivered", "drain", "CPU µs", "peak MiB"],
    ["", "/s", "s", "/delivery", "of the largest"],
  ];
  return [
    `nodes: ${formatCount(drains[0]?.deliveries ?? 0)} deliveries to ${WEBHOOKS} webhooks`,
    formatTable([...head, ...rows]),
    `two ÷ one: ${ratio.toFixed(2)}x`,
    ...problems.map((text) => `PROBLEM  ${text}`),
  ].join("\n");
}
