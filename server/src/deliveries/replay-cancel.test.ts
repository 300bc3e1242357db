// What becomes of deliveries when their replay is canceled: those that wait, and those that a dispatcher has claimed.
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
  type ReplayWorld,
  startReplay,
} from "../../test/support/replays.ts";
import { sql } from "../platform/sql.ts";
import { LEASE_MS } from "./leases.ts";

forEachEngine((engine) => {
  test("a canceled replay puts back what waits: what was missing is missing, the rest is what it was", async () => {
    const world = await openReplayWorld(engine);
    const [untried, tried, flying] = await world.addEvents(3);
    const [failed, delivered] = [
      (await world.addEvents(1, { state: "failed" }))[0],
      (await world.addEvents(1, { state: "succeeded" }))[0],
    ];
    const { id } = await startReplay(world, { states: ["missing", "failed", "succeeded"] });
    await world.runner.runRound();
    await world.db.query(sql`update deliveries set due_at = ${world.clock.at + HOUR_MS}
      where destination_id = ${world.key.id} and position <> ${tried ?? ""} and position <> ${flying ?? ""}`);
    assert.deepEqual(await world.deliver(() => DOWN, 1), [
      tried === undefined ? "" : await firstOf(world, tried, flying),
    ]);
    const lease = { now: world.clock.at, lease_until: world.clock.at + HOUR_MS, limit: 1, asked_only: false };
    const { claimed } = await world.store.claim(world.key.id, lease);
    assert.equal(claimed.length, 1);
    assert.equal((await world.replays.cancelReplay(id, null)).state, "canceled");
    await world.runner.runRound();
    const open = await world.replays.getReplay(id, null);
    assert.deepEqual([open.finished_at, open.pending, open.canceled], [null, 1, 3], "one is under way");
    assert.deepEqual([open.failed, open.reason?.includes("1 has failed")], [1, true], "what was tried in vain is told");
    assert.equal(await world.store.find({ destination_id: world.key.id, position: untried ?? "" }), undefined);
    const shown = async (position?: string) => {
      const { state, reason, due_at, leased } = await deliveryOf(world, position);
      return [state, reason, due_at, leased];
    };
    assert.deepEqual(await shown(failed), ["failed", "was failed", null, 0]);
    assert.deepEqual(await shown(delivered), ["succeeded", null, null, 0]);
    world.clock.at += HOUR_MS;
    await world.runner.runRound();
    const over = await world.replays.getReplay(id, null);
    assert.notEqual(over.finished_at, null, "its lease has run out");
    assert.deepEqual([over.failed, over.canceled, over.created], [2, 3, 5]);
    for (const position of [tried, flying]) {
      const row = await deliveryOf(world, position);
      assert.equal(row.state, "failed");
      assert.match(row.reason ?? "", /^The replay was canceled\./);
    }
    const again = await world.replays.previewReplay(world.key.id, null, world.request());
    assert.equal(again.count, 4, "all but what was delivered");
  });

  test("what a dispatcher had claimed and lets go of is taken back as if it had not been claimed, and nobody claims it before", async () => {
    const world = await openReplayWorld(engine);
    const missing = await world.addEvents(4);
    const [failed = ""] = await world.addEvents(1, { state: "failed" });
    const { id } = await startReplay(world);
    await world.runner.runRound();
    const lease = { now: world.clock.at, lease_until: world.clock.at + HOUR_MS, limit: 10, asked_only: false };
    const { claimed } = await world.store.claim(world.key.id, lease);
    assert.deepEqual(
      claimed.map(({ replay_id }) => replay_id),
      Array(5).fill(id),
    );
    assert.deepEqual(await world.store.canceledOf([id, "rpl_other"]), []);
    await world.replays.cancelReplay(id, null);
    assert.deepEqual(world.forgotten, [id], "dispatchers are told at once");
    assert.deepEqual(await world.store.canceledOf([id, "rpl_other"]), [id]);
    await world.runner.runRound();
    const open = await world.replays.getReplay(id, null);
    assert.deepEqual([open.pending, open.canceled, open.finished_at], [5, 0, null], "nobody knows what has begun");
    const [flying, ...waiting] = claimed.filter(({ position }) => position !== failed);
    const unsent = claimed.filter((one) => one !== flying);
    const later = world.clock.at + LEASE_MS;
    await world.store.release(
      unsent.map(({ position, attempt }) => ({ destination_id: world.key.id, position, attempt })),
      later,
    );
    world.clock.at += 1_000;
    assert.deepEqual(await world.deliver(() => ACCEPTED), [], "it is due for nobody");
    await world.runner.runRound();
    const rest = await world.replays.getReplay(id, null);
    assert.deepEqual([rest.pending, rest.canceled, rest.failed], [1, 4, 0]);
    for (const { position } of waiting) {
      assert.equal(await world.store.find({ destination_id: world.key.id, position }), undefined, "missing again");
    }
    const before = await deliveryOf(world, failed);
    assert.deepEqual([before.state, before.reason, before.attempt, before.due_at], ["failed", "was failed", 1, null]);
    assert.ok(flying !== undefined && missing.includes(flying.position));
    await world.record(flying, ACCEPTED);
    world.clock.at += 1_000;
    await world.runner.runRound();
    const over = await world.replays.getReplay(id, null);
    assert.deepEqual([over.succeeded, over.failed, over.canceled, over.pending], [1, 0, 4, 0]);
    assert.notEqual(over.finished_at, null, "it is looked at while something is under way");
    assert.equal((await deliveryOf(world, flying.position)).state, "succeeded");
  });

  test("what a dispatcher lets go of is due again when nobody takes it back", async () => {
    const world = await openReplayWorld(engine);
    const [position = ""] = await world.addEvents(1);
    await startReplay(world);
    await world.runner.runRound();
    const lease = { now: world.clock.at, lease_until: world.clock.at + HOUR_MS, limit: 10, asked_only: false };
    await world.store.claim(world.key.id, lease);
    const held = { destination_id: world.key.id, position, attempt: 1 };
    await world.store.release([held], world.clock.at + LEASE_MS);
    world.clock.at += LEASE_MS;
    assert.deepEqual(await world.deliver(() => ACCEPTED), [position]);
  });

  test("at a webhook with an order what a dispatcher lets go of passes its turn on when it is taken back", async () => {
    const world = await openReplayWorld(engine, { ordering: "link", retry_schedule: [] });
    await world.addEvents(2, { link_id: "a" });
    const { id } = await startReplay(world);
    await world.runner.runRound();
    const fresh = await addFresh(world, "a");
    const lease = { now: world.clock.at, lease_until: world.clock.at + HOUR_MS, limit: 10, asked_only: false };
    const { claimed } = await world.store.claim(world.key.id, { ...lease, in_turn: true });
    assert.equal(claimed.length, 1, "the first of its link");
    await world.replays.cancelReplay(id, null);
    await world.runner.runRound();
    assert.deepEqual(await world.deliver(() => ACCEPTED), [], "it may be being sent");
    const held = claimed.map(({ position, attempt }) => ({ destination_id: world.key.id, position, attempt }));
    await world.store.release(held, world.clock.at + LEASE_MS);
    world.clock.at += 1_000;
    assert.deepEqual(await world.deliver(() => ACCEPTED), [], "it has the turn until it is taken back");
    await world.runner.runRound();
    assert.deepEqual(await world.deliver(() => ACCEPTED), [fresh]);
    const over = await world.replays.getReplay(id, null);
    assert.deepEqual([over.created, over.canceled, over.pending], [2, 2, 0]);
  });
});

async function firstOf(world: ReplayWorld, ...positions: (string | undefined)[]): Promise<string | undefined> {
  for (const position of positions) if ((await deliveryOf(world, position)).failures > 0) return position;
  return undefined;
}
