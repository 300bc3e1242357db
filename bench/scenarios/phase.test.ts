import assert from "node:assert/strict";
import { test } from "node:test";
import { createRecorder, type EventLog } from "../event-log.ts";
import type { LoadResult } from "../generator.ts";
import { toRow, type Workload } from "./phase.ts";

const KEY_BYTES = 4;

function logOf(entries: readonly (readonly [key: string, at: number])[]): EventLog {
  const recorder = createRecorder(KEY_BYTES);
  for (const [key, at] of entries) recorder.append(Buffer.from(key), 0, at);
  return recorder.take();
}

const workload: Workload = {
  requests: [],
  expected_status: 302,
  key_markers: ["cid="],
  key_bytes: KEY_BYTES,
  arrival_marker: '"cid":"',
  pending: async () => 0,
  startDispatcher: null,
};
const separate: Workload = { ...workload, startDispatcher: async () => ({ stop: async () => undefined }) };

/** Four redirects in two seconds; three webhooks arrived, one of them twice. */
function rowOf(given: Workload, stored_late = 0) {
  const accepted = logOf([
    ["aaaa", 1000],
    ["bbbb", 1500],
    ["cccc", 2000],
    ["dddd", 2500],
  ]);
  const arrived = logOf([
    ["aaaa", 1010],
    ["bbbb", 5000],
    ["bbbb", 5500],
    ["cccc", 7000],
  ]);
  const result: LoadResult = {
    started_at: 1000,
    stopped_at: 3000,
    accepted,
    accepted_in_time: 4,
    accept_ms: Float64Array.of(1, 2, 3, 4),
    refused: {},
    failed: 0,
    unkeyed: 0,
    unsent: 0,
    cpu_us: 100,
  };
  const report = { count: 4, unsigned: 0, unkeyed: 0, cpu_us: 0, log: arrived };
  const spent = { cpu_us: 1200, harness_cpu_us: 240, peak_bytes: 1, foreign: 0 };
  const drained = { usage: { cpu_us: 0, rss_bytes: 0, peak_bytes: 0 }, drain_ms: 1, still_pending: 1 };
  return toRow(given, { seconds: 2, rate: null }, { spent, result, report, drained, stored_late });
}

test("A target that delivers is timed to the last arrival and pays for each event that arrived", () => {
  const row = rowOf(workload);
  assert.deepEqual([row.accepted_per_s, row.delivered_per_s, row.cpu_us_per_event], [2, 0.5, 400]);
  assert.deepEqual(row.end_to_end_ms, { p50: 3500, p95: 5000, p99: 5000 });
});

test("A target whose deliveries come later pays for each redirect, and has no delivery times", () => {
  const row = rowOf(separate);
  assert.deepEqual([row.accepted_per_s, row.cpu_us_per_event, row.harness_cpu_us_per_event], [2, 300, 60]);
  assert.deepEqual([row.delivered_per_s, ...Object.values(row.end_to_end_ms)], new Array(4).fill(Number.NaN));
});

test("Lost, duplicated and pending count the same whoever delivers", () => {
  for (const given of [workload, separate]) {
    const row = rowOf(given);
    assert.deepEqual([row.delivered, row.lost, row.duplicated], [3, 1, 1]);
    assert.deepEqual(row.problems, ["deliveries pending in the ledger at the end: 1"]);
  }
});

test("A row says how much of it was stored only after the load", () => {
  assert.deepEqual(rowOf(separate).notes, []);
  assert.match(rowOf(separate, 7).notes.join(), /^7 deliveries were not in the database when the load ended/);
});
