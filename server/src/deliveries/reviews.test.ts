import assert from "node:assert/strict";
import { test } from "node:test";
import type { Verdict } from "../destinations/failing.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { createReviews } from "./reviews.ts";

function openReviews(answers: { verdict?: Verdict; resumed?: boolean; disabled?: boolean; error?: Error } = {}) {
  const timers: (() => void)[] = [];
  const calls: string[] = [];
  const logged: [string, unknown][] = [];
  const answer = async <Value>(call: string, value: Value): Promise<Value> => {
    calls.push(call);
    if (answers.error !== undefined) throw answers.error;
    return value;
  };
  const reviews = createReviews({
    destinations: {
      review: (id, { last_error, was_probed, era }) =>
        answer(`review ${id} of ${era}: ${last_error}${was_probed ? ", probed" : ""}`, answers.verdict ?? null),
      resume: (id, era) => answer(`resume ${id} of ${era}`, answers.resumed ?? true),
      disable: (id, reason, era) => answer(`disable ${id} of ${era}: ${reason}`, answers.disabled ?? true),
    },
    clock: {
      after(_delay_ms, callback) {
        timers.push(callback);
        return () => void timers.splice(timers.indexOf(callback), 1);
      },
    },
    log: (event, { reason }) => void logged.push([event, reason]),
  });
  const pass = () => {
    for (const callback of timers.splice(0)) callback();
  };
  return { reviews, pass, timers, calls, logged };
}

const failure = (last_error: string, was_probed = false, era = 0) => ({ last_error, was_probed, era });
test("however many attempts fail, a destination is looked at once in a while, with the newest error", async () => {
  const { reviews, pass, calls, logged } = openReviews();
  for (let count = 0; count < 100; count++) reviews.failed("dst_a", failure(`error ${count}`));
  reviews.failed("dst_b", failure("refused"));
  assert.deepEqual(calls, []);
  pass();
  await yieldToEventLoop();
  reviews.failed("dst_a", failure("late"));
  pass();
  await yieldToEventLoop();
  assert.deepEqual(calls, ["review dst_a of 0: error 99", "review dst_b of 0: refused", "review dst_a of 0: late"]);
  assert.deepEqual(logged, []);
});

test("a probe among those that failed is told, whichever came first, and once", async () => {
  const { reviews, pass, calls } = openReviews();
  for (const probed of [0, 1, 2]) {
    for (const nth of [0, 1, 2]) reviews.failed("dst_a", failure(`error ${nth}`, nth === probed));
    pass();
  }
  reviews.failed("dst_a", failure("late"));
  pass();
  await yieldToEventLoop();
  assert.deepEqual(calls, [...Array(3).fill("review dst_a of 0: error 2, probed"), "review dst_a of 0: late"]);
});

test("of attempts before and after a change, those after it alone are looked at, whichever failed first", async () => {
  const { reviews, pass, calls } = openReviews();
  const [before, after] = [failure("old", true, 3), failure("new", false, 4)];
  for (const failed of [
    [before, after],
    [after, before],
    [before, after, before],
  ]) {
    for (const one of failed) reviews.failed("dst_a", one);
    pass();
  }
  reviews.failed("dst_a", before);
  pass();
  await yieldToEventLoop();
  assert.deepEqual(calls, [...Array(3).fill("review dst_a of 4: new"), "review dst_a of 3: old, probed"]);
});

test("a success from before a change keeps out none from after it", async () => {
  const { reviews, calls } = openReviews();
  for (const era of [3, 4, 3, 4]) reviews.succeeded("dst_a", era);
  await yieldToEventLoop();
  assert.deepEqual(calls, ["resume dst_a of 3", "resume dst_a of 4"]);
});

test("what becomes of it is told to the operator", async () => {
  const { reviews, pass, logged } = openReviews({ verdict: { state: "paused", reason: "20 in a row" } });
  reviews.failed("dst_a", failure("late"));
  pass();
  reviews.succeeded("dst_a", 0);
  reviews.refused("dst_b", "410", 0);
  await yieldToEventLoop();
  assert.deepEqual(logged.sort(), [
    ["destination.disabled", "410"],
    ["destination.paused", "20 in a row"],
    ["destination.resumed", undefined],
  ]);
});

test("many successes at once resume once, and nothing is told of what was not paused any more", async () => {
  const { reviews, calls, logged } = openReviews({ resumed: false, disabled: false });
  for (let count = 0; count < 5; count++) reviews.succeeded("dst_a", 0);
  await yieldToEventLoop();
  reviews.succeeded("dst_a", 0);
  await yieldToEventLoop();
  reviews.refused("dst_a", "410", 0);
  await yieldToEventLoop();
  assert.deepEqual([calls, logged], [["resume dst_a of 0", "resume dst_a of 0", "disable dst_a of 0: 410"], []]);
});

test("when the database does not answer, the next attempt asks again", async () => {
  const { reviews, pass, logged } = openReviews({ error: new Error("down") });
  reviews.failed("dst_a", failure("late"));
  pass();
  reviews.succeeded("dst_a", 0);
  reviews.refused("dst_a", "410", 0);
  await yieldToEventLoop();
  const events = logged.map(([event]) => event).sort();
  assert.deepEqual(events, ["destination.not_disabled", "destination.not_resumed", "destination.not_reviewed"]);
});

test("after the end nothing is looked at", () => {
  const { reviews, pass, timers, calls } = openReviews();
  reviews.failed("dst_a", failure("late"));
  reviews.stop();
  pass();
  assert.deepEqual([timers, calls], [[], []]);
});
