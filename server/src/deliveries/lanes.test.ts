import assert from "node:assert/strict";
import { test } from "node:test";
import {
  finishAll,
  laneDestination,
  list,
  NOW,
  openLane,
  pump,
  ready,
  stopAndResume,
  WELL,
} from "../../test/support/lanes.ts";
import { each } from "../platform/linked-list.ts";
import { createLanes, type Lane, type Lanes, SLOTS, SLOW_AFTER_MS, SLOW_SHARE, SLOW_SLOTS } from "./lanes.ts";
import { HOLD_MAX_MS, PACE_FULL_AFTER_MS, PACE_START_PER_SECOND, PACE_STEP_MS, type Reaction } from "./limit.ts";

const FAST_MS = SLOW_AFTER_MS - 1;
const SILENT: Reaction = { kind: "silent" };
const tooMany = (for_ms: number): Reaction => ({ kind: "too_many", for_ms });

test("lanes are served in rotation, whatever the length of their queues, and each keeps its order", () => {
  const lanes = createLanes();
  lanes.push(openLane(lanes, "a"), list(4));
  lanes.push(openLane(lanes, "b"), list(2));
  assert.deepEqual(pump(lanes), ["a p0", "b p0", "a p1", "b p1", "a p2", "a p3"]);
});

test("a lane whose destination is not known starts nothing until it is", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  lane.destination = null;
  lanes.push(lane, list(1));
  assert.deepEqual(pump(lanes), []);
  lane.destination = laneDestination();
  lanes.enterRotation(lane);
  assert.deepEqual(pump(lanes), ["a p0"]);
});

for (const max_in_flight of [1, 3, SLOW_SHARE]) {
  test(`at most ${max_in_flight} requests are in flight where that is set`, () => {
    const lanes = createLanes();
    const lane = openLane(lanes, "a", { max_in_flight });
    lanes.push(lane, list(200));
    assert.equal(pump(lanes).length, max_in_flight);
    finishAll(lanes, lane, NOW + 1);
    assert.equal(pump(lanes, NOW + 1).length, max_in_flight);
  });
}

test("a new lane starts with a slow one's share, and each fast answer widens it by one", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  lanes.push(lane, list(400));
  assert.equal(pump(lanes).length, SLOW_SHARE);
  finishAll(lanes, lane, NOW + FAST_MS);
  assert.equal(pump(lanes).length, 2 * SLOW_SHARE);
});

function finishOne(lanes: Lanes, lane: Lane, now: number, reaction: Reaction): void {
  const flight = lane.flights.first;
  assert.ok(flight !== null);
  lanes.finish(lane, flight, now, reaction);
}

test("an answer that asks for less halves the lane, once for all that were in flight then", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  lanes.push(lane, list(300));
  pump(lanes);
  for (let count = 0; count < 10; count++) finishOne(lanes, lane, NOW + 1, SILENT);
  assert.equal(lane.limit.cap, SLOW_SHARE / 2);
  finishAll(lanes, lane, NOW + 2);
  const started = pump(lanes, NOW + 2).length;
  assert.ok(started >= SLOW_SHARE / 2 - 1 && started < SLOW_SHARE, `${started} start`);
  finishOne(lanes, lane, NOW + 3, SILENT);
  assert.ok(lane.limit.cap < SLOW_SHARE / 2, "those that came after the cut count again");
});

test("after a cut a lane widens by one for each round, until it is as wide as it may be", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a", { max_in_flight: 8 });
  lane.limit.cap = 8;
  lanes.push(lane, list(400));
  pump(lanes);
  finishOne(lanes, lane, NOW + 1, SILENT);
  assert.equal(lane.limit.cap, 4);
  finishAll(lanes, lane, NOW + 1);
  const widths: number[] = [];
  for (let round = 2; round < 9; round++) {
    widths.push(pump(lanes, NOW + round).length);
    finishAll(lanes, lane, NOW + round);
  }
  assert.ok(
    widths.every((width, index) => index === 0 || width - (widths[index - 1] ?? 0) <= 1),
    widths.join(),
  );
  assert.equal(widths.at(-1), 8, widths.join());
  assert.equal(lane.limit.is_cut, false);
});

test("a slow lane that was cut comes back to its share, and being fast again widens nothing at once", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  lanes.push(lane, list(2_000));
  pump(lanes);
  lanes.demoteSlow(NOW + SLOW_AFTER_MS);
  let now = NOW + SLOW_AFTER_MS;
  stopAndResume(lanes, lane, now);
  finishAll(lanes, lane, now);
  for (let round = 0; round < 60; round++) {
    lanes.push(lane, list(1));
    lanes.enterRotation(lane);
    pump(lanes, now);
    now += SLOW_AFTER_MS + 500;
    finishAll(lanes, lane, now);
  }
  assert.deepEqual([lane.slow, lane.limit.cap], [true, SLOW_SHARE]);
  stopAndResume(lanes, lane, now);
  lanes.push(lane, list(1));
  pump(lanes, now);
  finishAll(lanes, lane, now + 1);
  assert.equal(lane.slow, false);
  assert.ok(lane.limit.cap <= 2, `${lane.limit.cap}`);
});

test("a lane that was cut while it was slow widens carefully when it is fast again", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  lanes.push(lane, list(2_000));
  pump(lanes);
  let now = NOW + SLOW_AFTER_MS;
  lanes.demoteSlow(now);
  finishOne(lanes, lane, now, SILENT);
  finishAll(lanes, lane, now);
  while (lane.limit.cap < SLOW_SHARE) {
    lanes.push(lane, list(SLOW_SHARE));
    pump(lanes, now);
    now += SLOW_AFTER_MS;
    finishAll(lanes, lane, now);
  }
  lanes.push(lane, list(SLOW_SHARE));
  pump(lanes, now);
  finishAll(lanes, lane, now + 1);
  assert.equal(lane.slow, false);
  assert.ok(lane.limit.cap <= SLOW_SHARE + 1, `${lane.limit.cap}, not twice its share in one round`);
});

test("what waited while a destination was stopped is let out slowly, and everything at once half a minute later", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  const per_step: number[] = [];
  let count = 0;
  stopAndResume(lanes, lane);
  for (let now = NOW; now < NOW + PACE_FULL_AFTER_MS + 1_000; now++) {
    if (lane.queue.length < 100) lanes.push(lane, list(500));
    lanes.enterRotation(lane);
    count += pump(lanes, now).length;
    finishAll(lanes, lane, now);
    if ((now - NOW + 1) % PACE_STEP_MS === 0) per_step.push(count - per_step.reduce((sum, one) => sum + one, 0));
  }
  for (const [step, started] of per_step.entries()) {
    const planned = ((PACE_START_PER_SECOND * PACE_STEP_MS) / 1_000) * 2 ** step;
    assert.ok(
      started <= planned + 2 ** step && started >= planned * 0.8,
      `${started} in step ${step}, planned ${planned}`,
    );
  }
  assert.equal(lane.limit.pace, null);
});

test("answers in a row that ask to be spared hold the lane, but not what a person asked for", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  lanes.push(lane, list(100));
  pump(lanes);
  finishOne(lanes, lane, NOW + 1, tooMany(5_000));
  finishOne(lanes, lane, NOW + 1, tooMany(5_000));
  assert.equal(lanes.delayOf(lane, NOW + 1), 0, "two may mean their own events only");
  finishOne(lanes, lane, NOW + 1, tooMany(5_000));
  finishAll(lanes, lane, NOW + 2);
  assert.equal(lanes.delayOf(lane, NOW + 2), 4_999);
  assert.deepEqual(pump(lanes, NOW + 2), []);
  lanes.push(lane, [{ ...ready("asked"), trigger: "manual" }]);
  assert.deepEqual(pump(lanes, NOW + 3), ["a asked"], "it goes first");
  lanes.enterRotation(lane);
  assert.notDeepEqual(pump(lanes, NOW + 5_001), []);
});

test("a receiver cannot hold a lane for longer than a minute, nor a clock that was set back", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  lanes.push(lane, list(100));
  pump(lanes);
  for (let count = 0; count < 3; count++) finishOne(lanes, lane, NOW, tooMany(86_400_000));
  assert.equal(lanes.delayOf(lane, NOW), HOLD_MAX_MS);
  assert.equal(lanes.delayOf(lane, NOW - 86_400_000), HOLD_MAX_MS);
});

test("a lane whose oldest request takes too long becomes slow, keeps its share only, and hands the rest back", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  lanes.push(lane, list(300));
  pump(lanes);
  assert.deepEqual(lanes.demoteSlow(NOW + FAST_MS), []);
  const given_back = lanes.demoteSlow(NOW + SLOW_AFTER_MS);
  assert.equal(given_back.length, 300 - 2 * SLOW_SHARE);
  assert.equal(given_back[0]?.position, "p299", "the newest go first");
  assert.equal(lane.slow, true);
  assert.deepEqual(pump(lanes, NOW + SLOW_AFTER_MS), [], "its share is in flight already");
});

test("slow lanes never take the slots of fast ones", () => {
  const lanes = createLanes();
  for (let index = 0; index < 12; index++) lanes.push(openLane(lanes, `slow${index}`), list(200));
  // Each new lane may start its share, so fewer than all of them fill the slots.
  assert.equal(pump(lanes).length, SLOTS);
  lanes.demoteSlow(NOW + SLOW_AFTER_MS);
  assert.deepEqual(pump(lanes, NOW + SLOW_AFTER_MS), []);
  lanes.push(openLane(lanes, "quick"), list(40));
  assert.equal(pump(lanes, NOW + SLOW_AFTER_MS).filter((one) => one.startsWith("quick")).length, 40);
});

test("slow lanes together hold at most their slots", () => {
  const lanes = createLanes();
  const made = Array.from({ length: 20 }, (_, index) => openLane(lanes, `s${index}`, { max_in_flight: 1 }));
  for (const lane of made) lanes.push(lane, list(1, "first"));
  pump(lanes);
  lanes.demoteSlow(NOW + SLOW_AFTER_MS);
  for (const lane of made) {
    lane.destination = laneDestination({ id: lane.id });
    lanes.push(lane, list(SLOW_SHARE));
  }
  pump(lanes, NOW + SLOW_AFTER_MS);
  assert.equal(lanes.counts().in_flight, SLOW_SLOTS);
});

test("a slow lane is fast again with an answer that is, once nothing slow is in flight", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a", { max_in_flight: 2 });
  lanes.push(lane, list(4));
  pump(lanes);
  const later = NOW + SLOW_AFTER_MS;
  const [first, second] = [...each(lane.flights)];
  assert.ok(first && second);
  lanes.finish(lane, first, later, WELL);
  assert.equal(lane.slow, true);
  pump(lanes, later);
  const [, third] = [...each(lane.flights)];
  assert.ok(third);
  lanes.finish(lane, third, later + 1, WELL);
  assert.equal(lane.slow, true, "the second request is slow still");
  lanes.finish(lane, second, later + 1, WELL);
  pump(lanes, later + 1);
  finishAll(lanes, lane, later + 2);
  assert.equal(lane.slow, false);
  assert.deepEqual(lanes.counts(), { queued: 0, in_flight: 0, lanes: 1 });
});

for (const rate_per_second of [0.1, 0.5, 1, 2.5, 3, 10, 250]) {
  test(`${rate_per_second} a second are started at the most, from the first on`, () => {
    const lanes = createLanes();
    const lane = openLane(lanes, "a", { rate_per_second });
    lanes.push(lane, list(400));
    const starts: number[] = [];
    // Three seconds, or three intervals where these are longer.
    const span_ms = Math.max(3_000, 3_000 / rate_per_second);
    const window_ms = Math.max(1_000, 1_000 / rate_per_second) - 1;
    for (let now = NOW; now < NOW + span_ms; now++) {
      lanes.enterRotation(lane);
      const count = pump(lanes, now).length;
      starts.push(...Array.from({ length: count }, () => now));
      finishAll(lanes, lane, now);
    }
    for (const start of starts) {
      const within = starts.filter((at) => at >= start && at < start + window_ms);
      assert.ok(within.length <= Math.max(1, Math.ceil(rate_per_second)), `${within.length} from ${start}`);
    }
    assert.ok(starts.length >= Math.min(400, (span_ms / 1_000) * rate_per_second - 1), "and the rate is reached");
  });
}

test("a clock that is set back holds a paced lane for one interval, not for the time that it was set back", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a", { rate_per_second: 2 });
  lanes.push(lane, list(2));
  assert.equal(pump(lanes).length, 1);
  const back = NOW - 3_600_000;
  assert.equal(lanes.delayOf(lane, back), 500);
  lanes.enterRotation(lane);
  assert.equal(pump(lanes, back + 500).length, 1);
});

test("room shrinks with what is queued and with what is being claimed, and is small for slow and paced lanes", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  const wide = laneDestination();
  assert.equal(lanes.room(undefined, wide), 500);
  lanes.push(lane, list(100));
  lanes.reserve(lane, 50);
  assert.equal(lanes.room(lane, wide), 350);
  lanes.reserve(lane, -50);
  assert.equal(lanes.room(lane, wide), 400);
  assert.equal(lanes.room(undefined, laneDestination({ rate_per_second: 7 })), 7);
  assert.equal(lanes.room(undefined, laneDestination({ rate_per_second: 0.1 })), 1);
  assert.equal(lanes.room(undefined, laneDestination({ rate_per_second: 100_000 })), SLOW_SHARE);
  lane.slow = true;
  assert.equal(lanes.room(lane, wide), 0);
});

test("all lanes together are bounded in number and in characters", () => {
  const lanes = createLanes();
  for (let index = 0; index < 9; index++) lanes.push(openLane(lanes, `l${index}`), list(500));
  lanes.reserve(lanes.open("l9"), 450);
  assert.equal(lanes.room(undefined, laneDestination()), 50);
  const heavy = createLanes();
  heavy.push(openLane(heavy, "a"), [ready("p", "x".repeat(32 * 1024 * 1024))]);
  const large = Object.assign(openLane(heavy, "b"), { body_bytes: 100_000 });
  assert.equal(heavy.room(large, laneDestination()), 0);
  assert.equal(heavy.room(openLane(heavy, "c"), laneDestination()), 500, "small ones need not wait for large ones");
  pump(heavy);
  assert.equal(heavy.room(large, laneDestination()), 500);
});

test("what may not be sent any more is taken from the head, and what is dropped leaves no trace in the counts", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  lanes.push(lane, list(5));
  const skipped = lanes.skip(lane, (one) => one.position === "p2");
  assert.deepEqual(
    skipped.map((one) => one.position),
    ["p0", "p1"],
  );
  assert.deepEqual(lanes.clear(lane, (one) => one.position === "p3").length, 1);
  assert.equal(lanes.clear(lane, () => false).length, 0);
  assert.deepEqual(lanes.counts(), { queued: 2, in_flight: 0, lanes: 1 });
  assert.deepEqual(pump(lanes), ["a p2", "a p4"]);
});

test("what cannot be sent soon is given back, but what a person asked for, and what is sent soon stays", () => {
  const lanes = createLanes();
  const lane = openLane(lanes, "a");
  lanes.push(lane, [...list(400), { ...ready("asked"), trigger: "manual" }]);
  pump(lanes);
  assert.deepEqual(lanes.lighten(NOW), []);
  for (let count = 0; count < 3; count++) finishOne(lanes, lane, NOW, tooMany(60_000));
  lanes.push(lane, [{ ...ready("asked too"), trigger: "manual" }]);
  assert.equal(lanes.isResting(lane, NOW), true);
  assert.equal(lanes.lighten(NOW).length, 401 - SLOW_SHARE);
  assert.deepEqual(
    lane.queue.map(({ position }) => position),
    ["asked too"],
  );
  assert.equal(lanes.isResting(lane, NOW + 58_000), false, "in time for its next start");
  const paced = openLane(lanes, "b");
  lanes.push(paced, list(400));
  stopAndResume(lanes, paced);
  assert.equal(lanes.lighten(NOW).length, 399, "one at a time");
  const seldom = openLane(lanes, "c", { rate_per_second: 0.1 });
  lanes.push(seldom, list(1));
  pump(lanes);
  assert.deepEqual([lanes.isResting(seldom, NOW + 7_999), lanes.isResting(seldom, NOW + 8_000)], [true, false]);
});

test("while too much of large bodies is under way, small ones are sent, and large ones when there is room again", () => {
  const lanes = createLanes();
  const large = "x".repeat(256 * 1024);
  for (let index = 0; index < 300; index++) {
    lanes.push(openLane(lanes, `l${index}`), [ready("p1", large), ready("p2", large)]);
  }
  assert.equal(pump(lanes).length, 128, "32 MiB");
  lanes.demoteSlow(NOW + SLOW_AFTER_MS);
  assert.equal(pump(lanes).length, 64, "those that are slow took theirs along: 48 MiB in all");
  assert.deepEqual(pump(lanes), []);
  lanes.push(openLane(lanes, "small"), list(3));
  lanes.push(lanes.open("l299"), [{ ...ready("asked"), trigger: "manual" }]);
  assert.deepEqual(pump(lanes), ["small p0", "l299 asked", "small p1", "small p2"]);
  for (let index = 0; index < 64; index++) finishAll(lanes, lanes.open(`l${index}`), NOW + 15_000);
  assert.equal(
    pump(lanes).filter((one) => /^l\d+ p1$/.test(one)).length,
    64,
    "each had one of them before any has a second",
  );
});

test("of large bodies one slow lane has a tenth of what slow lanes may have under way", () => {
  const lanes = createLanes();
  const lane = Object.assign(openLane(lanes, "a"), { slow: true });
  lanes.push(
    lane,
    Array.from({ length: 20 }, (_, index) => ready(`p${index}`, "x".repeat(256 * 1024))),
  );
  assert.equal(pump(lanes).length, 7);
});
