import assert from "node:assert/strict";
import { test } from "node:test";
import { formatNodes, problemsOf, ratioOf } from "./nodes.ts";

const one = { nodes: 1, deliveries: 2_000, arrived: 2_000, pending: 0, delivered_per_s: 4_000 };
const two = { ...one, nodes: 2, delivered_per_s: 6_000 };

test("the ratio is how much faster two dispatchers are", () => {
  assert.equal(ratioOf([one, two]), 1.5);
});

test("deliveries that are missing, doubled or pending are problems", () => {
  assert.deepEqual(problemsOf([one, two]), []);
  const found = problemsOf([
    { ...one, arrived: 1_990, pending: 10 },
    { ...two, arrived: 2_001 },
  ]);
  assert.deepEqual(found, [
    "1 × dispatcher: 10 deliveries did not arrive",
    "1 × dispatcher: 10 deliveries are still pending",
    "2 × dispatcher: 1 deliveries arrived twice",
  ]);
});

test("the table shows both drains and their ratio", () => {
  const more = { seconds: 0.5, cpu_us_per_delivery: 100, peak_bytes: 2 ** 27 };
  const text = formatNodes({
    drains: [
      { ...one, ...more },
      { ...two, ...more },
    ],
    ratio: 1.5,
    problems: ["one"],
  });
  for (const part of ["4,000", "6,000", "128", "two ÷ one: 1.50x", "PROBLEM  one"])
    assert.ok(text.includes(part), part);
});
