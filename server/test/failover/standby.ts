// `npm run test:failover`: a PostgreSQL that fails over to its standby under two processes that do everything, again and again,
// while load goes on. One process reaches it over an address that moves, as a virtual address or a proxy does; the other one
// has a list of both hosts. Nobody helps them. It takes minutes, so `npm test` has a shorter form of it
// (server/test/flows/database-outage.test.ts). LINKME_TEST_ROUNDS says how often.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import pg from "pg";
import { openDatabase } from "../../src/platform/database-open.ts";
import { waitUntilDrained } from "../support/drain.ts";
import { assertPromisesKept, assertRepeatsExplained, assertWhole, readLedger } from "../support/ledger.ts";
import { type Cluster, createTestDatabase, startCluster } from "../support/postgres.ts";
import { createRandom } from "../support/random.ts";
import { startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite, type Site } from "../support/site.ts";
import { type Switch, startSwitch } from "../support/tcp-switch.ts";
import { createTraffic, type Traffic } from "../support/traffic.ts";
import { waitUntil } from "../support/wait.ts";

const ROUNDS = Number(process.env["LINKME_TEST_ROUNDS"] ?? 2);
/** Answers to the load between two outages: at least some, at most so many. */
const MOMENT_MAX = 300;
/** Promised: so long after the database is back everything works again. */
const RECOVERY_MAX_MS = 10_000;
/** Deliveries whose commit was lost are due again when their lease of 45 s has run out. */
const DRAIN_TIMEOUT_MS = 100_000;

test("a database that fails over to its standby loses nothing that was acknowledged, and nobody has to help", async (t) => {
  const random = createRandom();
  t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
  const databases = await startDatabases(t);
  const receiver = await startReceiver();
  t.after(() => receiver.close());
  const servers = await startServers(databases.addresses);
  const site = await createSite(servers[0], receiver.url, [{ path: "/all", settings: { max_in_flight: 20 } }]);
  const traffics = servers.map(() => createTraffic(site, random));
  const sending = traffics.map((traffic, index) => traffic.run(servers[index]?.url ?? ""));
  for (let round = 1; round <= ROUNDS; round++) {
    await goOn(traffics, 1 + random.below(MOMENT_MAX));
    await databases.addStandby();
    await recover(t, servers, site, `round ${round}, a restart in good order`);
    await goOn(traffics, 1 + random.below(MOMENT_MAX));
    await databases.failOver(() => refuse(traffics));
    await recover(t, servers, site, `round ${round}, a fail-over`);
    await goOn(traffics, 1 + random.below(MOMENT_MAX));
    await databases.crash(() => refuse(traffics));
    await recover(t, servers, site, `round ${round}, a crash and a restart`);
  }
  await goOn(traffics, MOMENT_MAX);
  for (const traffic of traffics) traffic.stop();
  await Promise.all(sending);
  await waitUntilDrained(servers, site, DRAIN_TIMEOUT_MS);
  for (const server of servers) {
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.doesNotMatch(server.stdout(), /"level":"error"/);
  }
  const db = await openDatabase(databases.addresses[0]);
  t.after(() => db.close());
  const ledger = readLedger(receiver.received, site.hooks);
  for (const { promises, counts } of traffics) {
    assertPromisesKept(ledger, site, promises);
    t.diagnostic(JSON.stringify(counts));
  }
  await assertWhole(ledger, db, site);
  const interrupted = await assertRepeatsExplained(ledger, db);
  t.diagnostic(`${ledger.sent.length} requests, ${interrupted.length} of them not recorded`);
});

/** A primary, in time a standby that each commit waits for, and the ways to them. */
async function startDatabases(t: TestContext) {
  let primary: Cluster = await startCluster();
  let standby: Cluster | undefined;
  const moving = await startSwitch(primary.port);
  const seats: [Switch, Switch] = [await startSwitch(primary.port), await startSwitch(primary.port)];
  /** Which of the two places in the list is the primary's. */
  let seat = 0;
  const { url } = await createTestDatabase(primary.url);
  t.after(async () => {
    await primary.remove();
    await standby?.remove();
    for (const one of [moving, ...seats]) await one.close();
  });
  const { port } = new URL(url);
  const through = (ports: number[]) => url.replace(`127.0.0.1:${port}`, ports.map((one) => `127.0.0.1:${one}`).join());
  return {
    addresses: [through([moving.port]), through(seats.map((one) => one.port))] as [string, string],
    async addStandby() {
      standby = await primary.startStandby();
      seats[1 - seat]?.turnTo(standby.port);
      // From here on what is acknowledged is on both.
      await run(primary, "alter system set synchronous_standby_names = '*'");
      await run(primary, "select pg_reload_conf()");
      const isSynchronous = async () =>
        (await run(primary, "select 1 as one from pg_stat_replication where sync_state = 'sync'")).length === 1;
      await waitUntil(isSynchronous, "the standby to follow");
    },
    async failOver(noticed: () => Promise<void>) {
      assert.ok(standby !== undefined);
      await primary.stop("kill");
      await noticed();
      await run(standby, "select pg_promote()");
      moving.turnTo(standby.port);
      await primary.remove();
      [primary, standby, seat] = [standby, undefined, 1 - seat];
    },
    async crash(noticed: () => Promise<void>) {
      await primary.stop("kill");
      await noticed();
      await primary.start();
    },
  };
}

async function run(cluster: Cluster, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: cluster.url });
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

function startServers(addresses: readonly [string, string]): Promise<[ServerProcess, ServerProcess]> {
  const env = {
    LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url"),
    LINKME_SEAL_KEY: randomBytes(32).toString("base64"),
  };
  const start = (url: string) => startServer({ env: { ...env, DATABASE_URL: url } });
  return Promise.all([start(addresses[0]), start(addresses[1])]);
}

async function goOn(traffics: readonly Traffic[], answers: number): Promise<void> {
  for (const { counts } of traffics) {
    const end = counts.answered + answers;
    await waitUntil(() => counts.answered >= end, `${answers} more answers`);
  }
}

/** The outage has been felt by whoever asks either process. */
async function refuse(traffics: readonly Traffic[]): Promise<void> {
  for (const { counts } of traffics) {
    const before = counts.unavailable;
    await waitUntil(() => counts.unavailable > before, "somebody to be asked to come again");
  }
}

/** Both processes take events again, each over whatever it has of connections. */
async function recover(t: TestContext, servers: readonly ServerProcess[], site: Site, what: string): Promise<void> {
  const began_at = performance.now();
  const headers = { authorization: `Bearer ${site.admin_token}` };
  const event = { event: "link.app_open", data: { platform: "web", type: "open" } };
  for (const server of servers) {
    const isBack = async () => {
      const ready = await server.request("GET", "/api/ready");
      const stored = await server.request("POST", `/api/apps/${site.app_id}/events`, event, headers);
      return ready.status === 200 && stored.status === 202;
    };
    await waitUntil(isBack, `the server to recover from ${what}`, { timeout_ms: RECOVERY_MAX_MS });
  }
  t.diagnostic(`${what}: recovered after ${Math.round(performance.now() - began_at)} ms`);
}
