import assert from "node:assert/strict";
import { test } from "node:test";
import { createBoundedMap } from "./bounded-map.ts";

test("The entry written first makes room for a new one", () => {
  const map = createBoundedMap<number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);
  map.set("c", 4);
  assert.deepEqual(
    ["a", "b", "c"].map((key) => map.get(key)),
    [3, undefined, 4],
  );
});
