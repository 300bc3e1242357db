import assert from "node:assert/strict";
import { test } from "node:test";
import { createDoorkeeper } from "./doorkeeper.ts";

test("a key is new the first time and seen after that", () => {
  const wasSeen = createDoorkeeper(10);
  assert.deepEqual(
    [wasSeen("a"), wasSeen("a"), wasSeen("b"), wasSeen("a"), wasSeen("b")],
    [false, true, false, true, true],
  );
});

test("of many different keys nearly none is taken for seen, however alike they are", () => {
  const wasSeen = createDoorkeeper(1_000);
  let mistaken = 0;
  for (let index = 0; index < 100_000; index++) if (wasSeen(`promo-${index}`)) mistaken++;
  assert.ok(mistaken < 10, `${mistaken} of 100,000`);
});

test("what is asked for again soon is seen, also beside many that are asked for once", () => {
  const wasSeen = createDoorkeeper(1_000);
  let seen = 0;
  for (let index = 0; index < 10_000; index++) {
    wasSeen(`wanted-${index}`);
    for (let other = 0; other < 100; other++) wasSeen(`once-${index}-${other}`);
    if (wasSeen(`wanted-${index}`)) seen++;
  }
  assert.ok(seen > 9_000, `${seen} of 10,000`);
});

test("what nobody asks for again is forgotten", () => {
  const wasSeen = createDoorkeeper(10);
  wasSeen("old");
  for (let index = 0; index < 10_000; index++) wasSeen(`k${index}`);
  assert.equal(wasSeen("old"), false);
});
