// What a process does that has not heard yet whether a destination sends in order: it knows for up to a second what was so
// before, while others store, claim and send by what is so now.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ordering } from "#contract/destinations.ts";
import { input, openWorld } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { createCommitter } from "../platform/committer.ts";
import type { Database } from "../platform/database.ts";
import { sql } from "../platform/sql.ts";
import type { DeliveryRow } from "./delivery.ts";
import { createDispatcher } from "./dispatcher.ts";
import { ALONE } from "./presence.ts";
import { createDeliveryStore, insertDeliveries } from "./store.ts";
import { WAITS_FOR_TURN } from "./turn.ts";

const NOW = Date.UTC(2026, 0, 31, 9, 30);
const LEASE_MS = 45_000;
const HOUR_MS = 3_600_000;

function rowOf(destination_id: string, position: string, changes: Partial<DeliveryRow>): DeliveryRow {
  return {
    ...{ destination_id, position, app_id: "shop", event: "link.click", state: "pending", reason: null },
    ...{ attempt: 0, failures: 0, leased: 0, due_at: NOW, trigger: "auto", resume_state: null, resume_at: null },
    ...{ created_at: NOW, settled_at: null, ...changes },
  };
}

const insertEvent = (db: Database, position: string) =>
  db.query(sql`insert into events (app_id, position, id, event, created_at, body)
    values ('shop', ${position}, ${position}, 'link.click', ${NOW}, '{}')`);

forEachEngine((engine) => {
  async function openWith(ordering: Ordering, deliveries: Record<string, Partial<DeliveryRow>>) {
    const { db, destinations } = await openWorld(engine);
    const { id } = await destinations.createWebhook("shop", input({ ordering }));
    const rows = Object.entries(deliveries).map(([position, changes]) => rowOf(id, position, changes));
    await db.batch([insertDeliveries(rows)]);
    const store = createDeliveryStore(db);
    const find = async (position: string) => (await store.find({ destination_id: id, position })) ?? assert.fail();
    return { db, destinations, id, store, find };
  }

  const bounds = { now: NOW, lease_until: NOW + LEASE_MS, limit: 10, asked_only: false, in_turn: false };

  test("who believes that nothing is in order claims what has a key in turn all the same", async () => {
    const { id, store } = await openWith("link", {
      ...{ p1: { order_key: "a" }, p2: { order_key: "a" }, p3: { order_key: null } },
      ...{ p4: { order_key: "b" }, p5: { order_key: "b" } },
    });
    const claim = async (more: object = {}) =>
      (await store.claim(id, { ...bounds, ...more })).claimed.map(({ position }) => position).sort();
    assert.deepEqual(await claim({ limit: 1 }), ["p3"]);
    assert.deepEqual(await claim({ newest: 5 }), ["p1", "p4"]);
    assert.deepEqual(await claim(), [], "one of each link at a time");
  });

  test("who believes that nothing is in order claims what a person asked for beside nothing of its link", async () => {
    const { id, store } = await openWith("link", {
      p1: { order_key: "a", attempt: 1, leased: 1, due_at: NOW + LEASE_MS },
      p2: { order_key: "a", trigger: "manual", due_at: 0 },
      p3: { order_key: "b", trigger: "manual", due_at: 0 },
    });
    const { claimed } = await store.claim(id, { ...bounds, asked_only: true });
    assert.deepEqual(
      claimed.map(({ position }) => position),
      ["p3"],
    );
  });

  test("who believes that nothing is in order probes nothing that has a key", async () => {
    const { db, id, store } = await openWith("link", { p1: { order_key: "a" }, p2: { order_key: "a" } });
    await db.query(sql`update destination_health set probe_at = ${NOW} where destination_id = ${id}`);
    assert.deepEqual(await store.claimProbe(id, bounds), []);
    const probed = await store.claimProbe(id, { ...bounds, in_turn: true });
    assert.deepEqual(
      probed.map(({ position }) => position),
      ["p1"],
      "the turn stayed",
    );
  });

  test("who believes that an order has ended, or ends, lets nothing go that is in order", async () => {
    const { db, id, store, find } = await openWith("link", { p1: { order_key: "a" } });
    assert.equal(await store.letGo(id, NOW), 0);
    assert.equal((await find("p1")).order_key, "a");
    await db.query(sql`update destinations set ordering = 'leaving' where id = ${id}`);
    assert.equal(await store.letGo(id, NOW), 1);
  });

  test("what was stored with a key, and set aside, after the end of an order is sent with the next polls", async (t) => {
    const { db, destinations, id, store, find } = await openWith("none", {
      p1: { order_key: "a", due_at: NOW + HOUR_MS, attempt: 1, failures: 1 },
      p2: { order_key: "a", due_at: WAITS_FOR_TURN },
    });
    await insertEvent(db, "p2");
    assert.deepEqual(
      (await store.findKeyed()).map((one) => one.destination_id),
      [id],
    );
    const clock = createManualClock(NOW);
    const sent: string[] = [];
    const dispatcher = createDispatcher({
      ...{ store, destinations, clock, committer: createCommitter(db), exclusive: false, random: () => 0.5 },
      presence: ALONE,
      log: () => {},
      egress: {
        async send() {
          sent.push("p2");
          return { kind: "failure", code: "refused", message: "refused", duration_ms: 1 } as never;
        },
      },
    });
    await dispatcher.start();
    t.after(() => dispatcher.stop(0));
    const isSent = () => {
      clock.pass(1_000);
      return sent.length > 0;
    };
    await waitUntil(isSent, "what was set aside to be sent");
    assert.deepEqual([(await find("p1")).due_at, (await find("p1")).order_key], [NOW + HOUR_MS, null]);
    assert.deepEqual(await store.findKeyed(), []);
  });
});
