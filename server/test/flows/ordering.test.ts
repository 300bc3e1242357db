// A webhook with `ordering: "link"` against real processes: events of each link arrive one after another and in order,
// although some are refused at first, some for good, and a process is killed in the middle. What was in flight when it died
// comes again before anything behind it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { Delivery } from "#contract/deliveries.ts";
import type { Webhook } from "#contract/destinations.ts";
import type { EventWithFates } from "#contract/events.ts";
import { yieldToEventLoop } from "../../src/platform/yield-to-event-loop.ts";
import { waitUntilDrained } from "../support/drain.ts";
import { type Answer, type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite, type Site } from "../support/site.ts";
import { startTogether } from "../support/together.ts";

const LINKS = 7;
const EVENTS = 420;
const BATCH = 60;
/** Requests at the receiver after which a process is killed. */
const KILL_AFTER = 150;
/** One event in so many is refused at its first attempt, or at each. */
const REFUSED_SHARE = 10;
const POISON_SHARE = 35;
/** The only retry comes at once. */
const SETTINGS = { ordering: "link", retry_schedule: [0], timeout_ms: 60_000 };
/** On PostgreSQL the leases of a dead process run out after 45 s; the rest is for a busy machine. */
const DRAIN_TIMEOUT_MS = 150_000;

describe("events of a link whose server is killed", { concurrency: 2 }, () => {
  test("arrive in order, on SQLite", async (t) => {
    const { receiver, watch } = await startWatched(t);
    const dir = mkdtempSync(join(tmpdir(), "linkme-ordering-"));
    t.after(() => rmSync(dir, { recursive: true, force: true }));
    const env = { LINKME_ADMIN_TOKEN: randomBytes(24).toString("base64url") };
    const first = await startServer({ dir, env });
    const site = await createSite(first, receiver.url, [{ path: "/ordered", settings: SETTINGS }]);
    await ingest(first, site, EVENTS);
    await receiver.waitFor(KILL_AFTER);
    await first.kill9();
    const second = await startServer({ dir, env });
    await waitUntilDrained([second], site, DRAIN_TIMEOUT_MS);
    await verify(second, site, watch);
    assert.deepEqual(await second.stop(), { code: 0, signal: null });
    for (const { stdout } of [first, second]) assert.doesNotMatch(stdout(), /"level":"error"/);
  });

  test("arrive in order from two dispatchers of which one is killed, on PostgreSQL", async (t) => {
    const { receiver, watch } = await startWatched(t);
    const { processes } = await startTogether(t, ["edge,api", "dispatcher", "dispatcher"]);
    const [edge, first, second] = processes;
    const site = await createSite(edge, receiver.url, [{ path: "/ordered", settings: SETTINGS }]);
    await ingest(edge, site, EVENTS);
    await receiver.waitFor(KILL_AFTER);
    await first.kill9();
    await waitUntilDrained([edge, second], site, DRAIN_TIMEOUT_MS);
    await verify(edge, site, watch);
    for (const process of [edge, second]) assert.deepEqual(await process.stop(), { code: 0, signal: null });
    for (const { stdout } of processes) assert.doesNotMatch(stdout(), /"level":"error"/);
  });
});

test("what waits for its turn says for what, and is let go when the order is not wanted any more", async (t) => {
  const gate = Promise.withResolvers<void>();
  const receiver = await startReceiver(async () => {
    await gate.promise;
    return {};
  });
  t.after(() => receiver.close());
  const server = await startServer();
  const site = await createSite(server, receiver.url, [{ path: "/ordered", settings: SETTINGS }]);
  const ids = await ingest(server, site, 3 * LINKS);
  await receiver.waitFor(LINKS);
  const call = callsOf(server, site);
  const [hook] = site.hooks;
  const [first, second] = await Promise.all(
    [0, LINKS].map((n) => call<EventWithFates>("GET", `/api/events/${ids[n]}`)),
  );
  const [fate] = second?.fates ?? [];
  const before = first?.fates[0]?.delivery_id;
  const reason = fate?.reason ?? "";
  assert.equal(fate?.state, "pending");
  assert.match(
    reason,
    new RegExp(
      `^It waits for an earlier event of its link, ${before}\\. Of that one: It is being sent since \\S+Z, and its receiver has until about \\S+Z to answer`,
    ),
  );
  assert.match(
    fate?.next_step ?? "",
    new RegExp(`POST /api/deliveries/${before}/retry, .* POST /api/deliveries/${before}/cancel\\.`),
  );
  const shown = await call<Delivery>("GET", `/api/deliveries/${fate?.delivery_id}`);
  assert.deepEqual([shown.state, shown.reason, shown.next_attempt_at], ["pending", reason, null]);
  const changed = await call<Webhook>("PATCH", `/api/webhooks/${hook?.id}`, { ordering: "none" });
  assert.equal(changed.ordering, "none");
  await receiver.waitFor(3 * LINKS);
  gate.resolve();
  await waitUntilDrained([server], site, DRAIN_TIMEOUT_MS);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
  assert.doesNotMatch(server.stdout(), /"level":"error"/);
});

interface Watch {
  /** The numbers of the events of each link, in the order of their requests. */
  requests: Map<string, number[]>;
  /** Requests that came while another one of their link was not answered. */
  overlaps: string[];
}

/** A receiver that sees what it gets while, and after what. */
async function startWatched(t: TestContext): Promise<{ receiver: Receiver; watch: Watch }> {
  const watch: Watch = { requests: new Map(), overlaps: [] };
  const open = new Map<string, number>();
  const receiver = await startReceiver(async (request): Promise<Answer> => {
    const { link_id, n } = dataOf(request);
    watch.requests.set(link_id, [...(watch.requests.get(link_id) ?? []), n]);
    const other = open.get(link_id);
    if (other !== undefined && other !== n) watch.overlaps.push(`${n} beside ${other} of ${link_id}`);
    open.set(link_id, n);
    // Long enough for another one to arrive, if another one were sent.
    for (let rounds = 0; rounds < 20; rounds++) await yieldToEventLoop();
    open.delete(link_id);
    const is_refused = isPoison(n) || (n % REFUSED_SHARE === 3 && request.headers["x-linkme-attempt"] === "1");
    return { status: is_refused ? 503 : 200 };
  });
  t.after(() => receiver.close());
  return { receiver, watch };
}

const isPoison = (n: number) => n % POISON_SHARE === 5;

function dataOf({ body }: ReceivedRequest): { link_id: string; n: number } {
  return JSON.parse(body.toString("utf8")).data;
}

/** Events of all links in turns, batch by batch; answers their ids. */
async function ingest(server: ServerProcess, site: Site, events: number): Promise<string[]> {
  const call = callsOf(server, site);
  const ids: string[] = [];
  for (let from = 0; from < events; from += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, events - from) }, (_, index) => {
      const n = from + index;
      return { event: "link.click", data: { n, link_id: `link-${n % LINKS}` } };
    });
    const path = `/api/apps/${site.app_id}/events`;
    ids.push(...(await call<{ accepted: string[] }>("POST", path, { events: batch })).accepted);
  }
  return ids;
}

function callsOf(server: ServerProcess, site: Site) {
  const headers = { authorization: `Bearer ${site.admin_token}` };
  return async <Body>(method: string, path: string, body?: object): Promise<Body> => {
    const answer = await server.request<Body>(method, path, body, headers);
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  };
}

async function verify(server: ServerProcess, site: Site, { requests, overlaps }: Watch): Promise<void> {
  assert.deepEqual(overlaps, []);
  assert.equal(requests.size, LINKS);
  const seen = new Set<number>();
  for (const [link_id, numbers] of requests) {
    const wrong = numbers.findIndex((n, index) => n < (numbers[index - 1] ?? 0));
    assert.equal(wrong, -1, `${link_id}: ${numbers.slice(Math.max(0, wrong - 3), wrong + 1)}`);
    for (const n of numbers) seen.add(n);
  }
  assert.equal(seen.size, EVENTS, "every event was sent");
  const [hook] = site.hooks;
  const failed = await callsOf(
    server,
    site,
  )<{ items: Delivery[] }>(...(["GET", `/api/webhooks/${hook?.id}/deliveries?state=failed&limit=100`] as const));
  const poison = Array.from({ length: EVENTS }, (_, n) => n).filter(isPoison);
  assert.equal(failed.items.length, poison.length, "what the receiver never takes has failed, visibly");
}
