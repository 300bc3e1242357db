import assert from "node:assert/strict";
import { test } from "node:test";
import { formatTimes, goalOf } from "./questions.ts";
import { isMet } from "./report.ts";

test("The goal of a question is met at 100 ms and not above", () => {
  assert.ok(isMet(goalOf({ name: "list", p95: 100 })));
  assert.ok(!isMet(goalOf({ name: "list", p95: 100.1 })));
});

test("The times of a question stand in a row", () => {
  assert.deepEqual(formatTimes({ name: "list", p50: 1.04, p95: 20, p99: 300.26 }), ["1.0", "20.0", "300.3"]);
});
