// What claims bring into memory. Whom they serve, and when, is for the simulation and the flows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { createCommitter } from "../platform/committer.ts";
import { rows, sql } from "../platform/sql.ts";
import type { DeliveryRow } from "./delivery.ts";
import { createDispatcher, type DispatcherOptions } from "./dispatcher.ts";
import { ALONE } from "./presence.ts";
import { createDeliveryStore, insertDeliveries } from "./store.ts";

const MEBIBYTE = 1024 * 1024;
/** What may wait in memory, and the least that makes use of it. */
const WAITING_MAX_BYTES = 32 * MEBIBYTE;
const WAITING_MIN_BYTES = 20 * MEBIBYTE;
/** As large as an event may be, nearly. */
const LARGE_BYTES = 250_000;
const WEBHOOKS = 12;
/** Of slow receivers: what is being sent, and two that wait. */
const SLOW_MAX_BYTES = 3 * WEBHOOKS * LARGE_BYTES;
const TICK_MS = 250;

/** A backlog of the same events at each of some webhooks, and a dispatcher whose requests end when the test says so. */
async function openBacklog(engine: Engine, sizes: readonly number[]) {
  const db = await engine.open();
  const clock = createManualClock();
  const events = sizes.map((bytes, index) => ({
    position: `p${String(index).padStart(4, "0")}`,
    body: "x".repeat(bytes),
  }));
  for (const { position, body } of events) {
    await db.query(sql`insert into events (app_id, position, id, event, created_at, body)
      values ${rows([["shop", position, position, "link.click", clock.at, body]])}`);
  }
  const ids = Array.from({ length: WEBHOOKS }, (_, index) => `dst_${index}`);
  const deliveries = ids.flatMap((destination_id) =>
    events.map(
      ({ position }): DeliveryRow => ({
        ...{ destination_id, position, app_id: "shop", event: "link.click", state: "pending", reason: null },
        ...{
          attempt: 0,
          failures: 0,
          leased: 0,
          due_at: clock.at,
          trigger: "auto",
          resume_state: null,
          resume_at: null,
        },
        ...{ created_at: clock.at, settled_at: null },
      }),
    ),
  );
  await db.batch([insertDeliveries(deliveries)]);
  const memory = { now: 0, most: 0, looks: 0 };
  const query = <Result>(statement: Parameters<typeof db.query>[0]) => {
    if (statement.parts.join("").includes("octet_length")) memory.looks++;
    return db.query<Result>(statement);
  };
  const store = createDeliveryStore({ ...db, query });
  const readBodies: typeof store.readBodies = async (...asked) => {
    const found = await store.readBodies(...asked);
    memory.now += found.reduce((sum, { body }) => sum + (body?.length ?? 0), 0);
    memory.most = Math.max(memory.most, memory.now);
    return found;
  };
  const release: typeof store.release = (held, now) => {
    for (const one of held) memory.now -= "body" in one && typeof one.body === "string" ? one.body.length : 0;
    return store.release(held, now);
  };
  const gate = Promise.withResolvers<void>();
  const destinationOf = (id: string) => ({
    ...{ id, app_id: "shop", state: "active", ordering: "none", max_in_flight: 1, rate_per_second: null },
    ...{ retry_schedule: [], timeout_ms: 1_000, misconfigured: null, hide: (text: string) => text },
    build: ({ body }: { body: string }) => ({ url: "http://127.0.0.1/", method: "POST", headers: [], body }),
    judge: () => ({ kind: "accepted" }),
  });
  const options = {
    store: { ...store, readBodies, release },
    committer: createCommitter({ engine: db.engine, batch: db.batch }),
    destinations: { find: async (id: string) => destinationOf(id), onChange() {} },
    egress: {
      async send({ body }: { body: string }) {
        await gate.promise;
        memory.now -= body.length;
        return { kind: "response", status: 200, headers: {}, snippet: "", truncated: false, duration_ms: 1 };
      },
    },
    ...{ presence: ALONE, clock, random: () => 0.5, log() {}, exclusive: false },
  };
  // What it is asked for here is all that sending to a receiver that accepts takes.
  const dispatcher = createDispatcher(options as unknown as DispatcherOptions);
  /** How many have each state, lease and attempt. */
  const ledger = () =>
    db.query<{ state: string; leased: number; attempt: number; count: number }>(
      sql`select state, leased, attempt, count(*) as count from deliveries group by state, leased, attempt
        order by state, leased, attempt`,
    );
  return { dispatcher, clock, memory, gate, ledger };
}

forEachEngine((engine) => {
  test("of a backlog of large events so many are in memory as the bytes allow, and each is sent once", async () => {
    const per_webhook = 20;
    const { dispatcher, clock, memory, gate, ledger } = await openBacklog(
      engine,
      Array.from({ length: per_webhook }, () => LARGE_BYTES),
    );
    await dispatcher.start();
    // What does not fit has gone back by then: what is leased is what is in memory.
    const isSettled = async () => {
      const leased = (await ledger()).find((one) => one.leased === 1)?.count;
      return dispatcher.counts().in_flight === WEBHOOKS && leased === memory.now / LARGE_BYTES;
    };
    await waitUntil(async () => (await isSettled()) && memory.now > WAITING_MIN_BYTES, "memory to be full");
    const bound = WAITING_MAX_BYTES + 2 * WEBHOOKS * LARGE_BYTES;
    assert.ok(memory.most <= bound, `${memory.most} bytes`);
    // The receivers turn out to be slow: what waits for them makes room for others.
    await waitUntil(async () => {
      clock.pass(TICK_MS);
      return (await isSettled()) && memory.now <= SLOW_MAX_BYTES;
    }, "most of it to be given back");
    gate.resolve();
    const count = WEBHOOKS * per_webhook;
    await waitUntil(async () => {
      clock.pass(TICK_MS);
      return (await ledger()).some((one) => one.state === "succeeded" && one.count === count);
    }, "all to be sent");
    assert.deepEqual(await ledger(), [{ state: "succeeded", leased: 0, attempt: 1, count }]);
    assert.equal(memory.now, 0, "each was sent once");
    assert.ok(memory.most <= bound, `${memory.most} bytes`);
    assert.equal(await dispatcher.stop(0), true);
  });

  test("small events come with one look for each claim", async () => {
    const per_webhook = 90;
    const { dispatcher, clock, memory } = await openBacklog(
      engine,
      Array.from({ length: per_webhook }, () => 1_000),
    );
    await dispatcher.start();
    const waiting = WEBHOOKS * (per_webhook - 1);
    await waitUntil(() => dispatcher.counts().queued === waiting, "all to be claimed");
    assert.equal(memory.looks, WEBHOOKS);
    assert.equal(dispatcher.counts().in_flight, WEBHOOKS);
    const stopping = dispatcher.stop(1);
    clock.pass(1);
    assert.equal(await stopping, false);
  });
});
