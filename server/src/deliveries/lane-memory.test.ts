import assert from "node:assert/strict";
import { test } from "node:test";
import { createLaneMemory, emptyLoad, type Loaded } from "./lane-memory.ts";

const MEBIBYTE = 1024 * 1024;
const FAST = { slow: false };
const SLOW = { slow: true };
const lane = (slow = false): Loaded & { slow: boolean } => ({ slow, load: emptyLoad() });

test("ten lanes with large bodies fill the room of those that are not slow, and each has its part", () => {
  const memory = createLaneMemory();
  for (let n = 0; n < 9; n++) memory.add(lane(), 10, 3.3 * MEBIBYTE);
  const last = lane();
  memory.add(last, 10, 1 * MEBIBYTE);
  assert.ok(memory.charsLeft(last) > 0 && memory.charsLeft(last) < 2.3 * MEBIBYTE);
  memory.add(last, 10, 3 * MEBIBYTE);
  assert.ok(memory.charsLeft(last) < 0);
  assert.ok(memory.charsLeft(undefined) < 0, "nor is there room for another one");
  memory.add(last, -20, -4 * MEBIBYTE);
  assert.ok(memory.charsLeft(undefined) > 0);
});

test("what has become slow takes its load along, and leaves the room of the others", () => {
  const memory = createLaneMemory();
  const lanes = Array.from({ length: 20 }, () => lane());
  for (const one of lanes) {
    memory.add(one, 300, 2 * MEBIBYTE);
    memory.addSent(one, 2 * MEBIBYTE);
  }
  assert.deepEqual([memory.deliveriesLeft(undefined) < 0, memory.charsLeft(undefined) < 0], [true, true]);
  assert.equal(memory.maySendLarge(FAST), false);
  for (const one of lanes) {
    one.slow = true;
    memory.move(one);
  }
  assert.equal(memory.deliveriesLeft(undefined), 5_000);
  assert.ok(memory.charsLeft(undefined) > 3 * MEBIBYTE, "all that one lane may have");
  assert.deepEqual([memory.maySendLarge(FAST), memory.maySendLarge(SLOW)], [true, false]);
  const [first = lane(true)] = lanes;
  assert.ok(memory.isOver(first), "of that it keeps little");
  first.slow = false;
  memory.move(first);
  assert.deepEqual([memory.deliveriesLeft(undefined), memory.maySendLarge(FAST)], [4_700, true]);
});

test("bodies that are being sent count until they are not", () => {
  const memory = createLaneMemory();
  const one = lane();
  memory.addSent(one, 32 * MEBIBYTE);
  assert.equal(memory.maySendLarge(FAST), false);
  memory.addSent(one, -1);
  assert.equal(memory.maySendLarge(FAST), true);
  assert.equal(one.load.chars, 0);
});
