// The dedupe store in memory: what every store does within one process, and its bound.
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryDedupe } from "../../src/receiver/index.ts";

function open(max_keys?: number) {
  const clock = { now: 0 };
  const now = () => clock.now;
  return { clock, store: memoryDedupe(max_keys === undefined ? { now } : { now, max_keys }) };
}

test("of many that begin at once one does, until it gives the lease back or the lease is over", async () => {
  const { clock, store } = open();
  const begin = () => store.begin("a", 10);
  assert.deepEqual(await Promise.all([begin(), begin(), begin()]), ["fresh", "in_progress", "in_progress"]);
  await store.release("a");
  assert.equal(await begin(), "fresh");
  clock.now = 9;
  assert.equal(await begin(), "in_progress");
  clock.now = 10;
  assert.equal(await begin(), "fresh");
});

test("what is done stays so for its time, and giving a lease back does not change that", async () => {
  const { clock, store } = open();
  await store.begin("a", 10);
  await store.done("a", 100);
  await store.release("a");
  clock.now = 99;
  assert.equal(await store.begin("a", 10), "done");
  clock.now = 100;
  assert.equal(await store.begin("a", 10), "fresh");
});

test("of more than it holds the oldest are forgotten, and a mark that is renewed is the newest", async () => {
  const { store } = open(2);
  for (const key of ["a", "b", "a", "c"]) await store.done(key, 100);
  const states = [];
  for (const key of ["a", "b", "c"]) states.push(await store.begin(key, 10));
  assert.deepEqual(states, ["done", "fresh", "done"]);
});

test("leases are not forgotten: it refuses more than it holds, until one is over or given back", async () => {
  const { clock, store } = open(2);
  await store.begin("a", 10);
  await store.begin("b", 20);
  await assert.rejects(store.begin("c", 10), /2 events are being handled at once/);
  assert.deepEqual([await store.begin("a", 10), await store.begin("b", 10)], ["in_progress", "in_progress"]);
  await store.release("b");
  assert.equal(await store.begin("c", 20), "fresh");
  clock.now = 10;
  assert.equal(await store.begin("d", 10), "fresh");
});
