import assert from "node:assert/strict";
import { test } from "node:test";
import { median, parseProcStat, parseProcStatus, parsePs, percentiles } from "./measure.ts";

test("Percentiles are the nearest rank: always a value that was measured", () => {
  const hundred = Float64Array.from({ length: 100 }, (_, i) => 100 - i);
  const cases: [string, Float64Array, object][] = [
    ["a hundred values, unsorted", hundred, { p50: 50, p95: 95, p99: 99 }],
    ["one value", Float64Array.of(7), { p50: 7, p95: 7, p99: 7 }],
    ["two values", Float64Array.of(9, 1), { p50: 1, p95: 9, p99: 9 }],
    ["none", new Float64Array(), { p50: Number.NaN, p95: Number.NaN, p99: Number.NaN }],
  ];
  for (const [name, values, expected] of cases) assert.deepEqual(percentiles(values), expected, name);
});

test("The median leaves out what was not measured", () => {
  const cases: [number[], number][] = [
    [[3, 1, 2], 2],
    [[4, 1, 2, 3], 2.5],
    [[Number.NaN, 5], 5],
    [[Number.NaN], Number.NaN],
    [[], Number.NaN],
  ];
  for (const [values, expected] of cases) assert.equal(median(values), expected);
});

test("CPU time is read from /proc/<pid>/stat whatever the process is called", () => {
  for (const name of ["node", "a b", "x) S 1 2", ""]) {
    const text = `4711 (${name}) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 11 0 12345 999 888`;
    assert.equal(parseProcStat(text), 3_000_000, name);
  }
});

test("Memory is read from /proc/<pid>/status", () => {
  const text = "Name:\tnode\nVmPeak:\t  999 kB\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n";
  assert.deepEqual(parseProcStatus(text), { rss_bytes: 1024 * 1024, peak_bytes: 2048 * 1024 });
});

test("ps tells CPU time in several shapes", () => {
  const cases: [string, number][] = [
    ["  0:01.25  1024\n", 1.25],
    ["01:02 1024", 62],
    ["1:00:00 1024", 3600],
    ["2-01:00:00 1024", 2 * 86_400 + 3600],
  ];
  for (const [text, seconds] of cases) {
    const rss = 1024 * 1024;
    assert.deepEqual(parsePs(text), { cpu_us: seconds * 1e6, rss_bytes: rss, peak_bytes: rss }, text);
  }
});
