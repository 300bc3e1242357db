import assert from "node:assert/strict";
import { test } from "node:test";
import { alternately, BEHIND_MS, countNewest, type Ends, noteOldest } from "./both-ends.ts";

const NOW = 1_000_000;

test("a lane that keeps up takes the oldest first", () => {
  const ends: Ends = { is_behind: false, singles: 0 };
  for (const next of [null, NOW, NOW + 1, NOW - BEHIND_MS]) {
    noteOldest(ends, next, NOW);
    assert.deepEqual([countNewest(ends, 100), countNewest(ends, 1)], [0, 0], String(next));
  }
});

test("a lane that is behind takes half of each claim from either end, and a single one from each alternately", () => {
  const ends: Ends = { is_behind: false, singles: 0 };
  noteOldest(ends, NOW - BEHIND_MS - 1, NOW);
  assert.deepEqual(
    [100, 7, 2].map((limit) => countNewest(ends, limit)),
    [50, 3, 1],
  );
  assert.deepEqual([1, 1, 1, 1].map((limit) => countNewest(ends, limit)).sort(), [0, 0, 1, 1]);
});

test("both ends alternate in memory too, and nothing is left out", () => {
  const rows = (...names: string[]) => names.map((position) => ({ position }));
  assert.deepEqual(alternately(rows("c", "a", "b"), 0), rows("c", "a", "b"));
  assert.deepEqual(alternately(rows("c", "a", "d", "b"), 2), rows("d", "a", "c", "b"));
  assert.deepEqual(alternately(rows("c", "a", "b"), 1), rows("c", "a", "b"));
  assert.deepEqual(alternately(rows("a"), 1), rows("a"));
  assert.deepEqual(alternately([], 1), []);
});
