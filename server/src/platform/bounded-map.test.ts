import assert from "node:assert/strict";
import { test } from "node:test";
import { createBoundedMap } from "./bounded-map.ts";

test("The entry written first makes room for a new one", () => {
  const map = createBoundedMap<number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);
  map.set("c", 4);
  assert.deepEqual(
    ["a", "b", "c"].map((key) => map.get(key)),
    [3, undefined, 4],
  );
});

test("It holds the newest, however many came before and in whatever order they are written again", () => {
  const limit = 7;
  const map = createBoundedMap<number>(limit);
  let expected: string[] = [];
  let seed = 1;
  for (let step = 0; step < 5_000; step++) {
    // Every number from 0 to 65,536 comes, in an order of no pattern.
    seed = (seed * 75) % 65_537;
    const key = `k${seed % 13}`;
    map.set(key, step);
    expected = [...expected.filter((one) => one !== key), key].slice(-limit);
    const kept = Array.from({ length: 13 }, (_, n) => `k${n}`).filter((one) => map.get(one) !== undefined);
    assert.deepEqual(kept.sort(), [...expected].sort(), `after step ${step}`);
    assert.equal(map.get(key), step);
  }
});
