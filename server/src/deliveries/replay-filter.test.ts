import assert from "node:assert/strict";
import { test } from "node:test";
import type { Replay } from "#contract/replays.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { ACCEPTED, openReplayWorld, type ReplayWorld } from "../../test/support/replays.ts";
import { compileFilter } from "../destinations/filter.ts";
import { PASSING_BYTES_MAX } from "../destinations/passing-store.ts";
import { sql } from "../platform/sql.ts";

const STEP_MS = 5_000;
const ROUNDS_MAX = 100;
const ADDED_AT_ONCE = 1_000;
const WANTED = { data: { kind: "wanted" } };
const REFUSED = { data: { kind: "other" } };

const openWanting = (engine: Parameters<typeof openReplayWorld>[0]) =>
  openReplayWorld(engine, { filter: compileFilter({ path: "data.kind", equals: "wanted" }), rate_per_second: 1 });

const start = (world: ReplayWorld) =>
  world.replays.startReplay(world.key.id, null, world.request({ states: ["missing"] }));

/** Carries the replay on, each round in a process of its own, and answers what is sent until it is done. */
async function finish(world: ReplayWorld, { id }: Replay) {
  const sent: string[] = [];
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await world.openProcess().runner.runRound();
    sent.push(...(await world.deliver(() => ACCEPTED)));
    world.clock.at += STEP_MS;
    const replay = await world.replays.getReplay(id, null);
    if (replay.finished_at !== null) return { replay, sent };
  }
  return assert.fail(`not done after ${ROUNDS_MAX} rounds`);
}

forEachEngine((engine) => {
  test("a filter that refuses nearly all is passed by in one round, however few may be handed out", async () => {
    const world = await openWanting(engine);
    for (let added = 0; added < 5 * ADDED_AT_ONCE; added += ADDED_AT_ONCE)
      await world.addEvents(ADDED_AT_ONCE, REFUSED);
    const first = await world.addEvents(3, WANTED);
    await world.addEvents(700, REFUSED);
    const last = await world.addEvents(2, WANTED);
    const replay = await start(world);
    await world.runner.runRound();
    const positions = await world.deliver(() => ACCEPTED);
    assert.deepEqual(positions, first.slice(0, 1), "one a second");
    const done = await finish(world, replay);
    assert.deepEqual([...positions, ...done.sent], [...first, ...last]);
    assert.deepEqual([replay.total, done.replay.created, done.replay.succeeded], [5, 5, 5]);
  });

  test("where nothing that is missing is asked for, a step reads as many as it hands out, and no body", async () => {
    const world = await openWanting(engine);
    const positions = await world.addEvents(700, { ...REFUSED, state: "failed" });
    await world.replays.startReplay(world.key.id, null, world.request({ states: ["failed"] }));
    const read = { matches: 0, bodies: 0 };
    const query: typeof world.db.query = async <Result>(statement: Parameters<typeof world.db.query>[0]) => {
      const found = await world.db.query<Result>(statement);
      const text = statement.parts.join("");
      if (text.startsWith("select m.*")) read.matches += found.length;
      if (text.includes("body")) read.bodies += found.length;
      return found;
    };
    await world.openProcess({ ...world.db, query }).runner.runRound();
    assert.deepEqual(read, { matches: 1, bodies: 0 }, "one a second");
    assert.deepEqual(await world.deliver(() => ACCEPTED), positions.slice(0, 1));
  });

  test("of large events a step looks at few, and gets on behind each", async () => {
    const world = await openWanting(engine);
    const large = (kind: string, bytes: number) => world.addEvents(1, { data: { text: "x".repeat(bytes), kind } });
    const wanted = await world.addEvents(1, WANTED);
    for (let added = 0; added < 40; added++) {
      const positions = await large(added % 10 === 0 ? "wanted" : "other", 250_000);
      if (added % 10 === 0) wanted.push(...positions);
    }
    await large("other", PASSING_BYTES_MAX + 1);
    wanted.push(...(await large("wanted", PASSING_BYTES_MAX + 1)), ...(await world.addEvents(2, WANTED)));
    const replay = await start(world);
    const { replay: done, sent } = await finish(world, replay);
    assert.deepEqual(sent, wanted);
    assert.deepEqual([replay.total, done.created, done.succeeded, done.state], [8, 8, 8, "done"]);
  });

  test("one that finds nothing says that what the filter refuses is not missing", async () => {
    const world = await openWanting(engine);
    await world.addEvents(2);
    const { state, total, reason } = await start(world);
    assert.deepEqual([state, total], ["done", 0]);
    assert.match(
      reason ?? "",
      /^Nothing matched, .* change the filter first with PATCH \/api\/webhooks\/dst_\w+ \{"filter"/,
    );
  });

  test("an event whose body is gone meanwhile stops nothing", async () => {
    const world = await openWanting(engine);
    const [erased] = await world.addEvents(1, WANTED);
    const kept = await world.addEvents(2, WANTED);
    const replay = await start(world);
    await world.db.query(sql`delete from events where app_id = ${world.key.app_id} and position = ${erased ?? ""}`);
    const { sent } = await finish(world, replay);
    assert.deepEqual(sent, kept);
  });
});
