import assert from "node:assert/strict";
import { test } from "node:test";
import { createLaneMemory, emptyLoad, type Loaded, SHORTAGES } from "./lane-memory.ts";

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

test("room is short before all of it is taken, and what is taken is missing for others of that kind alone", () => {
  const memory = createLaneMemory();
  const [many, large] = [lane(), lane()];
  const at = (may_be_large = true) => [
    memory.isShort(FAST, "places"),
    memory.isShort(FAST, "chars"),
    memory.shortageOf(FAST, may_be_large),
  ];
  memory.add(many, 4_950, 30 * MEBIBYTE);
  assert.deepEqual(at(), [false, false, null]);
  memory.add(many, 1, MEBIBYTE);
  assert.deepEqual(at(), [true, true, null]);
  memory.add(large, 1, MEBIBYTE);
  assert.deepEqual([at(), at(false)], [[true, true, "chars"], [true, true, null]]); // biome-ignore format: a table
  memory.add(many, 48, 0);
  assert.deepEqual([at(), at(false)], [[true, true, "places"], [true, true, "places"]]); // biome-ignore format: a table
  for (const shortage of SHORTAGES) assert.equal(memory.isShort(SLOW, shortage), false);
  assert.equal(memory.shortageOf(SLOW, true), null);
});

test("what is missing is always short, or whoever waits for it would be tried again and again", () => {
  for (const slow of [false, true]) {
    const memory = createLaneMemory();
    const one = lane(slow);
    for (let step = 0; step < 200; step++) {
      memory.add(one, 26, 170_000);
      const shortage = memory.shortageOf(one, true);
      if (shortage !== null) assert.equal(memory.isShort(one, shortage), true, `${step} ${shortage}`);
    }
    assert.equal(memory.shortageOf(one, true), "places");
  }
});
