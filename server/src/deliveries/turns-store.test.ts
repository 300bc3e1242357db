import assert from "node:assert/strict";
import { test } from "node:test";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { createRandom } from "../../test/support/random.ts";
import { settlementOf } from "../../test/support/settlements.ts";
import { isSomebodyBlocked, waitUntil } from "../../test/support/wait.ts";
import type { Database } from "../platform/database.ts";
import { sql } from "../platform/sql.ts";
import type { ClaimedRow } from "./claim-store.ts";
import type { DeliveryRow } from "./delivery.ts";
import { DUE_FIRST } from "./due.ts";
import { settle } from "./settle-store.ts";
import { createDeliveryStore, type DeliveryStore, insertDeliveries } from "./store.ts";
import { WAITS_FOR_TURN } from "./turn.ts";
import { lockTurns } from "./turns-store.ts";

const NOW = 1_700_000_000_000;
const LEASE_MS = 45_000;
/** When the settlements below end, which is when a turn is passed on. */
const ENDED = NOW + 5;

let databases: Map<Engine, Promise<Database>> | undefined;
let count = 0;

/** A destination of its own, in the one database of each engine. */
async function openDestination(engine: Engine) {
  databases ??= new Map();
  const opening = databases.get(engine) ?? engine.open();
  databases.set(engine, opening);
  const db = await opening;
  const id = `dst_turn_${++count}`;
  await db.query(sql`insert into destination_health (destination_id, consecutive_failures) values (${id}, 0)`);
  return { db, id, ...createTools(db, id) };
}

function createTools(db: Database, destination_id: string) {
  const store = createDeliveryStore(db);

  /** @param deliveries position and key of each */
  const add = (deliveries: Record<string, string | null>, changes: Partial<DeliveryRow> = {}) =>
    db.batch([
      insertDeliveries(
        Object.entries(deliveries).map(([position, order_key]) => ({
          ...{ destination_id, position, app_id: "shop", event: "link.click", state: "pending", reason: null },
          ...{ attempt: 0, failures: 0, leased: 0, due_at: NOW, trigger: "auto", resume_state: null, resume_at: null },
          ...{ created_at: NOW, settled_at: null, order_key, ...changes },
        })),
      ),
    ]);

  const bounds = (at: number) => ({ now: at, lease_until: at + LEASE_MS, limit: 10, asked_only: false, in_turn: true });
  const claimRows = async (at = ENDED) => (await store.claim(destination_id, bounds(at))).claimed;
  /** Positions that a claim takes. */
  const claim = async (at = ENDED) => (await claimRows(at)).map(({ position }) => position).sort();

  const end = (position: string, state: "succeeded" | "failed" | "pending", due_at: number | null = null) =>
    db.batch(settle([settlementIn(destination_id, { position, order_key: "a", attempt: 1 }, { state, due_at })]));

  const find = async (position: string) => {
    const row = await store.find({ destination_id, position });
    assert.ok(row !== undefined);
    return row;
  };
  return { store, add, claim, claimRows, end, find };
}

function settlementIn(
  destination_id: string,
  { position, order_key = null, attempt }: Pick<ClaimedRow, "position" | "order_key" | "attempt">,
  { state, due_at }: { state: "succeeded" | "failed" | "pending"; due_at: number | null },
) {
  const decision = { state, due_at, failures: state === "succeeded" ? 0 : 1 };
  return { ...settlementOf({ destination_id, position }, attempt, decision), order_key };
}

forEachEngine((engine) => {
  test("of each link the first is claimed, and what has no link at once", async () => {
    const { store, add, claim, find } = await openDestination(engine);
    await add({ p1: "a", p2: "a", p3: "b", p4: null, p5: null, p6: "b" });
    const behind = await Promise.all(["p1", "p2", "p4"].map(async (p) => store.hasBehind(await find(p))));
    assert.deepEqual(behind, [true, false, false]);
    assert.deepEqual(await claim(), ["p1", "p3", "p4", "p5"]);
    assert.deepEqual(await claim(), [], "the others wait");
    const waiting = await find("p2");
    assert.deepEqual([waiting.due_at, waiting.turn_position], [WAITS_FOR_TURN, "p1"]);
  });

  test("the next one is due when the one before it was delivered or has failed for good, and not before", async () => {
    const { add, claim, end } = await openDestination(engine);
    await add({ p1: "a", p2: "a", p3: "a" });
    assert.deepEqual(await claim(), ["p1"]);
    await end("p1", "pending", NOW + 5_000);
    assert.deepEqual(await claim(NOW + 4_999), [], "its retry is not due");
    assert.deepEqual(await claim(NOW + 5_000), ["p1"]);
    await end("p1", "failed");
    assert.deepEqual(await claim(NOW + 6_000), [], "a late settlement of the first attempt changes nothing");
    const { db, id } = await openDestination(engine);
    const again = createTools(db, id);
    await again.add({ p1: "a", p2: "a", p3: "a" });
    await again.claim();
    await again.end("p1", "failed");
    assert.deepEqual(await again.claim(), ["p2"]);
    await again.end("p2", "succeeded");
    assert.deepEqual(await again.claim(), ["p3"]);
  });

  test("what is stored late with an older position goes when what is on its way has ended", async () => {
    const { add, claim, end } = await openDestination(engine);
    await add({ p3: "a", p4: "a" });
    assert.deepEqual(await claim(), ["p3"]);
    await add({ p1: "a" });
    assert.deepEqual(await claim(), [], "one at a time");
    await end("p3", "pending", NOW + 5_000);
    assert.deepEqual(await claim(), ["p1"]);
    assert.deepEqual(await claim(NOW + 5_000), [], "the retry waits for it");
    await end("p1", "succeeded");
    assert.deepEqual(await claim(NOW + 5_000), ["p3"]);
  });

  test("a lease that is given back or lost keeps the turn, also where an older one was set aside meanwhile", async () => {
    const { id, store, add, claim, claimRows } = await openDestination(engine);
    await add({ p3: "a", p4: "a" });
    const [held] = await claimRows();
    assert.ok(held !== undefined);
    await add({ p1: "a" });
    assert.deepEqual(await claim(), [], "p1 is set aside");
    await store.release([{ ...held, destination_id: id }], NOW);
    assert.deepEqual(await claim(), ["p1"]);
    assert.deepEqual(await claim(ENDED + LEASE_MS), ["p1"], "by whoever comes when the lease is over");
  });

  test("what a person asks for goes first, but not beside another one of its link", async () => {
    const { id, store, add, claim, end, find } = await openDestination(engine);
    await add({ p1: "a", p2: "a", p3: "a" });
    assert.deepEqual(await claim(), ["p1"]);
    await store.grantAttempt({ destination_id: id, position: "p2" }, NOW);
    await store.grantAttempt({ destination_id: id, position: "p3" }, NOW);
    assert.deepEqual(await claim(), [], "p1 is on its way");
    assert.equal((await find("p2")).due_at, ENDED + 250, "looked at again soon");
    await end("p1", "pending", NOW + 300);
    assert.deepEqual(await claim(ENDED + 1), ["p2"], "one of two, as soon as the link is free");
    assert.deepEqual(await claim(NOW + 300), [], "neither the retry nor the other one");
    await end("p2", "succeeded");
    assert.deepEqual(await claim(NOW + 600), ["p3"]);
    await end("p3", "succeeded");
    assert.deepEqual(await claim(NOW + 600), ["p1"]);
  });

  test("an attempt by hand that fails puts back what was set aside, and its link goes on", async () => {
    const { db, id, store, add, claim, find } = await openDestination(engine);
    await add({ p1: "a", p2: "a" });
    await store.claim(id, { now: NOW, lease_until: NOW + 10, limit: 10, asked_only: false, in_turn: true });
    await store.grantAttempt({ destination_id: id, position: "p2" }, NOW);
    assert.deepEqual(await claim(NOW + 20), ["p2"], "the lease of p1 is over");
    const [row] = [await find("p2")];
    assert.deepEqual([row.resume_state, row.resume_at], ["pending", NOW]);
    const back = settlementIn(id, { position: "p2", order_key: "a", attempt: 1 }, { state: "pending", due_at: NOW });
    await db.batch(settle([back]));
    assert.deepEqual(await claim(NOW + 20), ["p1"]);
  });

  test("a cancel passes the turn on, of one that has it and of one that waits", async () => {
    const { store, add, claim, find } = await openDestination(engine);
    await add({ p1: "a", p2: "a", p3: "a" });
    await claim();
    for (const position of ["p2", "p1"]) {
      const canceled = await store.cancel(await find(position), "Canceled by hand.", NOW);
      assert.equal(canceled?.state, "canceled");
    }
    assert.deepEqual(await claim(), ["p3"]);
    assert.equal(await store.cancel(await find("p1"), "Canceled by hand.", NOW), undefined);
  });

  test("while a destination is paused a probe takes one that has the turn, and nothing else does", async () => {
    const { db, id, store, add, claim } = await openDestination(engine);
    await add({ p1: "a", p2: "a", p3: "b", p4: "b" });
    await db.query(sql`update destination_health set probe_at = ${NOW}, probes = 0 where destination_id = ${id}`);
    const bounds = { now: NOW, lease_until: NOW + LEASE_MS, limit: 10, asked_only: true, in_turn: true };
    assert.deepEqual((await store.claim(id, bounds)).claimed, []);
    const [probed] = await store.claimProbe(id, bounds);
    assert.deepEqual([probed?.position, probed?.trigger, probed?.order_key], ["p1", "probe", "a"]);
    await db.query(sql`update destination_health set probe_at = ${NOW}, probes = 5 where destination_id = ${id}`);
    const [next] = await store.claimProbe(id, bounds);
    assert.equal(next?.position, "p3", "link a has one on its way");
    await db.query(sql`update destination_health set probe_at = ${NOW}, probes = 3 where destination_id = ${id}`);
    assert.deepEqual(await store.claimProbe(id, bounds), []);
    assert.deepEqual(await claim(), []);
  });

  test("an order that has ended lets all go that waited, in steps", async () => {
    const { id, store, add, claim } = await openDestination(engine);
    const many = Object.fromEntries(Array.from({ length: 1_200 }, (_, n) => [`p${1_000 + n}`, "a"]));
    await add(many);
    await claim();
    assert.deepEqual(
      [await store.letGo(id, NOW), await store.letGo(id, NOW), await store.letGo(id, NOW)],
      [1_000, 200, 0],
    );
    assert.equal((await claim()).length, 10, "as many as the limit allows");
  });

  test("an order that has ended lets nothing go beside a claim, which could set it aside without a key", async () => {
    const { db, id, store, add } = await openDestination(engine);
    await add({ p1: "a", p2: "a" });
    let let_go: number | undefined;
    let letting: Promise<void> | undefined;
    await db.transaction(async (within) => {
      await within(lockTurns(id));
      letting = store.letGo(id, NOW).then((count) => {
        let_go = count;
      });
      if (engine.name === "postgres")
        await Promise.race([letting, waitUntil(() => isSomebodyBlocked(db), "a step that waits")]);
      assert.equal(let_go, undefined, "it waits for whoever claims");
    });
    await letting;
    assert.equal(let_go, 2);
  });

  test("nothing is mended while links go on, and a link that stands still is", async () => {
    const { db, id, store, add, claim } = await openDestination(engine);
    await add({ p1: "a", p2: "a", p3: "b", p4: "b" });
    await claim();
    assert.deepEqual(await store.mendTurns(id, "", NOW), { mended: 0, after: null });
    await db.query(sql`delete from deliveries where destination_id = ${id} and position = 'p1'`);
    assert.deepEqual(await claim(), [], "as after a mistake");
    assert.deepEqual(await store.mendTurns(id, "b", NOW), { mended: 0, after: null });
    assert.deepEqual(await store.mendTurns(id, "", NOW), { mended: 1, after: null });
    assert.deepEqual(await claim(), ["p2"]);
    await add(Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`q${n}`, `k${1_000 + n}`])));
    assert.deepEqual(await store.mendTurns(id, "", NOW), { mended: 0, after: "k1097" });
    assert.deepEqual(await store.mendTurns(id, "k1097", NOW), { mended: 0, after: null });
  });

  test("what a claim says is due next is nothing that waits for its turn", async () => {
    const { id, store, add } = await openDestination(engine);
    await add({ p1: "a", p2: "a" }, { due_at: DUE_FIRST });
    const bounds = { now: NOW, lease_until: NOW + LEASE_MS, limit: 10, asked_only: false, in_turn: true };
    assert.equal((await store.claim(id, bounds)).next_due_at, NOW + LEASE_MS);
    const settled = settlementIn(
      id,
      { position: "p1", order_key: "a", attempt: 1 },
      { state: "succeeded", due_at: null },
    );
    assert.equal((await store.claim(id, bounds)).next_due_at, NOW + LEASE_MS);
    assert.equal(settled.order_key, "a");
  });

  test("a claim waits for an end that is about to commit, so that neither misses what the other does", async () => {
    const { db, id, add, claim } = await openDestination(engine);
    await add({ p1: "a" });
    assert.deepEqual(await claim(), ["p1"]);
    await add({ p2: "a" });
    const success = settlementIn(
      id,
      { position: "p1", order_key: "a", attempt: 1 },
      { state: "succeeded", due_at: null },
    );
    // One that says nothing about health.
    const statements = settle([{ ...success, counts: false, set_apart: true }]);
    let claiming: Promise<string[]> | undefined;
    await db.transaction(async (within) => {
      for (const statement of statements) await within(statement);
      claiming = claim();
      if (engine.name === "postgres")
        await Promise.race([claiming, waitUntil(() => isSomebodyBlocked(db), "a claim that waits")]);
    });
    const claimed = [...((await claiming) ?? []), ...(await claim())];
    assert.deepEqual(claimed, ["p2"]);
  });

  test("whoever claims, settles, cancels and adds at the same time, each link has one on its way and comes to its end", async (t) => {
    const random = createRandom();
    t.diagnostic(`LINKME_TEST_SEED=${random.seed}`);
    const { db, id, store, add } = await openDestination(engine);
    const rush = createRush({ db, id, store, random });
    const adding = (async () => {
      for (let n = 0; n < EVENTS; n += 10) {
        // Some come late, with older positions than what is there.
        const names = Array.from({ length: 10 }, (_, i) => `p${100_000 + n + i - (random.below(8) === 0 ? 5_000 : 0)}`);
        await add(Object.fromEntries(names.map((name) => [name, `k${random.below(3)}`])));
      }
      rush.complete();
    })();
    await Promise.all([adding, ...Array.from({ length: WORKERS }, rush.work)]);
    const [left] = await db.query<{ n: number }>(sql`select count(*) as n from deliveries
      where destination_id = ${id} and state = 'pending'`);
    assert.equal(left?.n, 0);
    assert.deepEqual(await store.mendTurns(id, "", NOW), { mended: 0, after: null });
  });
});

const EVENTS = 200;
const WORKERS = 4;

/** Workers that claim and end what they get, as processes do that know nothing of each other. */
function createRush({ db, id, store, random }: RushOptions) {
  const held = new Set<string>();
  let is_complete = false;
  let now = NOW;

  async function work(): Promise<void> {
    for (let idle = 0; ; ) {
      const was_complete = is_complete;
      const bounds = { now: ++now, lease_until: now + LEASE_MS, limit: 10, asked_only: false, in_turn: true };
      const { claimed } = await store.claim(id, bounds);
      for (const { order_key = null, position } of claimed) {
        assert.ok(order_key !== null && !held.has(order_key), `${position} beside another one of ${order_key}`);
        held.add(order_key);
      }
      await Promise.all(claimed.map(end));
      idle = claimed.length > 0 || held.size > 0 || !was_complete ? 0 : idle + 1;
      if (idle > 3) return;
    }
  }

  async function end(row: ClaimedRow): Promise<void> {
    const { position, order_key = null } = row;
    // From here on its turn may be passed on.
    held.delete(order_key ?? "");
    if (random.below(8) === 0) {
      await store.cancel({ destination_id: id, position, order_key }, "Canceled by hand.", now);
      return;
    }
    const state = random.below(3) === 0 ? "pending" : "succeeded";
    const due_at = state === "pending" ? now : null;
    await db.batch(settle([{ ...settlementIn(id, row, { state, due_at }), set_apart: row.attempt > 1 }]));
  }

  return {
    work,
    complete: () => {
      is_complete = true;
    },
  };
}

interface RushOptions {
  db: Database;
  id: string;
  store: DeliveryStore;
  random: ReturnType<typeof createRandom>;
}
