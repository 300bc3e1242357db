// Whatever happens to lanes, in whatever order: when all is quiet nothing is counted any more, and nothing was passed over.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createRandom, type Random } from "../../test/simulation/random.ts";
import { NOW, openLane, ready, stopAndResume } from "../../test/support/lanes.ts";
import { each } from "../platform/linked-list.ts";
import type { Ready } from "./attempt.ts";
import { createLanes, type Lane, SLOW_AFTER_MS } from "./lanes.ts";
import type { Reaction } from "./limit.ts";

const SEEDS = 60;
const STEPS = 400;
const LANES = 14;
/** Rounds in which everything must have been sent once nothing new comes. */
const ROUNDS_MAX = 5_000;
const BODIES = [20, 6_000, 7_000, 250_000].map((chars) => "x".repeat(chars));
const NOTHING = { deliveries: 0, chars: 0, sent_chars: 0 };

function reactionOf(random: Random): Reaction {
  return random.pick<Reaction>([
    { kind: "well", duration_ms: 20 },
    { kind: "well", duration_ms: 900 },
    { kind: "too_many", for_ms: random.int(0, 60_000) },
    { kind: "silent" },
    { kind: "other" },
  ]);
}

/** One world of lanes; `waiting` is all that is neither being sent nor was given back. */
function createStory(seed: number) {
  const random = createRandom(seed);
  const lanes = createLanes();
  const waiting = new Set<Ready>();
  const reserved: { lane: Lane; deliveries: number; chars: number }[] = [];
  let now = NOW;
  let last = 0;
  const rates = [null, null, null, 5, 0.5];
  const open = (id: string) => {
    const rate_per_second = random.pick(rates);
    return lanes.get(id) ?? openLane(lanes, id, { rate_per_second, max_in_flight: random.pick([1, 50, 1_000]) });
  };
  const any = () => open(`lane${random.int(0, LANES - 1)}`);
  const giveBack = (given_back: readonly Ready[]) => {
    for (const one of given_back) assert.ok(waiting.delete(one), "what is given back has waited");
  };

  function push(lane: Lane): void {
    if (lane.destination === null) return;
    const body = random.pick(BODIES);
    const trigger = random.chance(0.1) ? ("manual" as const) : ("auto" as const);
    const many = Array.from({ length: random.int(1, 60) }, () => ({ ...ready(`p${last++}`, body), trigger }));
    const room = Math.min(many.length, lanes.room(lane, lane.destination));
    const fit = many.slice(
      0,
      lanes.fitting(lane, room, () => body.length),
    );
    for (const one of fit) waiting.add(one);
    lane.body_bytes = body.length;
    lanes.push(lane, fit);
  }

  function clear(lane: Lane): void {
    const out = new Set(lane.queue.filter(() => random.chance(0.3)));
    giveBack(lanes.clear(lane, (one) => out.has(one)));
  }

  function reserve(lane: Lane): void {
    const one = { lane, deliveries: random.int(1, 50), chars: random.pick([0, 0, 300_000]) };
    reserved.push(one);
    lanes.reserve(lane, one.deliveries, one.chars);
  }

  function release(): void {
    for (const { lane, deliveries, chars } of reserved.splice(0)) lanes.reserve(lane, -deliveries, -chars);
  }

  function pump(): void {
    for (let lane = lanes.next(); lane !== undefined; lane = lanes.next()) {
      if (lanes.mayStart(lane, now)) assert.ok(waiting.delete(lanes.start(lane, now).ready), "it starts once");
    }
  }

  /** What the timers do, and an answer to some of what is in flight. */
  function tick(share: number): void {
    now += random.pick([10, 250, SLOW_AFTER_MS + 1]);
    giveBack([...lanes.demoteSlow(now), ...lanes.lighten(now)]);
    for (const lane of lanes.all()) {
      for (const flight of [...each(lane.flights)]) {
        if (random.chance(share)) lanes.finish(lane, flight, now, reactionOf(random));
      }
      lanes.enterRotation(lane);
    }
    pump();
  }

  function step(): void {
    const lane = any();
    const acts = [
      () => push(lane),
      () => push(lane),
      () => reserve(lane),
      () => release(),
      () => tick(random.pick([0, 0.3, 1])),
      () => clear(lane),
      () => stopAndResume(lanes, lane, now),
      () => lanes.prune(now + random.int(0, 700_000)),
      () => Object.assign(lane, { due_at: Number.POSITIVE_INFINITY }),
    ];
    random.pick(acts)();
    pump();
  }

  return { lanes, waiting, step, release, tick };
}

test("when all is quiet nothing is counted any more, and whatever waited was sent or given back", () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const { lanes, waiting, step, release, tick } = createStory(seed);
    for (let count = 0; count < STEPS; count++) step();
    release();
    let rounds = 0;
    while (lanes.counts().queued > 0 || lanes.counts().in_flight > 0) {
      tick(1);
      assert.ok(++rounds < ROUNDS_MAX, `seed ${seed}: ${JSON.stringify(lanes.counts())} is passed over`);
    }
    assert.equal(waiting.size, 0, `seed ${seed}`);
    assert.deepEqual(lanes.used(), { fast: NOTHING, slow: NOTHING }, `seed ${seed}`);
    for (const { load } of lanes.all()) assert.deepEqual(load, NOTHING, `seed ${seed}`);
  }
});
