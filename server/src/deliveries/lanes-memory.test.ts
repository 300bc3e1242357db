// Which lanes are forgotten, and when.
import assert from "node:assert/strict";
import { test } from "node:test";
import { finishAll, list, NOW, openLane, pump, stopAndResume } from "../../test/support/lanes.ts";
import { createLanes } from "./lanes.ts";

test("a lane with nothing to do is remembered for as long as its rate or a 429 may ask what it has sent", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a", { rate_per_second: 0.1 });
  lanes.push(lane, list(1));
  assert.deepEqual(pump(lanes), ["a p0"]);
  finishAll(lanes, lane, NOW + 10);
  lanes.prune(NOW + 9_000);
  assert.equal(lanes.get("a"), lane);
  lanes.push(lane, list(1, "q"));
  assert.deepEqual([lanes.mayStart(lane, NOW + 9_999), lanes.mayStart(lane, NOW + 10_000)], [false, true]);
  const unlimited = openLane(lanes, "b");
  lanes.push(unlimited, list(1));
  pump(lanes, NOW + 20_000);
  finishAll(lanes, unlimited, NOW + 20_010);
  lanes.prune(NOW + 21_000);
  assert.equal(lanes.get("b"), unlimited);
  lanes.prune(NOW + 23_000);
  assert.equal(lanes.get("b"), undefined);
});

test("only a lane with nothing to do is forgotten", () => {
  const lanes = createLanes();
  openLane(lanes, "idle");
  openLane(lanes, "claiming").claiming = true;
  Object.assign(openLane(lanes, "slow"), { slow: true, ended_at: NOW });
  Object.assign(openLane(lanes, "slow once"), { slow: true, ended_at: NOW - 10 * 60_000 });
  openLane(lanes, "due").due_at = NOW;
  lanes.push(openLane(lanes, "queued"), list(1));
  lanes.reserve(openLane(lanes, "storing"), 1);
  stopAndResume(lanes, Object.assign(openLane(lanes, "cut"), { ended_at: NOW }));
  lanes.prune(NOW);
  assert.deepEqual([...lanes.all()].map((lane) => lane.id).sort(), [
    "claiming",
    "cut",
    "due",
    "queued",
    "slow",
    "storing",
  ]);
});
