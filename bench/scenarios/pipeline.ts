// Scenario `pipeline`: a backend posts single events with a server key; each becomes durable, goes out as a signed
// webhook and is recorded. First as fast as the connections go, then at a quarter of the rate that this delivered.
import { createApp, createMeasuredWebhook, createServerKey, pendingDeliveries } from "../api.ts";
import type { Engine } from "../options.ts";
import { startServer } from "../processes.ts";
import { EVENT_ID_BYTES, ingestRequest } from "../workload.ts";
import type { Bench } from "./floor.ts";
import { type Row, runPhase, runWarm, type Workload } from "./phase.ts";

const QUARTER = 0.25;

export async function runPipeline(bench: Bench, engine: Engine): Promise<{ saturation: Row; quarter: Row }> {
  const server = await startServer(engine);
  try {
    const appId = await createApp(server);
    const key = await createServerKey(server, appId);
    const hook = { app_id: appId, url: bench.sink.url, event: "link.app_open" };
    const webhookId = await createMeasuredWebhook(server, hook);
    const workload: Workload = {
      requests: [ingestRequest(`/api/apps/${appId}/events`, `${server.host}:${server.port}`, key)],
      expected_status: 202,
      key_markers: ['"accepted":["'],
      key_bytes: EVENT_ID_BYTES,
      arrival_marker: '{"id":"',
      pending: () => pendingDeliveries(server, webhookId),
      startDispatcher: null,
    };
    const stage = { target: server, sink: bench.sink, connections: bench.connections };
    const saturation = await runWarm(stage, workload, { seconds: bench.seconds, rate: null });
    const rate = Math.max(1, Math.round(saturation.delivered_per_s * QUARTER));
    return { saturation, quarter: await runPhase(stage, workload, { seconds: bench.seconds, rate }) };
  } finally {
    await server.stop();
  }
}
