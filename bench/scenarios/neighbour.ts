// Scenario `neighbour`: events for a healthy receiver at a steady rate, first alone, then while 10,000 deliveries wait for
// one that never answers. The healthy one's p95 is to stay within twice what it was.
import { createApp, createMeasuredWebhook, createServerKey, pendingDeliveries } from "../api.ts";
import type { Options } from "../options.ts";
import { startServer, startSink } from "../processes.ts";
import { ingestRequest } from "../workload.ts";
import { runPhase, runWarm } from "./phase.ts";
import { EVENT, makeNoise, measuredWorkload, problemsOf, type Single } from "./single.ts";

const NOISE = 10_000;
const RATE_PER_SECOND = 200;

export async function runNeighbour(options: Options, say: (text: string) => void): Promise<Single> {
  const [sink, hanging, server] = [await startSink(), await startSink(), await startServer(options.engine)];
  try {
    const app_id = await createApp(server);
    const key = await createServerKey(server, app_id);
    const webhook_id = await createMeasuredWebhook(server, { app_id, url: sink.url, event: EVENT });
    const request = ingestRequest(`/api/apps/${app_id}/events`, `${server.host}:${server.port}`, key);
    const workload = measuredWorkload([request], () => pendingDeliveries(server, webhook_id));
    const stage = { target: server, sink, connections: options.connections };
    const load = { seconds: options.seconds, rate: RATE_PER_SECOND };
    say("neighbour: alone");
    const alone = await runWarm(stage, workload, load);
    say(`neighbour: beside ${NOISE} deliveries to a receiver that hangs`);
    await makeNoise(server, hanging, 1, NOISE);
    const beside = await runPhase(stage, workload, load);
    const rows = [
      { label: "alone", row: alone },
      { label: "beside a receiver that hangs", row: beside },
    ];
    const share = beside.end_to_end_ms.p95 / alone.end_to_end_ms.p95;
    const notes = [`p95 beside the noise is ${share.toFixed(2)} times what it is alone; 2 is the goal`];
    return { name: "neighbour", rows, notes, problems: problemsOf(rows) };
  } finally {
    await server.stop();
    await Promise.all([sink.stop(), hanging.stop()]);
  }
}
