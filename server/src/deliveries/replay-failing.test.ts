// A replay to a receiver that fails: how soon it is noticed, whatever the pace of the answers, and what is left of it then.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { ACCEPTED, DOWN, openReplayWorld, type ReplayWorld } from "../../test/support/replays.ts";
import { sql } from "../platform/sql.ts";

const ROUNDS_MAX = 100;

const start = (world: ReplayWorld, rate_per_second: number | null = null) =>
  world.replays.startReplay(world.key.id, null, world.request({ rate_per_second }));

forEachEngine((engine) => {
  test("of a hundred that all fail few are sent before it pauses itself, however they are answered", async () => {
    for (const answered_at_once of [1, 7, 100]) {
      const world = await openReplayWorld(engine, { retry_schedule: [] });
      await world.addEvents(100);
      const { id } = await start(world);
      for (let round = 0; round < ROUNDS_MAX; round++) {
        await world.runner.runRound();
        await world.deliver(() => DOWN, answered_at_once);
        world.clock.at += 500;
      }
      const { state, created, failed, pending } = await world.replays.getReplay(id, null);
      assert.deepEqual([state, failed, pending], ["paused", created, 0]);
      assert.ok(created < 30, `${created} with ${answered_at_once} answered at once`);
    }
  });

  test("one that is slower than ten attempts a minute pauses itself all the same, and not for what was before it", async () => {
    const world = await openReplayWorld(engine, { retry_schedule: [] });
    await world.addEvents(100);
    const { id } = await start(world, 0.1);
    const failUntil = async (created: number) => {
      for (let round = 0; round < ROUNDS_MAX; round++) {
        await world.runner.runRound();
        await world.deliver(() => DOWN);
        world.clock.at += 10_000;
        const replay = await world.replays.getReplay(id, null);
        if (replay.state === "paused" || replay.created >= created) return replay;
      }
      return assert.fail("neither paused nor that far");
    };
    const first = await failUntil(100);
    assert.deepEqual([first.state, first.created], ["paused", 10]);
    assert.match(first.reason ?? "", /10 of the last 10 attempts of replays failed/);
    await world.replays.resumeReplay(id, null, {});
    assert.equal((await failUntil(15)).state, "running", "what failed before it was resumed is no reason");
    assert.deepEqual((({ state, created }) => [state, created])(await failUntil(100)), ["paused", 20]);
    await world.replays.cancelReplay(id, null);
    const { id: next } = await start(world);
    await world.runner.runRound();
    await world.runner.runRound();
    const { state, created } = await world.replays.getReplay(next, null);
    assert.deepEqual([state, created], ["running", 20], "nor what another one met");
  });

  test("attempts that a stop of a server has cut off are no reason", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(60);
    const { id } = await start(world);
    await world.runner.runRound();
    const sent = await world.deliver((_, index) => (index < 15 ? ACCEPTED : DOWN));
    assert.equal(sent.length, 20);
    await world.db.query(sql`update attempts set cause = 'aborted'
      where destination_id = ${world.key.id} and outcome = 'unreachable'`);
    world.clock.at += 1_000;
    await world.runner.runRound();
    assert.equal((await world.replays.getReplay(id, null)).state, "running");
    await world.db.query(
      sql`update attempts set cause = 'reset' where destination_id = ${world.key.id} and cause = 'aborted'`,
    );
    world.clock.at += 1_000;
    await world.runner.runRound();
    assert.equal((await world.replays.getReplay(id, null)).state, "paused", "as the same failures of the receiver are");
  });
});
