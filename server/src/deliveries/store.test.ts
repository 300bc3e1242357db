import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "#destination-types/definition.ts";
import { NOW, openWith, pick, position } from "../../test/support/deliveries.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { settlementOf } from "../../test/support/settlements.ts";
import { PAGE_SCAN_MAX } from "../platform/cursor.ts";
import { sql } from "../platform/sql.ts";
import { DUE_FIRST } from "./due.ts";
import type { DeliveryFilter } from "./ledger-store.ts";
import { type Decision, type DecisionInput, decide, decideCutOff } from "./policy.ts";
import { type Settlement, settle } from "./settle-store.ts";
import { insertDeliveries } from "./store.ts";

const LEASE_MS = 45_000;
const NO_REPLAY = { tries: 0, replay_id: null, armed_at: null };
const LEASED = { attempt: 1, leased: 1, due_at: NOW + LEASE_MS } as const;

let count = 0;
const nextName = () => String(++count);

forEachEngine((engine) => {
  test("a claim takes what is due, counts the attempt and says what is due next", async () => {
    const { store, key, find } = await openWith(engine, {});
    const bounds = { now: NOW, lease_until: NOW + LEASE_MS, limit: 10, asked_only: false };
    const { claimed, next_due_at } = await store.claim(key.destination_id, bounds);
    assert.deepEqual(
      claimed.map((one) => [one.position, one.attempt]),
      [["p1", 1]],
    );
    assert.equal(next_due_at, NOW + LEASE_MS);
    assert.deepEqual(pick(await find()), ["pending", 1, 0, 1, NOW + LEASE_MS, "auto"]);
    assert.deepEqual((await store.claim(key.destination_id, bounds)).claimed, []);
  });

  test("a claim keeps to its limit, and to what is due, where no statistics know the destination", async () => {
    const { db, store, key } = await openWith(engine, {});
    await db.query(sql`analyze deliveries`);
    const row = await store.find(key);
    assert.ok(row !== undefined);
    const destination_id = `dst_new_${nextName()}`;
    const backlog = Array.from({ length: 2_000 }, (_, n) => ({
      ...row,
      destination_id,
      position: position(n),
      due_at: n,
    }));
    await db.batch([insertDeliveries(backlog)]);
    const bounds = { now: 1_500, lease_until: NOW, limit: 100, asked_only: false };
    const { claimed, next_due_at } = await store.claim(destination_id, bounds);
    assert.deepEqual(
      claimed.map((one) => one.position).sort(),
      backlog.slice(0, 100).map((one) => one.position),
    );
    assert.equal(next_due_at, 100);
  });

  test("a claim from both ends takes each delivery once, and leaves the middle of a backlog", async () => {
    const { db, store, key } = await openWith(engine, {});
    const row = await store.find(key);
    assert.ok(row !== undefined);
    const destination_id = `dst_ends_${nextName()}`;
    const rows = Array.from({ length: 12 }, (_, n) => ({ ...row, destination_id, position: position(n), due_at: n }));
    await db.batch([insertDeliveries(rows)]);
    const take = async (newest: number) => {
      const bounds = { now: 9, lease_until: NOW, limit: 4, newest, asked_only: false };
      const { claimed, next_due_at } = await store.claim(destination_id, bounds);
      return [claimed.map((one) => one.position).sort(), next_due_at] as const;
    };
    assert.deepEqual(await take(2), [[0, 1, 8, 9].map(position), 2]);
    assert.deepEqual(await take(3), [[2, 5, 6, 7].map(position), 3]);
    assert.deepEqual(await take(2), [[3, 4].map(position), 10], "where they meet, each once; nothing before it is due");
  });

  test("a page of a long ledger looks at a bounded part of it, and its cursor leads on to the rest", async () => {
    const { db, store, key } = await openWith(engine, {});
    const row = await store.find(key);
    assert.ok(row !== undefined);
    const destination_id = `dst_long_${nextName()}`;
    const others = { destination_id, state: "succeeded", due_at: null } as const;
    const ledger = Array.from({ length: PAGE_SCAN_MAX + 2 }, (_, n) => ({ ...row, ...others, position: position(n) }));
    const oldest = { ...row, destination_id, position: position(0), event: "link.claim" } as const;
    await db.batch([insertDeliveries([oldest, ...ledger.slice(1)])]);
    const positions = async (filter: DeliveryFilter, limit = 2) => {
      const { shown, end } = await store.page(destination_id, filter, limit);
      return [shown.map((one) => one.position), end] as const;
    };
    const last = PAGE_SCAN_MAX + 1;
    assert.deepEqual(await positions({}), [[position(last), position(last - 1)], position(last - 1)]);
    assert.deepEqual(await positions({ state: "succeeded" }, 1), [[position(last)], position(last)]);
    assert.deepEqual(await positions({ event: "link.claim" }), [[], position(2)]);
    assert.deepEqual(await positions({ event: "link.claim", before_position: position(2) }), [[position(0)], null]);
    assert.deepEqual(await positions({ state: "pending" }), [[position(0)], null], "found by its index");
    assert.deepEqual(await positions({ state: "pending", before_position: position(0) }), [[], null]);
    assert.deepEqual(await positions({ state: "failed" }), [[], null]);
  });

  test("a failure is recorded under its lease, and recording it twice changes nothing more", async () => {
    const { db, key, find } = await openWith(engine, LEASED);
    const failure = settlementOf(key, 1, { state: "pending", failures: 1, due_at: NOW + 5_000 });
    await db.batch(settle([failure]));
    const once = await find();
    assert.deepEqual(pick(once), ["pending", 1, 1, 0, NOW + 5_000, "auto"]);
    await db.batch(settle([{ ...failure, set_apart: true }]));
    assert.deepEqual(await find(), once);
    const counted = await db.query(sql`select h.attempts, d.consecutive_failures from destination_hours as h
      join destination_health as d on d.destination_id = h.destination_id where d.destination_id = ${key.destination_id}`);
    assert.deepEqual(counted, [{ attempts: 1, consecutive_failures: 1 }]);
  });

  test("an attempt that may be on record already is counted when it is not", async () => {
    const { db, key } = await openWith(engine, LEASED);
    const made = settlementOf(key, 1, { state: "succeeded", failures: 0, due_at: null });
    await db.batch(settle([{ ...made, set_apart: true }]));
    await db.batch(settle([{ ...made, set_apart: true }]));
    const counted = await db.query(
      sql`select attempts from destination_hours where destination_id = ${key.destination_id}`,
    );
    assert.deepEqual(counted, [{ attempts: 1 }]);
  });

  test("what a person asked for is found while its destination is off, also behind a lease that was lost", async () => {
    const { store, key } = await openWith(engine, LEASED);
    const take = (now: number) =>
      store.claim(key.destination_id, { now, lease_until: now + LEASE_MS, limit: 5, asked_only: true });
    const askedAt = async () =>
      (await store.findDue()).find((one) => one.destination_id === key.destination_id)?.asked_at;
    assert.deepEqual((await take(NOW + LEASE_MS)).claimed, [], "nobody asked for it");
    assert.equal(await askedAt(), null);
    await store.grantAttempt(key, NOW);
    assert.equal(await askedAt(), DUE_FIRST);
    assert.equal((await take(NOW)).claimed.length, 1);
    assert.equal(await askedAt(), NOW + LEASE_MS);
    assert.deepEqual((await take(NOW + LEASE_MS - 1)).claimed, [], "somebody holds it");
    const [again] = (await take(NOW + LEASE_MS)).claimed;
    assert.deepEqual([again?.position, again?.trigger, again?.resume_state], [key.position, "manual", "pending"]);
  });

  test("an attempt that a person grants while another is in flight outlives the failure of that one", async () => {
    const { db, store, key, find } = await openWith(engine, LEASED);
    await store.grantAttempt(key, NOW);
    await db.batch(settle([settlementOf(key, 1, { state: "failed", failures: 1, due_at: null })]));
    const row = await find();
    assert.deepEqual(pick(row), ["pending", 1, 0, 0, DUE_FIRST, "manual"]);
    assert.deepEqual([row.resume_state, row.resume_at], ["pending", NOW + LEASE_MS]);
    assert.equal((await store.attemptsOf(key)).length, 1, "the attempt itself is on record");
  });

  for (const { name, decision, ends } of [
    {
      name: "its schedule goes on",
      decision: { state: "pending", failures: 1, due_at: NOW + 3_000 },
      ends: ["pending", 2, 1, 0, NOW + 3_000, "auto"],
    },
    {
      name: "it was the last one of the schedule",
      decision: { state: "failed", failures: 1, due_at: null },
      ends: ["failed", 2, 1, 0, null, "auto"],
    },
  ] as const) {
    for (const order of ["first", "second", "together", "together, the other way round"] as const) {
      test(`the failure of an attempt beside which a person was granted one counts: ${name}, recorded ${order}`, async () => {
        const { db, store, key, find } = await openWith(engine, LEASED);
        await store.grantAttempt(key, NOW);
        const bounds = { now: NOW, lease_until: NOW + 1 + LEASE_MS, limit: 1, asked_only: true };
        const [claimed] = (await store.claim(key.destination_id, bounds)).claimed;
        assert.ok(claimed !== undefined);
        const lease = { lease_until: NOW + LEASE_MS };
        const one = settlementOf(key, 1, decision);
        const overtaken: Settlement = { ...one, lease, decision: { ...one.decision, reason: "HTTP 500" } };
        const refused: Outcome = { kind: "refused", retriable: true, message: "HTTP 502" };
        const at = { now: NOW, random: 0 };
        const by_hand: Settlement = {
          ...settlementOf(key, 2, decision),
          ...{ lease: { lease_until: bounds.lease_until }, settled_at: null },
          decision: decide({ ...claimed, ...NO_REPLAY, is_test: false, order_key: null }, refused, [3], at),
        };
        const groups = {
          first: [[overtaken], [by_hand]],
          second: [[by_hand], [overtaken]],
          together: [[overtaken, by_hand]],
          "together, the other way round": [[by_hand, overtaken]],
        }[order];
        for (const group of groups) await db.batch(settle(group));
        const row = await find();
        assert.deepEqual(pick(row), ends);
        assert.deepEqual([row.reason, row.resume_state, row.resume_at], ["HTTP 500", null, null]);
        assert.equal(row.settled_at, overtaken.settled_at);
        assert.equal((await store.attemptsOf(key)).length, 2);
        await db.batch(settle([{ ...overtaken, set_apart: true }]));
        assert.deepEqual(await find(), row, "recording it again changes nothing");
      });
    }
  }

  test("a success by hand ends a delivery, whatever became of the attempt that it overtook", async () => {
    const { db, store, key, find } = await openWith(engine, LEASED);
    await store.grantAttempt(key, NOW);
    const lease = { lease_until: NOW + LEASE_MS };
    await db.batch(settle([{ ...settlementOf(key, 1, { state: "failed", failures: 1, due_at: null }), lease }]));
    assert.deepEqual(pick(await find()), ["pending", 1, 1, 0, DUE_FIRST, "manual"], "the attempt by hand is to come");
    const bounds = { now: NOW, lease_until: NOW + LEASE_MS, limit: 1, asked_only: true };
    assert.equal((await store.claim(key.destination_id, bounds)).claimed.length, 1);
    await db.batch(settle([settlementOf(key, 2, { state: "succeeded", failures: 1, due_at: null })]));
    assert.deepEqual(pick(await find()), ["succeeded", 2, 1, 0, null, "auto"]);
  });

  test("an attempt by hand that a stop has cut off is made anew, and puts the delivery back where the first would have", async () => {
    const ended = { state: "failed", reason: "Of before.", failures: 3, attempt: 3, due_at: null } as const;
    const { db, store, key, find } = await openWith(engine, ended);
    await store.grantAttempt(key, NOW);
    const bounds = { now: NOW, lease_until: NOW + LEASE_MS, limit: 1, asked_only: true };
    const make = async (judge: (claimed: DecisionInput) => Decision) => {
      const [claimed] = (await store.claim(key.destination_id, bounds)).claimed;
      assert.ok(claimed !== undefined);
      const decision = judge({ ...claimed, ...NO_REPLAY, is_test: false, order_key: null });
      await db.batch(settle([{ ...settlementOf(key, claimed.attempt, decision), decision, settled_at: null }]));
      return find();
    };
    const cut = await make((claimed) => decideCutOff(claimed, "stopping", NOW));
    assert.deepEqual(pick(cut), ["pending", 4, 3, 0, DUE_FIRST, "manual"]);
    assert.deepEqual([cut.resume_state, cut.reason], ["failed", "Of before."]);
    const refused: Outcome = { kind: "refused", retriable: true, message: "HTTP 502" };
    const back = await make((claimed) => decide(claimed, refused, [], { now: NOW, random: 0 }));
    assert.deepEqual(pick(back), ["failed", 5, 3, 0, null, "auto"]);
    assert.deepEqual([back.resume_state, back.reason], [null, "Of before."]);
  });

  test("health tells when the failures began, and what was last whatever is recorded later", async () => {
    const { db, key } = await openWith(engine, LEASED);
    let number = 0;
    const record = async (...ends: [state: "succeeded" | "failed", at: number][]) => {
      const settlements = ends.map(([state, at]) => {
        const made = settlementOf(key, ++number, { state, failures: 1, due_at: null });
        return { ...made, set_apart: true, record: { ...made.record, started_at: at - made.record.duration_ms } };
      });
      await db.batch(settle(settlements));
      const [health] = await db.query<Record<string, number | null>>(
        sql`select * from destination_health where destination_id = ${key.destination_id}`,
      );
      assert.ok(health !== undefined);
      const { last_success_at, last_failure_at, consecutive_failures, failing_since } = health;
      return [last_success_at, last_failure_at, consecutive_failures, failing_since];
    };
    assert.deepEqual(await record(["failed", 12], ["failed", 11], ["failed", 13]), [null, 13, 3, 11]);
    assert.deepEqual(await record(["failed", 15], ["failed", 16]), [null, 16, 5, 11]);
    assert.deepEqual(await record(["failed", 14]), [null, 16, 6, 11]);
    assert.deepEqual(await record(["failed", 17], ["succeeded", 20]), [20, 17, 0, null]);
    assert.deepEqual(await record(["succeeded", 19]), [20, 17, 0, null]);
    assert.deepEqual(await record(["failed", 21], ["succeeded", 22], ["failed", 24], ["failed", 23]), [22, 24, 2, 23]);
  });

  test("an attempt that delivers at once is kept in the delivery's row, and is part of its history", async () => {
    const { db, store, key, find } = await openWith(engine, LEASED);
    const settlement = settlementOf(key, 1, { state: "succeeded", failures: 0, due_at: null });
    await db.batch(settle([settlement]));
    assert.deepEqual(pick(await find()), ["succeeded", 1, 0, 0, null, "auto"]);
    assert.equal((await find()).settled_at, settlement.settled_at);
    assert.deepEqual(await store.attemptsOf(key), [settlement.record]);
    const rows = await db.query(sql`select 1 as one from attempts where destination_id = ${key.destination_id}`);
    assert.deepEqual(rows, []);
    // A later attempt, asked for by hand, has a row; the first one stays what it was.
    await store.grantAttempt(key, NOW);
    await store.claim(key.destination_id, { now: NOW, lease_until: NOW + 1, limit: 1, asked_only: false });
    const second = settlementOf(key, 2, { state: "succeeded", failures: 0, due_at: null });
    await db.batch(settle([second]));
    assert.deepEqual(await store.attemptsOf(key), [settlement.record, second.record]);
  });

  test("a record that comes again, for nobody heard of its commit, is in the history once", async () => {
    const { db, store, key } = await openWith(engine, LEASED);
    const other = await openWith(engine, LEASED);
    const [first, second] = [key, other.key].map((one) =>
      settlementOf(one, 1, { state: "succeeded", failures: 0, due_at: null }),
    );
    assert.ok(first !== undefined && second !== undefined);
    await db.batch(settle([first]));
    await assert.rejects(db.batch(settle([first, second])), { kind: "unmet" });
    await db.batch(settle([first, second].map((one) => ({ ...one, set_apart: true }))));
    assert.deepEqual(await store.attemptsOf(key), [first.record]);
    assert.deepEqual(await other.store.attemptsOf(other.key), [second.record]);
    const rows = await db.query(sql`select 1 as one from attempts where destination_id = ${key.destination_id}`);
    assert.deepEqual(rows, []);
  });

  test("a delivery that is not pending any more refuses the whole group, and its record is kept apart", async () => {
    const { db, store, key, find } = await openWith(engine, { ...LEASED, state: "canceled", leased: 0, due_at: null });
    const other = await openWith(engine, LEASED);
    const group = [key, other.key].map((one) =>
      settlementOf(one, 1, { state: "succeeded", failures: 0, due_at: null }),
    );
    await assert.rejects(db.batch(settle(group)), { kind: "unmet" });
    assert.deepEqual([await other.store.attemptsOf(other.key), (await other.find()).state], [[], "pending"]);
    await db.batch(settle(group.map((one) => ({ ...one, set_apart: true }))));
    assert.deepEqual([(await find()).state, (await other.find()).state], ["succeeded", "succeeded"]);
    assert.deepEqual(await store.attemptsOf(key), [group[0]?.record]);
    assert.deepEqual(await other.store.attemptsOf(other.key), [group[1]?.record]);
  });

  test("who cancels an attempt that was granted by hand takes back that attempt alone", async () => {
    for (const state of ["succeeded", "failed", "canceled", "skipped"] as const) {
      const ended = { state, leased: 0, due_at: null, settled_at: NOW - 1, reason: "earlier" };
      const { store, key, find } = await openWith(engine, { ...LEASED, ...ended });
      const before = await find();
      await store.grantAttempt(key, NOW);
      assert.equal((await find()).state, "pending");
      await store.cancel(key, "Canceled by hand.", NOW);
      assert.deepEqual(await find(), before);
      assert.equal(await store.cancel(key, "Canceled by hand.", NOW), undefined, "it is not pending any more");
    }
    const { store, key, find } = await openWith(engine, LEASED);
    await store.grantAttempt(key, NOW);
    await store.cancel(key, "Canceled by hand.", NOW);
    const { state, reason, settled_at } = await find();
    assert.deepEqual([state, reason, settled_at], ["canceled", "Canceled by hand.", NOW]);
  });

  test("a success counts whoever holds the lease now", async () => {
    const { db, key, find } = await openWith(engine, { ...LEASED, attempt: 3 });
    await db.batch(settle([settlementOf(key, 2, { state: "succeeded", failures: 0, due_at: null })]));
    assert.deepEqual(pick(await find()), ["succeeded", 3, 0, 0, null, "auto"]);
  });

  for (const state of ["canceled", "failed", "skipped"] as const) {
    test(`a success counts when the delivery is ${state} by then`, async () => {
      const ended = { state, leased: 0, due_at: null, reason: "earlier", settled_at: NOW - 1 } as const;
      const { db, store, key, find } = await openWith(engine, { ...LEASED, ...ended });
      const late = settlementOf(key, 1, { state: "succeeded", failures: 0, due_at: null });
      await db.batch(settle([{ ...late, set_apart: true }]));
      const row = await find();
      assert.deepEqual(pick(row), ["succeeded", 1, 0, 0, null, "auto"]);
      assert.deepEqual([row.reason, row.settled_at, row.resume_state], [null, late.settled_at, null]);
      assert.equal((await store.attemptsOf(key)).length, 1);
      await db.batch(settle([{ ...late, set_apart: true, settled_at: NOW + 1 }]));
      assert.deepEqual(await find(), row, "recording it again changes nothing");
    });
  }

  test("a success counts after a retry and a cancel, whichever attempt had it", async () => {
    const { db, store, key, find } = await openWith(engine, LEASED);
    await store.grantAttempt(key, NOW);
    const bounds = { now: NOW, lease_until: NOW + LEASE_MS, limit: 1, asked_only: true };
    assert.equal((await store.claim(key.destination_id, bounds)).claimed.length, 1);
    await store.cancel(key, "Canceled by hand.", NOW);
    await db.batch(
      settle([{ ...settlementOf(key, 1, { state: "succeeded", failures: 0, due_at: null }), set_apart: true }]),
    );
    assert.deepEqual([(await find()).state, (await find()).reason], ["succeeded", null]);
  });

  for (const stale of [
    { attempt: 2, leased: 1 },
    { attempt: 1, leased: 0 },
    { state: "canceled" as const, leased: 0 },
  ]) {
    test(`a failure changes nothing when the delivery is ${JSON.stringify(stale)} by then`, async () => {
      const { db, key, find } = await openWith(engine, { ...LEASED, ...stale });
      const before = await find();
      await db.batch(settle([settlementOf(key, 1, { state: "failed", failures: 1, due_at: null })]));
      assert.deepEqual(await find(), before);
    });
  }

  test("renewing moves the leases that are held and answers only those", async () => {
    const held = await openWith(engine, LEASED);
    const lost = await openWith(engine, { ...LEASED, attempt: 2 });
    const wanted = [held.key, lost.key].map((key) => ({ ...key, attempt: 1 }));
    assert.deepEqual(await held.store.renew(wanted, NOW + 90_000), [held.key]);
    assert.equal((await held.find()).due_at, NOW + 90_000);
    assert.equal((await lost.find()).due_at, NOW + LEASE_MS);
  });

  for (const { trigger, due_at } of [
    { trigger: "auto", due_at: NOW + 1 },
    { trigger: "replay", due_at: NOW + 1 },
    { trigger: "manual", due_at: DUE_FIRST },
    { trigger: "test", due_at: DUE_FIRST },
  ] as const) {
    test(`a ${trigger} delivery that is given back, or left by a process, is due ${due_at === 0 ? "first" : "now"}`, async () => {
      const given = await openWith(engine, { ...LEASED, trigger });
      await given.store.release([{ ...given.key, attempt: 1 }], NOW + 1);
      assert.deepEqual(pick(await given.find()), ["pending", 0, 0, 0, due_at, trigger]);
      await given.store.release([{ ...given.key, attempt: 1 }], NOW + 2);
      assert.deepEqual(pick(await given.find()), ["pending", 0, 0, 0, due_at, trigger], "once only");
      const left = await openWith(engine, { ...LEASED, trigger });
      await left.store.releaseAll(left.key.destination_id, NOW + 1, LEASE_MS);
      assert.deepEqual(pick(await left.find()), ["pending", 1, 0, 0, due_at, trigger]);
    });
  }

  test("only what a person asked for is claimed while a destination is off", async () => {
    const { store, key } = await openWith(engine, {});
    const bounds = { now: NOW, lease_until: NOW + LEASE_MS, limit: 10, asked_only: true };
    assert.deepEqual((await store.claim(key.destination_id, bounds)).claimed, []);
    await store.grantAttempt(key, NOW);
    assert.equal((await store.claim(key.destination_id, bounds)).claimed.length, 1);
  });
});
