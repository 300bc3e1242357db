import assert from "node:assert/strict";
import { test } from "node:test";
import { DatabaseError, type DatabaseErrorKind } from "./database.ts";
import { createWriteWatch } from "./write-watch.ts";

function watched() {
  const state = { now: 1_000_000, failure: null as DatabaseErrorKind | null };
  const logged: [event: string, failures: unknown, level: string][] = [];
  const watch = createWriteWatch({
    database: {
      engine: "sqlite",
      batch: async () =>
        state.failure === null ? [[{ one: 1 }]] : Promise.reject(new DatabaseError(state.failure, "x")),
    },
    log: (event, { failures }, level) => void logged.push([event, failures, level]),
    now: () => state.now,
  });
  return { watch, state, logged };
}

test("a database that takes no transactions is told at once, then once a minute, and again when it takes them", async () => {
  const { watch, state, logged } = watched();
  assert.deepEqual(await watch.batch([]), [[{ one: 1 }]]);
  state.failure = "unavailable";
  for (let second = 0; second < 61; second++) {
    await assert.rejects(watch.batch([]), { kind: "unavailable" });
    state.now += 1_000;
  }
  state.failure = null;
  await watch.batch([]);
  await watch.batch([]);
  assert.deepEqual(logged, [
    ["database.not_writing", 1, "warn"],
    ["database.not_writing", 61, "warn"],
    ["database.writes", 61, "info"],
  ]);
});

test("it fails from the failure on until a success, or until nobody has asked for a while", async () => {
  const { watch, state } = watched();
  assert.equal(watch.isFailing(), false);
  state.failure = "unavailable";
  await assert.rejects(watch.batch([]));
  assert.equal(watch.isFailing(), true);
  state.now += 5_000;
  assert.equal(watch.isFailing(), false, "requests are let in again to find out");
  await assert.rejects(watch.batch([]));
  assert.equal(watch.isFailing(), true);
  state.failure = null;
  await watch.batch([]);
  assert.equal(watch.isFailing(), false);
});

test("one that fails and works alternately is told once a minute all the same", async () => {
  const { watch, state, logged } = watched();
  for (let count = 0; count < 1_000; count++) {
    state.failure = count % 2 === 0 ? "unavailable" : null;
    await watch.batch([]).catch(() => {});
  }
  assert.deepEqual(
    logged.map(([event]) => event),
    ["database.not_writing", "database.writes"],
  );
});

for (const kind of ["unmet", "unique", "bug"] as const) {
  test(`a transaction that is refused as "${kind}" says nothing about the database`, async () => {
    const { watch, state, logged } = watched();
    state.failure = kind;
    await assert.rejects(watch.batch([]), { kind });
    assert.deepEqual([watch.isFailing(), logged], [false, []]);
  });
}
