import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom } from "../../test/simulation/random.ts";
import {
  type Bounds,
  createLimit,
  HOLD_MAX_MS,
  heldFor,
  type Limit,
  noteStart,
  PACE_FULL_AFTER_MS,
  PACE_START_PER_SECOND,
  PACE_STEP_MS,
  type Reaction,
  rateOf,
  react,
  startOver,
} from "./limit.ts";

const NOW = 1_000_000;
const MOST = 200;
const BOUNDS: Bounds = { most: MOST, wanted: MOST, rate: null };
const WELL: Reaction = { kind: "well", duration_ms: 5 };

const answer = (limit: Limit, reaction: Reaction, now: number, bounds = BOUNDS, flying = limit.cap) =>
  react(limit, reaction, { round: limit.round, started_with: flying, ended_with: flying }, { now, bounds });

/** How long a request takes that starts with so many in flight, itself included. */
type Receiver = (flying: number, at: number) => number;

interface Sample {
  at: number;
  cap: number;
  flying: number;
}

/** A lane that always has something to send, for a while; answers what it was allowed and what was in flight. */
function run(receiver: Receiver, seconds: number, limit = createLimit(8), most = MOST): Sample[] {
  const bounds = { most, wanted: most, rate: null };
  const flights: { ends_at: number; round: number; started_with: number; duration_ms: number }[] = [];
  const samples: Sample[] = [];
  for (let at = 0; at < seconds * 1_000; at++) {
    for (const flight of flights.filter((one) => one.ends_at <= at)) {
      const flown = { round: flight.round, started_with: flight.started_with, ended_with: flights.length };
      flights.splice(flights.indexOf(flight), 1);
      const reaction: Reaction = { kind: "well", duration_ms: flight.duration_ms };
      react(limit, reaction, flown, { now: NOW + at, bounds });
    }
    while (flights.length < Math.floor(limit.cap)) {
      const started_with = flights.length + 1;
      const duration_ms = Math.max(1, receiver(started_with, at));
      flights.push({ ends_at: at + duration_ms, round: limit.round, started_with, duration_ms });
    }
    if (at % 50 === 0) samples.push({ at, cap: limit.cap, flying: flights.length });
  }
  return samples;
}

const after = (samples: readonly Sample[], seconds: number) => samples.filter(({ at }) => at >= seconds * 1_000);
const mean = (samples: readonly Sample[]) => samples.reduce((sum, { cap }) => sum + cap, 0) / samples.length;

/** All that are in flight share what the receiver can do at a time. */
const sharing =
  (knee: number, base_ms: number): Receiver =>
  (flying) =>
    base_ms * Math.max(1, flying / knee);

/** Works on so many at a time, the others stand in line. */
function lining(knee: number, base_ms: number): Receiver {
  const free_at = Array.from({ length: knee }, () => 0);
  return (_, at) => {
    const next = free_at.indexOf(Math.min(...free_at));
    const begins_at = Math.max(at, free_at[next] ?? 0);
    free_at[next] = begins_at + base_ms;
    return begins_at + base_ms - at;
  };
}

for (const [knee, base_ms] of [
  [5, 100],
  [20, 100],
  [20, 300],
  [50, 150],
] as const) {
  for (const [name, make] of [
    ["shares its time", sharing],
    ["lets requests stand in line", lining],
  ] as const) {
    test(`a receiver that bears ${knee} at ${base_ms} ms and ${name} gets about that many`, () => {
      const samples = after(run(make(knee, base_ms), 120), 30);
      const width = mean(samples);
      assert.ok(width >= knee * 0.8 && width <= knee * 2.5, `${width.toFixed(1)} at a time`);
      const highest = Math.max(...samples.map(({ cap }) => cap));
      assert.ok(highest <= knee * 4, `never more than ${highest.toFixed(1)}`);
    });
  }
}

for (const base_ms of [1, 50, 900, 5_000]) {
  test(`a receiver that always takes ${base_ms} ms gets as many as its settings allow`, () => {
    const samples = run(() => base_ms, 60);
    assert.equal(samples.at(-1)?.cap, MOST);
    assert.ok(
      samples.every(({ cap }, index) => cap >= (samples[index - 1]?.cap ?? 0)),
      "and is never cut",
    );
  });
}

test("a receiver that becomes slow for everybody is tried with fewer for a moment, and then gets as many as before", () => {
  const samples = run((_, at) => (at < 20_000 ? 100 : 700), 60);
  const since = after(samples, 20);
  assert.ok(Math.min(...since.map(({ cap }) => cap)) < MOST, "it is tried");
  assert.ok(since.filter(({ cap }) => cap < MOST * 0.9).length * 50 < 5_000, "for less than 5 seconds");
  assert.equal(samples.at(-1)?.cap, MOST);
});

for (const seed of [1, 2, 3, 4, 5]) {
  test(`noise does not keep a receiver narrow (seed ${seed})`, () => {
    const random = createRandom(seed);
    const noisy: Receiver = () => -Math.log(1 - random.next() * 0.999) * 150 + (random.chance(0.01) ? 900 : 0);
    const samples = after(run(noisy, 120), 10);
    assert.ok(mean(samples) > MOST * 0.9, `${mean(samples)}`);
  });
}

test("a receiver that can do more than before gets more", () => {
  const limit = createLimit(8);
  let knee = 5;
  const growing: Receiver = (flying) => sharing(knee, 200)(flying, 0);
  const before = mean(after(run(growing, 60, limit), 30));
  knee = 60;
  const later = mean(after(run(growing, 120, limit), 90));
  assert.ok(before < 15, `${before}`);
  assert.ok(later > 45 && later < 150, `${later}`);
});

test("one request at a time is never too many", () => {
  const samples = run((flying, at) => (at < 5_000 ? 100 : 800) * flying, 120);
  assert.ok(samples.every(({ cap }) => cap >= 1));
  assert.ok(samples.every(({ flying }) => flying >= 1));
});

test("a clock that is set back, or jumps ahead, cuts nothing", () => {
  const limit = createLimit(8);
  for (const jump of [0, -3_600_000, 3_600_000, -1, 86_400_000]) {
    for (let count = 0; count < 500; count++) answer(limit, { kind: "well", duration_ms: 40 }, NOW + jump + count * 5);
  }
  assert.deepEqual([limit.cap, limit.is_cut], [MOST, false]);
});

test("what is answered from before a cut says nothing new", () => {
  const limit = createLimit(40);
  const { round } = limit;
  for (let count = 0; count < 20; count++) {
    react(
      limit,
      { kind: "silent" },
      { round, started_with: count + 1, ended_with: 40 - count },
      { now: NOW, bounds: BOUNDS },
    );
  }
  assert.deepEqual([limit.cap, limit.because], [20, "silent"]);
});

test("three answers in a row that ask for less hold the lane for as long as they ask, a minute at most", () => {
  const limit = createLimit(40);
  for (const for_ms of [5_000, 5_000]) answer(limit, { kind: "too_many", for_ms }, NOW);
  assert.equal(heldFor(limit, NOW), 0);
  answer(limit, { kind: "too_many", for_ms: 5_000 }, NOW);
  assert.equal(heldFor(limit, NOW), 5_000);
  answer(limit, { kind: "too_many", for_ms: 86_400_000 }, NOW);
  assert.equal(heldFor(limit, NOW), HOLD_MAX_MS);
});

/** Sends as fast as the pace lets it to a receiver that takes so many a second; answers what each second was like. */
function throttle(per_second: number, seconds: number, limit: Limit, rate: number | null = null) {
  const bounds = { ...BOUNDS, rate };
  const counts: { sent: number; refused: number }[] = [];
  let next_at = 0;
  for (let second = 0; second < seconds; second++) {
    const count = { sent: 0, refused: 0 };
    for (let at = second * 1_000; at < second * 1_000 + 1_000; at++) {
      for (; next_at <= at && heldFor(limit, NOW + at) === 0; count.sent++) {
        // Without a pace as many as one at a time with 2 ms each.
        next_at = Math.max(next_at, at - 50) + 1_000 / (rateOf(limit, rate) ?? 500);
        noteStart(limit, NOW + at);
        const is_over = count.sent - count.refused >= per_second;
        if (is_over) count.refused++;
        answer(limit, is_over ? { kind: "too_many", for_ms: 1_000 } : WELL, NOW + at, bounds);
      }
    }
    counts.push(count);
  }
  return counts;
}

for (const per_second of [3, 20, 100]) {
  test(`a receiver that takes ${per_second} a second and refuses more with 429 gets most of them, and few more`, () => {
    const counts = throttle(per_second, 180, createLimit(1)).slice(60);
    const sum = (pick: (count: (typeof counts)[number]) => number) => counts.reduce((all, one) => all + pick(one), 0);
    const taken = sum((one) => one.sent - one.refused);
    assert.ok(taken > 0.7 * per_second * counts.length, `${taken} taken of ${per_second * counts.length}`);
    assert.ok(sum((one) => one.refused) < 0.1 * taken, `${sum((one) => one.refused)} refused, ${taken} taken`);
  });
}

test("the rate of the settings is never exceeded, and is reached again when the receiver takes it", () => {
  const limit = createLimit(1);
  for (let count = 0; count < 5; count++) answer(limit, { kind: "too_many", for_ms: 0 }, NOW, { ...BOUNDS, rate: 40 });
  assert.ok((rateOf(limit, 40) ?? 99) < 40);
  const counts = throttle(1_000, 120, limit, 40);
  assert.ok(counts.every(({ sent }) => sent <= 43));
  assert.equal(limit.pace, null);
  assert.ok((counts.at(-1)?.sent ?? 0) >= 39);
});

test("one answer that asks for less may mean its own event only, and does not slow a lane down to almost nothing", () => {
  const limit = createLimit(40);
  noteStart(limit, NOW);
  answer(limit, { kind: "too_many", for_ms: 1_000 }, NOW);
  assert.equal(rateOf(limit, null), PACE_START_PER_SECOND);
});

test("after a stop the pace doubles with each step that goes well, and not before there is an answer", () => {
  const limit = createLimit(40);
  startOver(limit, NOW);
  assert.deepEqual([limit.cap, rateOf(limit, null), limit.because], [1, PACE_START_PER_SECOND, "resumed"]);
  answer(limit, WELL, NOW + PACE_STEP_MS - 1);
  assert.equal(rateOf(limit, null), PACE_START_PER_SECOND);
  answer(limit, WELL, NOW + 10 * PACE_STEP_MS);
  assert.equal(rateOf(limit, null), 2 * PACE_START_PER_SECOND, "time alone proves nothing");
  for (let failures = 0; failures < 2; failures++) answer(limit, { kind: "other" }, NOW + 10 * PACE_STEP_MS + 1);
  answer(limit, WELL, NOW + 11 * PACE_STEP_MS);
  assert.equal(rateOf(limit, null), 2 * PACE_START_PER_SECOND, "more failures than answers put it off");
  answer(limit, { kind: "silent" }, NOW + 12 * PACE_STEP_MS);
  assert.equal(rateOf(limit, null), PACE_START_PER_SECOND, "and silence halves it");
  for (let at = 0; at <= PACE_FULL_AFTER_MS; at += 100) answer(limit, WELL, NOW + 12 * PACE_STEP_MS + at);
  answer(limit, WELL, NOW + 13 * PACE_STEP_MS + PACE_FULL_AFTER_MS);
  assert.deepEqual([rateOf(limit, null), limit.pace], [null, null]);
});

for (const share of [0.01, 0.05, 0.2, 0.45]) {
  test(`a receiver that refuses ${share * 100} % of the events for good is soon sent as many a second as before`, () => {
    for (const begin of [startOver, (limit: Limit) => answer(limit, { kind: "too_many", for_ms: 1_000 }, NOW)]) {
      const limit = createLimit(40);
      for (let sent = 0; sent < 60; sent++) noteStart(limit, NOW);
      begin(limit, NOW);
      let failing = 0;
      for (let at = 0; at <= 2 * PACE_FULL_AFTER_MS; at += 20) {
        failing += share;
        answer(limit, failing >= 1 ? { kind: "other" } : WELL, NOW + at);
        if (failing >= 1) failing--;
      }
      assert.equal(rateOf(limit, null), null);
    }
  });
}

test("a clock that is set back makes no step of the pace longer", () => {
  const limit = createLimit(1);
  startOver(limit, NOW);
  answer(limit, WELL, NOW - 3_600_000);
  answer(limit, WELL, NOW - 3_600_000 + PACE_STEP_MS);
  assert.equal(rateOf(limit, null), 2 * PACE_START_PER_SECOND);
});
