import assert from "node:assert/strict";
import { test } from "node:test";
import { createLimit, type Limit, type Reaction, react, startOver } from "./limit.ts";
import { allowedBy, type Circumstances, type Reason, showLimits } from "./limit-text.ts";

const NOW = 1_700_000_000_000;
const SETTINGS = { max_in_flight: 50, rate_per_second: null };
const ALONE = { slots: 512, slow_slots: 51, is_slow: false, share: SETTINGS };
const BOUNDS = { most: 50, wanted: 50, rate: null };

function answered(...reactions: Reaction[]) {
  const limit = createLimit(51);
  for (const reaction of reactions) {
    react(limit, reaction, { round: limit.round, started_with: 50, ended_with: 50 }, { now: NOW, bounds: BOUNDS });
  }
  return limit;
}

function show(limit: Limit, around: Circumstances) {
  return showLimits(allowedBy(limit, around, NOW), around);
}

test("a limit that is no less than the settings has no reason", () => {
  const settings = { max_in_flight: 50, rate_per_second: 0.5 };
  const shown = show(createLimit(51), { ...ALONE, share: settings });
  const expected = { concurrency_limit: 50, rate_limit_per_second: 0.5, held_until: null, limited_because: null };
  assert.deepEqual(shown, expected);
});

test("a receiver that asks for less is shown with what it gets, until when it is held, and why", () => {
  const busy: Reaction = { kind: "too_many", for_ms: 20_000 };
  const shown = show(answered(busy, busy, busy), ALONE);
  assert.equal(shown.concurrency_limit, 6);
  assert.equal(shown.held_until, "2023-11-14T22:13:40.000Z");
  assert.match(shown.limited_because ?? "", /429/);
  assert.ok((shown.rate_limit_per_second ?? 0) > 0);
});

test("silence, a stop and slowness each have words of their own", () => {
  assert.match(show(answered({ kind: "silent" }), ALONE).limited_because ?? "", /in time/);
  const resumed = createLimit(51);
  startOver(resumed, NOW);
  const shown = show(resumed, ALONE);
  assert.deepEqual([shown.concurrency_limit, shown.rate_limit_per_second], [1, 10]);
  assert.match(shown.limited_because ?? "", /after a stop/);
  assert.match(show(createLimit(20), { ...ALONE, is_slow: true }).limited_because ?? "", /longer than a second/);
});

test("what is less for a reason of this server's own says which", () => {
  const wide = { max_in_flight: 1_000, rate_per_second: null };
  const all = { ...ALONE, share: wide };
  const cases = [
    { limit: createLimit(51), of: all, shows: 51, because: /each answer allows one more/ },
    { limit: createLimit(512), of: all, shows: 512, because: /at most 512 requests/ },
    { limit: createLimit(51), of: { ...all, is_slow: true }, shows: 51, because: /at most 51 at a time/ },
  ];
  for (const { limit, of, shows, because } of cases) {
    const shown = show(limit, of);
    assert.equal(shown.concurrency_limit, shows);
    assert.match(shown.limited_because ?? "", because);
  }
});

test("one of several that sends its part of the settings is not limited, be that nothing, and what it learns comes first", () => {
  const part = { ...ALONE, share: { max_in_flight: 1, rate_per_second: 10 / 3 } };
  const none = { cap: 1, per_second: 3.33, held_until: null, because: null };
  assert.deepEqual(allowedBy(createLimit(51), part, NOW), none);
  const left = { ...ALONE, share: { max_in_flight: 0, rate_per_second: 10 } };
  assert.deepEqual(allowedBy(createLimit(51), left, NOW), { ...none, cap: 0, per_second: 0 });
  assert.equal(allowedBy(answered({ kind: "silent" }), ALONE, NOW).because, "silent");
});

test("what was learned of a receiver that others alone send to keeps nothing", () => {
  const busy: Reaction = { kind: "too_many", for_ms: 20_000 };
  const left = { ...ALONE, share: { max_in_flight: 0, rate_per_second: null } };
  const nothing = { cap: 0, per_second: 0, held_until: null, because: null };
  assert.deepEqual(allowedBy(answered(busy, busy, busy), left, NOW), nothing);
});

test("a reason that only a later version knows does not stop the answer", () => {
  const allowed = { cap: 1, per_second: null, held_until: null, because: "weather" as Reason };
  assert.equal(showLimits(allowed, ALONE).limited_because, "A dispatcher of another version limits it.");
});
