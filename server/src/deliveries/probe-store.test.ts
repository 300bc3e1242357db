import assert from "node:assert/strict";
import { test } from "node:test";
import { NOW, openWith, pick, position } from "../../test/support/deliveries.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { settlementOf } from "../../test/support/settlements.ts";
import { probeGapMs } from "../destinations/failing.ts";
import type { Database } from "../platform/database.ts";
import { sql } from "../platform/sql.ts";
import type { DeliveryKey, DeliveryRow } from "./delivery.ts";
import { DUE_FIRST } from "./due.ts";
import { settle } from "./settle-store.ts";
import { type DeliveryStore, insertDeliveries } from "./store.ts";

const LEASE_MS = 45_000;

forEachEngine((engine) => {
  test("a probe takes one delivery when its time has come, whoever asks, and the gap to the next one grows", async () => {
    const { db, store, key, find } = await openWith(engine, { due_at: NOW + 9_000_000 });
    const { destination_id } = key;
    await db.query(sql`insert into destination_health (destination_id, consecutive_failures, probe_at)
      values (${destination_id}, 20, ${NOW})`);
    const probe = (now: number) => store.claimProbe(destination_id, { now, lease_until: now + LEASE_MS });
    assert.deepEqual(await probe(NOW - 1), [], "too early");
    assert.deepEqual([await store.probeAt(destination_id), await store.probeAt("dst_other")], [NOW, null]);
    const taken = (await Promise.all([probe(NOW), probe(NOW), probe(NOW)])).flat();
    assert.deepEqual(
      taken.map((one) => [one.position, one.attempt, one.trigger, one.resume_state, one.resume_at]),
      [["p1", 1, "probe", "pending", NOW + 9_000_000]],
    );
    assert.deepEqual(pick(await find()), ["pending", 1, 0, 1, NOW + LEASE_MS, "probe"]);
    const gaps = await db.query(
      sql`select probe_at, probes from destination_health where destination_id = ${destination_id}`,
    );
    assert.deepEqual(gaps, [{ probe_at: NOW + probeGapMs(1), probes: 1 }]);
    assert.deepEqual(await probe(NOW + probeGapMs(1) - 1), []);
    const again = await probe(NOW + probeGapMs(1));
    assert.deepEqual([again[0]?.attempt, again[0]?.resume_at], [2, NOW + 9_000_000], "from a lease that was lost");
    assert.deepEqual(await probe(NOW - 90 * 24 * 3_600_000), [], "the one delivery is under way");
    const kept = await db.query(sql`select probes from destination_health where destination_id = ${destination_id}`);
    assert.deepEqual(kept, [{ probes: 2 }], "while there is nothing to try the probe stays due");
  });

  /** Probes that all fail, one after another; answers what was tried. */
  async function probeOften(db: Database, store: DeliveryStore, destination_id: string, times: number) {
    let now = NOW;
    const probed: string[] = [];
    for (let count = 0; count < times; count++) {
      await db.query(sql`update destination_health set probe_at = ${now} where destination_id = ${destination_id}`);
      const [one] = await store.claimProbe(destination_id, { now, lease_until: now + LEASE_MS });
      assert.ok(one !== undefined);
      probed.push(one.position);
      const held = { destination_id, position: one.position };
      const failed = settlementOf(held, one.attempt, { state: "pending", failures: 0, due_at: one.resume_at });
      await db.batch(settle([{ ...failed, decision: { ...failed.decision, restored: true } }]));
      now += probeGapMs(count + 1);
    }
    return probed;
  }

  async function openPaused(waiting: Partial<DeliveryRow>[]) {
    const { db, store, key } = await openWith(engine, { trigger: "test", due_at: DUE_FIRST });
    const { destination_id } = key;
    const row = await store.find(key);
    assert.ok(row !== undefined);
    const rows = waiting.map((one, n) => ({ ...row, trigger: "auto" as const, position: position(n), ...one }));
    await db.batch([insertDeliveries(rows)]);
    await db.query(sql`insert into destination_health (destination_id, consecutive_failures, probe_at)
      values (${destination_id}, 20, ${NOW})`);
    return { db, store, destination_id };
  }

  test("probes go through what waits, and pass by tests and what a person asked for", async () => {
    const later = [1, 2, 3].map((n) => ({ due_at: NOW + n * 100_000_000 }));
    const { db, store, destination_id } = await openPaused(later);
    const probed = await probeOften(db, store, destination_id, 4);
    assert.deepEqual(probed, [position(0), position(1), position(2), position(0)]);
  });

  test("every second probe tries the newest that is due, so that many hopeless ones keep nothing back", async () => {
    const hopeless = Array.from({ length: 300 }, () => ({ due_at: NOW - 1_000, created_at: NOW - 2_000 }));
    const { db, store, destination_id } = await openPaused([...hopeless, { due_at: NOW - 1 }]);
    const probed = await probeOften(db, store, destination_id, 6);
    const [oldest, newest] = [0, 1].map((odd) => probed.filter((_, index) => index % 2 === odd));
    assert.deepEqual(oldest, [position(0), position(1), position(2)], "of one moment too, each time another");
    assert.deepEqual(newest, Array(3).fill(position(300)));
  });

  test("a delivery that ends meanwhile makes no probe pass by another one", async () => {
    const later = [1, 2, 3, 4].map((n) => ({ due_at: NOW + n * 100_000_000 }));
    const { db, store, destination_id } = await openPaused(later);
    assert.deepEqual(await probeOften(db, store, destination_id, 2), [position(0), position(1)]);
    await store.cancel({ destination_id, position: position(0) }, "Canceled by hand.", NOW);
    assert.deepEqual(await probeOften(db, store, destination_id, 2), [position(2), position(3)]);
  });

  test("a probe that is given back, left by a process, or claimed from a lost lease has not been", async () => {
    const before = { trigger: "auto", resume_state: null, resume_at: null };
    const look = async (end: (store: DeliveryStore, key: DeliveryKey) => Promise<unknown>) => {
      const { db, store, key, find } = await openWith(engine, { due_at: NOW + 9_000_000 });
      await db.query(sql`insert into destination_health (destination_id, consecutive_failures, probe_at)
        values (${key.destination_id}, 20, ${NOW})`);
      await store.claimProbe(key.destination_id, { now: NOW, lease_until: NOW + LEASE_MS });
      await end(store, key);
      const { trigger, resume_state, resume_at, due_at } = await find();
      assert.deepEqual({ trigger, resume_state, resume_at }, before);
      return due_at;
    };
    assert.equal(await look((store, key) => store.release([{ ...key, attempt: 1 }], NOW)), NOW + 9_000_000);
    assert.equal(await look((store, key) => store.releaseAll(key.destination_id, NOW, LEASE_MS)), NOW + 9_000_000);
    const bounds = { now: NOW + LEASE_MS, lease_until: NOW + 2 * LEASE_MS, limit: 1, asked_only: false };
    assert.equal(await look((store, key) => store.claim(key.destination_id, bounds)), NOW + 2 * LEASE_MS);
  });
});
