import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import {
  ACCEPTED,
  addFresh,
  DOWN,
  deliveryOf,
  HOUR_MS,
  openReplayWorld,
  startReplay,
} from "../../test/support/replays.ts";
import { isSomebodyBlocked, waitUntil } from "../../test/support/wait.ts";
import { sql } from "../platform/sql.ts";
import { PARKED_AFTER_MS } from "./policy.ts";
import { lockTurns } from "./turns-store.ts";

const ORDERED = { ordering: "link", retry_schedule: [] } as const;
const ROUNDS_MAX = 50;

forEachEngine((engine) => {
  test("a replay to an ordered webhook sends what it finds of each link one after another, in order", async () => {
    const world = await openReplayWorld(engine, ORDERED);
    const expected = new Map<string, string[]>();
    for (const [link_id, state] of [
      ["a", "failed"],
      ["b", undefined],
      ["a", undefined],
      ["b", "canceled"],
    ] as const) {
      const positions = await world.addEvents(3, { link_id, ...(state !== undefined && { state }) });
      expected.set(link_id, [...(expected.get(link_id) ?? []), ...positions]);
    }
    const { id } = await world.replays.startReplay(
      world.key.id,
      null,
      world.request({ states: ["missing", "failed", "canceled"] }),
    );
    const sent: string[] = [];
    for (let round = 0; round < ROUNDS_MAX; round++) {
      await world.runner.runRound();
      const claimed = await world.deliver(() => ACCEPTED);
      assert.ok(claimed.length <= expected.size, `one of each link at a time, not ${claimed.length}`);
      sent.push(...claimed);
      world.clock.at += 1_000;
    }
    for (const positions of expected.values()) {
      assert.deepEqual(
        sent.filter((position) => positions.includes(position)),
        positions,
      );
    }
    assert.equal((await world.replays.getReplay(id, null)).state, "done");
  });

  test("a replay whose first deliveries are tried again says that it waits for their turn, until it goes on", async () => {
    const world = await openReplayWorld(engine, { ordering: "link", retry_schedule: [2, 3_600] });
    for (const link_id of ["a", "b", "c"]) await world.addEvents(20, { link_id, state: "failed" });
    const { id } = await world.replays.startReplay(world.key.id, null, world.request());
    const show = () => world.replays.getReplay(id, null);
    const pass = async (answer: typeof DOWN, ms: number) => {
      await world.runner.runRound();
      await world.deliver(() => answer);
      world.clock.at += ms;
    };
    for (let round = 0; round < 20; round++) await pass(DOWN, 1_000);
    const held = await show();
    assert.deepEqual([held.state, held.succeeded, held.failed], ["running", 0, 0]);
    assert.ok(held.created < held.total && held.pending === held.created, JSON.stringify(held));
    assert.match(
      held.reason ?? "",
      /^It waits for \d+ deliveries that it has handed out: .* turn\. It goes on by itself/,
    );
    world.clock.at += 2 * HOUR_MS;
    await pass(ACCEPTED, 1_000);
    await world.runner.runRound();
    const going = await show();
    assert.ok(going.created > held.created, JSON.stringify(going));
    assert.equal(going.reason, null);
  });

  test("what waits behind a replay's deliveries goes on when the replay is canceled", async () => {
    const world = await openReplayWorld(engine, ORDERED);
    await world.addEvents(3, { link_id: "a", state: "failed" });
    const { id } = await world.replays.startReplay(world.key.id, null, world.request());
    await world.runner.runRound();
    const fresh = await addFresh(world, "a");
    const [first] = await world.deliver(() => DOWN);
    assert.notEqual(first, fresh);
    await world.replays.cancelReplay(id, null);
    world.wakes.length = 0;
    await world.runner.runRound();
    assert.deepEqual(world.wakes, [world.key.id], "its lane looks at once");
    world.clock.at += 1_000;
    assert.deepEqual(await world.deliver(() => ACCEPTED), [fresh]);
  });

  test("what a replay sends is parked by a probe of its paused webhook when its schedule is over since, and its link goes on", async () => {
    const world = await openReplayWorld(engine, { ordering: "link", retry_schedule: [5] });
    const { db, key, clock } = world;
    const [tried] = await world.addEvents(1, { link_id: "a", state: "failed" });
    const [missed] = await world.addEvents(1, { link_id: "a" });
    await startReplay(world, { states: ["failed", "missing"] });
    await world.runner.runRound();
    const armed_at = clock.at;
    await db.query(sql`insert into destination_health (destination_id, consecutive_failures) values (${key.id}, 0)`);
    const probe = async () => {
      await db.query(
        sql`update destination_health set probe_at = ${clock.at}, probes = 0 where destination_id = ${key.id}`,
      );
      const bounds = { now: clock.at, lease_until: clock.at + 1, in_turn: true };
      const [row] = await world.store.claimProbe(key.id, bounds);
      assert.ok(row !== undefined);
      await world.record(row, { kind: "refused", retriable: true, message: "503" });
      return [row.position, row.armed_at, row.armed_attempt];
    };
    clock.at += PARKED_AFTER_MS;
    assert.deepEqual(await probe(), [tried, armed_at, 1]);
    assert.equal((await deliveryOf(world, tried)).state, "pending", "of its two attempts one is left");
    assert.deepEqual(await probe(), [tried, armed_at, 1]);
    assert.equal((await deliveryOf(world, tried)).state, "failed");
    for (const state of ["pending", "failed"]) {
      assert.deepEqual(await probe(), [missed, armed_at, 0]);
      assert.equal((await deliveryOf(world, missed)).state, state);
    }
  });

  test("what is taken back from another webhook passes its turn on under the lock of that one", async () => {
    const world = await openReplayWorld(engine, ORDERED);
    const { db, target } = world;
    await world.addEvents(3, { link_id: "a", state: "failed" });
    await db.query(sql`insert into destination_health (destination_id, consecutive_failures) values (${target.id}, 0)`);
    const request = world.request({ target_id: target.id });
    const { id } = await world.replays.startReplay(world.key.id, null, request);
    await world.runner.runRound();
    await world.replays.cancelReplay(id, null);
    let is_over = false;
    let taking: Promise<void> | undefined;
    await db.transaction(async (within) => {
      await within(lockTurns(target.id));
      taking = world.runner.runRound().then(() => {
        is_over = true;
      });
      if (engine.name === "postgres")
        await Promise.race([taking, waitUntil(() => isSomebodyBlocked(db), "a step that waits")]);
      assert.equal(is_over, false, "it waits for whoever claims there");
    });
    await taking;
    assert.equal((await world.replays.getReplay(id, null)).pending, 0);
  });
});
