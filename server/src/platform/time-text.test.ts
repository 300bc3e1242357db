import assert from "node:assert/strict";
import { test } from "node:test";
import { createTimeText } from "./time-text.ts";

test("each time has its own text, whatever was asked before", () => {
  const timeText = createTimeText();
  for (const at_ms of [0, 0, 1, 1_769_851_800_412, 1_769_851_800_412, 1, -1]) {
    assert.equal(timeText(at_ms), new Date(at_ms).toISOString());
  }
});

test("what is no time is refused, and the next time is right all the same", () => {
  const timeText = createTimeText();
  timeText(1);
  assert.throws(() => timeText(Number.NaN), RangeError);
  assert.equal(timeText(1), "1970-01-01T00:00:00.001Z");
});
