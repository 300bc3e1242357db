// The worlds of dispatcher.test.ts with destinations that send the events of each link in order: order.ts has what must
// hold then, beside everything that holds anyway. LINKME_SIM_SEED and LINKME_SIM_SEEDS work here as they do there.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runStory } from "./story.ts";

/** Worlds of every run. */
const SEEDS = { from: 1, to: 100 };
/** Worlds of one test, so that a failure is found near its number. */
const SEEDS_PER_TEST = 20;

/** Worlds that once broke a promise; each stays here for good. */
const KEPT: readonly { seed: number; broke: string }[] = [
  { seed: 225, broke: "what was set aside when a person asked for it was so for ever, as its order ended meanwhile" },
  { seed: 332, broke: "the same with a process that died" },
  {
    seed: 176,
    broke: "a person asked for what was in flight, and the next of its link left beside the second attempt",
  },
  {
    seed: 878,
    broke: "what a person asked for left when the lease of a dead process was over, although that was in order",
  },
];

const ORDERED = { ordered: true };
const { LINKME_SIM_SEED: alone, LINKME_SIM_SEEDS: range } = process.env;

if (alone !== undefined) {
  test(`the ordered world of seed ${alone} keeps every promise`, async () => {
    await runStory(Number(alone), ORDERED);
  });
} else {
  const [from = SEEDS.from, to = SEEDS.to] = range?.split("-").map(Number) ?? [];
  for (let first = from; first <= to; first += SEEDS_PER_TEST) {
    const last = Math.min(to, first + SEEDS_PER_TEST - 1);
    test(`links keep their order in the worlds of seeds ${first} to ${last}`, async () => {
      for (let seed = first; seed <= last; seed++) await runStory(seed, ORDERED);
    });
  }
  test("an ordered world is the same each time, to the last request", async () => {
    for (const seed of [2, 19]) assert.deepEqual(await runStory(seed, ORDERED), await runStory(seed, ORDERED));
  });
  for (const { seed, broke } of KEPT) test(`seed ${seed}: ${broke}`, async () => void (await runStory(seed, ORDERED)));
}
