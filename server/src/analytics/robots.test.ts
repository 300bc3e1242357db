import assert from "node:assert/strict";
import { test } from "node:test";
import { DatabaseError } from "../platform/database.ts";
import { createRobots, WAITING_MAX } from "./robots.ts";
import type { TalliesOfApp, Tally } from "./visit.ts";

const NOW = Date.UTC(2026, 2, 1, 5);

function counting(outcomes: unknown[] = []) {
  const written: TalliesOfApp[][] = [];
  const failures: unknown[] = [];
  let tick = () => {};
  const robots = createRobots({
    async write(rows) {
      const outcome = outcomes.shift();
      if (outcome !== undefined) throw outcome;
      written.push(rows);
    },
    now: () => NOW,
    every(run) {
      tick = run;
      return () => {
        tick = () => {};
      };
    },
    failed: (error) => failures.push(error),
  });
  robots.start();
  const bots = () => written.map((rows) => rows.flatMap(([, tallies]) => JSON.parse(tallies).map(([, n]: Tally) => n)));
  return { robots, tick: () => tick(), written, failures, bots };
}

test("what was counted since is written together, and nothing when there is nothing", async () => {
  const { robots, tick, bots } = counting();
  tick();
  for (const id of ["a", "a", "b"]) robots.count({ app_id: "shop", id });
  tick();
  await robots.stop();
  assert.deepEqual(bots(), [[2, 1]]);
});

test("while the database is away counts wait, and are written once", async () => {
  const { robots, tick, bots, failures } = counting([new DatabaseError("unavailable", "down")]);
  robots.count({ app_id: "shop", id: "a" });
  tick();
  robots.count({ app_id: "shop", id: "a" });
  await robots.stop();
  assert.deepEqual(bots(), [[2]]);
  assert.deepEqual(failures, []);
});

test("a write that fails otherwise is said, and not tried for ever", async () => {
  const error = new DatabaseError("bug", "broken");
  const { robots, failures, written } = counting([error]);
  robots.count({ app_id: "shop", id: "a" });
  await robots.stop();
  assert.deepEqual([failures, written], [[error], []]);
});

test("a crawler that walks over any number of links takes bounded memory", async () => {
  const { robots, bots } = counting();
  for (let n = 0; n < WAITING_MAX + 5; n++) robots.count({ app_id: "shop", id: `lnk_${n}` });
  await robots.stop();
  assert.equal(bots()[0]?.length, WAITING_MAX);
});
