import assert from "node:assert/strict";
import { test } from "node:test";
import { editDistance } from "./edit-distance.ts";

for (const [one, other, distance] of [
  ["", "", 0],
  ["", "abc", 3],
  ["state", "states", 1],
  ["shedule", "schedule", 1],
  ["kitten", "sitting", 3],
  ["ab", "ba", 2],
] as const) {
  test(`"${one}" and "${other}" are ${distance} apart, either way round`, () => {
    assert.equal(editDistance(one, other), distance);
    assert.equal(editDistance(other, one), distance);
  });
}
