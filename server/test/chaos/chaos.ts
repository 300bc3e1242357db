// What can befall a server, one thing after another while its load goes on: kills, restarts, a database that goes away, a
// clock that is set by an hour, a full disk. After each of them it has to recover by itself; in the end nothing that was
// promised is lost, every event has its fate at every destination, and what came twice was in flight when something broke.
// Run by chaos/main.ts for as long as wanted, and in a short form by flows/chaos.test.ts.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as pause } from "node:timers/promises";
import { SETTLEMENTS_MAX, UNSETTLED_MAX } from "../../src/deliveries/settling.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { sql } from "../../src/platform/sql.ts";
import { waitUntilDrained } from "../support/drain.ts";
import { countFates, sumOf } from "../support/fates.ts";
import { fillDisk, freeDisk } from "../support/full-disk.ts";
import {
  assertNone,
  assertPromisesKept,
  assertWhole,
  readLedger,
  readRecorded,
  type Sent,
  verifyAnyTime,
} from "../support/ledger.ts";
import { type Cluster, startCluster } from "../support/postgres.ts";
import type { Random } from "../support/random.ts";
import { type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite, type Site } from "../support/site.ts";
import { createTraffic, type Traffic } from "../support/traffic.ts";
import { waitUntil } from "../support/wait.ts";
import { describeFailure } from "./failure.ts";
import { explainRepeats, type Span } from "./repeats.ts";

export interface ChaosOptions {
  engine: "sqlite" | "postgres";
  random: Random;
  /** How many things befall it. */
  mishaps: number;
  /** How long it may take, once the cause is gone, until a new event is accepted and delivered. */
  recovery_max_ms: number;
  log(text: string): void;
}

export interface ChaosReport {
  promised: number;
  requests: number;
  repeated: number;
  /** What befell it, how long it took to recover, in ms, and how many requests were sent again because of it. */
  recoveries: { mishap: string; ms: number; repeated: number }[];
}

const HOOK_IN_FLIGHT_MAX = 20;
const HOOKS = [
  { path: "/all", settings: { max_in_flight: HOOK_IN_FLIGHT_MAX, retry_schedule: Array(10).fill(1) } },
  { path: "/clicks", events: ["link.click"], settings: { max_in_flight: HOOK_IN_FLIGHT_MAX } },
];
const REFUSED_SHARE = 8;
const HOUR_MS = 3_600_000;
const FULL_DISK_BYTES = 4_096;
/** How long a mishap lasts, at the most. */
const LASTS_MAX_MS = 1_500;
/** Answers between two mishaps, at the most. */
const CALM_MAX = 300;
/** On a busy machine these may take long: the first of them after so long is the last. */
const CALM_LASTS_MAX_MS = 3_000;
/** Generous, and less than the suite gives a test: what is found out here says more than that the time was up. */
const DRAIN_TIMEOUT_MS = 90_000;
const PROBE_PERIOD_MS = 20;

const IN_FLIGHT_MAX = HOOKS.length * HOOK_IN_FLIGHT_MAX;
/** What a process may have sent whose answer it has not recorded: in flight, or answered and waiting for its commit. */
const CUT_OFF_MAX = IN_FLIGHT_MAX + SETTLEMENTS_MAX;
/** The same when nothing can be recorded for a while, as docs/guide/delivery.md says: results wait up to their limit. */
const CUT_OFF_UNRECORDED_MAX = IN_FLIGHT_MAX + UNSETTLED_MAX;

interface Suffered extends Span {
  /** How long it took to recover; null: it has not. */
  ms: number | null;
}

interface World {
  options: ChaosOptions;
  dir: string;
  env: Record<string, string>;
  cluster: Cluster | undefined;
  receiver: Receiver;
  server: ServerProcess;
  /** All processes so far. */
  servers: ServerProcess[];
  site: Site;
  traffic: Traffic;
  clock_ahead_ms: number;
  /** Ids of the events that showed that it had recovered. */
  probes: Set<string>;
  /** What befell it so far, and may not be over. */
  spans: Suffered[];
}

interface Mishap {
  /** Requests that may be sent again because of it, at the most. */
  repeats_max: number;
  /** Answers when its cause was gone: from then on the time of recovery counts, that of a start included. */
  strike(world: World): Promise<number>;
}

/** @throws Error that says which promise was broken, what befell the server until then, and what the database says of it */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const dir = mkdtempSync(join(tmpdir(), "linkme-chaos-"));
  const cluster = options.engine === "postgres" ? await startCluster() : undefined;
  const receiver = await startReceiver(refuseSomeFirstAttempts);
  let world: World | undefined;
  try {
    world = await open(options, { dir, cluster, receiver });
    await befall(world);
    await settle(world);
    return await verify(world);
  } catch (error) {
    const { message } = error instanceof Error ? error : new Error(String(error));
    const described = world === undefined ? `seed ${options.random.seed}` : await tellFailure(world);
    throw new Error(`${message}\n\n${described}`, { cause: error });
  } finally {
    world?.traffic.stop();
    await world?.server.kill9();
    await receiver.close();
    await cluster?.remove();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function open(options: ChaosOptions, place: Pick<World, "dir" | "cluster" | "receiver">): Promise<World> {
  const env: Record<string, string> = { LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url") };
  if (place.cluster !== undefined) env["DATABASE_URL"] = place.cluster.url;
  const server = await startServer({ dir: place.dir, env });
  const site = await createSite(server, place.receiver.url, HOOKS);
  const traffic = createTraffic(site, options.random);
  const empty = { servers: [server], clock_ahead_ms: 0, probes: new Set<string>(), spans: [] };
  return { options, ...place, env, server, site, traffic, ...empty };
}

function tellFailure(world: World): Promise<string> {
  const { options, spans, dir, clock_ahead_ms, traffic, receiver, servers } = world;
  const { engine, mishaps, random } = options;
  const database_url = databaseUrl(world);
  return describeFailure({
    ...{ seed: random.seed, engine, mishaps, spans, database_url, dir, clock_ahead_ms, traffic, servers },
    received: receiver.received,
  });
}

async function befall(world: World): Promise<void> {
  const { random, mishaps, log } = world.options;
  const names = Object.keys(MISHAPS).filter((name) => name !== "the database restarts" || world.cluster !== undefined);
  for (let count = 0; count < mishaps; count++) {
    // Each of them comes at least once when there are as many mishaps.
    const mishap = (count < names.length ? names[count] : random.pick(names)) ?? "";
    const ms = await suffer(world, mishap, MISHAPS[mishap] ?? assert.fail(mishap));
    log(`${mishap}: recovered after ${Math.round(ms)} ms`);
  }
}

/** Load, a mishap in its midst, and the time from its end until a new event comes through. */
async function suffer(world: World, mishap: string, { strike, repeats_max }: Mishap) {
  const { traffic } = world;
  const calm = calmIsOver(world);
  let sending = traffic.run(world.server.url);
  await Promise.race([sending, waitUntil(calm, "an answer before the next mishap")]);
  const before = world.server;
  const span = beginSpan(world, mishap, repeats_max);
  const ended_at = await strike(world);
  if (world.server !== before) {
    // Whoever was cut off comes again.
    await sending;
    sending = traffic.run(world.server.url);
  }
  const through = comesThrough(world);
  // One event shows it, and no other one is under way when the next mishap comes; a load that fails ends the wait.
  await Promise.race([through, sending.then(() => through)]);
  const ms = performance.now() - ended_at;
  Object.assign(span, { recovered_at: Date.now(), ms });
  traffic.stop();
  await sending;
  return ms;
}

function calmIsOver({ traffic: { counts }, options }: World): () => boolean {
  const first = counts.answered;
  const last = first + options.random.below(CALM_MAX);
  const end = performance.now() + CALM_LASTS_MAX_MS;
  return () => counts.answered >= last || (counts.answered > first && performance.now() >= end);
}

function beginSpan({ spans }: World, mishap: string, repeats_max: number): Suffered {
  const open = { recovered_at: Number.POSITIVE_INFINITY, ended_at: null, ms: null };
  const span = { mishap, repeats_max, began_at: Date.now(), ...open };
  spans.push(span);
  return span;
}

async function comesThrough({ server, site, receiver, options, probes }: World): Promise<void> {
  const headers = { authorization: `Bearer ${site.admin_token}` };
  const id = options.random.uuid();
  const body = { id, event: "link.app_open", data: { probe: true } };
  await waitUntil(
    async () => {
      const answer = await server.request("POST", `/api/apps/${site.app_id}/events`, body, headers);
      if (answer.status !== 202) return false;
      probes.add(id);
      return receiver.received.some((one) => one.headers["webhook-id"] === id);
    },
    "a new event to be accepted and delivered",
    { timeout_ms: options.recovery_max_ms, poll_ms: PROBE_PERIOD_MS },
  );
}

const MISHAPS: Record<string, Mishap> = {
  "the process is killed": { repeats_max: CUT_OFF_MAX, strike: killed },
  "the process is restarted": {
    repeats_max: 0,
    async strike(world) {
      assert.deepEqual(await world.server.stop(), { code: 0, signal: null });
      return start(world);
    },
  },
  "the disk is full": {
    repeats_max: 0,
    async strike(world) {
      await fillDisks(world);
      await pause(world.options.random.below(LASTS_MAX_MS));
      limitFiles(world.server, "unlimited");
      if (world.cluster !== undefined) await freeDisk(world.cluster.url);
      return performance.now();
    },
  },
  "the database restarts": {
    repeats_max: 0,
    async strike({ cluster, options }) {
      await cluster?.stop(options.random.pick(["immediate", "kill"] as const));
      await pause(options.random.below(LASTS_MAX_MS));
      await cluster?.start();
      return performance.now();
    },
  },
  "the clock is set by an hour": {
    repeats_max: 0,
    async strike(world) {
      world.clock_ahead_ms += world.clock_ahead_ms > 0 || world.options.random.below(2) === 0 ? -HOUR_MS : HOUR_MS;
      await world.server.setClock(world.clock_ahead_ms);
      return performance.now();
    },
  },
  "the process stands still": {
    repeats_max: 0,
    async strike({ server, options }) {
      process.kill(server.pid, "SIGSTOP");
      await pause(options.random.below(LASTS_MAX_MS));
      process.kill(server.pid, "SIGCONT");
      return performance.now();
    },
  },
  "the process is killed while the disk is full": {
    repeats_max: CUT_OFF_UNRECORDED_MAX,
    async strike(world) {
      await fillDisks(world);
      await pause(world.options.random.below(LASTS_MAX_MS));
      await world.server.kill9();
      if (world.cluster !== undefined) await freeDisk(world.cluster.url);
      return start(world);
    },
  },
};

async function killed(world: World): Promise<number> {
  await world.server.kill9();
  return start(world);
}

/** A process in place of the one that has just ended. */
async function start(world: World): Promise<number> {
  const started_at = performance.now();
  for (const span of world.spans.slice(-1)) span.ended_at = Date.now();
  world.server = await startServer({ dir: world.dir, env: world.env });
  world.servers.push(world.server);
  await world.server.setClock(world.clock_ahead_ms);
  return started_at;
}

/** That of the server, where its spool is, and that of PostgreSQL. */
async function fillDisks({ server, cluster }: World): Promise<void> {
  limitFiles(server, String(FULL_DISK_BYTES));
  if (cluster !== undefined) await fillDisk(cluster.url);
}

function limitFiles({ pid }: ServerProcess, soft: string): void {
  execFileSync("prlimit", [`--pid=${pid}`, `--fsize=${soft}:`]);
}

/** Everything comes to rest. Retries that were planned while the clock was ahead are due when time has caught up. */
async function settle(world: World): Promise<void> {
  const mishap = "the clock is set ahead at the end";
  const span = beginSpan(world, mishap, 0);
  world.clock_ahead_ms = 3 * HOUR_MS;
  await world.server.setClock(world.clock_ahead_ms);
  await waitUntilDrained([world.server], world.site, DRAIN_TIMEOUT_MS);
  await assertFates(world);
  assert.deepEqual(await world.server.stop(), { code: 0, signal: null });
  Object.assign(span, { recovered_at: Date.now(), ms: 0 });
}

async function verify(world: World): Promise<ChaosReport> {
  const { site, traffic, receiver, dir, spans } = world;
  const db = await openDatabase(databaseUrl(world));
  try {
    const ledger = readLedger(receiver.received, site.hooks, verifyAnyTime);
    assertPromisesKept(ledger, site, traffic.promises);
    const delivered = new Set(ledger.sent.map(({ event_id }) => event_id));
    assertNone(
      [...world.probes].filter((id) => !delivered.has(id)),
      "events accepted after a mishap and not delivered",
    );
    await assertWhole(ledger, db, site);
    const recorded = await readRecorded(db);
    const explained = explainRepeats(ledger, spans, {
      isAccepted: (sent) => !isRefused(sent),
      isRecorded: ({ delivery_id, attempt }) => recorded.get(delivery_id)?.get(attempt) === "accepted",
    });
    if (world.cluster === undefined) assertSound(dir);
    const { clicks, claims, opens, events } = traffic.promises;
    const promised = clicks.size + claims.size + opens.size + events.size + world.probes.size;
    const repeated = explained.reduce((sum, { count }) => sum + count, 0);
    const recoveries = explained.map(({ span, count }) => ({ mishap: span.mishap, ms: span.ms ?? 0, repeated: count }));
    return { promised, requests: ledger.sent.length, repeated, recoveries };
  } finally {
    await db.close();
  }
}

/** The API counts one fate of each event at each webhook, all of them as they must be, and so many are stored. */
async function assertFates(world: World): Promise<void> {
  const { events, fates } = await countFates(world.server, world.site);
  const db = await openDatabase(databaseUrl(world));
  const facts = await db
    .query<{ what: string; n: number }>(sql`
    select 'events' as what, count(*) as n from events
    union all select 'clicks', count(*) from events where event = 'link.click'
    union all select 'deliveries', count(*) from deliveries`)
    .finally(db.close);
  const stored = Object.fromEntries(facts.map(({ what, n }) => [what, Number(n)]));
  assert.equal(events, stored["events"], "every event is counted");
  assert.deepEqual([...fates.keys()].sort(), world.site.hooks.map(({ id }) => id).sort());
  for (const { id, path, events: types } of world.site.hooks) {
    const wanted = types === null ? stored["events"] : stored["clicks"];
    // Where the clock was set back, an event that a webhook does not want may be older than the webhook.
    const { succeeded, not_subscribed, not_yet_created, ...others } = fates.get(id) ?? {};
    assert.equal(succeeded, wanted, `${path}: events delivered, as the API counts them`);
    assert.equal(sumOf(others), 0, `${path}: ${JSON.stringify(others)}`);
  }
  assert.equal(stored["deliveries"], (stored["events"] ?? 0) + (stored["clicks"] ?? 0), "the fates add up");
}

function databaseUrl({ cluster, dir }: World): string {
  return cluster?.url ?? `file:${join(dir, "linkme.db")}`;
}

function assertSound(dir: string): void {
  const file = new DatabaseSync(join(dir, "linkme.db"));
  assert.equal(file.prepare("pragma integrity_check").get()?.["integrity_check"], "ok");
  file.close();
}

/** Some deliveries wait for a retry when something befalls the server. */
function refuseSomeFirstAttempts({ headers }: ReceivedRequest) {
  const sent = { event_id: String(headers["webhook-id"]), attempt: Number(headers["x-linkme-attempt"]) };
  return { status: isRefused(sent) ? 503 : 200 };
}

function isRefused({ event_id, attempt }: Pick<Sent, "event_id" | "attempt">): boolean {
  return attempt === 1 && Number.parseInt(event_id.slice(-2), 16) % REFUSED_SHARE === 0;
}
