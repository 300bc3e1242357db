import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAnalytics, pathOf } from "./analytics.ts";

test("The days before the end are asked for, of the app or of a link", () => {
  const counted = { app_id: "app_1", days: 90, end: Date.UTC(2027, 0, 31) };
  const whole = "/api/apps/app_1/analytics?since=2026-11-02T00:00:00.000Z&until=2027-01-31T00:00:00.000Z";
  assert.equal(pathOf(counted, ""), whole);
  assert.equal(pathOf(counted, "lnk_1"), `${whole}&link_id=lnk_1`);
});

test("The table shows how many rows each answer is made of, the goals and what is wrong", () => {
  const text = formatAnalytics({
    ...{ engine: "sqlite", clicks: 10_000_000, fill_seconds: 61.2, rows: { hours: 1_000, days: 90, parts: 5_000_000 } },
    timings: [{ name: "app, 90 days", rows: 45_090, p50: 12.3, p95: 23.4, p99: 34.5 }],
    goals: [{ name: "app, 90 days, p95", value: 123.4, limit: 100, at_least: false, unit: "ms" }],
    problems: ["one"],
  });
  for (const part of [
    "10,000,000 clicks",
    "5,000,000 of properties",
    "61 s",
    "45,090",
    "23.4",
    "NOT MET",
    "PROBLEM  one",
  ])
    assert.ok(text.includes(part), part);
});
