import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { controlled, newClick, passed, UNAVAILABLE, UNMET } from "../../test/support/recorder.ts";
import { DatabaseError } from "../platform/database.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";

describe("what is in the spool is drained when the database is back", () => {
  async function outage(control: ReturnType<typeof controlled>, count: number): Promise<void> {
    control.state.answer = () => Promise.reject(UNAVAILABLE);
    for (let left = count; left > 0; left--) assert.equal(await control.recorder.record(newClick()), "spooled");
  }

  test("all of it, and then clicks go to the database again", async () => {
    const control = controlled();
    await outage(control, 1_200);
    control.state.answer = () => Promise.resolve();
    await passed(control.timers, 5_000);
    for (let rounds = 0; rounds < 20; rounds++) await yieldToEventLoop();
    assert.equal(control.entries.size, 0);
    assert.ok(control.notes.some((note) => note.event === "spool.drained" && note.clicks === 1_200));
    assert.equal(await control.recorder.record(newClick()), "committed");
  });

  test("it is tried with growing pauses for as long as the database is away", async () => {
    const control = controlled();
    await outage(control, 1);
    const tries = () => control.commits.length;
    const before = tries();
    for (let second = 0; second < 60; second++) await passed(control.timers, 1_000);
    assert.ok(tries() - before >= 10 && tries() - before <= 25, `${tries() - before} tries in a minute`);
    assert.equal(control.entries.size, 1);
  });

  test("what is stored already is taken out of the spool", async () => {
    const control = controlled();
    await outage(control, 3);
    control.state.answer = () => Promise.reject(UNMET);
    await passed(control.timers, 5_000);
    await yieldToEventLoop();
    assert.equal(control.entries.size, 0);
  });

  test("one that the database refuses for good stays and does not hold up those behind it", async () => {
    const control = controlled();
    await outage(control, 3);
    let calls = 0;
    control.state.answer = () => (calls++ === 0 ? Promise.reject(new DatabaseError("bug", "x")) : Promise.resolve());
    control.timers.pass(5_000);
    for (let rounds = 0; rounds < 5; rounds++) await yieldToEventLoop();
    assert.equal(control.entries.size, 1);
    for (let second = 0; second < 54; second++) await passed(control.timers, 1_000);
    assert.equal(calls, 3, "it is not asked again for a minute");
    assert.deepEqual(
      control.notes.filter((note) => note.event === "click.failed").map((note) => "cid" in note),
      [true],
    );
    for (let second = 0; second < 12; second++) await passed(control.timers, 1_000);
    assert.deepEqual([calls, control.entries.size], [4, 0], "what refused it may have been mended");
  });

  test("one that cannot be read stays and does not hold up those behind it, nor those that come later", async () => {
    const control = controlled();
    for (const body of ["{", "null", JSON.stringify(newClick())]) await control.spool.append(body);
    control.state.answer = () => Promise.resolve();
    await control.recorder.start();
    await passed(control.timers, 5_000);
    await yieldToEventLoop();
    assert.deepEqual([...control.entries.values()], ["{", "null"]);
    control.state.answer = () => Promise.reject(UNAVAILABLE);
    assert.equal(await control.recorder.record(newClick()), "spooled");
    control.state.answer = () => Promise.resolve();
    await passed(control.timers, 5_000);
    await yieldToEventLoop();
    assert.deepEqual([...control.entries.values()], ["{", "null"]);
  });

  test("what an earlier run left is looked for again while that fails", async () => {
    const control = controlled();
    let tries = 0;
    control.spool.recover = async () => {
      if (++tries < 3) throw new DatabaseError("unavailable", "disk full");
      await control.spool.append(JSON.stringify(newClick()));
    };
    control.state.answer = () => Promise.resolve();
    await control.recorder.start();
    assert.equal(tries, 1);
    for (let second = 0; second < 70; second++) await passed(control.timers, 1_000);
    assert.equal(tries, 3);
    assert.equal(control.commits.length, 1);
    assert.equal(control.entries.size, 0);
  });

  test("what an earlier run left is drained from the start", async () => {
    const control = controlled();
    await control.spool.append(JSON.stringify(newClick()));
    control.state.answer = () => Promise.resolve();
    await control.recorder.start();
    await passed(control.timers, 5_000);
    await yieldToEventLoop();
    assert.equal(control.entries.size, 0);
  });
});
