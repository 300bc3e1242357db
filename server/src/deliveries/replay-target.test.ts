// Replays to another webhook of the app: what the first one failed at or missed is sent to the second.
import assert from "node:assert/strict";
import { test } from "node:test";
import { REPLAYED_STATES, type Replay, type ReplayCreate } from "#contract/replays.ts";
import { refused } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { ACCEPTED, openReplayWorld, REFUSED, type ReplayWorld } from "../../test/support/replays.ts";
import { sql } from "../platform/sql.ts";
import { OPEN_REPLAYS_MAX } from "./replay-store.ts";

const STEP_MS = 5_000;
const ROUNDS_MAX = 100;

const elsewhere = (world: ReplayWorld, fields: Partial<ReplayCreate> = {}) =>
  world.request({ target_id: world.target.id, ...fields });

const start = (world: ReplayWorld, fields: Partial<ReplayCreate> = {}) =>
  world.replays.startReplay(world.key.id, null, elsewhere(world, fields));

const count = async (world: ReplayWorld, fields: Partial<ReplayCreate> = {}) =>
  (await world.replays.previewReplay(world.key.id, null, elsewhere(world, fields))).count;

/** Carries the replay on and answers what is sent to the target, until it is over. */
async function finish(world: ReplayWorld, { id }: Replay, answer = (_position: string) => ACCEPTED) {
  const sent: string[] = [];
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await world.runner.runRound();
    sent.push(...(await world.deliver(answer, undefined, world.target.id)));
    assert.deepEqual(await world.deliver(answer), [], "nothing goes to the first webhook");
    world.clock.at += STEP_MS;
    const replay = await world.replays.getReplay(id, null);
    if (replay.finished_at !== null) return { replay, sent: sent.sort() };
  }
  return assert.fail(`not over after ${ROUNDS_MAX} rounds`);
}

const stateAt = async ({ store }: ReplayWorld, destination_id: string, position = "") =>
  (await store.find({ destination_id, position }))?.state;

forEachEngine((engine) => {
  test("what the first webhook failed at and missed is sent to the second, once each, and nothing there is touched", async () => {
    const world = await openReplayWorld(engine);
    const missing = await world.addEvents(600);
    const failed = await world.addEvents(30, { state: "failed" });
    await world.addEvents(20, { state: "succeeded" });
    await world.addEvents(5, { state: "pending" });
    await world.addEvents(5, { event: "link.claim" });
    const before = await world.db.query(
      sql`select * from deliveries where destination_id = ${world.key.id} order by position`,
    );
    assert.equal(await count(world), 630);
    const started = await start(world);
    assert.deepEqual([started.destination_id, started.target_id, started.total], [world.key.id, world.target.id, 630]);
    world.clock.at++;
    await world.addEvents(5, { state: "failed" });
    const { replay, sent } = await finish(world, started);
    assert.deepEqual(sent, [...missing, ...failed].sort());
    assert.deepEqual([replay.state, replay.created, replay.succeeded, replay.failed], ["done", 630, 630, 0]);
    const after = await world.db.query(
      sql`select * from deliveries where destination_id = ${world.key.id} order by position`,
    );
    assert.deepEqual(after.slice(0, before.length), before);
  });

  test("range, state, type and link are about the first webhook, alone and together, in a dry run and in earnest", async () => {
    const world = await openReplayWorld(engine);
    const wanted = new Map<string, string[]>();
    for (const state of [...REPLAYED_STATES, "pending"] as const) {
      for (const event of ["link.click", "link.claim"] as const) {
        for (const link_id of ["lnk_1", "lnk_2"]) {
          const options = { event, link_id, ...(state !== "missing" && { state }) };
          wanted.set(`${state} ${event} ${link_id}`, await world.addEvents(3, options));
        }
      }
    }
    const middle = new Date(world.clock.at).toISOString();
    await world.addEvents(2, { event: "link.claim", link_id: "lnk_1" });
    await world.addEvents(2, { event: "link.claim", link_id: "lnk_1", state: "failed" });
    const filters: [Partial<ReplayCreate>, keys: string[]][] = [
      [{ states: ["missing"], events: ["link.claim"], link_id: "lnk_1" }, ["missing link.claim lnk_1"]],
      [
        { states: ["failed", "missing"], events: ["link.claim"], link_id: "lnk_1" },
        ["failed link.claim lnk_1", "missing link.claim lnk_1"],
      ],
      [{ states: ["failed"], events: ["link.claim"], link_id: "lnk_1" }, ["failed link.claim lnk_1"]],
      [
        { states: ["canceled", "skipped"], link_id: "lnk_2" },
        [
          "canceled link.click lnk_2",
          "canceled link.claim lnk_2",
          "skipped link.click lnk_2",
          "skipped link.claim lnk_2",
        ],
      ],
      [{ states: ["succeeded"], events: ["link.click"], link_id: "lnk_2" }, ["succeeded link.click lnk_2"]],
    ];
    for (const [fields, keys] of filters) {
      const expected = keys.flatMap((key) => wanted.get(key) ?? assert.fail(key));
      const asked = { ...fields, until: middle };
      assert.equal(await count(world, asked), expected.length, JSON.stringify(fields));
      const preview = await world.replays.previewReplay(world.key.id, null, world.request(asked));
      assert.equal(preview.count, expected.length, "the same to the webhook itself");
      const { replay, sent } = await finish(world, await start(world, asked));
      assert.deepEqual([replay.total, replay.created, sent], [expected.length, expected.length, expected.sort()]);
    }
  });

  test("at the second webhook it re-arms what has ended, makes what is not there, and leaves alone what is pending", async () => {
    const world = await openReplayWorld(engine);
    const states = ["succeeded", "failed", "canceled", "skipped", "pending"] as const;
    const all = new Map<string, string[]>([["missing", await world.addEvents(2, { state: "failed" })]]);
    for (const state of states) {
      const positions = await world.addEvents(2, { state: "failed" });
      await world.addDeliveries(world.target.id, positions, state);
      all.set(state, positions);
    }
    world.clock.at++;
    assert.equal(await count(world), 10);
    const { sample } = await world.replays.previewReplay(world.key.id, null, elsewhere(world));
    assert.ok(
      sample.every(({ state }) => state === "failed"),
      "the sample says what became of them at the first",
    );
    const { replay, sent } = await finish(world, await start(world));
    all.delete("pending");
    assert.deepEqual([replay.total, replay.created, replay.succeeded], [10, 10, 10]);
    assert.deepEqual(sent, [...all.values()].flat().sort());
  });

  test("what the second webhook got since the replay was asked for is not sent again", async () => {
    const world = await openReplayWorld(engine);
    const positions = await world.addEvents(4, { state: "failed" });
    const started = await start(world);
    world.clock.at++;
    await world.addDeliveries(world.target.id, positions.slice(0, 1), "succeeded");
    const { replay, sent } = await finish(world, started);
    assert.deepEqual([replay.created, sent], [3, positions.slice(1)]);
  });

  test("a canceled replay leaves the second webhook as it was", async () => {
    const world = await openReplayWorld(engine);
    const [made, failed] = [
      await world.addEvents(3, { state: "failed" }),
      await world.addEvents(3, { state: "failed" }),
    ];
    await world.addDeliveries(world.target.id, failed, "failed");
    world.clock.at++;
    const started = await start(world);
    await world.runner.runRound();
    assert.equal(await stateAt(world, world.target.id, made[0]), "pending");
    await world.replays.cancelReplay(started.id, null);
    await finish(world, started);
    assert.equal(await stateAt(world, world.target.id, made[0]), undefined);
    assert.equal(await stateAt(world, world.target.id, failed[0]), "failed");
    assert.equal(await stateAt(world, world.key.id, made[0]), "failed");
  });

  test("the second webhook's state decides, the first one's does not", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(300, { state: "failed" });
    world.settings.state = "off";
    const { id } = await start(world);
    await world.runner.runRound();
    world.target.state = "disabled";
    world.clock.at += STEP_MS;
    await world.runner.runRound();
    const paused = await world.replays.getReplay(id, null);
    assert.deepEqual([paused.state, paused.pending], ["paused", 20]);
    await refused(world.replays.resumeReplay(id, null, undefined), "conflict");
    await refused(start(world), "conflict");
    world.target.state = "active";
    assert.equal((await world.replays.resumeReplay(id, null, undefined)).state, "running");
  });

  test("it pauses itself when the second webhook's receiver fails", async () => {
    const world = await openReplayWorld(engine, { retry_schedule: [] });
    await world.addEvents(300, { state: "failed" });
    const { id } = await start(world);
    await world.runner.runRound();
    await world.deliver(() => REFUSED, undefined, world.target.id);
    world.clock.at += STEP_MS;
    await world.runner.runRound();
    const { state, reason } = await world.replays.getReplay(id, null);
    assert.equal(state, "paused");
    assert.match(reason ?? "", /20 of the last 20 attempts/);
  });

  for (const which of ["is_deleted", "is_target_deleted"] as const) {
    test(`it ends when a webhook is deleted: ${which}`, async () => {
      const world = await openReplayWorld(engine);
      await world.addEvents(300, { state: "failed" });
      const { id } = await start(world);
      world.world[which] = true;
      await world.runner.runRound();
      const [row] = await world.db.query(sql`select state, reason, slot from replays where id = ${id}`);
      assert.deepEqual(row, { state: "canceled", reason: "The webhook was deleted.", slot: null });
      assert.equal((await world.replays.getReplay(id, null)).state, "canceled", "the other one still lists it");
    });
  }

  test("both webhooks list it, and each page once", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(1, { state: "failed" });
    const made: string[] = [];
    for (let n = 0; n < 3; n++) {
      made.unshift((await start(world)).id);
      world.clock.at++;
    }
    const own = await world.replays.startReplay(world.key.id, null, world.request());
    const idsOf = async (id: string) => {
      const first = await world.replays.listReplays(id, null, { limit: 2 });
      const rest = await world.replays.listReplays(id, null, { limit: 9, cursor: first.next_cursor ?? "" });
      return [...first.items, ...rest.items].map((replay) => replay.id);
    };
    assert.deepEqual(await idsOf(world.key.id), [own.id, ...made]);
    assert.deepEqual(await idsOf(world.target.id), made);
  });

  test("a webhook of another app cannot be the second one, whoever asks", async () => {
    const world = await openReplayWorld(engine);
    const asked = elsewhere(world, { target_id: world.foreign.id });
    for (const app_scope of [null, world.key.app_id]) {
      await refused(world.replays.previewReplay(world.key.id, app_scope, asked), "not_found", "target_id");
      await refused(world.replays.startReplay(world.key.id, app_scope, asked), "not_found", "target_id");
    }
    await refused(world.replays.startReplay(world.key.id, world.foreign.app_id, elsewhere(world)), "not_found");
  });

  test("of many replays that are asked for at the same moment, ten begin, wherever they come from", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(1, { state: "failed" });
    const processes = [world, world.openProcess(), world.openProcess()];
    const asked = Array.from({ length: OPEN_REPLAYS_MAX + 5 }, (_, n) =>
      (processes[n % 3] ?? world).replays.startReplay(world.key.id, null, elsewhere(world)).then(
        ({ id }) => id,
        (error) => error.code as string,
      ),
    );
    const answers = await Promise.all(asked);
    assert.equal(answers.filter((answer) => answer === "conflict").length, 5);
    const [first = ""] = answers.filter((answer) => answer !== "conflict");
    await world.replays.cancelReplay(first, null);
    assert.equal((await start(world)).state, "running", "a place is free again");
    await refused(start(world), "conflict");
    assert.equal((await world.replays.startReplay(world.key.id, null, world.request())).state, "running");
  });

  test("a replay that has handed out everything says when its webhook keeps it waiting", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(3, { state: "failed" });
    const { id } = await start(world);
    await world.runner.runRound();
    world.target.state = "off";
    world.clock.at += STEP_MS;
    await world.runner.runRound();
    const waiting = await world.replays.getReplay(id, null);
    assert.deepEqual([waiting.state, waiting.pending], ["running", 3]);
    assert.match(waiting.reason ?? "", /what is pending waits, for the webhook is off: turn it on/);
    world.target.state = "active";
    world.clock.at += STEP_MS;
    await world.runner.runRound();
    assert.equal((await world.replays.getReplay(id, null)).reason, null);
    const { replay } = await finish(world, waiting);
    assert.deepEqual([replay.state, replay.reason, replay.succeeded], ["done", null, 3]);
  });
});
