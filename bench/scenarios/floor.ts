// The floors as rows: the same requests, generator and sink as the scenarios, with nothing of the product between.
import { type SinkProcess, startFloor } from "../processes.ts";
import { EVENT_ID_BYTES, ingestRequest } from "../workload.ts";
import { type Row, runWarm, type Workload } from "./phase.ts";

export type Bench = { sink: SinkProcess; connections: number; seconds: number };

export async function runFloor(bench: Bench, floor: "accept" | "accept+post"): Promise<Row> {
  const target = await startFloor(floor, floor === "accept" ? null : bench.sink);
  const workload: Workload = {
    requests: [ingestRequest("/api/apps/app_benchmark/events", `${target.host}:${target.port}`, "sk_none")],
    expected_status: 202,
    key_markers: ['"accepted":["'],
    key_bytes: EVENT_ID_BYTES,
    // A floor gives no ids; the key inside the body stands for one.
    arrival_marker: floor === "accept" ? null : '"key":"',
    pending: null,
    startDispatcher: null,
  };
  try {
    const stage = { target, sink: bench.sink, connections: bench.connections };
    return await runWarm(stage, workload, { seconds: bench.seconds, rate: null });
  } finally {
    await target.stop();
  }
}
