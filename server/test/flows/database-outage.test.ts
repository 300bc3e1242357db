// A PostgreSQL that goes away under running servers, and comes back. `npm run test:failover` has more of this, with a standby. Visitors are redirected all the while, their clicks
// wait in the local spool and are drained exactly once; whoever could not be answered for good is asked to come again.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, type TestContext, test } from "node:test";
import { request } from "undici";
import { findFreePort } from "../../../scripts/postgres.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { countSpooled, waitUntilDrained } from "../support/drain.ts";
import { assertPromisesKept, assertRepeatsExplained, assertWhole, readLedger } from "../support/ledger.ts";
import { type Cluster, createTestDatabase, startCluster } from "../support/postgres.ts";
import { createRandom, type Random } from "../support/random.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { cidOf, createSite, PHONE, type Site } from "../support/site.ts";
import { createTraffic, type Traffic } from "../support/traffic.ts";
import { waitUntil } from "../support/wait.ts";

/** Answers to the load before the database goes, and clicks without it: at most so many, and at least some. */
const MOMENT_MAX = 200;
const CLICKS_WITHOUT_DATABASE = 100;
const IN_FLIGHT_MAX = 20;
/** Promised: so long after the database is back everything works again. */
const RECOVERY_MAX_MS = 10_000;
/** Deliveries whose commit or sender was lost are due again when their lease of 45 s has run out. */
const DRAIN_TIMEOUT_MS = 100_000;

const cluster: Cluster = await startCluster();
after(() => cluster.remove());

test("while the database is away redirects go on, everything else answers 503, and the spools drain exactly once", async (t) => {
  const world = await openWorld(t);
  const servers = [await world.start(), await world.startAnother()] as const;
  const { site, traffic } = await world.furnish(servers[0]);
  const traffics = [traffic, createTraffic(site, world.random)];
  const sending = traffics.map((one, index) => one.run(servers[index]?.url ?? ""));
  const both = async (step: (one: Traffic, url: string) => Promise<void>) => {
    for (const [index, one] of traffics.entries()) await step(one, servers[index]?.url ?? "");
  };
  for (const mode of ["immediate", "fast"] as const) {
    await both((one) => goOn(one, world.random.below(MOMENT_MAX)));
    await cluster.stop(mode);
    await both(clickOn);
    await both((one, url) => assertAway(url, site, one));
    await cluster.start();
    await both(async (_one, url) => {
      const isReady = async () => (await ask(url, "GET", "/api/ready")).status === 200;
      await waitUntil(isReady, "readiness", { timeout_ms: RECOVERY_MAX_MS });
    });
  }
  await both((one) => goOn(one, MOMENT_MAX));
  for (const one of traffics) one.stop();
  await Promise.all(sending);
  await waitUntilDrained([...servers], site, DRAIN_TIMEOUT_MS);
  for (const server of servers) {
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.doesNotMatch(server.stdout(), /"level":"error"/);
  }
  const { ledger, interrupted } = await verify(t, world, site, traffics);
  assert.deepEqual([interrupted.length, ledger.sent.length - ledger.by_delivery.size], [0, 0], "requests sent again");
});

test("a server that is killed without its database starts without it, and drains its spool when it is back", async (t) => {
  const world = await openWorld(t);
  const server = await world.start();
  const { site, traffic } = await world.furnish(server);
  const sending = traffic.run(server.url);
  await goOn(traffic, world.random.below(MOMENT_MAX));
  await cluster.stop("immediate");
  await clickOn(traffic);
  await server.kill9();
  await sending;
  const spooled = countSpooled(world.dir);
  assert.ok(spooled >= CLICKS_WITHOUT_DATABASE, `${spooled} clicks in the spool`);

  const starting = world.start();
  const isListening = () => ask(server.url, "GET", "/api/health").then(({ status }) => status === 200, () => false); // biome-ignore format: one thought
  await waitUntil(isListening, "the server to listen without its database");
  assert.equal((await ask(server.url, "GET", "/api/ready")).status, 503);
  // It has never seen a link, so there is nothing it could redirect to.
  assertComeAgain(await ask(server.url, "GET", `/${site.slug}`), "a link");
  assertComeAgain(await ingest(server.url, site), "ingest");
  await cluster.start();
  const draining = await starting;
  await waitUntil(() => countSpooled(world.dir) < spooled, "the spool to be drained");
  await draining.kill9();

  const last = await world.start();
  await waitUntil(() => countSpooled(world.dir) === 0, "the rest of the spool to be drained");
  for (const cid of traffic.promises.clicks) {
    const claim = await ask(last.url, "GET", `/api/deeplink?cid=${cid}`, undefined, { "x-app-id": site.app_id });
    assert.equal(claim.status, 200, `the claim of ${cid}`);
    traffic.promises.claims.add(cid);
  }
  await waitUntilDrained([last], site, DRAIN_TIMEOUT_MS);
  assert.deepEqual(await last.stop(), { code: 0, signal: null });
  for (const one of [server, draining, last]) assert.doesNotMatch(one.stdout(), /"level":"error"/);
  await verify(t, world, site, [traffic]);
});

interface World {
  dir: string;
  database_url: string;
  random: Random;
  receiver: Receiver;
  /** Each time on the same port and the same folder. */
  start(): Promise<ServerProcess>;
  /** Beside it, with a spool of its own in the same folder. */
  startAnother(): Promise<ServerProcess>;
  furnish(server: ServerProcess): Promise<{ site: Site; traffic: Traffic }>;
}

async function openWorld(t: TestContext): Promise<World> {
  const random = createRandom();
  t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
  const { url: database_url } = await createTestDatabase(cluster.url);
  const dir = mkdtempSync(join(tmpdir(), "linkme-outage-"));
  const receiver = await startReceiver();
  t.after(async () => {
    await receiver.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const env = {
    DATABASE_URL: database_url,
    LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url"),
  };
  const port = String(await findFreePort());
  return {
    dir,
    database_url,
    random,
    receiver,
    start: () => startServer({ dir, env: { ...env, PORT: port } }),
    startAnother: () => startServer({ dir, env }),
    async furnish(server) {
      const hook = { path: "/all", settings: { max_in_flight: IN_FLIGHT_MAX } };
      const site = await createSite(server, receiver.url, [hook]);
      return { site, traffic: createTraffic(site, random) };
    },
  };
}

async function goOn({ counts, promises }: Traffic, answers: number): Promise<void> {
  // A link that no visitor has opened is not in memory: without the database nobody could be redirected by it.
  await waitUntil(() => promises.clicks.size > 0, "a first redirect");
  const end = counts.answered + answers;
  await waitUntil(() => counts.answered >= end, `${answers} more answers`);
}

/** The load goes on until visitors were given many more tokens. */
async function clickOn({ promises }: Traffic): Promise<void> {
  const end = promises.clicks.size + CLICKS_WITHOUT_DATABASE;
  await waitUntil(() => promises.clicks.size >= end, "redirects to go on with tokens");
}

async function assertAway(url: string, site: Site, { promises }: Traffic): Promise<void> {
  assert.equal((await ask(url, "GET", "/api/health")).status, 200);
  assert.equal((await ask(url, "GET", "/api/ready")).status, 503);
  const redirect = await ask(url, "GET", `/${site.slug}`);
  assert.equal(redirect.status, 302);
  const cid = cidOf(redirect.location);
  assert.ok(cid !== null, "a token in the address");
  promises.clicks.add(cid);
  const [known] = promises.clicks;
  assertComeAgain(await ingest(url, site), "ingest");
  const app = { "x-app-id": site.app_id };
  assertComeAgain(await ask(url, "GET", `/api/deeplink?cid=${known}`, undefined, app), "a claim by token");
  const device = { platform: "ios", userAgent: PHONE };
  const calls: [string, object][] = [
    ["/api/deferred/claim", { platform: "ios", device }],
    ["/api/install-referrer", { referrer: `cid=${known}` }],
    ["/api/app-events", { type: "open", platform: "ios" }],
  ];
  for (const [path, body] of calls) assertComeAgain(await ask(url, "POST", path, body, app), path);
}

function ingest(url: string, site: Site) {
  const headers = { authorization: `Bearer ${site.admin_token}` };
  const event = { event: "link.app_open", data: { platform: "web", type: "open" } };
  return ask(url, "POST", `/api/apps/${site.app_id}/events`, event, headers);
}

interface Reply {
  status: number;
  location: unknown;
  retry_after: unknown;
}

async function ask(
  url: string,
  method: "GET" | "POST",
  path: string,
  body?: object,
  headers: object = {},
): Promise<Reply> {
  const response = await request(url + path, {
    method,
    headers: { "user-agent": PHONE, ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  await response.body.dump();
  const { location, "retry-after": retry_after } = response.headers;
  return { status: response.statusCode, location, retry_after };
}

function assertComeAgain({ status, retry_after }: Reply, what: string): void {
  assert.equal(status, 503, what);
  assert.match(String(retry_after), /^[1-9]\d*$/, `Retry-After of ${what}`);
}

async function verify(t: TestContext, world: World, site: Site, traffics: readonly Traffic[]) {
  const db = await openDatabase(world.database_url);
  t.after(() => db.close());
  const ledger = readLedger(world.receiver.received, site.hooks);
  for (const { promises } of traffics) assertPromisesKept(ledger, site, promises);
  await assertWhole(ledger, db, site);
  const interrupted = await assertRepeatsExplained(ledger, db);
  const counts = JSON.stringify(traffics.map((traffic) => traffic.counts));
  t.diagnostic(`${counts}, ${ledger.sent.length} requests, ${interrupted.length} interrupted`);
  return { ledger, interrupted };
}
