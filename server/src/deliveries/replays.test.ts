import assert from "node:assert/strict";
import { test } from "node:test";
import type { ReplayCreate } from "#contract/replays.ts";
import { refused } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { ACCEPTED, HOUR_MS, openReplayWorld, START, startReplay } from "../../test/support/replays.ts";
import { sql } from "../platform/sql.ts";

const STEP_MS = 5_000;

forEachEngine((engine) => {
  const previews: [title: string, fields: Partial<ReplayCreate>, count: number][] = [
    ["failed and missing unless something else is asked for", {}, 5],
    ["what is missing, of the webhook's own types", { states: ["missing"] }, 3],
    ["what is missing of other types, when they are named", { states: ["missing"], events: ["link.claim"] }, 4],
    ["every way in which a delivery can have ended", { states: ["succeeded", "failed", "canceled", "skipped"] }, 9],
    ["what was delivered", { states: ["succeeded"] }, 6],
    ["what has failed and was canceled", { states: ["failed", "canceled"] }, 3],
    ["the events of one link", { link_id: "lnk_1" }, 1],
    ["the events of one link that have failed", { link_id: "lnk_1", states: ["failed"] }, 0],
    ["nothing of types that there is nothing of", { events: ["link.app_open"] }, 0],
    ["nothing from after the range", { until: new Date(START).toISOString() }, 0],
    ["nothing from before the range", { since: new Date(START + HOUR_MS).toISOString() }, 0],
  ];

  test("a dry run counts what matches, shows the oldest and sends nothing", async () => {
    const world = await openReplayWorld(engine);
    const missing = await world.addEvents(2);
    await world.addEvents(1, { link_id: "lnk_1" });
    await world.addEvents(4, { event: "link.claim" });
    await world.addEvents(1, { target_id: "dst_other" });
    await world.addEvents(1, { target_id: world.key.id, state: "failed" });
    for (const [state, count] of [
      ["failed", 2],
      ["canceled", 1],
      ["succeeded", 6],
      ["pending", 5],
    ] as const) {
      await world.addEvents(count, { state });
    }
    for (const [title, fields, count] of previews) {
      const preview = await world.replays.previewReplay(world.key.id, null, world.request(fields));
      assert.equal(preview.count, count, title);
      assert.equal(preview.sample.length, Math.min(10, count), title);
    }
    const { sample } = await world.replays.previewReplay(world.key.id, null, world.request());
    assert.deepEqual(sample[0], {
      ...{ event_id: missing[0], event: "link.click", state: "missing", created_at: new Date(START).toISOString() },
    });
    assert.deepEqual(
      sample.map(({ state }) => state),
      ["missing", "missing", "missing", "failed", "failed"],
    );
    assert.deepEqual(await world.deliver(() => ACCEPTED), []);
  });

  test("a webhook that takes nothing has no replays, and one that is turned off pauses them", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(300);
    world.settings.state = "off";
    const error = await refused(startReplay(world), "conflict");
    const sentence = `The webhook ${world.key.id} is off, and a replay would only wait: turn it on first with PATCH /api/webhooks/${world.key.id} {"enabled": true}.`;
    assert.equal(error.message, sentence);
    world.settings.state = "active";
    const { id } = await startReplay(world);
    await world.runner.runRound();
    world.settings.state = "disabled";
    world.clock.at += STEP_MS;
    await world.runner.runRound();
    const paused = await world.replays.getReplay(id, null);
    assert.deepEqual([paused.state, paused.pending], ["paused", 20]);
    await refused(world.replays.resumeReplay(id, null, undefined), "conflict");
    const lease = { now: world.clock.at, lease_until: world.clock.at + HOUR_MS, limit: 10, asked_only: true };
    assert.deepEqual(
      (await world.store.claim(world.key.id, lease)).claimed,
      [],
      "they wait like all that comes by itself",
    );
    world.world.is_deleted = true;
    world.clock.at += STEP_MS;
    await world.runner.runRound();
    const [row] = await world.db.query(sql`select state, reason, finished_at from replays where id = ${id}`);
    assert.deepEqual(row, { state: "canceled", reason: "The webhook was deleted.", finished_at: world.clock.at });
    await refused(world.replays.getReplay(id, null), "not_found");
    await assert.rejects(
      world.replays.getReplay(id, null),
      /The replays of a webhook that was deleted are gone with it/,
    );
  });

  test("where no process carries replays on, one that is to move says so, and one that waits for a person does not", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(30);
    const { id } = await startReplay(world);
    const reason = async () => (await world.replays.getReplay(id, null)).reason;
    assert.equal(await reason(), null);
    world.world.standstill = "Nobody delivers.";
    assert.equal(await reason(), "Nobody delivers.");
    assert.equal((await startReplay(world)).reason, "Nobody delivers.");
    const { items } = await world.replays.listReplays(world.key.id, null, { limit: 10 });
    assert.deepEqual(
      items.map((one) => one.reason),
      ["Nobody delivers.", "Nobody delivers."],
    );
    await world.runner.runRound();
    world.clock.at += STEP_MS;
    await world.runner.runRound();
    world.world.standstill = null;
    assert.match((await reason()) ?? "", /^It waits for 20 deliveries .* It goes on by itself/);
    world.world.standstill = "Nobody delivers.";
    assert.equal(await reason(), "Nobody delivers.", "it does not go on by itself");
    const at = new Date(world.clock.at).toISOString();
    const paused = await world.replays.pauseReplay(id, null);
    const calls = ["resume", "cancel"].map((call) => `POST /api/replays/${id}/${call}`);
    assert.equal(paused.reason, `Paused by hand at ${at}. Go on with ${calls[0]}, or end it with ${calls[1]}.`);
    assert.equal((await world.replays.resumeReplay(id, null, undefined)).reason, "Nobody delivers.");
    const canceled = await world.replays.cancelReplay(id, null);
    assert.equal(canceled.reason, `Canceled by hand at ${at}. Nobody delivers. 10 were not handed out.`);
  });

  test("a state that does not allow a call is refused with its name", async () => {
    const world = await openReplayWorld(engine);
    const idle = await startReplay(world);
    assert.deepEqual([idle.state, idle.reason], ["done", "Nothing matched, so nothing is sent."]);
    assert.deepEqual(await world.replays.getReplay(idle.id, null), idle);
    await world.addEvents(1);
    const { id } = await startReplay(world);
    await refused(world.replays.resumeReplay(id, null, undefined), "conflict");
    await world.replays.pauseReplay(id, null);
    await refused(world.replays.pauseReplay(id, null), "conflict");
    await world.replays.cancelReplay(id, null);
    for (const call of [world.replays.pauseReplay, world.replays.cancelReplay]) {
      assert.match((await refused(call(id, null), "conflict")).message, /this one is canceled/);
    }
    await refused(world.replays.getReplay(id, "app_other"), "not_found");
    await refused(world.replays.getReplay("rpl_none", null), "not_found");
  });

  test("a webhook has at most ten replays at a time, and lists them newest first", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(1);
    const made: string[] = [];
    for (let n = 0; n < 10; n++) {
      made.unshift((await startReplay(world)).id);
      world.clock.at++;
    }
    assert.match((await refused(startReplay(world), "conflict")).message, /at most 10 replays/);
    const first = await world.replays.listReplays(world.key.id, null, { limit: 6 });
    const cursor = first.next_cursor ?? undefined;
    const second = await world.replays.listReplays(world.key.id, null, { limit: 6, cursor });
    assert.deepEqual(
      [...first.items, ...second.items].map(({ id }) => id),
      made,
    );
    assert.equal(second.next_cursor, null);
  });

  test("where paused replays take the places, whoever asks for another is told how to end the oldest of them", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(1);
    const made: string[] = [];
    for (let n = 0; n < 10; n++) {
      made.push((await startReplay(world)).id);
      world.clock.at++;
    }
    const told = async () => (await refused(startReplay(world), "conflict")).message;
    const [first = "", second = "", ...others] = made;
    await world.replays.pauseReplay(second, null);
    assert.equal(
      await told(),
      `A webhook has at most 10 replays at a time, and 1 is paused, which does not end by itself: resume the oldest with POST /api/replays/${second}/resume or cancel it with POST /api/replays/${second}/cancel.`,
    );
    for (const id of [...others, first]) await world.replays.pauseReplay(id, null);
    assert.match(await told(), new RegExp(`all of them are paused, .* POST /api/replays/${first}/resume or`));
    await world.replays.cancelReplay(first, null);
    assert.equal((await startReplay(world)).state, "running");
  });

  test("a recovery looks at what other clocks date ahead, any other replay at nothing that is still to come", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(2);
    world.clock.at += 3_000;
    await world.addEvents(1);
    world.clock.at = START + 100;
    const missing = { states: ["missing" as const], dry_run: false, rate_per_second: null };
    const range = { since: new Date(START - 1).toISOString(), until: new Date(START + 10_000).toISOString() };
    const by_hand = await world.replays.startReplay(world.key.id, null, { ...range, ...missing });
    const ranges = [{ since: START - 1, until: START + 10_000 }];
    const recovery = await world.replays.startReplay(world.key.id, null, { ...range, ...missing }, ranges);
    assert.deepEqual([by_hand.total, recovery.total], [2, 3]);
    await world.replays.cancelReplay(by_hand.id, null);
    const read = () => world.replays.getReplay(recovery.id, null);
    for (let rounds = 0; rounds < 20 && (await read()).created < 3; rounds++) await world.runner.runRound();
    assert.equal((await read()).created, 3);
  });

  test("a webhook that another process has just turned on is not taken for one that is off", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(3);
    world.world.remembered = "disabled";
    const { id } = await startReplay(world, { states: ["missing"] });
    world.world.remembered = "off";
    const read = () => world.replays.getReplay(id, null);
    for (let rounds = 0; rounds < 20 && (await read()).created < 3; rounds++) await world.runner.runRound();
    const { state, created } = await read();
    assert.deepEqual([state, created], ["running", 3]);
    await world.replays.pauseReplay(id, null);
    world.world.remembered = "off";
    assert.equal((await world.replays.resumeReplay(id, null, undefined)).state, "running");
  });
});
