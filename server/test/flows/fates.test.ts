// The numbers add up, whatever happens: a server is killed under load again and again while one webhook filters, one is
// turned off and on, and one is created late. At any moment, and at the end, every event has one fate at every webhook.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { openDatabase } from "../../src/platform/database-open.ts";
import { sql } from "../../src/platform/sql.ts";
import { countSpooled } from "../support/drain.ts";
import { countFates, sumOf } from "../support/fates.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { createRandom, type Random } from "../support/random.ts";
import { startReceiver } from "../support/receiver.ts";
import { type ServerOptions, type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite, type Site } from "../support/site.ts";
import { createTraffic, type Traffic } from "../support/traffic.ts";
import { waitUntil } from "../support/wait.ts";

const KILLS = 5;
/** Answers after which a process is killed: at least, and so many more at the most. */
const LIFE_MIN = 60;
const LIFE_MORE_MAX = 150;
/** Single events whose fates are compared with the sum. */
const LOOKED_AT = 100;
/** One in so many first attempts is refused, so that deliveries wait for a retry when a process dies. */
const REFUSED_SHARE = 8;
const HOOKS = [
  { path: "/all" },
  { path: "/clicks", events: ["link.click"] },
  {
    path: "/filtered",
    settings: {
      filter: {
        any: [
          { path: "event", prefix: "link.app" },
          { path: "utm.source", equals: "x" },
        ],
      },
    },
  },
  { path: "/restless" },
];

interface Flow {
  site: Site;
  traffic: Traffic;
  random: Random;
  receiver_url: string;
}

describe("fates", { concurrency: 2 }, () => {
  test(`on SQLite, events × webhooks is the sum of all fates, during load and after ${KILLS} kills`, async (t) => {
    const dir = createFolder(t);
    await run(t, { dir }, `file:${join(dir, "linkme.db")}`);
  });

  test(`on PostgreSQL, events × webhooks is the sum of all fates, during load and after ${KILLS} kills`, async (t) => {
    const database = await createTestDatabase();
    t.after(() => database.drop());
    await run(t, { dir: createFolder(t), env: { DATABASE_URL: database.url } }, database.url);
  });
});

async function run(t: TestContext, place: ServerOptions, database_url: string): Promise<void> {
  const random = createRandom();
  t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
  const receiver = await startReceiver(({ headers }) => {
    const is_chosen = Number.parseInt(String(headers["webhook-id"]).slice(-2), 16) % REFUSED_SHARE === 0;
    return { status: is_chosen && headers["x-linkme-attempt"] === "1" ? 503 : 200 };
  });
  t.after(() => receiver.close());
  const options = { ...place, env: { ...place.env, LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url") } };
  let server = await startServer(options);
  const site = await createSite(server, receiver.url, HOOKS);
  const flow: Flow = { site, traffic: createTraffic(site, random), random, receiver_url: receiver.url };
  for (let kills = 0; kills < KILLS; kills++) {
    await liveAndDie(server, flow, kills);
    server = await startServer(options);
  }
  await verify(t, server, site, database_url);
  await server.stop();
}

/** Loads a server, turns a webhook off and on meanwhile and counts, until a moment that chance chooses. */
async function liveAndDie(server: ServerProcess, { site, traffic, random, receiver_url }: Flow, life: number) {
  const restless = site.hooks.find(({ path }) => path === "/restless")?.id;
  const end = traffic.counts.answered + LIFE_MIN + random.below(LIFE_MORE_MAX);
  let is_over = false;
  const meanwhile = async () => {
    const headers = { authorization: `Bearer ${site.admin_token}` };
    const late = { url: `${receiver_url}/all`, events: ["link.click", "link.claim"] };
    if (life === 1) await server.request("POST", `/api/apps/${site.app_id}/webhooks`, late, headers);
    for (let enabled = false; !is_over; enabled = !enabled) {
      await server.request("PATCH", `/api/webhooks/${restless}`, { enabled }, headers);
      await countFates(server, site);
      const next = traffic.counts.answered + 1 + random.below(20);
      await waitUntil(() => is_over || traffic.counts.answered >= next, "more to be answered");
    }
  };
  const sending = traffic.run(server.url);
  const counting = meanwhile().catch((error) => {
    // Cut off by the kill, as is the load.
    if (!is_over || error instanceof assert.AssertionError) throw error;
  });
  await Promise.race([
    sending,
    counting,
    waitUntil(() => traffic.counts.answered >= end, "the moment of the next kill"),
  ]);
  is_over = true;
  await server.kill9();
  await Promise.all([sending, counting]);
}

async function verify(t: TestContext, server: ServerProcess, site: Site, database_url: string): Promise<void> {
  const db = await openDatabase(database_url);
  t.after(() => db.close());
  await waitUntil(() => countSpooled(server.dir) === 0, "the clicks in the spool to be stored");
  const { events, fates } = await countFates(server, site);
  const [stored] = await db.query<{ count: number }>(sql`select count(*) as count from events`);
  assert.ok(events > 0);
  assert.equal(events, stored?.count, "no event is without a fate");
  assert.equal(fates.size, HOOKS.length + 1);
  const total = [...fates.values()].reduce((sum, counts) => sum + sumOf(counts), 0);
  assert.equal(total, events * fates.size);
  for (const [id, counts] of fates) assert.equal(counts["missed"], 0, `${id}: each has a reason`);
  const of = (path: string) => fates.get(site.hooks.find((hook) => hook.path === path)?.id ?? "") ?? {};
  assert.equal(sumOf(of("/all")), (of("/all")["succeeded"] ?? 0) + (of("/all")["pending"] ?? 0));
  assert.ok((of("/filtered")["skipped"] ?? 0) > 0 && (of("/filtered")["succeeded"] ?? 0) > 0);
  assert.ok((of("/restless")["off"] ?? 0) > 0 && (of("/restless")["succeeded"] ?? 0) > 0);
  await lookAtSome(server, site, fates.size);
  t.diagnostic(JSON.stringify(Object.fromEntries(fates)));
}

/** Each event by itself has one fate for each webhook, in words. */
async function lookAtSome(server: ServerProcess, site: Site, destinations: number): Promise<void> {
  const headers = { authorization: `Bearer ${site.admin_token}` };
  const get = async <Body>(path: string) => (await server.request<Body>("GET", path, undefined, headers)).body;
  const list = await get<{ items: { id: string }[] }>(`/api/apps/${site.app_id}/events?limit=${LOOKED_AT}`);
  for (const { id } of list.items) {
    const { fates } = await get<{ fates: { destination_id: string; state: string; reason: string | null }[] }>(
      `/api/events/${id}`,
    );
    assert.equal(new Set(fates.map(({ destination_id }) => destination_id)).size, destinations, id);
    for (const { state, reason } of fates) assert.ok(reason !== null && state !== "missed", `${id}: ${state}`);
  }
}

function createFolder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "linkme-fates-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}
