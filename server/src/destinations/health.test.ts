import assert from "node:assert/strict";
import { test } from "node:test";
import { type AttemptCount, composeHealth, NO_FACTS, NO_LIMITS } from "./health.ts";
import { latencyClass } from "./latency.ts";

function counted(durations: readonly number[], succeeded = 1): AttemptCount[] {
  return durations.map((ms) => ({ succeeded, latency_class: latencyClass(ms), attempts: 1 }));
}

test("a destination without attempts has no rate and no p95", () => {
  assert.deepEqual(composeHealth(NO_FACTS, "active"), {
    last_success_at: null,
    last_failure_at: null,
    consecutive_failures: 0,
    success_rate_24h: null,
    p95_ms_24h: null,
    pending: 0,
    oldest_pending_at: null,
    next_probe_at: null,
    ...NO_LIMITS,
  });
});

test("times are shown in ISO 8601 with milliseconds", () => {
  const facts = { ...NO_FACTS, last_success_at: 0, last_failure_at: 1, oldest_pending_at: 1_769_851_801_999 };
  const health = composeHealth(facts, "active");
  assert.equal(health.last_success_at, "1970-01-01T00:00:00.000Z");
  assert.equal(health.last_failure_at, "1970-01-01T00:00:00.001Z");
  assert.equal(health.oldest_pending_at, "2026-01-31T09:30:01.999Z");
});

const RATES: [number, number, number][] = [
  [3, 0, 1],
  [0, 3, 0],
  [3, 1, 0.75],
];
for (const [succeeded, failed, rate] of RATES) {
  test(`${succeeded} successes and ${failed} failures make a success rate of ${rate}`, () => {
    const attempts = [
      { succeeded: 1, latency_class: 3, attempts: succeeded },
      { succeeded: 0, latency_class: 3, attempts: failed },
    ];
    assert.equal(composeHealth({ ...NO_FACTS, attempts }, "active").success_rate_24h, rate);
  });
}

const oneToHundred = Array.from({ length: 100 }, (_, index) => index + 1);
const P95: [string, AttemptCount[], number][] = [
  ["of one attempt is that attempt", counted([7]), 7],
  ["of 1 to 100 ms is 95 ms", counted(oneToHundred), 95],
  ["does not depend on the order of the counters", counted([...oneToHundred].reverse()), 95],
  ["leaves out the slowest twentieth", counted([...Array(95).fill(10), ...Array(5).fill(60_000)]), 10],
  ["counts failures too", [...counted(Array(90).fill(10)), ...counted(Array(10).fill(15_000), 0)], 15_000],
];
for (const [what, attempts, exact] of P95) {
  test(`p95 ${what}, to within a fifth`, () => {
    const shown = composeHealth({ ...NO_FACTS, attempts }, "active").p95_ms_24h ?? 0;
    assert.ok(shown >= exact && shown <= exact * 1.2, `${shown} ms`);
  });
}
