// When tallies are folded: the rhythm, the rests, failures and the stop. The store is one in memory, the clock the test's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { DatabaseError } from "../platform/database.ts";
import { uuidFloor } from "../platform/ids.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { createFolding, FOLD_EVERY_MS } from "./folding.ts";
import type { WaitingTallies } from "./tally-store.ts";
import { tallyVisits } from "./visit.ts";

const AT = Date.UTC(2026, 2, 1, 5);
const STEP_MS = 7;
const START = createManualClock().at;

/** Of one that was stored at that time. */
const idOf = (n: number, at = START) => `${uuidFloor(at).slice(0, -6)}${String(n).padStart(6, "0")}`;

function controlled() {
  const clock = createManualClock();
  const waiting: WaitingTallies[] = [];
  const logged: string[] = [];
  let last = 1;
  const state = { step_ms: STEP_MS, elapsed: 0, error: null as Error | null, clicks: 0, steps: 0 };
  const store = {
    selectWaiting: async (after: string, limit: number) => waiting.filter(({ id }) => id > after).slice(0, limit),
    selectThere: async (apps: readonly string[], links: readonly string[]) => ({ apps: [...apps], links: [...links] }),
    async fold(ids: readonly string[], _: unknown, { hours }: { hours: { link_id: string; clicks: number }[] }) {
      if (state.error !== null) throw state.error;
      for (const id of ids) {
        const at = waiting.findIndex((one) => one.id === id);
        assert.notEqual(at, -1, `${id} was folded before`);
        waiting.splice(at, 1);
      }
      state.elapsed += state.step_ms;
      state.steps++;
      for (const { link_id, clicks } of hours) if (link_id === "") state.clicks += clicks;
    },
  };
  const log = (event: string, { behind_seconds }: Record<string, unknown>) =>
    void logged.push(behind_seconds === undefined ? event : `${event} ${behind_seconds}`);
  const folding = createFolding({ store, clock, elapsed: () => state.elapsed, log });
  /** Rows of so many links that a step takes only a few. */
  const add = (rows: number, at = clock.at) => {
    for (let n = 0; n < rows; n++) {
      const visits = Array.from({ length: 20 }, (_, link) => {
        return { app_id: "shop", link_id: `lnk_${n}_${link}`, at: AT, values: { os: "iOS", platform: "ios" } };
      });
      for (const [app_id, tallies] of tallyVisits(visits)) waiting.push({ id: idOf(last++, at), app_id, tallies });
    }
  };
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) await yieldToEventLoop();
  };
  const pass = async (ms: number) => {
    clock.pass(ms);
    await settle();
  };
  return { clock, waiting, logged, state, folding, add, pass, settle };
}

test("what waits is folded at the start, and what comes later within a second", async () => {
  const { folding, add, pass, settle, state } = controlled();
  add(1);
  folding.start();
  await settle();
  assert.equal(state.clicks, 20);
  await pass(STEP_MS);
  add(1);
  await pass(FOLD_EVERY_MS - 1);
  assert.equal(state.clicks, 20);
  await pass(1);
  assert.equal(state.clicks, 40);
});

test("after each step others have the database for as long as it took, until nothing is left", async () => {
  const { folding, add, pass, settle, state, waiting } = controlled();
  add(12);
  folding.start();
  await settle();
  assert.equal(state.steps, 1);
  assert.ok(waiting.length > 6, "a step takes few");
  await pass(STEP_MS - 1);
  assert.equal(state.steps, 1);
  for (let steps = 2; waiting.length > 0; steps++) {
    await pass(steps === 2 ? 1 : STEP_MS);
    assert.equal(state.steps, steps);
  }
  assert.equal(state.clicks, 240);
});

test("steps grow while they are fast and shrink when the database is slow, within bounds", async () => {
  const { folding, add, pass, settle, state, waiting } = controlled();
  const sizesOf = async (step_ms: number) => {
    state.step_ms = step_ms;
    const sizes: number[] = [];
    for (let n = 0; n < 6; n++) {
      const before = waiting.length;
      await pass(100);
      sizes.push(before - waiting.length);
    }
    return sizes;
  };
  add(400);
  folding.start();
  await settle();
  const fast = await sizesOf(1);
  assert.ok((fast.at(-1) ?? 0) >= 2 * (fast[0] ?? 0), fast.join());
  assert.ok(Math.max(...fast) <= 15, fast.join());
  const slow = await sizesOf(50);
  assert.ok(Math.max(...slow.slice(-3)) <= 2, slow.join());
});

test("a failure is said once, tried again each second, and said to be over", async () => {
  const { folding, add, pass, settle, state, logged } = controlled();
  state.error = new DatabaseError("unavailable", "down");
  add(1);
  folding.start();
  await settle();
  for (let n = 0; n < 5; n++) await pass(FOLD_EVERY_MS);
  assert.deepEqual([logged, state.clicks], [["counts.failed"], 0]);
  state.error = null;
  await pass(FOLD_EVERY_MS);
  assert.equal(state.clicks, 20);
  await pass(STEP_MS);
  await pass(FOLD_EVERY_MS);
  assert.deepEqual(logged, ["counts.failed", "counts.mended"]);
});

test("what another process folds at this moment is left to it, and is no failure", async () => {
  const { folding, add, pass, settle, state, logged } = controlled();
  state.error = new DatabaseError("unmet", "somebody else folds");
  add(1);
  folding.start();
  await settle();
  state.error = null;
  await pass(FOLD_EVERY_MS);
  assert.deepEqual([logged, state.clicks], [[], 20]);
});

test("a stop ends the step under way and folds what is left, but not for ever", async () => {
  const { folding, add, settle, state, waiting, clock } = controlled();
  add(200);
  folding.start();
  await settle();
  assert.equal(state.steps, 1);
  await folding.stop();
  assert.ok(state.steps > 5 && waiting.length > 0, `${state.steps} steps, ${waiting.length} left`);
  assert.equal(clock.pending(), 0);
  assert.equal(state.clicks, (200 - waiting.length) * 20);
});

test("one that was not started folds nothing at its stop", async () => {
  const { folding, add, state } = controlled();
  add(1);
  await folding.stop();
  assert.equal(state.steps, 0);
});

test("tallies that nobody can read stay, are told of once, and hold nothing up", async () => {
  const { folding, add, pass, settle, state, waiting, logged } = controlled();
  const texts = ["", "{}", "[1]", "[[1,0]]", '[[1,0,{"link_id":"lnk_1","at":null,"values":{}}]]', '[["1",0,{}]]'];
  for (const [n, tallies] of texts.entries()) waiting.push({ id: `0${n}`, app_id: "shop", tallies });
  waiting.push({ id: "0empty", app_id: "shop", tallies: "[]" });
  add(1);
  folding.start();
  await settle();
  for (let n = 0; n < 3; n++) await pass(FOLD_EVERY_MS);
  assert.equal(state.clicks, 20);
  assert.equal(waiting.length, texts.length);
  assert.deepEqual(
    logged,
    texts.map(() => "counts.unreadable"),
  );
});

test("counts that lag behind are told of once a minute, with the age of the oldest, until nothing is left", async () => {
  const { folding, add, pass, settle, state, logged, waiting, clock } = controlled();
  state.step_ms = 1_000;
  add(300);
  folding.start();
  await settle();
  for (let seconds = 0; waiting.length > 0; seconds++) {
    if (seconds === 59) assert.deepEqual(logged, [], "not yet a minute");
    assert.ok(seconds < 400);
    await pass(1_000);
  }
  for (let second = 0; second < 3; second++) await pass(1_000);
  const lags = logged.slice(0, -1).map((line) => Number(/^counts\.behind (\d+)$/.exec(line)?.[1]));
  assert.equal(logged.at(-1), "counts.caught_up");
  assert.ok(lags.length >= 2, logged.join());
  for (const [n, lag] of lags.entries()) assert.ok(Math.abs(lag - 60 * (n + 1)) <= 20, logged.join());
  assert.ok((lags.length + 1) * 60_000 > clock.at - START, "at most once a minute");
});

test("what is old is no lag while it is folded at once, and neither is work that never ends while it is new", async () => {
  const { folding, add, pass, state, logged, waiting } = controlled();
  add(1, START - 3_600_000);
  state.elapsed = 90_000;
  folding.start();
  for (let second = 0; second < 100; second++) {
    add(1, START - 3_600_000);
    state.elapsed += 1_000;
    for (const ms of [100, 900]) await pass(ms);
  }
  assert.deepEqual([waiting.length, logged], [0, []]);
  state.step_ms = 1_000;
  add(20);
  for (let second = 0; second < 120; second++) {
    add(3);
    await pass(1_000);
    assert.ok(waiting.length > 0, "more comes than is folded");
  }
  assert.deepEqual(logged, []);
});
