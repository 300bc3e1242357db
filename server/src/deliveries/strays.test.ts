import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { sql } from "../platform/sql.ts";
import type { DeliveryRow } from "./delivery.ts";
import { LEASE_MS } from "./leases.ts";
import { createDeliveryStore, insertDeliveries } from "./store.ts";
import { createStrays } from "./strays.ts";
import { WAITS_FOR_TURN } from "./turn.ts";

const NOW = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
/** More than one look reads at a time. */
const RETRIES = 5_200;

function row(position: string, changes: Partial<DeliveryRow>): DeliveryRow {
  return {
    ...{ destination_id: "dst_a", position, app_id: "shop", event: "link.click", state: "pending", reason: null },
    ...{ attempt: 1, failures: 0, leased: 0, due_at: NOW + HOUR_MS, trigger: "auto", resume_state: null },
    ...{ resume_at: null, created_at: NOW, settled_at: null, ...changes },
  };
}

forEachEngine((engine) => {
  test("leases from a clock that was ahead are due at once, and nothing else is touched", async () => {
    const db = await engine.open();
    const store = createDeliveryStore(db);
    const kept = [
      row("retry", { failures: 1 }),
      row("held", { leased: 1, due_at: NOW + LEASE_MS }),
      row("behind", { due_at: WAITS_FOR_TURN }),
    ];
    const retries = Array.from({ length: RETRIES }, (_, n) => row(`r${String(n).padStart(5, "0")}`, { failures: 1 }));
    const strays = [
      row("stray", { leased: 1, due_at: NOW + HOUR_MS + LEASE_MS }),
      row("first", { attempt: 0, due_at: NOW + HOUR_MS }),
      row("asked", { leased: 1, due_at: NOW + HOUR_MS, trigger: "manual" }),
    ];
    await db.query(insertDeliveries([...kept, ...retries, ...strays]));
    await createStrays({ store, now: () => NOW, log: assert.fail, isWanted: () => true }).look();
    const due = await db.query<{ position: string; due_at: number; leased: number; attempt: number }>(
      sql`select position, due_at, leased, attempt from deliveries where position not like 'r0%' order by position`,
    );
    assert.deepEqual(
      due.map(({ position, due_at, leased, attempt }) => [position, due_at, leased, attempt]),
      [
        ["asked", 0, 0, 1],
        ["behind", WAITS_FOR_TURN, 0, 1],
        ["first", NOW, 0, 0],
        ["held", NOW + LEASE_MS, 1, 1],
        ["retry", NOW + HOUR_MS, 0, 1],
        ["stray", NOW, 0, 1],
      ],
    );
  });

  test("a lease that somebody has renewed since it was found is left alone", async () => {
    const db = await engine.open();
    const store = createDeliveryStore(db);
    await db.query(insertDeliveries([row("stray", { leased: 1 })]));
    const { strays } = await store.findStrays("dst_a", { due_at: NOW, created_at: 0, position: "" });
    assert.equal(strays.length, 1);
    await store.renew([{ destination_id: "dst_a", position: "stray", attempt: 1 }], NOW + LEASE_MS);
    assert.equal(await store.releaseStrays(strays, NOW), 0);
  });
});

test("a look that the database does not answer is told, and a stop ends one", async () => {
  const told: string[] = [];
  const failing = () => Promise.reject(new Error("away"));
  const options = { now: () => NOW };
  const log = (event: string) => void told.push(event);
  const never = { findStrays: assert.fail, releaseStrays: assert.fail };
  await createStrays({ ...options, isWanted: () => true, log, store: { ...never, findDue: failing } }).look();
  assert.deepEqual(told, ["deliveries.not_released"]);
  let is_wanted = true;
  const due = async () => {
    is_wanted = false;
    return [{ destination_id: "dst_a", due_at: NOW, asked_at: null }];
  };
  const called_off = { ...options, isWanted: () => is_wanted, log: assert.fail };
  await createStrays({ ...called_off, store: { ...never, findDue: due } }).look();
  await createStrays({ ...called_off, store: { ...never, findDue: assert.fail } }).look();
});
