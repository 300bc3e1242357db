import assert from "node:assert/strict";
import { test } from "node:test";
import { BEHIND_MS, byTurns, newestShare, noteClaim, type Sharing } from "./sharing.ts";

const NOW = 1_000_000;

test("a lane that keeps up takes the oldest first", () => {
  const sharing: Sharing = { is_behind: false, turns: 0 };
  for (const next of [null, NOW, NOW + 1, NOW - BEHIND_MS]) {
    noteClaim(sharing, next, NOW);
    assert.deepEqual([newestShare(sharing, 100), newestShare(sharing, 1)], [0, 0], String(next));
  }
});

test("a lane that is behind takes half of each claim from either end, and a single one by turns", () => {
  const sharing: Sharing = { is_behind: false, turns: 0 };
  noteClaim(sharing, NOW - BEHIND_MS - 1, NOW);
  assert.deepEqual(
    [100, 7, 2].map((limit) => newestShare(sharing, limit)),
    [50, 3, 1],
  );
  assert.deepEqual([1, 1, 1, 1].map((limit) => newestShare(sharing, limit)).sort(), [0, 0, 1, 1]);
});

test("both ends take turns in memory too, and nothing is left out", () => {
  const rows = (...names: string[]) => names.map((position) => ({ position }));
  assert.deepEqual(byTurns(rows("c", "a", "b"), 0), rows("c", "a", "b"));
  assert.deepEqual(byTurns(rows("c", "a", "d", "b"), 2), rows("d", "a", "c", "b"));
  assert.deepEqual(byTurns(rows("c", "a", "b"), 1), rows("c", "a", "b"));
  assert.deepEqual(byTurns(rows("a"), 1), rows("a"));
  assert.deepEqual(byTurns([], 1), []);
});
