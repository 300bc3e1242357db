// Conditions are told once when they begin and once when they have ended, over all processes, on both engines.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { openNotices } from "../../test/support/notices.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { QUIET_MS, type Reading } from "./conditions.ts";

const DISK = { kind: "disk", subject: "a:/data" };
const LOOK_MS = 60_000;
const HOLDS: Reading = { state: "holds", begin: { type: "disk.low", message: "Little is left.", data: { n: 1 } } };
const GONE: Reading = {
  state: "gone",
  end: (since) => ({ type: "disk.recovered", message: "Well.", data: { since } }),
};
const BETWEEN: Reading = { state: "between" };

forEachEngine((engine) => {
  test("two processes that both see it tell its beginning once and its end once", async () => {
    const world = await openNotices(engine);
    const processes = [world.startProcess(), world.startProcess()];
    const look = async (reading: Reading) => {
      await Promise.all(processes.map(({ conditions }) => conditions.report(DISK, reading)));
      world.clock.pass(LOOK_MS);
    };
    await look(GONE);
    for (let n = 0; n < 5; n++) await look(HOLDS);
    assert.deepEqual(await world.types(), ["disk.low"]);
    assert.deepEqual(await processes[0]?.conditions.openSubjects("disk", 10), [DISK.subject]);
    for (let n = 0; n < 5; n++) await look(GONE);
    assert.deepEqual(await world.types(), ["disk.low", "disk.recovered"]);
    await look(HOLDS);
    assert.deepEqual(await world.types(), ["disk.low", "disk.recovered", "disk.low"], "it can begin again");
  });

  test("one that comes and goes is told once, and ends when it has been gone for a while", async () => {
    const world = await openNotices(engine);
    const { conditions } = world.startProcess();
    for (let n = 0; n < 10; n++) {
      await conditions.report(DISK, n % 2 === 0 ? HOLDS : GONE);
      world.clock.pass(LOOK_MS);
    }
    assert.deepEqual(await world.types(), ["disk.low"]);
    world.clock.pass(QUIET_MS);
    await conditions.report(DISK, BETWEEN);
    await conditions.report(DISK, GONE);
    assert.deepEqual(await world.types(), ["disk.low"], "between the two limits it goes on");
    world.clock.pass(QUIET_MS);
    await conditions.report(DISK, GONE);
    assert.deepEqual(await world.types(), ["disk.low", "disk.recovered"]);
  });

  test("between the two limits nothing begins, and a process that is well does not end what another one sees", async () => {
    const world = await openNotices(engine);
    const [ill, well] = [world.startProcess(), world.startProcess()];
    await ill.conditions.report(DISK, BETWEEN);
    assert.deepEqual(await world.types(), []);
    for (let n = 0; n < 6; n++) {
      await ill.conditions.report(DISK, HOLDS);
      world.clock.pass(LOOK_MS);
      await well.conditions.report(DISK, GONE);
    }
    assert.deepEqual(await world.types(), ["disk.low"]);
  });

  test("a process that starts anew tells nothing again, and the end of what one before it began", async () => {
    const world = await openNotices(engine);
    await world.startProcess().conditions.report(DISK, HOLDS);
    await world.startProcess().conditions.report(DISK, HOLDS);
    assert.deepEqual(await world.types(), ["disk.low"]);
    world.clock.pass(QUIET_MS);
    await world.startProcess().conditions.report(DISK, GONE);
    assert.deepEqual(await world.types(), ["disk.low", "disk.recovered"]);
  });

  test("without the database it is told from memory, once, and put on record when that is back", async () => {
    const world = await openNotices(engine);
    const { conditions, outbox, cut } = world.startProcess();
    cut.is_cut = true;
    for (let n = 0; n < 3; n++) {
      await conditions.report(DISK, HOLDS);
      world.clock.pass(LOOK_MS);
    }
    await waitUntil(() => world.sent.length === 3, "each way out to be used");
    assert.equal(new Set(world.sent.map(({ notice }) => notice.id)).size, 1);
    cut.is_cut = false;
    await outbox.flush();
    await conditions.report(DISK, HOLDS);
    assert.deepEqual(await world.types(), ["disk.low"]);
    assert.ok(
      (await world.sends()).every(({ state }) => state === "sent"),
      "with what became of it",
    );
    world.clock.pass(QUIET_MS);
    await conditions.report(DISK, GONE);
    await conditions.report(DISK, GONE);
    assert.deepEqual(await world.types(), ["disk.low", "disk.recovered"]);
  });

  test("what began and ended while the database was away has an end too", async () => {
    const world = await openNotices(engine);
    const { conditions, outbox, cut } = world.startProcess();
    cut.is_cut = true;
    await conditions.report(DISK, HOLDS);
    await waitUntil(() => world.sent.length === 3, "each way out to be used");
    cut.is_cut = false;
    await outbox.flush();
    for (let n = 0; n < 5; n++) {
      world.clock.pass(LOOK_MS);
      await conditions.report(DISK, GONE);
    }
    assert.deepEqual(await world.types(), ["disk.low", "disk.recovered"]);
  });
});
