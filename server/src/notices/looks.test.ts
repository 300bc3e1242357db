// What the watches of disk and database make of what they see.
import assert from "node:assert/strict";
import { hostname, tmpdir } from "node:os";
import { test } from "node:test";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { DatabaseError } from "../platform/database.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import type { Reading } from "./conditions.ts";
import { createDatabaseLook, SUSTAINED_MS } from "./database.ts";
import { createDiskLook, judgeDisk } from "./disk.ts";
import type { NewNotice } from "./notice.ts";
import type { Condition } from "./store.ts";
import { createWatch } from "./watch.ts";

const MIB = 1024 * 1024;

test("a disk is low below the limit, and well again a quarter above it", () => {
  const states = [99, 100, 124, 125].map((mib) => judgeDisk("a:/data", mib * MIB, 100 * MIB).state);
  assert.deepEqual(states, ["holds", "between", "between", "gone"]);
  const reading = judgeDisk("a:/data", 99 * MIB, 100 * MIB);
  assert.ok(reading.state === "holds" && reading.begin.message.startsWith("99 MiB are free at a:/data. Free space"));
});

test("a look at the disk asks the real one, each directory once", async () => {
  const seen: [Condition, Reading][] = [];
  const report = async (condition: Condition, reading: Reading) => void seen.push([condition, reading]);
  const directories = [tmpdir(), `${tmpdir()}/.`];
  await createDiskLook({ directories, low_bytes: 1, conditions: { report } })();
  await createDiskLook({ directories, low_bytes: 1e18, conditions: { report } })();
  assert.deepEqual(
    seen.map(([, { state }]) => state),
    ["gone", "holds"],
  );
  assert.deepEqual(seen[0]?.[0], { kind: "disk", subject: `${hostname()}:${tmpdir()}` });
});

function openDatabaseLook() {
  const clock = createManualClock();
  const state = { answers: true, writes: true, has_failed: false, flushed: 0 };
  const told: [how: "directly" | "kept", type: string][] = [];
  const look = createDatabaseLook({
    node: "a:/data",
    clock,
    isAnswering: async () => state.answers,
    writes: {
      hasFailed: () => state.has_failed,
      async batch() {
        if (!state.writes) throw new DatabaseError("unavailable", "read-only");
        state.has_failed = false;
      },
    },
    outbox: {
      sendDirectly: ({ type }: NewNotice) => void told.push(["directly", type]),
      post: async ({ type }: NewNotice) => void told.push(["kept", type]),
      flush: async () => void state.flushed++,
    },
  });
  const looks = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 10_000) {
      clock.pass(10_000);
      await look();
    }
  };
  return { state, told, looks };
}

test("a database that is away is told once, directly, and its end through the database", async () => {
  const { state, told, looks } = openDatabaseLook();
  await looks(60_000);
  state.answers = false;
  await looks(SUSTAINED_MS);
  assert.deepEqual(told, []);
  await looks(600_000);
  assert.deepEqual(told, [["directly", "database.failing"]]);
  state.answers = true;
  await looks(20_000);
  state.answers = false;
  await looks(20_000);
  assert.equal(told.length, 1, "a moment in between ends nothing");
  state.answers = true;
  await looks(600_000);
  assert.deepEqual(told, [
    ["directly", "database.failing"],
    ["kept", "database.recovered"],
  ]);
});

test("one that answers and takes no writes is failing, and asked by a write when nobody else does", async () => {
  const { state, told, looks } = openDatabaseLook();
  Object.assign(state, { writes: false, has_failed: true });
  await looks(120_000);
  assert.deepEqual(told, [["directly", "database.failing"]]);
  state.writes = true;
  await looks(120_000);
  assert.deepEqual(told.at(-1), ["kept", "database.recovered"]);
});

test("a fail-over of a few seconds is no notice", async () => {
  const { state, told, looks } = openDatabaseLook();
  for (let n = 0; n < 5; n++) {
    state.answers = false;
    await looks(20_000);
    state.answers = true;
    assert.equal(state.flushed, 2 * n, "nothing is handed to a database that is away");
    await looks(20_000);
    assert.equal(state.flushed, 2 * n + 2, "what was held meanwhile is handed over");
  }
  assert.deepEqual(told, []);
});

test("a watch looks one at a time, goes on after a failure, and looks no more when it is stopped", async () => {
  const clock = createManualClock();
  const logged: string[] = [];
  const looks: PromiseWithResolvers<void>[] = [];
  const watch = createWatch({
    name: "test",
    every_ms: 1_000,
    clock,
    log: (event) => void logged.push(event),
    look() {
      const one = Promise.withResolvers<void>();
      looks.push(one);
      return one.promise;
    },
  });
  watch.start();
  clock.pass(5_000);
  assert.equal(looks.length, 1, "the first one is still at it");
  looks[0]?.reject(new Error("broken"));
  await yieldToEventLoop();
  clock.pass(1_000);
  assert.deepEqual([looks.length, logged], [2, ["watch.failed"]]);
  looks[1]?.reject(new DatabaseError("unavailable", "away"));
  await yieldToEventLoop();
  assert.deepEqual(logged, ["watch.failed"], "that is told elsewhere");
  watch.stop();
  clock.pass(10_000);
  assert.equal(looks.length, 2);
});
