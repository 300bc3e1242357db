// What a lane tells of what its webhook's own settings keep back.
import assert from "node:assert/strict";
import { test } from "node:test";
import { finishAll, list, NOW, openLane, pump } from "../../test/support/lanes.ts";
import { createLanes } from "./lanes.ts";

test("a lane that its webhook's own rate keeps tells when the next one goes", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a", { max_in_flight: 1, rate_per_second: 0.02 });
  assert.equal(lanes.allowedOf("a", NOW)?.own, undefined);
  lanes.push(lane, list(2));
  assert.equal(pump(lanes).length, 1);
  finishAll(lanes, lane, NOW + 10);
  assert.deepEqual(lanes.allowedOf("a", NOW + 10)?.own, { next_at: NOW + 50_000, full_since: null });
  assert.equal(lanes.limitsOf("a", NOW + 10)?.limited_because, null);
  assert.equal(lanes.allowedOf("a", NOW + 50_000)?.own, undefined);
});

test("a lane that has as many requests under way as may be tells since when, once that is more than a moment", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a", { max_in_flight: 1 });
  lanes.push(lane, list(2));
  assert.deepEqual(pump(lanes), ["a p0"]);
  assert.equal(lanes.allowedOf("a", NOW + 999)?.own, undefined);
  assert.deepEqual(lanes.allowedOf("a", NOW + 1_000)?.own, { next_at: null, full_since: NOW });
  const all = ["p0", "p1"].map((position) => lanes.begunAt("a", position));
  assert.deepEqual([...all, lanes.begunAt("b", "p0")], [NOW, null, null]);
  assert.deepEqual([lanes.firstBegun("a"), lanes.firstBegun("b")], [{ position: "p0", started_at: NOW }, null]);
  finishAll(lanes, lane, NOW + 2_000);
  assert.equal(lanes.allowedOf("a", NOW + 2_000)?.own, undefined);
  assert.equal(lanes.firstBegun("a"), null);
});
