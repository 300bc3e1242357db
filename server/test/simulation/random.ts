// The one source of chance in a simulated world: the same seed makes the same choices in the same order.
// Used by every file of this folder, and by nothing else.

export interface Random {
  /** From 0 to 1, without 1. */
  next(): number;
  /** A whole number, both ends included. */
  int(min: number, max: number): number;
  chance(probability: number): boolean;
  pick<Item>(list: readonly Item[]): Item;
  fill(bytes: Uint8Array): void;
}

/** The generator mulberry32: 32 bits of state, good enough to wander through a small world. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;

  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  const int = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));

  function pick<Item>(list: readonly Item[]): Item {
    // The index is below the length, and no list of this folder is empty.
    return list[int(0, list.length - 1)] as Item;
  }

  function fill(bytes: Uint8Array): void {
    for (let index = 0; index < bytes.length; index++) bytes[index] = int(0, 255);
  }

  return { next, int, chance: (probability) => next() < probability, pick, fill };
}
