// Lanes of one of several dispatchers: its share is what its webhook allows it, and what it may not send it does not take.
import assert from "node:assert/strict";
import { test } from "node:test";
import { laneDestination, list, NOW, WELL } from "../../test/support/lanes.ts";
import type { Destination } from "../destinations/destination.ts";
import { each } from "../platform/linked-list.ts";
import { createLanes, type Lane, type Lanes } from "./lanes.ts";
import type { Bound } from "./share.ts";

/** Lanes whose share of every destination the test sets. */
function share(bound: Bound, of: Partial<Destination> = {}) {
  const own = { ...bound };
  const lanes = createLanes({ shareOf: () => own });
  const lane = lanes.open("dst_a");
  lane.destination = laneDestination({ max_in_flight: 60, ...of });
  return { lanes, lane, own, destination: lane.destination };
}

function pump(lanes: Lanes, now = NOW): number {
  let started = 0;
  for (let lane = lanes.next(); lane !== undefined; lane = lanes.next()) {
    if (!lanes.mayStart(lane, now)) continue;
    lanes.start(lane, now);
    started++;
  }
  return started;
}

/** So many requests one after another, each answered. */
function answer(lanes: Lanes, lane: Lane, count: number): void {
  for (let answers = 0; answers < count; answers++) {
    lanes.push(lane, list(1));
    pump(lanes);
    for (const flight of [...each(lane.flights)]) lanes.finish(lane, flight, NOW, WELL);
  }
}

test("as many are in flight as the share allows, and it follows who joins and leaves", () => {
  const { lanes, lane, own } = share({ max_in_flight: 20, rate_per_second: null });
  lanes.push(lane, list(100));
  assert.equal(pump(lanes), 20);
  own.max_in_flight = 30;
  lanes.enterRotation(lane);
  assert.equal(pump(lanes), 10);
  own.max_in_flight = 15;
  const flights = [...each(lane.flights)];
  for (const flight of flights.slice(0, 15)) lanes.finish(lane, flight, NOW, WELL);
  assert.equal(pump(lanes), 0);
  for (const flight of flights.slice(15, 20)) lanes.finish(lane, flight, NOW, WELL);
  assert.equal(pump(lanes), 5);
});

test("starts keep the share of the rate", () => {
  const { lanes, lane } = share({ max_in_flight: 20, rate_per_second: 4 }, { rate_per_second: 12 });
  lanes.push(lane, list(100));
  let started = 0;
  for (let ms = 0; ms < 10_000; ms += 10) {
    lanes.enterRotation(lane);
    started += pump(lanes, NOW + ms);
    for (const flight of [...each(lane.flights)]) lanes.finish(lane, flight, NOW + ms, WELL);
  }
  assert.equal(started, 40);
});

test("what others send has no room here, and starts again when the share is back", () => {
  const { lanes, lane, own, destination } = share({ max_in_flight: 0, rate_per_second: null });
  assert.equal(lanes.isLeft(destination), true);
  assert.equal(lanes.room(lane, destination), 0);
  assert.equal(lanes.room(undefined, destination), 0);
  lanes.push(lane, list(1));
  assert.equal(pump(lanes), 0);
  own.max_in_flight = 1;
  lanes.enterRotation(lane);
  assert.equal(pump(lanes), 1);
  own.max_in_flight = 0;
  for (const flight of [...each(lane.flights)]) lanes.finish(lane, flight, NOW, WELL);
  assert.deepEqual(lanes.limitsOf("dst_a", NOW)?.concurrency_limit, 0);
  own.max_in_flight = 3;
  lanes.push(lane, list(5));
  assert.ok(pump(lanes) >= 1, "an answer that came in between left a limit of nothing");
});

test("a lane keeps little that others could send, and as much as ever where it alone sends", () => {
  const cases = [
    { share: 1, of: 3, room: 4 },
    { share: 20, of: 60, room: 80 },
    { share: 400, of: 1_000, room: 500 },
    { share: 1, of: 1, room: 500 },
  ];
  for (const { share: max_in_flight, of, room } of cases) {
    const { lanes, lane, destination } = share({ max_in_flight, rate_per_second: null }, { max_in_flight: of });
    assert.deepEqual([lanes.room(lane, destination), lanes.room(undefined, destination)], [room, room]);
  }
});

test("a share that has grown is reached answer by answer, and what is said meanwhile fits the number shown", () => {
  const { lanes, lane, own } = share({ max_in_flight: 25, rate_per_second: null }, { max_in_flight: 50 });
  answer(lanes, lane, 1);
  assert.equal(lanes.limitsOf("dst_a", NOW)?.limited_because, null);
  own.max_in_flight = 50;
  const limits = lanes.limitsOf("dst_a", NOW);
  assert.equal(limits?.concurrency_limit, 25);
  assert.equal(limits?.limited_because, "It is still growing: each answer allows one more at a time.");
  answer(lanes, lane, 25);
  assert.deepEqual(lanes.limitsOf("dst_a", NOW), { ...limits, concurrency_limit: 50, limited_because: null });
});

test("a wide limit ends where this process has no more slots, and says so", () => {
  const { lanes, lane } = share({ max_in_flight: 1_000, rate_per_second: null }, { max_in_flight: 1_000 });
  assert.match(lanes.limitsOf("dst_a", NOW)?.limited_because ?? "", /each answer allows one more/);
  answer(lanes, lane, 600);
  lanes.open("dst_unread");
  assert.deepEqual(
    [...lanes.told(NOW)],
    [
      {
        destination_id: "dst_a",
        allowed: lanes.allowedOf("dst_a", NOW),
        share: { max_in_flight: 1_000, rate_per_second: null },
      },
    ],
  );
  assert.equal(lanes.allowedOf("dst_unread", NOW), null);
  const limits = lanes.limitsOf("dst_a", NOW);
  assert.equal(limits?.concurrency_limit, 512);
  assert.match(limits?.limited_because ?? "", /at most 512/);
});
