import assert from "node:assert/strict";
import { test } from "node:test";
import type { DestinationState } from "#contract/destinations.ts";
import {
  type FailureRules,
  type FailureRun,
  firstProbeMs,
  PROBE_FIRST_MS,
  PROBE_MAX_MS,
  probeGapMs,
  verdictOn,
} from "./failing.ts";

const NOW = Date.UTC(2026, 0, 31, 9, 30);
const MINUTE_MS = 60_000;
const RULES: FailureRules = {
  ...{ pause_after_failures: 20, pause_after_ms: 5 * MINUTE_MS, disable_after_ms: 5 * 24 * 60 * MINUTE_MS },
};
const run = (consecutive_failures: number, failing_ms: number): FailureRun => ({
  ...{ consecutive_failures, failing_since: NOW - failing_ms },
});
const probed = (failures: number, failing_ms: number): FailureRun => ({
  ...run(failures, failing_ms),
  was_probed: true,
});
const never: FailureRun = { consecutive_failures: 0, failing_since: null };

const verdicts: [title: string, state: DestinationState, run: FailureRun, verdict: string | null][] = [
  ["that has not failed", "active", never, null],
  ["with 20 failures over 5 minutes", "active", run(20, 5 * MINUTE_MS), "paused"],
  ["with 19 failures over an hour", "active", run(19, 60 * MINUTE_MS), null],
  ["with a thousand failures within a minute", "active", run(1_000, MINUTE_MS), null],
  ["with one failure five days ago and one now", "active", run(2, RULES.disable_after_ms), null],
  ["with 19 failures over a year", "active", run(19, 365 * 24 * 60 * MINUTE_MS), null],
  ["with 20 failures over five days, and never paused", "active", run(20, RULES.disable_after_ms), "paused"],
  ["that is paused and fails on", "paused", run(30, 60 * MINUTE_MS), null],
  ["that is paused and fails a probe", "paused", probed(30, 60 * MINUTE_MS), null],
  ["that has failed for five days and fails a probe", "paused", probed(30, RULES.disable_after_ms), "disabled"],
  ["that has failed for five days and fails what was under way", "paused", run(60, RULES.disable_after_ms), null],
  ["that is off", "off", probed(30, RULES.disable_after_ms), null],
  ["that is disabled already", "disabled", probed(30, RULES.disable_after_ms), null],
  ["whose failures lie in the future of a clock that was set back", "active", run(30, -MINUTE_MS), null],
];
for (const [title, state, failures, verdict] of verdicts) {
  test(`a destination ${title} is ${verdict ?? "left as it is"}`, () => {
    assert.equal(verdictOn(state, failures, RULES, NOW)?.state ?? null, verdict);
  });
}

const HASTY: FailureRules = { ...RULES, disable_after_ms: 3_000 };
const hasty: [title: string, state: DestinationState, run: FailureRun, verdict: string | null][] = [
  ["for less than that", "active", run(40, 2_999), null],
  ["for that long", "active", run(2, 3_000), "paused"],
  ["for that long and is paused", "paused", run(3, 3_000), null],
  ["for that long, is paused and fails a probe", "paused", probed(3, 3_000), "disabled"],
];
for (const [title, state, failures, verdict] of hasty) {
  test(`where disabling comes before pausing, one that fails ${title} is ${verdict ?? "left as it is"}`, () => {
    assert.equal(verdictOn(state, failures, HASTY, NOW)?.state ?? null, verdict);
  });
}

test("the reason says since when, and what happens now", () => {
  assert.equal(
    verdictOn("active", run(21, 6 * MINUTE_MS), RULES, NOW)?.reason,
    "21 attempts in a row have failed since 2026-01-31T09:24:00.000Z. Pending deliveries wait, and one is tried now and then",
  );
});

test("the reason names the last error where it is known, as much of it as fits", () => {
  const reason = (last_error: string, failing_ms = 6 * MINUTE_MS, state: "active" | "paused" = "active") =>
    verdictOn(state, { ...probed(21, failing_ms), last_error }, RULES, NOW)?.reason ?? "";
  assert.equal(
    reason("127.0.0.1:9443 presents a self-signed certificate"),
    "21 attempts in a row have failed since 2026-01-31T09:24:00.000Z; the last: 127.0.0.1:9443 presents a self-signed " +
      "certificate. Pending deliveries wait, and one is tried now and then",
  );
  assert.match(
    reason("It broke.", RULES.disable_after_ms, "paused"),
    /^No attempt has succeeded since \S+Z; the last: It broke$/,
  );
  const long = reason(`${"x".repeat(299)}\u{1f600}${"y".repeat(1_000)}`);
  assert.ok(long.length < 500 && long.isWellFormed() && long.includes("x…. Pending") === false, long);
  assert.match(long, /…\. Pending deliveries wait/);
});

test("who disables within seconds is not kept waiting for the first probe", () => {
  assert.equal(firstProbeMs(RULES), PROBE_FIRST_MS);
  assert.equal(firstProbeMs({ ...RULES, disable_after_ms: 1_000 }), 1_000);
});

test("the gaps between probes double up to an hour", () => {
  const gaps = Array.from({ length: 10 }, (_, probes) => probeGapMs(probes) / 1_000);
  assert.deepEqual(gaps, [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
  assert.equal(probeGapMs(0), PROBE_FIRST_MS);
  assert.equal(probeGapMs(1_000_000), PROBE_MAX_MS);
});

test("what takes nothing until something is changed pauses at once, and where it has worked before after several in a row", () => {
  const rules = { pause_after_failures: 100, pause_after_ms: 1e9, disable_after_ms: 1e9 };
  const run = { consecutive_failures: 1, failing_since: 1, last_error: "Vendor answered 401.", is_hopeless: true };
  const verdict = verdictOn("active", run, rules, 2);
  assert.deepEqual(
    [verdict?.state, /No other attempt can succeed .*401/.test(verdict?.reason ?? "")],
    ["paused", true],
  );
  assert.equal(
    verdictOn("active", { ...run, last_success_at: 1 }, rules, 2),
    null,
    "one event may be what it does not like",
  );
  assert.equal(verdictOn("active", { ...run, last_success_at: 1, consecutive_failures: 3 }, rules, 2)?.state, "paused");
  assert.equal(verdictOn("active", { ...run, is_hopeless: false }, rules, 2), null);
  assert.equal(verdictOn("off", run, rules, 2), null);
});
