import assert from "node:assert/strict";
import { test } from "node:test";
import { createRecorder, createSeries, type EventLog, reconcile } from "./event-log.ts";

type Entry = [key: string, at: number];

function logOf(entries: Entry[]): EventLog {
  const recorder = createRecorder(2);
  for (const [key, at] of entries) recorder.append(Buffer.from(`..${key}..`), 2, at);
  return recorder.take();
}

test("What was accepted and what arrived are joined by key", () => {
  const cases: { name: string; accepted: Entry[]; arrived: Entry[]; expected: object; latency: number[] }[] = [
    {
      name: "everything arrived once, in another order",
      accepted: [
        ["aa", 10],
        ["bb", 11],
      ],
      arrived: [
        ["bb", 14],
        ["aa", 30],
      ],
      expected: { delivered: 2, lost: 0, duplicated: 0, unexpected: 0, last_arrival: 30 },
      latency: [3, 20],
    },
    {
      name: "one is missing",
      accepted: [
        ["aa", 10],
        ["bb", 11],
      ],
      arrived: [["aa", 12]],
      expected: { delivered: 1, lost: 1, duplicated: 0, unexpected: 0, last_arrival: 12 },
      latency: [2],
    },
    {
      name: "one arrived three times: its first arrival counts",
      accepted: [["aa", 10]],
      arrived: [
        ["aa", 11],
        ["aa", 50],
        ["aa", 60],
      ],
      expected: { delivered: 1, lost: 0, duplicated: 2, unexpected: 0, last_arrival: 11 },
      latency: [1],
    },
    {
      name: "a duplicate does not stand in for a missing one",
      accepted: [
        ["aa", 10],
        ["bb", 10],
      ],
      arrived: [
        ["aa", 11],
        ["aa", 12],
      ],
      expected: { delivered: 1, lost: 1, duplicated: 1, unexpected: 0, last_arrival: 11 },
      latency: [1],
    },
    {
      name: "an id that was given out twice loses one event",
      accepted: [
        ["aa", 10],
        ["aa", 20],
      ],
      arrived: [["aa", 25]],
      expected: { delivered: 1, lost: 1, duplicated: 0, unexpected: 0, last_arrival: 25 },
      latency: [5],
    },
    {
      name: "one that nobody accepted",
      accepted: [],
      arrived: [["zz", 5]],
      expected: { delivered: 0, lost: 0, duplicated: 0, unexpected: 1, last_arrival: 0 },
      latency: [],
    },
  ];
  for (const { name, accepted, arrived, expected, latency } of cases) {
    const { latency_ms, ...counts } = reconcile(logOf(accepted), logOf(arrived));
    assert.deepEqual(counts, expected, name);
    assert.deepEqual([...latency_ms], latency, name);
  }
});

test("Logs whose keys differ in length are not joined", () => {
  assert.throws(() => reconcile(logOf([]), createRecorder(3).take()));
});

test("A log keeps every entry while it grows", () => {
  const count = 40_000;
  const recorder = createRecorder(8);
  const series = createSeries();
  const source = Buffer.alloc(8);
  for (let i = 0; i < count; i++) {
    source.writeDoubleLE(i);
    recorder.append(source, 0, i);
    series.push(-i);
  }
  const log = recorder.take();
  assert.equal(log.count, count);
  assert.equal(recorder.count(), count);
  const keys = Buffer.from(log.keys);
  for (let i = 0; i < count; i++) {
    assert.equal(keys.readDoubleLE(i * 8), i);
    assert.equal(log.at[i], i);
  }
  assert.equal(series.take().at(-1), 1 - count);
});
