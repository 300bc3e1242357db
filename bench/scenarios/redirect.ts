// Scenario `redirect`: one link, opened by iPhones, Android phones and desktops in turn, with a webhook that receives
// every `link.click`. An event is recognised by the click's token, which the Location header and the webhook carry.
// With `links` there are so many in the store. Each visit opens another one, which no cache has; or the n-th is opened about a n-th as
// often as the first; or one alone is, as without `links`. The cache begins without them, for the load before it has others.
// Measured twice: as a process that only answers, with everything durable before the 302 and a second process that
// delivers after the load; and as one process that does both at once, which is what a single server does.
import { openDatabase } from "../../server/src/platform/database-open.ts";
import {
  createApp,
  createDomain,
  createLink,
  createMeasuredWebhook,
  LINK_HOST,
  LINK_SLUG,
  pendingDeliveries,
} from "../api.ts";
import { fillLinks } from "../fill.ts";
import type { Engine } from "../options.ts";
import { type Server, startServer } from "../processes.ts";
import { browserRequests, CID_BYTES, manyLinksRequests, type Popularity, type RequestTemplate } from "../workload.ts";
import type { Bench } from "./floor.ts";
import { type Row, runPhase, runWarm, type Stage, type Workload } from "./phase.ts";

const QUARTER = 0.25;
/** No dispatcher; `api` because the link is made, and the ledger read, through it. */
const EDGE_ROLE = "edge,api";

export type Visits = Bench & { links: number; popularity: Popularity };

export async function runRedirectEdgeRole(bench: Visits, engine: Engine): Promise<Row> {
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
export async function runRedirectAllRoles(bench: Visits, engine: Engine): Promise<{ saturation: Row; quarter: Row }> {
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

async function prepare(bench: Visits, server: Server): Promise<{ stage: Stage; workload: Workload }> {
  const appId = await createApp(server);
  const requests = await createLinks(server, appId, bench.links);
  const hook = { app_id: appId, url: bench.sink.url, event: "link.click" };
  const webhookId = await createMeasuredWebhook(server, hook);
  const workload: Workload = {
    requests,
    numbers: Math.max(1, bench.links),
    popularity: bench.popularity,
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

/** One link through the API, or many in the store; and how they are opened. */
async function createLinks(server: Server, app_id: string, links: number): Promise<RequestTemplate[]> {
  if (links === 0) {
    await createLink(server, app_id);
    return browserRequests(`/${LINK_SLUG}`, LINK_HOST);
  }
  const domain_id = await createDomain(server, app_id);
  const db = await openDatabase(server.database_url);
  try {
    await fillLinks(db, { app_id, domain_id }, links);
  } finally {
    await db.close();
  }
  return manyLinksRequests(LINK_HOST);
}
