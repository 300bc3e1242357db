// Scenario `many`: thousands of webhooks, each of an app of its own, one in a hundred to a receiver that never answers.
// What counts is what the healthy ones deliver, how late, and the server's memory.
import { createApp, createMeasuredWebhook, createServerKey, pendingDeliveries } from "../api.ts";
import type { Options } from "../options.ts";
import { type Server, startServer, startSink } from "../processes.ts";
import { ingestRequest, type RequestTemplate } from "../workload.ts";
import { runWarm } from "./phase.ts";
import { EVENT, makeNoise, measuredWorkload, problemsOf, type Single } from "./single.ts";

const HANGING_SHARE = 0.01;
/** Deliveries that wait for each receiver that hangs. */
const NOISE_EACH = 200;
const CALLS_IN_FLIGHT = 8;

export async function runMany(options: Options, say: (text: string) => void): Promise<Single> {
  const [sink, stuck, server] = [await startSink(), await startSink(), await startServer(options.engine)];
  try {
    const hanging = Math.max(1, Math.round(options.webhooks * HANGING_SHARE));
    say(`many: creating ${options.webhooks} webhooks, ${hanging} of them to a receiver that hangs`);
    const apps = await createApps(server, sink.url, options.webhooks - hanging);
    await makeNoise(server, stuck, hanging, hanging * NOISE_EACH);
    say("many: measuring");
    const requests = apps.map(({ request }) => request);
    const workload = measuredWorkload(requests, () => pendingOf(server, apps));
    const stage = { target: server, sink, connections: options.connections };
    const row = await runWarm(stage, workload, { seconds: options.seconds, rate: null });
    const rows = [{ label: `${apps.length} healthy of ${options.webhooks}`, row }];
    return { name: "many", rows, notes: [], problems: problemsOf(rows) };
  } finally {
    await server.stop();
    await Promise.all([sink.stop(), stuck.stop()]);
  }
}

interface Receiving {
  webhook_id: string;
  request: RequestTemplate;
}

async function createApps(server: Server, url: string, count: number): Promise<Receiving[]> {
  const made: Receiving[] = [];
  let begun = 0;
  const createSome = async () => {
    while (begun++ < count) {
      const app_id = await createApp(server);
      const key = await createServerKey(server, app_id);
      const webhook_id = await createMeasuredWebhook(server, { app_id, url, event: EVENT });
      const request = ingestRequest(`/api/apps/${app_id}/events`, `${server.host}:${server.port}`, key);
      made.push({ webhook_id, request });
    }
  };
  await Promise.all(Array.from({ length: CALLS_IN_FLIGHT }, createSome));
  return made;
}

/** Asked when everything has arrived: one webhook after another, until one still has something pending. */
async function pendingOf(server: Server, apps: readonly Receiving[]): Promise<number> {
  for (const { webhook_id } of apps) {
    const pending = await pendingDeliveries(server, webhook_id);
    if (pending > 0) return pending;
  }
  return 0;
}
