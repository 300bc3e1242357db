import assert from "node:assert/strict";
import { test } from "node:test";
import { createLimit, type Reaction, react, startOver } from "./limit.ts";
import { showLimit } from "./limit-text.ts";

const NOW = 1_700_000_000_000;
const SETTINGS = { max_in_flight: 50, rate_per_second: null };
const BOUNDS = { most: 50, wanted: 50, rate: null };

function answered(...reactions: Reaction[]) {
  const limit = createLimit(51);
  for (const reaction of reactions) {
    react(limit, reaction, { round: limit.round, started_with: 50, ended_with: 50 }, { now: NOW, bounds: BOUNDS });
  }
  return limit;
}

test("a limit that is no less than the settings has no reason", () => {
  const shown = showLimit(createLimit(51), { max_in_flight: 50, rate_per_second: 0.5 }, false, NOW);
  const expected = { concurrency_limit: 50, rate_limit_per_second: 0.5, held_until: null, limited_because: null };
  assert.deepEqual(shown, expected);
});

test("a receiver that asks for less is shown with what it gets, until when it is held, and why", () => {
  const busy: Reaction = { kind: "too_many", for_ms: 20_000 };
  const shown = showLimit(answered(busy, busy, busy), SETTINGS, false, NOW);
  assert.equal(shown.concurrency_limit, 6);
  assert.equal(shown.held_until, "2023-11-14T22:13:40.000Z");
  assert.match(shown.limited_because ?? "", /429/);
  assert.ok((shown.rate_limit_per_second ?? 0) > 0);
});

test("silence, a stop and slowness each have words of their own", () => {
  assert.match(showLimit(answered({ kind: "silent" }), SETTINGS, false, NOW).limited_because ?? "", /in time/);
  const resumed = createLimit(51);
  startOver(resumed, NOW);
  const shown = showLimit(resumed, SETTINGS, false, NOW);
  assert.deepEqual([shown.concurrency_limit, shown.rate_limit_per_second], [1, 10]);
  assert.match(shown.limited_because ?? "", /after a stop/);
  assert.match(showLimit(createLimit(20), SETTINGS, true, NOW).limited_because ?? "", /longer than a second/);
});
