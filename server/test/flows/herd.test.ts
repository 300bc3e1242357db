// A herd: 200,000 retries of one webhook that are due in the same second, under a real server. Once its receiver is back they
// go out at the pace of one that has come back, to the last of them, and neither fresh events of the same webhook nor other
// webhooks wait for them. Counted in requests; where time counts, it is the most that the pace allows.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { after, test } from "node:test";
import type { Delivery } from "#contract/deliveries.ts";
import type { Webhook } from "#contract/destinations.ts";
import { PACE_START_PER_SECOND, PACE_STEP_MS } from "../../src/deliveries/limit.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

const HERD = 200_000;
const HERD_OF_RATE = 20_000;
const RATE_PER_SECOND = 200;
/** Of each webhook. */
const FRESH = 8;
/** What a lane keeps in memory at this rate, twice: what is queued before it, and what is claimed with it. */
const BETWEEN_AT_RATE_MAX = 200;
/** The same of a lane as fast as its receiver, and what goes out while the event is stored: a hundredth of the herd. */
const BETWEEN_MAX = HERD / 100;
/** Steps of the pace whose arrivals are counted: in the last of them it is eight times as fast as in the first. */
const STEPS = 4;
/** So late the first arrival may have been noticed, on a busy machine: until then more may have gone out. */
const NOTICED_LATE_MAX_MS = 1_000;
const DRAIN_TIMEOUT_MS = 150_000;

interface Herder {
  url: string;
  /** What `/herd` is answered. */
  status: number;
  /** Path and event id of each request, oldest first, and when it came. */
  arrivals: { path: string; id: string; at: number }[];
  /** How many had come before the first with this path and id. */
  placeOf(path: string, id: string): number | undefined;
}

/** A receiver that keeps no more of a request than it must, for there are many. */
async function startHerder(): Promise<Herder> {
  const places = new Map<string, number>();
  const herder: Herder = { url: "", status: 204, arrivals: [], placeOf: (path, id) => places.get(`${path} ${id}`) };
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    request.resume();
    request.once("end", () => {
      const { url: path = "" } = request;
      const id = String(request.headers["webhook-id"]);
      if (!places.has(`${path} ${id}`)) places.set(`${path} ${id}`, herder.arrivals.length);
      herder.arrivals.push({ path, id, at: performance.now() });
      response.writeHead(path === "/herd" ? herder.status : 204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  // A server that listens on TCP has an address of this form.
  herder.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return herder;
}

function callsOf(server: ServerProcess) {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  return async <Body>(method: string, path: string, body?: unknown) => {
    const answer = await server.request<Body>(method, path, body, headers);
    assert.ok(answer.status < 300, JSON.stringify(answer));
    return answer.body;
  };
}

async function furnish(server: ServerProcess, url: string, settings: object = {}) {
  const call = callsOf(server);
  const app = (await call<{ id: string }>("POST", "/api/apps", { name: "Shop" })).id;
  const hook = (path: string, event: string, more: object = {}) =>
    call<Webhook>("POST", `/api/apps/${app}/webhooks`, { url: `${url}${path}`, events: [event], ...more });
  const herd = await hook("/herd", "link.claim", settings);
  await hook("/other", "link.app_open");
  return { app, herd_id: herd.id };
}

/** Each failed once, a minute ago, and all of them are due again since the same moment. */
function insertHerd(dir: string, app_id: string, destination_id: string, count: number): void {
  const database = new DatabaseSync(join(dir, "linkme.db"));
  const now = Date.now();
  const numbers = `with recursive n (i) as (select 1 union all select i + 1 from n where i < ${count})`;
  const position = "printf('00000000-0000-7000-8000-%012x', i)";
  database.exec("begin");
  database
    .prepare(`${numbers} insert into events (app_id, position, id, event, link_id, target_id, created_at, body)
      select ?, ${position}, ${position}, 'link.claim', null, null, ?, '{"id":"' || ${position} || '"}' from n`)
    .run(app_id, now - 60_000);
  database
    .prepare(`${numbers} insert into deliveries (destination_id, position, app_id, event, state, reason, attempt, failures,
      leased, due_at, trigger, created_at)
      select ?, ${position}, ?, 'link.claim', 'pending', 'down', 1, 1, 0, ?, 'auto', ? from n`)
    .run(destination_id, app_id, now - 30_000, now - 60_000);
  database.exec("commit");
  database.close();
}

/** Sends an event to either webhook and sees how many requests come before it does. */
async function sendFresh(server: ServerProcess, app: string, herder: Herder, between_max: number): Promise<void> {
  for (const [event, path] of [
    ["link.claim", "/herd"],
    ["link.app_open", "/other"],
  ] as const) {
    const before = herder.arrivals.length;
    const url = `/api/apps/${app}/events`;
    const { accepted } = await callsOf(server)<{ accepted: string[] }>("POST", url, { event, data: {} });
    const [id = ""] = accepted;
    const place = await waitUntil(() => herder.placeOf(path, id), `a fresh event at ${path}`);
    assert.ok(place - before <= between_max, `${place - before} requests before a fresh event at ${path}`);
  }
}

function assertEachOnce({ arrivals }: Herder): void {
  const sent = arrivals.map(({ path, id }) => `${path} ${id}`);
  assert.equal(new Set(sent).size, sent.length, "each once");
}

test(`${HERD_OF_RATE} retries due at once go out at the webhook's rate, and nobody waits for them`, async () => {
  const herder = await startHerder();
  const first = await startServer();
  const { app, herd_id } = await furnish(first, herder.url, { rate_per_second: RATE_PER_SECOND });
  await first.stop();
  insertHerd(first.dir, app, herd_id, HERD_OF_RATE);
  const server = await startServer({ dir: first.dir, env: { LINKME_ADMIN_TOKEN: first.admin_token } });
  await waitUntil(() => herder.arrivals.length >= 2 * RATE_PER_SECOND, "the herd");
  for (let n = 0; n < FRESH; n++) await sendFresh(server, app, herder, BETWEEN_AT_RATE_MAX);
  const shown = await callsOf(server)<Webhook>("GET", `/api/webhooks/${herd_id}`);
  const { pending, rate_limit_per_second, limited_because } = shown.health;
  assert.ok(pending > HERD_OF_RATE / 2, "and most of the herd still waits");
  assert.deepEqual([rate_limit_per_second, limited_because], [RATE_PER_SECOND, null]);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assertEachOnce(herder);
});

test(`${HERD} retries due at once drain at the pace of a receiver that is back, and nobody waits for them`, async (t) => {
  const herder = await startHerder();
  herder.status = 500;
  const env = { LINKME_PAUSE_AFTER_FAILURES: "1", LINKME_PAUSE_AFTER_SECONDS: "1" };
  const first = await startServer({ env });
  const { app, herd_id } = await furnish(first, herder.url, { retry_schedule: Array(10).fill(1) });
  const show = async (server: ServerProcess) => callsOf(server)<Webhook>("GET", `/api/webhooks/${herd_id}`);
  await callsOf(first)("POST", `/api/apps/${app}/events`, { event: "link.claim", data: {} });
  await waitUntil(async () => (await show(first)).state === "paused", "the webhook to be paused");
  await first.stop();
  insertHerd(first.dir, app, herd_id, HERD);

  const server = await startServer({ dir: first.dir, env: { ...env, LINKME_ADMIN_TOKEN: first.admin_token } });
  assert.equal((await show(server)).health.pending, HERD + 1);
  herder.status = 204;
  herder.arrivals.length = 0;
  // A person tries one, which tells that the receiver is back.
  const path = `/api/webhooks/${herd_id}/deliveries?state=pending&limit=1`;
  const { items } = await callsOf(server)<{ items: Delivery[] }>("GET", path);
  await callsOf(server)("POST", `/api/deliveries/${items[0]?.id}/retry`);
  await waitUntil(() => herder.arrivals.length > 0, "the first of them");
  const paced_ms = STEPS * PACE_STEP_MS;
  const began_at = herder.arrivals[0]?.at ?? Number.NaN;
  for (let n = 0; n < FRESH; n++) await sendFresh(server, app, herder, BETWEEN_MAX);
  await waitUntil(() => (herder.arrivals.at(-1)?.at ?? 0) > began_at + paced_ms, "the first steps of the pace");
  const steps = herder.arrivals
    .filter((one) => one.path === "/herd")
    .map(({ at }) => Math.floor((at - began_at) / PACE_STEP_MS));
  const so_far = Array.from({ length: STEPS }, (_, step) => steps.filter((one) => one <= step).length);
  t.diagnostic(`arrived after each step: ${so_far}`);
  for (const [step, count] of so_far.entries()) {
    const allowed = allowedUntil((step + 1) * PACE_STEP_MS + NOTICED_LATE_MAX_MS);
    // The one that a person asked for is beside the pace.
    assert.ok(count <= allowed + 1, `${count} by the end of step ${step + 1}, where the pace allows ${allowed}`);
  }
  assert.match((await show(server)).health.limited_because ?? "", /^It goes on after a stop/);

  while ((await show(server)).health.pending > HERD / 10) await sendFresh(server, app, herder, BETWEEN_MAX);
  await waitUntil(async () => (await show(server)).health.pending === 0, "the last of them", {
    timeout_ms: DRAIN_TIMEOUT_MS,
  });
  t.diagnostic(`all after ${Math.round((performance.now() - began_at) / 1_000)} s`);
  const herd = herder.arrivals.filter(({ id }) => id.startsWith("00000000-"));
  assert.equal(herd.length, HERD);
  assertEachOnce(herder);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

/** What a pace may start in so long at the most: it doubles with each step. */
function allowedUntil(ms: number): number {
  let allowed = 0;
  for (let step = 0; step * PACE_STEP_MS < ms; step++) {
    const step_ms = Math.min(PACE_STEP_MS, ms - step * PACE_STEP_MS);
    allowed += (PACE_START_PER_SECOND * 2 ** step * step_ms) / 1_000;
  }
  return Math.ceil(allowed);
}
