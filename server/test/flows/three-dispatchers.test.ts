// Three dispatchers on one PostgreSQL: what a webhook may be sent at a time and a second holds over all of them, counted by
// the receiver, while all are there, after one has left and after one has died. That one counts until its row has not
// changed for 6 s, so this file takes a while.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openDatabase } from "../../src/platform/database-open.ts";
import { sql } from "../../src/platform/sql.ts";
import { waitUntilDrained } from "../support/drain.ts";
import { type ReceivedRequest, startReceiver } from "../support/receiver.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { createSite } from "../support/site.ts";
import { knowOf, startTogether } from "../support/together.ts";
import { waitUntil } from "../support/wait.ts";

const ROLES = ["edge,api", "dispatcher", "dispatcher", "dispatcher"] as const;
const DISPATCHERS = ROLES.length - 1;
/** Fewer than dispatchers, as many, and a number that they cannot share evenly. */
const LIMITS = [1, 2, 3, 7];
/** Each round has webhooks of its own, which take one type, for what is learned of a receiver that holds answers back stays. */
const ROUNDS = ["link.click", "link.claim", "link.app_open"] as const;
const EVENTS = 40;
const PACED = "/paced";
const RATE_PER_SECOND = 10;
const RATE_SPAN_MS = 2_000;
/** Each dispatcher may be early by one request, and a timer that fires late is made up for. */
const EARLY_MAX = DISPATCHERS + 1;
/** The receiver holds answers back in this test; no attempt may end by itself meanwhile. */
const TIMEOUT_MS = 60_000;
const DRAIN_TIMEOUT_MS = 90_000;

test("a webhook is sent no more at a time and a second than it allows, however many dispatchers there are", async (t) => {
  const receiver_side = createGates();
  const receiver = await startReceiver(receiver_side.pass);
  t.after(() => receiver.close());
  const { database_url, processes } = await startTogether(t, ROLES);
  const [api, ...dispatchers] = processes;
  const db = await openDatabase(database_url);
  t.after(() => db.close());
  await knowOf(dispatchers, DISPATCHERS);
  const plans = ROUNDS.flatMap((round) =>
    LIMITS.map((max_in_flight) => ({
      ...{ path: pathOf(round, max_in_flight), events: [round] },
      settings: { max_in_flight, timeout_ms: TIMEOUT_MS },
    })),
  );
  const paced = { path: PACED, settings: { rate_per_second: RATE_PER_SECOND } };
  const site = await createSite(api, receiver.url, [...plans, paced]);
  const headers = { authorization: `Bearer ${api.admin_token}` };

  /** With answers held back, exactly as many arrive as each webhook allows; then all of it is delivered. */
  async function send(round: (typeof ROUNDS)[number], running: ServerProcess[]): Promise<void> {
    receiver_side.close();
    const events = Array.from({ length: EVENTS }, (_, n) => ({ event: round, data: { n } }));
    const answer = await api.request("POST", `/api/apps/${site.app_id}/events`, { events }, headers);
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    const isFull = () => LIMITS.every((limit) => receiver_side.held(pathOf(round, limit)) === limit);
    await waitUntil(isFull, `${LIMITS.join(", ")} requests to be under way`);
    receiver_side.open();
    await waitUntilDrained([api, ...running], site, DRAIN_TIMEOUT_MS);
    for (const limit of LIMITS) assert.equal(receiver_side.most(pathOf(round, limit)), limit);
  }

  await send("link.click", dispatchers);
  const [first, second, third] = dispatchers;
  // What a person asks for goes to whichever of them sends to that webhook.
  for (const { id, path } of site.hooks.filter(({ events }) => events?.includes("link.click"))) {
    const before = countOf(receiver.received, path);
    const answer = await api.request("POST", `/api/webhooks/${id}/test`, {}, headers);
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    await receiver.waitFor((received) => countOf(received, path) > before, `the test of ${path}`);
  }
  assert.deepEqual(await third.stop(), { code: 0, signal: null });
  await knowOf([first, second], 2);
  await send("link.claim", [first, second]);
  await second.kill9();
  await knowOf([first], 1);
  await send("link.app_open", [first]);
  const starts = await db.query<{ started_at: number }>(
    sql`select a.started_at from attempt_history as a where a.destination_id = ${site.hooks.at(-1)?.id ?? ""} order by a.started_at`,
  );
  assertRate(starts.map(({ started_at }) => started_at));
  assert.equal(countOf(receiver.received, PACED), starts.length);
  for (const process of [api, first]) {
    assert.deepEqual(await process.stop(), { code: 0, signal: null });
    assert.doesNotMatch(process.stdout(), /"level":"error"/);
  }
  // Two have removed themselves; the row of the dead one is left for the next to remove.
  assert.equal((await db.query(sql`select id from dispatchers`)).length, 1);
});

function pathOf(round: string, limit: number): string {
  return `/${round}/${limit}`;
}

/** Holds answers back while it is closed, and counts what is under way for each path. */
function createGates() {
  let closed: PromiseWithResolvers<void> | undefined;
  const held = new Map<string, number>();
  const most = new Map<string, number>();
  return {
    async pass({ path }: ReceivedRequest) {
      const count = (held.get(path) ?? 0) + 1;
      held.set(path, count);
      most.set(path, Math.max(count, most.get(path) ?? 0));
      if (path !== PACED) await closed?.promise;
      held.set(path, (held.get(path) ?? 0) - 1);
      return { status: 200 };
    },
    close: () => {
      closed = Promise.withResolvers();
    },
    open: () => {
      closed?.resolve();
      closed = undefined;
    },
    held: (path: string) => held.get(path) ?? 0,
    most: (path: string) => most.get(path) ?? 0,
  };
}

/** No span of so long has more starts than the rate allows in it. */
function assertRate(starts: readonly number[]): void {
  const most = (RATE_PER_SECOND * RATE_SPAN_MS) / 1_000 + EARLY_MAX;
  for (const [index, from] of starts.entries()) {
    const count = starts.slice(index).filter((at) => at - from < RATE_SPAN_MS).length;
    assert.ok(count <= most, `${count} requests within ${RATE_SPAN_MS} ms`);
  }
}

function countOf(received: readonly ReceivedRequest[], path: string): number {
  return received.filter((one) => one.path === path).length;
}
