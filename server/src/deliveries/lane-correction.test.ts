// What a lane has learned of its receiver, when a person corrects the webhook.
import assert from "node:assert/strict";
import { test } from "node:test";
import { laneDestination, list, NOW, pump } from "../../test/support/lanes.ts";
import { each } from "../platform/linked-list.ts";
import { createLanes, type Lane, type Lanes, SLOW_SHARE } from "./lanes.ts";
import { HOLD_MAX_MS, PACE_START_PER_SECOND } from "./limit.ts";

function askForLess(lanes: Lanes, lane: Lane): void {
  const flight = lane.flights.first;
  assert.ok(flight !== null);
  lanes.finish(lane, flight, NOW, { kind: "too_many", for_ms: HOLD_MAX_MS });
}

test("what was learned is for the settings of that time: once a person has corrected them it starts over, and is not held", () => {
  const lanes = createLanes();
  const lane = lanes.open("a");
  const before = laneDestination({ id: "a", era: 3 });
  lanes.setDestination(lane, before, NOW);
  lanes.push(lane, list(100));
  pump(lanes);
  for (let n = 0; n < 3; n++) askForLess(lanes, lane);
  assert.ok(lanes.delayOf(lane, NOW) > 0);
  lanes.setDestination(lane, null, NOW);
  lanes.setDestination(lane, { ...before, max_in_flight: 900 }, NOW);
  assert.ok(lanes.delayOf(lane, NOW) > 0, "another number of requests is no other receiver");
  lanes.setDestination(lane, { ...before, era: 4 }, NOW);
  assert.equal(lanes.delayOf(lane, NOW), 0);
  const { concurrency_limit, rate_limit_per_second, held_until } = lanes.limitsOf("a", NOW) ?? {};
  assert.deepEqual([concurrency_limit, rate_limit_per_second, held_until], [1, PACE_START_PER_SECOND, null]);
});

test("of what nothing was learned a correction slows down nothing", () => {
  const lanes = createLanes();
  const lane = lanes.open("a");
  lanes.setDestination(lane, laneDestination({ id: "a", era: 0 }), NOW);
  lanes.push(lane, list(SLOW_SHARE + 1));
  lanes.setDestination(lane, laneDestination({ id: "a", era: 1 }), NOW);
  assert.equal(pump(lanes).length, SLOW_SHARE);
});

test("what was stopped goes on slowly, whoever reads first that it does, and once alone", () => {
  for (const state of ["paused", "off", "disabled"] as const) {
    const lanes = createLanes();
    const lane = lanes.open("a");
    const active = laneDestination({ id: "a", era: 0 });
    lanes.setDestination(lane, { ...active, state }, NOW);
    lanes.setDestination(lane, null, NOW);
    lanes.setDestination(lane, null, NOW);
    lanes.setDestination(lane, active, NOW);
    lanes.push(lane, list(10));
    assert.equal(pump(lanes).length, 1, state);
    for (const flight of [...each(lane.flights)]) lanes.finish(lane, flight, NOW, { kind: "well", duration_ms: 1 });
    const { concurrency_limit } = lanes.limitsOf("a", NOW) ?? {};
    lanes.setDestination(lane, null, NOW);
    lanes.setDestination(lane, active, NOW);
    assert.equal(lanes.limitsOf("a", NOW)?.concurrency_limit, concurrency_limit, "nothing stopped it meanwhile");
  }
});

test("a process that starts anew knows of no slow start that goes on, and begins as with any receiver", () => {
  const active = laneDestination({ id: "a", era: 0 });
  const startedBy = (lanes: Lanes, states: readonly ("paused" | "active")[]) => {
    const lane = lanes.open("a");
    for (const state of states) lanes.setDestination(lane, { ...active, state }, NOW);
    lanes.push(lane, list(SLOW_SHARE + 1));
    return pump(lanes).length;
  };
  assert.equal(startedBy(createLanes(), ["paused", "active"]), 1);
  assert.equal(startedBy(createLanes(), ["active"]), SLOW_SHARE);
});
