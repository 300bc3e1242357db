import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { DatabaseError } from "./database.ts";
import { createRounds } from "./rounds.ts";
import { yieldToEventLoop } from "./yield-to-event-loop.ts";

const POLL_MS = 1_000;
const NEXT_MS = 100;

/** Rounds whose end the test decides, one by one. */
function open() {
  const clock = createManualClock(0);
  const under_way: PromiseWithResolvers<boolean>[] = [];
  const begun_at: number[] = [];
  const failures: unknown[] = [];
  const rounds = createRounds({
    ...{ clock, poll_ms: POLL_MS, next_ms: NEXT_MS, failed: (error: unknown) => void failures.push(error) },
    run() {
      const round = Promise.withResolvers<boolean>();
      under_way.push(round);
      begun_at.push(clock.at);
      return round.promise;
    },
  });
  const end = async (how: (round: PromiseWithResolvers<boolean>) => void) => {
    const round = under_way.pop();
    assert.ok(round !== undefined && under_way.length === 0, "one round is under way");
    how(round);
    await yieldToEventLoop();
  };
  const endWith = (has_moved: boolean) => end(({ resolve }) => resolve(has_moved));
  const failWith = (error: unknown) => end(({ reject }) => reject(error));
  return { ...{ clock, rounds, begun_at, failures, under_way }, endWith, failWith };
}

test("a round follows soon when something moved, else with the next poll, and never while one is under way", async () => {
  const { clock, rounds, begun_at, endWith } = open();
  rounds.start();
  clock.pass(0);
  clock.pass(10 * POLL_MS);
  assert.deepEqual(begun_at, [0]);
  await endWith(true);
  clock.pass(NEXT_MS);
  await endWith(false);
  clock.pass(POLL_MS - 1);
  assert.equal(begun_at.length, 2);
  clock.pass(1);
  assert.deepEqual(begun_at, [0, 10 * POLL_MS + NEXT_MS, 11 * POLL_MS + NEXT_MS]);
});

test("who is woken begins at once, once, and when it is woken during a round again after it", async () => {
  const { clock, rounds, begun_at, endWith } = open();
  rounds.wake();
  assert.equal(clock.pending(), 0, "it was not started");
  rounds.start(POLL_MS);
  rounds.wake();
  rounds.wake();
  assert.equal(clock.pending(), 1);
  clock.pass(0);
  rounds.wake();
  rounds.wake();
  await endWith(false);
  clock.pass(0);
  await endWith(false);
  clock.pass(POLL_MS - 1);
  assert.deepEqual(begun_at, [0, 0], "a hint counts for one round");
});

test("a round that fails is told, but for a database that is out of reach, and the next poll comes all the same", async () => {
  const { clock, rounds, begun_at, failures, failWith } = open();
  const error = new Error("a bug");
  rounds.start();
  clock.pass(0);
  await failWith(error);
  clock.pass(POLL_MS);
  await failWith(new DatabaseError("unavailable", "away"));
  clock.pass(POLL_MS);
  assert.deepEqual(failures, [error]);
  assert.deepEqual(begun_at, [0, POLL_MS, 2 * POLL_MS]);
});

for (const how of ["ends", "fails"] as const) {
  test(`a stop waits until the round under way ${how}, and no other begins`, async () => {
    const { clock, rounds, begun_at, endWith, failWith } = open();
    rounds.start();
    assert.deepEqual([rounds.isRunning(), rounds.isStopping()], [true, false]);
    clock.pass(0);
    let is_stopped = false;
    const stopped = rounds.stop().then(() => {
      is_stopped = true;
    });
    assert.deepEqual([rounds.isRunning(), rounds.isStopping()], [false, true]);
    rounds.wake();
    await yieldToEventLoop();
    assert.equal(is_stopped, false);
    await (how === "ends" ? endWith(true) : failWith(new Error("a bug")));
    await stopped;
    rounds.wake();
    assert.equal(clock.pending(), 0);
    clock.pass(10 * POLL_MS);
    assert.equal(begun_at.length, 1);
  });
}
