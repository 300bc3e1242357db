// Two nodes of each role, restarted one after another under load, as an upgrade does it: whoever tries the other node when one
// does not answer is always served, and nothing is lost or sent twice.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Pool } from "undici";
import { findFreePort } from "../../../scripts/postgres.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { waitUntilDrained } from "../support/drain.ts";
import { assertPromisesKept, assertRepeatsExplained, assertWhole, readLedger } from "../support/ledger.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { createRandom, type Random } from "../support/random.ts";
import { startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { cidOf, createSite, PHONE, type Site } from "../support/site.ts";
import { commonSettings } from "../support/together.ts";
import type { Promises } from "../support/traffic.ts";
import { waitUntil } from "../support/wait.ts";

const SENDERS = 4;
/** Answers between two restarts. */
const MOMENT = 50;
const DRAIN_TIMEOUT_MS = 60_000;

interface Node {
  role: string;
  url: string;
  process: ServerProcess;
  restart(): Promise<void>;
}

test("nodes that are restarted one after another fail no request of a client that tries the other one", async (t) => {
  const random = createRandom();
  t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
  const database = await createTestDatabase();
  const receiver = await startReceiver();
  t.after(async () => {
    await receiver.close();
    await database.drop();
  });
  const nodes = await startNodes(database.url, ["edge", "edge", "api", "api", "dispatcher", "dispatcher"]);
  const api = nodes.find(({ role }) => role === "api");
  assert.ok(api !== undefined);
  const site = await createSite(api.process, receiver.url, [{ path: "/all", settings: { max_in_flight: 20 } }]);
  const load = createLoad(t, nodes, site, random);
  const sending = load.run();
  for (const node of nodes) {
    await load.goOn();
    await node.restart();
  }
  await load.goOn();
  load.stop();
  await sending;
  const others = nodes.filter((node) => node !== api).map((node) => node.process);
  await waitUntilDrained([api.process, ...others], site, DRAIN_TIMEOUT_MS);
  for (const { process } of nodes) {
    assert.deepEqual(await process.stop(), { code: 0, signal: null });
    assert.doesNotMatch(process.stdout(), /"level":"error"/);
  }
  const db = await openDatabase(database.url);
  t.after(() => db.close());
  const ledger = readLedger(receiver.received, site.hooks);
  assertPromisesKept(ledger, site, load.promises);
  await assertWhole(ledger, db, site);
  await assertRepeatsExplained(ledger, db);
  assert.equal(ledger.sent.length, ledger.by_delivery.size, "nothing was sent twice");
  t.diagnostic(`${load.counts.answered} answers, ${load.counts.moved} of them by the other node`);
});

async function startNodes(database_url: string, roles: string[]): Promise<Node[]> {
  const env = commonSettings(database_url);
  const nodes: Node[] = [];
  for (const role of roles) {
    const PORT = String(await findFreePort());
    const start = (dir?: string) => startServer({ env: { ...env, PORT }, role, ...(dir !== undefined && { dir }) });
    const process = await start();
    const node: Node = {
      role,
      url: process.url,
      process,
      async restart() {
        assert.deepEqual(await node.process.stop(), { code: 0, signal: null });
        assert.match(node.process.stdout(), /"drained":true/);
        node.process = await start(node.process.dir);
      },
    };
    nodes.push(node);
  }
  return nodes;
}

/** Clicks and events, each sent to one node of the role and to the other one when that does not take it. */
function createLoad(t: TestContext, nodes: readonly Node[], site: Site, random: Random) {
  const promises: Promises = {
    ...{ events: new Set(), clicks: new Set(), claims: new Set(), opens: new Set(), cut_batches: [] },
  };
  const counts = { answered: 0, moved: 0 };
  const pools = nodes.map(({ role, url }) => ({ role, pool: new Pool(url, { connections: SENDERS }) }));
  let stopped = false;
  t.after(() => Promise.all(pools.map(({ pool }) => pool.destroy())));

  async function send(role: string, method: "GET" | "POST", path: string, body?: object) {
    const [first, other] = pools.filter((one) => one.role === role).sort(() => random.below(2) - 0.5);
    const answer =
      (await attempt(first?.pool, method, path, body)) ?? (await attempt(other?.pool, method, path, body, true));
    assert.ok(answer !== null, `${method} ${path}: no node of the role ${role} took it`);
    counts.answered++;
    return answer;
  }

  /** Null when the node is gone or asks to come again. */
  async function attempt(
    pool: Pool | undefined,
    method: "GET" | "POST",
    path: string,
    body?: object,
    is_second = false,
  ) {
    if (is_second) counts.moved++;
    const headers = {
      "user-agent": PHONE,
      ...(body && { "content-type": "application/json", authorization: `Bearer ${site.admin_token}` }),
    };
    const response = await pool
      ?.request({ method, path, headers, ...(body && { body: JSON.stringify(body) }) })
      .catch((error: Error & { code?: string }) => {
        if (/^(ECONNRESET|ECONNREFUSED|EPIPE|UND_ERR_SOCKET)$/.test(error.code ?? "")) return null;
        throw error;
      });
    if (response === null || response === undefined) return null;
    await response.body.dump();
    return response.statusCode === 503 ? null : response;
  }

  async function sendUntilStopped(): Promise<void> {
    while (!stopped) {
      const id = random.uuid();
      const event = { id, event: "link.app_open", data: { platform: "ios", type: "open" } };
      assert.equal((await send("api", "POST", `/api/apps/${site.app_id}/events`, event)).statusCode, 202);
      promises.events.add(id);
      const click = await send("edge", "GET", `/${site.slug}`);
      assert.equal(click.statusCode, 302);
      const cid = cidOf(click.headers["location"]);
      if (cid !== null) promises.clicks.add(cid);
    }
  }

  return {
    promises,
    counts,
    run: () => Promise.all(Array.from({ length: SENDERS }, sendUntilStopped)),
    async goOn() {
      const end = counts.answered + MOMENT;
      await waitUntil(() => counts.answered >= end, `${MOMENT} more answers`);
    },
    stop: () => {
      stopped = true;
    },
  };
}
