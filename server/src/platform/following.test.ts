// Who follows a topic is told of what this process commits without waiting for a poll, and of the rest within a second.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createTimers } from "../../test/support/timers.ts";
import { createFollowing } from "./following.ts";
import { yieldToEventLoop } from "./yield-to-event-loop.ts";

function openFollowing() {
  const timers = createTimers();
  const seen = { looks: 0, failed: 0 };
  let end = 0;
  let found = { topics: [] as string[], is_full: false, is_waiting: false };
  const following = createFollowing({
    clock: timers,
    failed: () => void seen.failed++,
    journal: {
      head: async () => ({ tx: end, part: "" }),
      async look() {
        seen.looks++;
        const answer = { ...found, end: { tx: ++end, part: "" } };
        found = { topics: [], is_full: false, is_waiting: false };
        return answer;
      },
    },
  });
  async function pass(ms: number) {
    timers.advance(ms);
    await yieldToEventLoop();
  }
  const commit = (...topics: string[]) => {
    found = { ...found, topics };
  };
  const hold = () => {
    found = { ...found, is_waiting: true };
  };
  return { following, seen, pass, commit, hold, timers };
}

test("nothing is looked at while nobody follows", async () => {
  const { following, timers } = openFollowing();
  following.hint();
  assert.equal(timers.next(), null);
  const stop = following.follow("app_1", () => {});
  assert.equal(timers.next(), 0);
  stop();
  assert.equal(timers.next(), null);
});

test("a follower is woken once it has begun, then by its own topic alone", async () => {
  const { following, pass, commit } = openFollowing();
  const woken = { one: 0, other: 0 };
  following.follow("app_1", () => void woken.one++);
  following.follow("app_2", () => void woken.other++);
  await pass(0);
  assert.deepEqual(woken, { one: 1, other: 1 });
  commit("app_1", "app_3", "app_1");
  await pass(1_000);
  assert.deepEqual(woken, { one: 2, other: 1 });
});

test("a commit of this process is looked for at once, and many of them together", async () => {
  const { following, seen, pass, commit, timers } = openFollowing();
  let woken = 0;
  following.follow("app_1", () => void woken++);
  await pass(0);
  await pass(50);
  commit("app_1");
  following.hint();
  assert.equal(timers.next(), 0);
  await pass(0);
  assert.deepEqual([woken, seen.looks], [2, 1]);
  for (let n = 0; n < 100; n++) following.hint();
  assert.equal(timers.next(), 50);
  await pass(50);
  await pass(0);
  assert.equal(seen.looks, 2);
});

test("who follows after everybody has gone during a look begins at the journal's end, and not where that look was", async () => {
  const { following, seen, pass, timers } = openFollowing();
  const stop = following.follow("app_1", () => {});
  timers.advance(0);
  stop();
  await yieldToEventLoop();
  let woken = 0;
  following.follow("app_1", () => void woken++);
  await pass(0);
  assert.deepEqual([woken, seen.looks], [1, 0]);
});

test("what cannot be read yet is looked for again soon", async () => {
  const { following, pass, hold, timers } = openFollowing();
  following.follow("app_1", () => {});
  await pass(0);
  hold();
  await pass(1_000);
  await pass(50);
  assert.equal(timers.next(), 50);
});
