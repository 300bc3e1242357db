import assert from "node:assert/strict";
import { test } from "node:test";
import { createLimit, type Reaction, react, startOver } from "./limit.ts";
import { showLimit } from "./limit-text.ts";

const NOW = 1_700_000_000_000;
const SETTINGS = { max_in_flight: 50, rate_per_second: null };
const ALONE = { slots: 512, slow_slots: 51, is_slow: false, share: SETTINGS, dispatchers: 1 };
const BOUNDS = { most: 50, wanted: 50, rate: null };

function answered(...reactions: Reaction[]) {
  const limit = createLimit(51);
  for (const reaction of reactions) {
    react(limit, reaction, { round: limit.round, started_with: 50, ended_with: 50 }, { now: NOW, bounds: BOUNDS });
  }
  return limit;
}

test("a limit that is no less than the settings has no reason", () => {
  const settings = { max_in_flight: 50, rate_per_second: 0.5 };
  const shown = showLimit(createLimit(51), settings, { ...ALONE, share: settings }, NOW);
  const expected = { concurrency_limit: 50, rate_limit_per_second: 0.5, held_until: null, limited_because: null };
  assert.deepEqual(shown, expected);
});

test("a receiver that asks for less is shown with what it gets, until when it is held, and why", () => {
  const busy: Reaction = { kind: "too_many", for_ms: 20_000 };
  const shown = showLimit(answered(busy, busy, busy), SETTINGS, ALONE, NOW);
  assert.equal(shown.concurrency_limit, 6);
  assert.equal(shown.held_until, "2023-11-14T22:13:40.000Z");
  assert.match(shown.limited_because ?? "", /429/);
  assert.ok((shown.rate_limit_per_second ?? 0) > 0);
});

test("silence, a stop and slowness each have words of their own", () => {
  assert.match(showLimit(answered({ kind: "silent" }), SETTINGS, ALONE, NOW).limited_because ?? "", /in time/);
  const resumed = createLimit(51);
  startOver(resumed, NOW);
  const shown = showLimit(resumed, SETTINGS, ALONE, NOW);
  assert.deepEqual([shown.concurrency_limit, shown.rate_limit_per_second], [1, 10]);
  assert.match(shown.limited_because ?? "", /after a stop/);
  assert.match(
    showLimit(createLimit(20), SETTINGS, { ...ALONE, is_slow: true }, NOW).limited_because ?? "",
    /longer than a second/,
  );
});

test("what is less for a reason of this server's own says which", () => {
  const wide = { max_in_flight: 1_000, rate_per_second: null };
  const all = { ...ALONE, share: wide };
  const cases = [
    { limit: createLimit(51), of: all, shows: 51, because: /begins with 51/ },
    { limit: createLimit(512), of: all, shows: 512, because: /at most 512 requests/ },
    { limit: createLimit(51), of: { ...all, is_slow: true }, shows: 51, because: /at most 51 at a time/ },
    {
      limit: createLimit(512),
      of: { ...all, share: { ...wide, max_in_flight: 334 }, dispatchers: 3 },
      shows: 334,
      because: /3 dispatchers/,
    },
    {
      limit: createLimit(512),
      of: { ...all, share: { ...wide, max_in_flight: 0 }, dispatchers: 3 },
      shows: 0,
      because: /others of them send/,
    },
  ];
  for (const { limit, of, shows, because } of cases) {
    const shown = showLimit(limit, wide, of, NOW);
    assert.equal(shown.concurrency_limit, shows);
    assert.match(shown.limited_because ?? "", because);
  }
});

test("a rate is shown as the part of this process, and what was learned comes first", () => {
  const settings = { max_in_flight: 3, rate_per_second: 10 };
  const of = { ...ALONE, share: { max_in_flight: 1, rate_per_second: 10 / 3 }, dispatchers: 3 };
  const shown = showLimit(createLimit(51), settings, of, NOW);
  assert.deepEqual([shown.concurrency_limit, shown.rate_limit_per_second], [1, 3.33]);
  assert.match(shown.limited_because ?? "", /3 dispatchers/);
  const none = { ...of, share: { max_in_flight: 0, rate_per_second: 10 } };
  assert.equal(showLimit(createLimit(51), settings, none, NOW).rate_limit_per_second, 0);
  const silent = showLimit(
    answered({ kind: "silent" }),
    { ...SETTINGS, max_in_flight: 100 },
    { ...of, share: SETTINGS },
    NOW,
  );
  assert.match(silent.limited_because ?? "", /in time/);
});
