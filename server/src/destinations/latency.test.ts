import assert from "node:assert/strict";
import { test } from "node:test";
import { classUpperMs, firstHealthHour, hourOf, LATENCY_CLASSES, latencyClass } from "./latency.ts";

test("every whole duration up to a minute is shown as itself or up to a fifth more", () => {
  for (let ms = 1; ms <= 60_000; ms++) {
    const shown = classUpperMs(latencyClass(ms));
    assert.ok(shown >= ms && shown <= ms * 1.2, `${ms} ms is shown as ${shown} ms`);
  }
});

test("longer durations never fall into a lower class", () => {
  let last = 0;
  for (let ms = 0; ms <= 100_000; ms += 7) {
    const index = latencyClass(ms);
    assert.ok(index >= last);
    last = index;
  }
});

const EDGES: [number, number][] = [
  [-5, 0],
  [0, 0],
  [0.4, 0],
  [1, 0],
  [3_600_000, LATENCY_CLASSES - 1],
  [Number.MAX_SAFE_INTEGER, LATENCY_CLASSES - 1],
  [Number.POSITIVE_INFINITY, LATENCY_CLASSES - 1],
];
for (const [ms, expected] of EDGES) {
  test(`${ms} ms is in class ${expected}`, () => assert.equal(latencyClass(ms), expected));
}

for (const [given, same_as] of [
  [-1, 0],
  [10_000, LATENCY_CLASSES - 1],
] as const) {
  test(`class ${given}, which cannot be, is read as class ${same_as}`, () => {
    assert.equal(classUpperMs(given), classUpperMs(same_as));
  });
}

test("an hour is named by its beginning, and a day's figures span 24 of them", () => {
  assert.deepEqual([0, 3_599_999, 3_600_000, 3_600_001].map(hourOf), [0, 0, 3_600_000, 3_600_000]);
  assert.equal(firstHealthHour(24 * 3_600_000 + 5), 3_600_000);
});
