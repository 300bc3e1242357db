// Scenario `redirect`: one link, opened by iPhones, Android phones and desktops in turn, with a webhook that receives
// every `link.click`. An event is recognised by the click's token, which the Location header and the webhook carry.
// Measured twice: as a process that only answers, with everything durable before the 302 and a second process that
// delivers after the load; and as one process that does both at once, which is what a single server does.
import { createApp, createLink, createMeasuredWebhook, LINK_HOST, LINK_SLUG, pendingDeliveries } from "../api.ts";
import type { Engine } from "../options.ts";
import { type Server, startServer } from "../processes.ts";
import { browserRequests, CID_BYTES } from "../workload.ts";
import type { Bench } from "./floor.ts";
import { type Row, runPhase, runWarm, type Stage, type Workload } from "./phase.ts";

const QUARTER = 0.25;
/** No dispatcher; `api` because the link is made, and the ledger read, through it. */
const EDGE_ROLE = "edge,api";

export async function runRedirectEdgeRole(bench: Bench, engine: Engine): Promise<Row> {
  const server = await startServer(engine, EDGE_ROLE);
  try {
    const { stage, workload } = await prepare(bench, server);
    const later: Workload = { ...workload, startDispatcher: server.startDispatcher };
    return await runWarm(stage, later, { seconds: bench.seconds, rate: null });
  } finally {
    await server.stop();
  }
}

/** First as fast as the connections go, then at a quarter of the rate that this delivered. */
export async function runRedirectAllRoles(bench: Bench, engine: Engine): Promise<{ saturation: Row; quarter: Row }> {
  const server = await startServer(engine);
  try {
    const { stage, workload } = await prepare(bench, server);
    const saturation = await runWarm(stage, workload, { seconds: bench.seconds, rate: null });
    const rate = Math.max(1, Math.round(saturation.delivered_per_s * QUARTER));
    return { saturation, quarter: await runPhase(stage, workload, { seconds: bench.seconds, rate }) };
  } finally {
    await server.stop();
  }
}

async function prepare(bench: Bench, server: Server): Promise<{ stage: Stage; workload: Workload }> {
  const appId = await createApp(server);
  await createLink(server, appId);
  const hook = { app_id: appId, url: bench.sink.url, event: "link.click" };
  const webhookId = await createMeasuredWebhook(server, hook);
  const workload: Workload = {
    requests: browserRequests(`/${LINK_SLUG}`, LINK_HOST),
    expected_status: 302,
    // As a query parameter, and inside the Play Store's encoded referrer.
    key_markers: ["cid=", "cid%3D"],
    key_bytes: CID_BYTES,
    arrival_marker: '"cid":"',
    pending: () => pendingDeliveries(server, webhookId),
    startDispatcher: null,
  };
  return { stage: { target: server, sink: bench.sink, connections: bench.connections }, workload };
}
