// Scenario `claim`: apps ask at their first start which click brought them, by their network alone, among a million open
// tokens of a thousand links; each finds its own. A webhook receives every `link.claim`. Measured like `redirect`: as a process
// that only answers, with everything durable before the answer, and as one process that delivers at the same time.
// Longer than the others, so it runs only when it is named.
import { randomBytes } from "node:crypto";
import { openDatabase } from "../../server/src/platform/database-open.ts";
import { createApp, createDomain, createMeasuredWebhook, LINK_HOST, pendingDeliveries } from "../api.ts";
import { fillLinks, fillTokens } from "../fill.ts";
import type { Options } from "../options.ts";
import { type Server, type SinkProcess, startServer, startSink } from "../processes.ts";
import { formatCount, type Goal, middleRow } from "../report.ts";
import { CID_BYTES, claimRequest } from "../workload.ts";
import { type Load, type Row, runPhase, type Stage, type Workload } from "./phase.ts";
import { problemsOf, type Single } from "./single.ts";

const LINKS = 1_000;
/** Within the match window that apps have by default, with time to spare for the run. */
const CLICKED_WITHIN_MS = 20 * 60_000;
const WARM_UP_SECONDS = 2;
/** The goal. */
const RATE_PER_SECOND = 1_500;
const P99_MAX_MS = 50;
/** No dispatcher; `api` because the webhook is made, and the ledger read, through it. */
const EDGE_ROLE = "edge,api";

export async function runClaim(options: Options, say: (text: string) => void): Promise<Single> {
  const sink = await startSink();
  try {
    const edge = await runRole({ options, sink, say }, EDGE_ROLE);
    const all = await runRole({ options, sink, say });
    const at_rate = `${formatCount(RATE_PER_SECOND)}/s`;
    const rows = [
      { label: "edge role, saturation", row: edge.saturation },
      { label: `edge role, ${at_rate}`, row: edge.steady },
      { label: "all roles, saturation", row: all.saturation },
      { label: `all roles, ${at_rate}`, row: all.steady },
    ];
    return { name: "claim", rows, goals: goalsOf(edge), notes: [], problems: problemsOf(rows) };
  } finally {
    await sink.stop();
  }
}

/** As fast as the connections go, and at the rate of the goal, whether or not a connection is free. */
type Measured = { saturation: Row; steady: Row };
type Run = { options: Options; sink: SinkProcess; say: (text: string) => void };

async function runRole({ options, sink, say }: Run, role?: string): Promise<Measured> {
  const seal_key = randomBytes(32);
  const server = await startServer(options.engine, role, {
    LINKME_SEAL_KEY: seal_key.toString("base64"),
    LINKME_TRUSTED_PROXIES: "127.0.0.0/8",
    LINKME_CLAIMS_PER_MINUTE: "0",
  });
  try {
    const what = role === undefined ? "all roles" : "edge role";
    say(`claim, ${what}: writing ${formatCount(options.tokens)} open tokens`);
    const app_id = await prepare(server, seal_key, options.tokens);
    const webhookId = await createMeasuredWebhook(server, { app_id, url: sink.url, event: "link.claim" });
    const workload: Workload = {
      requests: [claimRequest(LINK_HOST, app_id)],
      ...{ expected_status: 200, key_markers: ['"cid":"'], key_bytes: CID_BYTES, arrival_marker: '"cid":"' },
      pending: () => pendingDeliveries(server, webhookId),
      startDispatcher: role === undefined ? null : server.startDispatcher,
    };
    const stage = { target: server, sink, connections: options.connections };
    return await runRounds(stage, workload, options, (round) => say(`claim, ${what}: round ${round}`));
  } finally {
    await server.stop();
  }
}

async function prepare(server: Server, seal_key: Buffer, tokens: number): Promise<string> {
  const app_id = await createApp(server);
  const domain_id = await createDomain(server, app_id);
  const db = await openDatabase(server.database_url);
  try {
    await fillLinks(db, { app_id, domain_id }, LINKS);
    const until = Date.now();
    const since = until - CLICKED_WITHIN_MS;
    await fillTokens(db, { app_id, links: LINKS, seal_key, since, until }, tokens);
  } finally {
    await db.close();
  }
  return app_id;
}

/** Every load has tokens of its own, and so has the short one before them, which is not measured. */
async function runRounds(
  stage: Stage,
  workload: Workload,
  { tokens, rounds, seconds }: Options,
  say: (round: number) => void,
): Promise<Measured> {
  const share = Math.floor(tokens / (2 * rounds + 1));
  let loads = 0;
  const run = (load: Load) => runPhase(stage, { ...workload, first_number: share * loads++ }, load);
  const warm = await run({ seconds: WARM_UP_SECONDS, rate: null });
  if (warm.lost > 0) throw new Error(`${warm.lost} claims of the warm-up were not delivered`);
  const saturation: Row[] = [];
  const steady: Row[] = [];
  for (let round = 1; round <= rounds; round++) {
    say(round);
    saturation.push(await run({ seconds, rate: null }));
    steady.push(await run({ seconds, rate: RATE_PER_SECOND }));
  }
  return { saturation: middleRow(saturation), steady: middleRow(steady) };
}

function goalsOf({ saturation, steady }: Measured): Goal[] {
  return [
    {
      ...{ name: "matched claims/s, edge role", value: saturation.accepted_per_s, limit: RATE_PER_SECOND },
      ...{ at_least: true, unit: "/s" },
    },
    {
      ...{ name: "p99 of claims at that rate, edge role", value: steady.accept_ms.p99, limit: P99_MAX_MS },
      ...{ at_least: false, unit: "ms" },
    },
  ];
}
