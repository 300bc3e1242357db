// Scenario `fanout`: each event goes to ten webhooks. The arrival at the first is timed; the others go to a receiver of
// their own, and the row's span ends when all ten have delivered everything.
import { createApp, createMeasuredWebhook, createServerKey, pendingDeliveries } from "../api.ts";
import type { Options } from "../options.ts";
import { startServer, startSink } from "../processes.ts";
import { formatCount } from "../report.ts";
import { ingestRequest } from "../workload.ts";
import { runWarm } from "./phase.ts";
import { EVENT, measuredWorkload, problemsOf, type Single } from "./single.ts";

const WEBHOOKS = 10;

export async function runFanout(options: Options, say: (text: string) => void): Promise<Single> {
  const [sink, others, server] = [await startSink(), await startSink(), await startServer(options.engine)];
  try {
    const app_id = await createApp(server);
    const key = await createServerKey(server, app_id);
    const ids: string[] = [];
    for (let count = 0; count < WEBHOOKS; count++) {
      const { url } = count === 0 ? sink : others;
      ids.push(await createMeasuredWebhook(server, { app_id, url, event: EVENT }));
    }
    say(`fanout: each event to ${WEBHOOKS} webhooks`);
    const request = ingestRequest(`/api/apps/${app_id}/events`, `${server.host}:${server.port}`, key);
    const pending = async () => {
      const counts = await Promise.all(ids.map((id) => pendingDeliveries(server, id)));
      return counts.reduce((sum, count) => sum + count, 0);
    };
    const stage = { target: server, sink, connections: options.connections };
    await others.ask({ do: "reset", marker: '{"id":"', key_bytes: 36 });
    const row = await runWarm(stage, measuredWorkload([request], pending), { seconds: options.seconds, rate: null });
    const rows = [{ label: `1 event to ${WEBHOOKS} webhooks`, row }];
    const notes = [`about ${formatCount(row.delivered_per_s * WEBHOOKS)} deliveries/s in all`];
    return { name: "fanout", rows, notes, problems: problemsOf(rows) };
  } finally {
    await server.stop();
    await Promise.all([sink.stop(), others.stop()]);
  }
}
