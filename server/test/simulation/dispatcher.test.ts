// Seeded worlds around the real dispatcher, committer, event log and stores: crashes between any two steps, receivers that
// are slow or lie, clocks that jump, hints that get lost. Each seed is one world; the promises are in ledger.ts and
// ending.ts. LINKME_SIM_SEED=7 runs one world alone, LINKME_SIM_SEEDS=1000-9999 runs as many as you like.
import assert from "node:assert/strict";
import { test } from "node:test";
import { runStory } from "./story.ts";

/** Worlds of every run. */
const SEEDS = { from: 1, to: 200 };
/** Worlds of one test, so that a failure is found near its number. */
const SEEDS_PER_TEST = 20;

/** Worlds that once broke a promise; each stays here for good. */
const KEPT: readonly { seed: number; broke: string }[] = [];

const { LINKME_SIM_SEED: alone, LINKME_SIM_SEEDS: range } = process.env;

if (alone !== undefined) {
  test(`the world of seed ${alone} keeps every promise`, async () => void (await runStory(Number(alone))));
} else {
  const [from = SEEDS.from, to = SEEDS.to] = range?.split("-").map(Number) ?? [];
  for (let first = from; first <= to; first += SEEDS_PER_TEST) {
    const last = Math.min(to, first + SEEDS_PER_TEST - 1);
    test(`the worlds of seeds ${first} to ${last} keep every promise`, async () => {
      for (let seed = first; seed <= last; seed++) await runStory(seed);
    });
  }
  test("a seed makes the same world each time, to the last request", async () => {
    for (const seed of [2, 19, 101]) assert.deepEqual(await runStory(seed), await runStory(seed));
  });
  for (const { seed, broke } of KEPT) test(`seed ${seed}: ${broke}`, async () => void (await runStory(seed)));
}
