// Shows that the explanation of repeated requests can fail: outside of a mishap, and for more than it can have cut off.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ledger, Sent } from "../support/ledger.ts";
import { explainRepeats, type Span } from "./repeats.ts";

const kill: Span = { mishap: "kill", began_at: 100_000, recovered_at: 101_000, repeats_max: 2 };
const restart: Span = { mishap: "restart", began_at: 200_000, recovered_at: 201_000, repeats_max: 0 };

/** Deliveries, each as the times and numbers of its attempts; the one at time 0 was refused. */
function ledgerOf(...deliveries: [at: number, attempt: number][][]): Ledger {
  const by_delivery = new Map(
    deliveries.map((sent, n) => [`d${n}`, sent.map(([at, attempt]) => ({ at: new Date(at), attempt }) as Sent)]),
  );
  return { by_delivery, sent: [...by_delivery.values()].flat(), idsBy: () => new Map() };
}

const explain = (...deliveries: [at: number, attempt: number][][]) =>
  explainRepeats(ledgerOf(...deliveries), [kill, restart], ({ at }) => at.getTime() !== 0).map(({ count }) => count);

test("what was accepted while a mishap lasted, or just before, may be sent again because of it", () => {
  assert.deepEqual(explain([[100_500, 1], [150_000, 2]], [[98_500, 1], [300_000, 2]]), [2, 0]); // biome-ignore format: a table
});

test("a refused request that is followed by one that is accepted is no repeat, whenever it comes", () => {
  assert.deepEqual(explain([[0, 1], [150_000, 2]], [[150_000, 1]]), [0, 0]); // biome-ignore format: a table
});

test("what was accepted long before a mishap, or after it, has no reason to be sent again", () => {
  for (const at of [97_000, 102_000]) {
    assert.throws(() => explain([[at, 1], [at + 50_000, 2]]), /sent again without a mishap/); // biome-ignore format: a table
  }
});

test("a mishap explains no more than it can have cut off, and one that cuts off nothing explains none", () => {
  const one: [number, number][] = [[100_500, 1], [150_000, 2]]; // biome-ignore format: a table
  assert.throws(() => explain(one, one, one), /kill: 3 sent again, 2 can be/);
  assert.throws(() => explain([[200_500, 1], [250_000, 2]]), /restart: 1 sent again, 0 can be/); // biome-ignore format: a table
});

test("one number is never sent twice", () => {
  assert.throws(() => explain([[100_500, 1], [150_000, 1]]), /sent twice under one number/); // biome-ignore format: a table
});
