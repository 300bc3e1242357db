import assert from "node:assert/strict";
import { test } from "node:test";
import { createTokenBuckets } from "./token-buckets.ts";

const START = 1_700_000_000_000;

test("a full bucket is taken at once, and then one token at a time as they come", () => {
  const buckets = createTokenBuckets(60);
  for (let left = 60; left > 0; left--) assert.equal(buckets.take("a", START), 0);
  assert.equal(buckets.take("a", START), 1_000);
  assert.equal(buckets.take("a", START + 400), 600);
  assert.equal(buckets.take("a", START + 1_000), 0);
  assert.equal(buckets.take("a", START + 1_000), 1_000);
});

test("what is not used does not pile up", () => {
  const buckets = createTokenBuckets(2);
  assert.equal(buckets.take("a", START), 0);
  const later = START + 3_600_000;
  const waits = [1, 2, 3].map(() => buckets.take("a", later));
  assert.deepEqual(waits, [0, 0, 30_000]);
});

test("callers do not take from each other", () => {
  const buckets = createTokenBuckets(1);
  assert.equal(buckets.take("a", START), 0);
  assert.equal(buckets.take("b", START), 0);
  assert.equal(buckets.take("a", START), 60_000);
});

test("a clock that is set back neither gives nor takes", () => {
  const buckets = createTokenBuckets(2);
  assert.equal(buckets.take("a", START), 0);
  assert.equal(buckets.take("a", START - 3_600_000), 0);
  assert.equal(buckets.take("a", START - 3_600_000), 30_000);
  assert.equal(buckets.take("a", START - 3_570_000), 0);
});

test("who has been idle for longest makes room, and nobody else", () => {
  const buckets = createTokenBuckets(2, 2);
  for (const caller of ["a", "b", "a", "c"]) assert.equal(buckets.take(caller, START), 0, caller);
  assert.equal(buckets.take("a", START), 30_000, "a is still remembered");
});
