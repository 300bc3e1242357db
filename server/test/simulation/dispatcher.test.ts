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
const KEPT: readonly { seed: number; broke: string }[] = [
  { seed: 22, broke: "the failure of an attempt in flight swallowed the attempt that a person had granted meanwhile" },
  { seed: 8, broke: "what was claimed while the server stopped stayed under its lease" },
  { seed: 5, broke: "a rate let twice as many requests start in its first second" },
  { seed: 178, broke: "a clock that jumped made a process claim what it had in flight itself" },
  { seed: 10, broke: "a result that waited to be recorded lost its lease, and its attempt was repeated" },
  { seed: 90, broke: "an attempt was sent after a person had asked for another one" },
  { seed: 792, broke: "a dispatcher that was stopped during its start ran all the same" },
  { seed: 5280, broke: "a claim that a person's retry had overtaken on its way to the process was sent all the same" },
];

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
