// What the scenarios share that run once and alone, neighbour, many and fanout, and the floor beside them: labelled rows, and
// what to say of them.
import { createApp, createServerKey, createWebhook } from "../api.ts";
import type { Server, SinkProcess } from "../processes.ts";
import { formatCount, formatGoals, formatMib, formatTable, type Goal } from "../report.ts";
import { batchBody, EVENT_ID_BYTES, type RequestTemplate } from "../workload.ts";
import { sendOneBatch } from "./backlog.ts";
import type { Row, Workload } from "./phase.ts";

export type Single = {
  name: string;
  rows: { label: string; row: Row }[];
  goals?: Goal[];
  /** Figures of their own, as sentences. */
  notes: string[];
  problems: string[];
};

export const EVENT = "link.app_open";
const NOISE_BATCH = 500;

/** Events whose arrival at one sink is timed; `pending` counts what is still to be delivered. */
export function measuredWorkload(requests: RequestTemplate[], pending: () => Promise<number>): Workload {
  const expected = { expected_status: 202, key_markers: ['"accepted":["'], key_bytes: EVENT_ID_BYTES };
  return { requests, ...expected, arrival_marker: '{"id":"', pending, startDispatcher: null };
}

/** Apps with a webhook each to a receiver that hangs, and as many deliveries for them. */
export async function makeNoise(server: Server, sink: SinkProcess, apps: number, deliveries: number): Promise<void> {
  await sink.ask({ do: "mode", mode: "hang" });
  const each = Math.max(1, Math.round(deliveries / apps));
  for (let count = 0; count < apps; count++) {
    const app_id = await createApp(server);
    await createWebhook(server, { app_id, url: sink.url, event: EVENT });
    const key = await createServerKey(server, app_id);
    for (let left = each; left > 0; left -= NOISE_BATCH) {
      await sendOneBatch({ server, app_id, key }, batchBody(Math.min(left, NOISE_BATCH)));
    }
  }
}

/** A row is trusted when nothing of it is lost. */
export function problemsOf(rows: Single["rows"]): string[] {
  return rows.flatMap(({ label, row }) => [
    ...row.problems.map((text) => `${label}: ${text}`),
    ...(row.lost > 0 ? [`${label}: ${row.lost} lost`] : []),
  ]);
}

export function formatSingle({ name, rows, goals = [], notes, problems }: Single): string {
  const head = [
    ...[name, "accepted/s", "accept ms p50 / p99", "delivered/s", "end-to-end ms p50 / p95 / p99"],
    ...["CPU µs/event", "peak MiB"],
  ];
  const lines = rows.map(({ label, row }) => {
    const { accept_ms: accept, end_to_end_ms: whole } = row;
    return [
      label,
      formatCount(row.accepted_per_s),
      formatTimes([accept.p50, accept.p99]),
      formatCount(row.delivered_per_s),
      formatTimes([whole.p50, whole.p95, whole.p99]),
      row.cpu_us_per_event.toFixed(1),
      formatMib(row.peak_bytes),
    ];
  });
  const said = [...notes, ...rows.flatMap(({ label, row }) => row.notes.map((text) => `${label}: ${text}`))];
  return [
    formatTable([head, ...lines]),
    ...(goals.length > 0 ? [formatGoals(goals)] : []),
    ...said.map((text) => `note     ${text}`),
    ...problems.map((text) => `PROBLEM  ${text}`),
  ].join("\n");
}

/** A dash where nothing was timed. */
function formatTimes(times: readonly number[]): string {
  return times.some(Number.isNaN) ? "-" : times.map((ms) => ms.toFixed(1)).join(" / ");
}
