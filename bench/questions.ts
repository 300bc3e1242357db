// Asks a server through its API, one call after another, and holds the times against what a person waits for. Called by the
// scenarios history and analytics.
import { callApi } from "./api.ts";
import { type Percentiles, percentiles } from "./measure.ts";
import type { Server } from "./processes.ts";
import type { Goal } from "./report.ts";

export const CALLS = 200;
const P95_MAX_MS = 100;

export type Timing = Percentiles & { name: string };

/** @param pathOf a path for each call, so that each may look at another place */
export async function timeQuestion(server: Server, name: string, pathOf: () => string): Promise<Timing> {
  const took = new Float64Array(CALLS);
  for (let call = 0; call < CALLS; call++) {
    const path = pathOf();
    const startedAt = performance.now();
    await callApi(server, { method: "GET", path });
    took[call] = performance.now() - startedAt;
  }
  return { name, ...percentiles(took) };
}

export function goalOf({ name, p95 }: Pick<Timing, "name" | "p95">): Goal {
  return { name: `${name}, p95`, value: p95, limit: P95_MAX_MS, at_least: false, unit: "ms" };
}

/** The cells of a row, and those of its head. */
export const TIMES = ["p50", "p95", "p99"] as const;
export function formatTimes(timing: Timing): string[] {
  return TIMES.map((name) => timing[name].toFixed(1));
}
