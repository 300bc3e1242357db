import assert from "node:assert/strict";
import { test } from "node:test";
import type { Replay } from "#contract/replays.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import {
  ACCEPTED,
  DOWN,
  deliveryOf,
  HOUR_MS,
  openReplayWorld,
  REFUSED,
  type ReplayWorld,
  startReplay,
} from "../../test/support/replays.ts";
import { compileFilter } from "../destinations/filter.ts";
import type { Database } from "../platform/database.ts";
import { sql } from "../platform/sql.ts";

const STEP_MS = 5_000;
const ROUNDS_MAX = 100;

/** Carries the replay on and answers what is sent, until it is done. */
async function finish(world: ReplayWorld, { id }: Replay, answer = (_position: string) => ACCEPTED) {
  const sent: string[] = [];
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await world.runner.runRound();
    sent.push(...(await world.deliver(answer)));
    world.clock.at += STEP_MS;
    const replay = await world.replays.getReplay(id, null);
    if (replay.finished_at !== null) return { replay, sent };
  }
  return assert.fail(`not done after ${ROUNDS_MAX} rounds`);
}

const countsOf = ({ total, created, succeeded, failed, canceled, pending }: Replay) => {
  return { total, created, succeeded, failed, canceled, pending };
};

forEachEngine((engine) => {
  test("everything that matches is sent once, as a replay, and says nothing about health", async () => {
    const world = await openReplayWorld(engine);
    const missing = await world.addEvents(700);
    const failed = await world.addEvents(30, { state: "failed" });
    await world.addEvents(20, { state: "succeeded" });
    const started = await startReplay(world);
    assert.deepEqual(countsOf(started), { total: 730, created: 0, succeeded: 0, failed: 0, canceled: 0, pending: 0 });
    world.clock.at++;
    const later = await world.addEvents(5, { state: "failed" });
    const { replay, sent } = await finish(world, started);
    assert.deepEqual(sent.sort(), [...missing, ...failed]);
    assert.equal(replay.state, "done");
    assert.deepEqual(countsOf(replay), {
      total: 730,
      created: 730,
      succeeded: 730,
      failed: 0,
      canceled: 0,
      pending: 0,
    });
    for (const position of later) assert.equal((await deliveryOf(world, position)).state, "failed");
    const attempts = await world.db.query(sql`select trigger, number, count(*) as n from attempt_history
      where destination_id = ${world.key.id} group by trigger, number order by number`);
    assert.deepEqual(attempts, [
      { trigger: "replay", number: 1, n: 700 },
      { trigger: "replay", number: 2, n: 30 },
    ]);
    const hours = await world.db.query(sql`select * from destination_hours where destination_id = ${world.key.id}`);
    assert.deepEqual(hours, []);
  });

  test("of what is missing a filter lets through what passes; what it once refused is sent, for somebody asked for it", async () => {
    const filter = compileFilter({
      any: [
        { path: "data.n", in: [1, 2] },
        { path: "link_id", equals: "lnk_2" },
      ],
    });
    const world = await openReplayWorld(engine, { filter });
    const passing = await world.addEvents(130, { data: { n: 1 } });
    await world.addEvents(1_200, { data: { n: 3 } });
    const linked = await world.addEvents(2, { link_id: "lnk_2" });
    const skipped = await world.addEvents(3, { data: { n: 3 }, state: "skipped" });
    const request = world.request({ states: ["missing", "skipped"] });
    const { count, sample } = await world.replays.previewReplay(world.key.id, null, { ...request, dry_run: true });
    assert.deepEqual([count, sample.length, sample[0]?.event_id], [135, 10, passing[0]]);
    const { replay, sent } = await finish(world, await startReplay(world, { states: ["missing", "skipped"] }));
    assert.deepEqual(sent.sort(), [...passing, ...linked, ...skipped]);
    assert.deepEqual([replay.total, replay.created, replay.succeeded, replay.state], [135, 135, 135, "done"]);
    world.settings.filter = compileFilter({ path: "event", equals: "link.click" });
    const without_data = await world.replays.previewReplay(world.key.id, null, world.request());
    assert.equal(without_data.count, 1_200);
  });

  test("few wait at a time, so that what is fresh has few before it", async () => {
    const world = await openReplayWorld(engine, { max_in_flight: 10 });
    await world.addEvents(200);
    const { id } = await startReplay(world);
    const runRounds = async (rounds: number) => {
      for (let round = 0; round < rounds; round++) {
        await world.runner.runRound();
        world.clock.at += STEP_MS;
      }
      return (await world.replays.getReplay(id, null)).pending;
    };
    assert.equal(await runRounds(5), 20, "at first");
    assert.equal((await world.deliver(() => ACCEPTED)).length, 20);
    assert.equal(await runRounds(5), 40, "once the first were taken");
    world.settings.rate_per_second = 3;
    assert.equal((await world.deliver(() => ACCEPTED)).length, 40);
    assert.equal(await runRounds(1), 3);
  });

  test("one whose deliveries all failed after the last was handed out stays running, and says so until it is done", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(20);
    const { id } = await startReplay(world);
    await world.runner.runRound();
    assert.equal((await world.deliver(() => DOWN)).length, 20);
    world.clock.at += STEP_MS;
    await world.runner.runRound();
    const { state, pending, reason } = await world.replays.getReplay(id, null);
    assert.deepEqual([state, pending], ["running", 20]);
    assert.equal(reason, null, "it looks for more");
    world.clock.at += STEP_MS;
    await world.runner.runRound();
    assert.match(
      (await world.replays.getReplay(id, null)).reason ?? "",
      /^All is handed out; 20 of the 20 attempts .* failed/,
    );
    world.clock.at += HOUR_MS;
    await world.runner.runRound();
    assert.match((await world.replays.getReplay(id, null)).reason ?? "", /^All is handed out; what is pending waits/);
    const { replay } = await finish(world, { id } as Replay);
    assert.deepEqual([replay.state, replay.reason, replay.succeeded], ["done", null, 20]);
  });

  test("a rate of its own paces a replay", async () => {
    const world = await openReplayWorld(engine);
    await world.addEvents(50);
    const { id } = await startReplay(world, { rate_per_second: 4 });
    const created: number[] = [];
    for (let second = 0; second < 4; second++) {
      await world.runner.runRound();
      created.push((await world.replays.getReplay(id, null)).created);
      world.clock.at += 1_000;
    }
    assert.deepEqual(created, [1, 5, 9, 13]);
  });

  test("two processes carry one replay on, and everything is handed out once", async () => {
    const world = await openReplayWorld(engine);
    const missing = await world.addEvents(900);
    const { id } = await startReplay(world);
    const others = [world.openProcess(), world.openProcess()];
    const sent: string[] = [];
    for (let round = 0; round < 20; round++) {
      await Promise.all([world, ...others].map(({ runner }) => runner.runRound()));
      sent.push(...(await world.deliver(() => ACCEPTED)));
      world.clock.at += STEP_MS;
    }
    const replay = await world.replays.getReplay(id, null);
    assert.deepEqual(countsOf(replay), {
      total: 900,
      created: 900,
      succeeded: 900,
      failed: 0,
      canceled: 0,
      pending: 0,
    });
    assert.deepEqual([...sent].sort(), missing);
  });

  test("a process that dies at any statement of a step leaves the step undone, and the next one makes it", async () => {
    const world = await openReplayWorld(engine);
    const failed = await world.addEvents(10, { state: "failed" });
    const missing = await world.addEvents(250);
    const started = await startReplay(world);
    for (let life = 1; life <= 6; life++) {
      await world.openProcess(dieAt(world.db, life)).runner.runRound();
      const { created } = await world.replays.getReplay(started.id, null);
      assert.equal(created, 0, `after a death at statement ${life}`);
    }
    const { replay, sent } = await finish(world, started);
    assert.deepEqual(sent.sort(), [...failed, ...missing]);
    assert.equal(replay.succeeded, 260);
  });

  test("a delivery that fails has its schedule again, and ends as failed", async () => {
    const world = await openReplayWorld(engine, { retry_schedule: [5, 5] });
    const [position] = await world.addEvents(1, { state: "failed" });
    const { replay } = await finish(world, await startReplay(world), () => DOWN);
    assert.deepEqual(countsOf(replay), { total: 1, created: 1, succeeded: 0, failed: 1, canceled: 0, pending: 0 });
    const row = await deliveryOf(world, position);
    assert.deepEqual([row.state, row.reason, row.attempt], ["failed", "All 3 attempts failed. down", 4]);
    const attempts = await world.store.attemptsOf(row);
    assert.deepEqual(
      attempts.map(({ trigger }) => trigger),
      ["replay", "replay", "replay"],
    );
  });

  test("what was delivered before and fails now is failed, and says that it was delivered", async () => {
    const world = await openReplayWorld(engine);
    const [position] = await world.addEvents(1, { state: "succeeded" });
    const { replay } = await finish(world, await startReplay(world, { states: ["succeeded"] }), () => REFUSED);
    assert.equal(replay.failed, 1);
    const row = await deliveryOf(world, position);
    assert.deepEqual([row.state, row.reason], ["failed", "Delivered before; a replay of it failed. no"]);
  });

  test("it pauses itself when more than a fifth of the attempts fail, and goes on when it is resumed", async () => {
    const world = await openReplayWorld(engine, { retry_schedule: [] });
    await world.addEvents(500);
    const started = await startReplay(world);
    await world.runner.runRound();
    await world.deliver((_, index) => (index % 4 === 0 ? DOWN : ACCEPTED));
    world.clock.at += STEP_MS;
    await world.runner.runRound();
    const paused = await world.replays.getReplay(started.id, null);
    assert.equal(paused.state, "paused");
    assert.match(paused.reason ?? "", /5 of the last 20 attempts of replays failed/);
    assert.deepEqual(countsOf(paused), {
      ...{ total: 500, created: 20, succeeded: 15, failed: 5, canceled: 0, pending: 0 },
    });
    world.clock.at += HOUR_MS;
    await world.runner.runRound();
    assert.equal((await world.replays.getReplay(started.id, null)).created, 20, "nothing is handed out meanwhile");
    world.clock.at -= HOUR_MS;
    const resumed = await world.replays.resumeReplay(started.id, null, { rate_per_second: 1_000 });
    assert.deepEqual([resumed.state, resumed.reason, resumed.rate_per_second], ["running", null, 1_000]);
    const { replay } = await finish(world, started);
    assert.deepEqual([replay.state, replay.created, replay.succeeded, replay.failed], ["done", 500, 495, 5]);
  });

  test("a fifth, or fewer than ten attempts, is no reason to pause", async () => {
    for (const [count, failing] of [
      [100, 4],
      [9, 9],
    ] as const) {
      const world = await openReplayWorld(engine, { retry_schedule: [] });
      await world.addEvents(count);
      const started = await startReplay(world);
      await world.runner.runRound();
      await world.deliver((_, index) => (index < failing ? DOWN : ACCEPTED));
      const { replay } = await finish(world, started);
      assert.deepEqual([replay.state, replay.created, replay.failed], ["done", count, failing]);
    }
  });

  test("of the parts of a range everything that matches is sent, once, and nothing between them", async () => {
    const world = await openReplayWorld(engine);
    const inside: string[] = [];
    const parts: { since: number; until: number }[] = [];
    for (const count of [30, 0, 2_500, 1, 20]) {
      await world.addEvents(40);
      const since = world.clock.at;
      inside.push(...(await world.addEvents(count > 0 ? count : 1).then((made) => (count > 0 ? made : []))));
      parts.push(count > 0 ? { since, until: world.clock.at } : { since, until: since });
    }
    await world.addEvents(40);
    const started = await world.replays.startReplay(
      world.key.id,
      null,
      world.request({ states: ["missing"], since: new Date(parts[0]?.since ?? 0).toISOString() }),
      parts,
    );
    assert.equal(started.total, inside.length);
    const { replay, sent } = await finish(world, started);
    assert.deepEqual([replay.created, replay.succeeded, replay.state], [inside.length, inside.length, "done"]);
    assert.deepEqual(sent.sort(), inside.sort());
  });

  test("an attempt by hand in between, and a cancel by hand, leave the replay's counts right", async () => {
    const world = await openReplayWorld(engine, { retry_schedule: [5, 5] });
    const [retried] = await world.addEvents(1, { state: "failed" });
    const [canceled] = await world.addEvents(1, { state: "failed" });
    const started = await startReplay(world);
    await world.runner.runRound();
    await world.store.grantAttempt({ destination_id: world.key.id, position: retried ?? "" }, world.clock.at);
    await world.store.cancel({ destination_id: world.key.id, position: canceled ?? "" }, "by hand", world.clock.at);
    assert.equal((await deliveryOf(world, canceled)).state, "failed", "what had become of it stays true");
    assert.deepEqual(await world.deliver(() => DOWN), [retried]);
    const row = await deliveryOf(world, retried);
    assert.deepEqual([row.state, row.trigger, row.failures], ["pending", "replay", 0], "the attempt cost nothing");
    const { replay } = await finish(world, started);
    assert.deepEqual(countsOf(replay), { total: 2, created: 2, succeeded: 1, failed: 0, canceled: 1, pending: 0 });
  });

  test("a second replay leaves to the first what that has under way, and takes what has ended", async () => {
    const world = await openReplayWorld(engine, { retry_schedule: [] });
    const [refusedOne] = await world.addEvents(2, { state: "failed" });
    const first = await startReplay(world);
    await world.runner.runRound();
    await world.deliver((position) => (position === refusedOne ? REFUSED : ACCEPTED));
    world.clock.at += 1;
    const second = await startReplay(world);
    assert.equal(second.total, 1, "counted although the first replay has not counted it yet");
    const { replay } = await finish(world, second);
    assert.deepEqual([replay.created, replay.succeeded], [1, 1]);
    const counted = await world.replays.getReplay(first.id, null);
    assert.deepEqual([counted.state, counted.succeeded, counted.failed], ["done", 1, 1]);
  });

  test("who waits for what another replay has not counted does not wait until that one looks by itself", async () => {
    const world = await openReplayWorld(engine, { retry_schedule: [1, 600] });
    const [refusedOne] = await world.addEvents(2, { state: "failed" });
    const first = await startReplay(world);
    await world.runner.runRound();
    await world.deliver(() => DOWN);
    world.clock.at += 500;
    await world.runner.runRound();
    // From here on the first one has nothing but retries to wait for.
    world.clock.at += 500;
    await world.deliver((position) => (position === refusedOne ? REFUSED : DOWN));
    world.clock.at += 1;
    const second = await startReplay(world);
    for (let rounds = 0; rounds < 3; rounds++) {
      await world.runner.runRound();
      world.clock.at += 500;
    }
    const [counted, waiting] = await Promise.all([first, second].map(({ id }) => world.replays.getReplay(id, null)));
    assert.deepEqual([counted?.state, counted?.failed, counted?.pending], ["running", 1, 1]);
    assert.deepEqual([waiting?.created, waiting?.pending], [1, 1]);
  });
});

/** A database whose connection breaks at the n-th statement of each transaction. */
function dieAt(db: Database, n: number): Database {
  return {
    ...db,
    transaction: (work) =>
      db.transaction((query) => {
        let statements = 0;
        return work((statement) => (++statements === n ? Promise.reject(new Error("died")) : query(statement)));
      }),
  };
}
