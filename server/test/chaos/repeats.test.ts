// Shows that the explanation of repeated requests can fail: where no process was ended, where the answer is on record, and for
// more than can have been cut off.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Ledger, Sent } from "../support/ledger.ts";
import { explainRepeats, type Span } from "./repeats.ts";

const kill: Span = { mishap: "kill", began_at: 100_000, recovered_at: 101_000, ended_at: 100_600, repeats_max: 2 };
const outage: Span = { mishap: "outage", began_at: 60_000, recovered_at: 90_500, ended_at: null, repeats_max: 0 };
const restart: Span = {
  ...{ mishap: "restart", began_at: 200_000, recovered_at: 201_000, ended_at: 200_600, repeats_max: 0 },
};
const late_kill: Span = { ...kill, began_at: 201_100, recovered_at: 202_000, ended_at: 201_600 };

/** One attempt; what it is not said to be it is not. */
type Made = [at: number, attempt: number, ...("refused" | "recorded")[]];

/** Deliveries, each as its attempts. */
function explain(...deliveries: Made[][]): number[] {
  return explainBy([outage, kill, restart], deliveries);
}

function explainBy(spans: readonly Span[], deliveries: readonly Made[][]): number[] {
  const is = new Map<Sent, Made>();
  const by_delivery = new Map(
    deliveries.map((attempts, n) => {
      const sent = attempts.map((made) => {
        const one = { at: new Date(made[0]), attempt: made[1] } as Sent;
        is.set(one, made);
        return one;
      });
      return [`d${n}`, sent];
    }),
  );
  const ledger: Ledger = { by_delivery, sent: [...is.keys()], idsBy: () => new Map() };
  const explained = explainRepeats(ledger, spans, {
    isAccepted: (sent) => is.get(sent)?.includes("refused") === false,
    isRecorded: (sent) => is.get(sent)?.includes("recorded") === true,
  });
  return explained.map(({ count }) => count);
}

test("what was accepted while a process was being ended, or just before, may be sent again because of it", () => {
  assert.deepEqual(explain([[100_500, 1], [150_000, 2]], [[98_500, 1], [300_000, 2]]), [0, 2, 0]); // biome-ignore format: a table
});

test("so may what was accepted while nothing could be written down, when the process ends soon after", () => {
  assert.deepEqual(explain([[65_000, 1], [150_000, 2]], [[90_400, 1], [150_000, 2]]), [0, 2, 0]); // biome-ignore format: a table
});

test("what the next process had sent already is cut off by the end of that one", () => {
  const sent: Made[][] = [[[200_700, 1], [250_000, 2]]]; // biome-ignore format: a table
  assert.deepEqual(explainBy([outage, kill, restart, late_kill], sent), [0, 0, 0, 1]);
  const by_the_one_before: Made[][] = [[[200_500, 1], [250_000, 2]]]; // biome-ignore format: a table
  assert.throws(() => explainBy([outage, kill, restart, late_kill], by_the_one_before), /restart: 1 sent again/);
});

test("a refused request that is followed by one that is accepted is no repeat, whenever it comes", () => {
  assert.deepEqual(explain([[10_000, 1, "refused"], [150_000, 2]], [[150_000, 1]]), [0, 0, 0]); // biome-ignore format: a table
});

test("what was accepted long before the process ended, or after it, has no reason to be sent again", () => {
  assert.throws(() => explain([[50_000, 1], [150_000, 2]]), /sent again without a mishap/); // biome-ignore format: a table
  assert.throws(() => explain([[102_000, 1], [150_000, 2]]), /no process had ended in between/); // biome-ignore format: a table
  assert.throws(() => explain([[210_000, 1], [250_000, 2]]), /no process had ended in between/); // biome-ignore format: a table
});

test("what was sent again before the process ended, or although it is on record, has another reason", () => {
  assert.throws(() => explain([[99_000, 1], [99_500, 2]]), /no process had ended in between/); // biome-ignore format: a table
  assert.throws(() => explain([[99_000, 1, "recorded"], [150_000, 2]]), /its acceptance is on record/); // biome-ignore format: a table
});

test("a kill explains no more than it can have cut off, and a stop in good order none", () => {
  const one: Made[] = [[100_500, 1], [150_000, 2]]; // biome-ignore format: a table
  assert.throws(() => explain(one, one, one), /kill: 3 sent again, 2 can be/);
  assert.throws(() => explain([[200_500, 1], [250_000, 2]]), /restart: 1 sent again, 0 can be/); // biome-ignore format: a table
});

test("one number is never sent twice", () => {
  assert.throws(() => explain([[100_500, 1], [150_000, 1]]), /sent twice under one number/); // biome-ignore format: a table
});
