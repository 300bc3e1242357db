// Chance that can be had again: tests that choose moments at random print the seed, and LINKME_TEST_SEED repeats a run's
// choices. Called by the tests of server/test/flows/.
import { randomInt } from "node:crypto";

export interface Random {
  readonly seed: number;
  /** A whole number from 0 to below `limit`. */
  below(limit: number): number;
  pick<Value>(values: readonly Value[]): Value | undefined;
  /** A UUID of version 4. */
  uuid(): string;
}

export function createRandom(seed = Number(process.env["LINKME_TEST_SEED"] ?? randomInt(2 ** 31))): Random {
  let state = seed >>> 0;

  /** Mulberry32: enough for choices, and the same on every machine. */
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  const below = (limit: number) => Math.floor(next() * limit);
  const hex = (digits: number) => Array.from({ length: digits }, () => below(16).toString(16)).join("");
  return {
    seed,
    below,
    pick: (values) => values[below(values.length)],
    uuid: () => `${hex(8)}-${hex(4)}-4${hex(3)}-8${hex(3)}-${hex(12)}`,
  };
}
