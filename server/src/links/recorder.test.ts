import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { controlled, newClick, passed, UNAVAILABLE, UNMET } from "../../test/support/recorder.ts";
import { DatabaseError } from "../platform/database.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { COMMIT_WAIT_MS, SPOOL_WAIT_MS } from "./recorder.ts";

describe("a redirect waits for the database only so long", () => {
  test("a click that is committed in time is committed, and nothing else happens", async () => {
    const { recorder, commits, entries, timers } = controlled();
    const recorded = recorder.record(newClick());
    commits[0]?.finish();
    assert.equal(await recorded, "committed");
    assert.equal(entries.size, 0);
    assert.equal(timers.pending(), 0);
  });

  test("a click that takes longer goes to the spool, and from there once it is committed after all", async () => {
    const { recorder, commits, entries, timers } = controlled();
    const recorded = recorder.record(newClick());
    await passed(timers, COMMIT_WAIT_MS - 1);
    assert.equal(entries.size, 0);
    await passed(timers, 1);
    assert.equal(await recorded, "spooled");
    assert.equal(entries.size, 1);
    commits[0]?.finish();
    await yieldToEventLoop();
    assert.equal(entries.size, 0);
    assert.equal(commits.length, 1, "it was not stored a second time");
  });

  test("a click waits no longer while others are committed beside it, and each from its own beginning", async () => {
    const { recorder, commits, entries, timers } = controlled();
    const first = recorder.record(newClick());
    await passed(timers, COMMIT_WAIT_MS / 2);
    const second = recorder.record(newClick());
    const other = recorder.record(newClick());
    commits[2]?.finish();
    assert.equal(await other, "committed");
    await passed(timers, COMMIT_WAIT_MS / 2);
    assert.equal(await first, "spooled");
    assert.equal(entries.size, 1);
    await passed(timers, COMMIT_WAIT_MS / 2);
    assert.equal(await second, "spooled");
    assert.equal(entries.size, 2);
  });

  test("while its first transaction has not ended, a spooled click is not drained", async () => {
    const { recorder, commits, entries, timers } = controlled();
    const recorded = recorder.record(newClick());
    await passed(timers, COMMIT_WAIT_MS);
    assert.equal(await recorded, "spooled");
    await passed(timers, 60_000);
    await passed(timers, 60_000);
    assert.equal(commits.length, 1);
    commits[0]?.fail(UNAVAILABLE);
    await yieldToEventLoop();
    await passed(timers, 60_000);
    assert.equal(commits.length, 2, "now it is");
    commits[1]?.finish();
    await yieldToEventLoop();
    assert.equal(entries.size, 0);
  });

  test("a database out of reach sends the click to the spool at once", async () => {
    const { recorder, commits, entries } = controlled();
    const recorded = recorder.record(newClick());
    commits[0]?.fail(UNAVAILABLE);
    assert.equal(await recorded, "spooled");
    assert.equal(entries.size, 1);
  });

  test("while it is out of reach, further clicks go to the spool without asking it", async () => {
    const { recorder, commits, entries } = controlled();
    const first = recorder.record(newClick());
    commits[0]?.fail(UNAVAILABLE);
    await first;
    assert.deepEqual(await Promise.all([recorder.record(newClick()), recorder.record(newClick())]), [
      "spooled",
      "spooled",
    ]);
    assert.equal(commits.length, 1);
    assert.equal(entries.size, 3);
  });

  for (const broken of ["fails", "hangs"] as const) {
    test(`when the spool ${broken} too, the visitor goes on without a token`, async () => {
      const { recorder, commits, timers, state } = controlled();
      state.spool = broken;
      const recorded = recorder.record(newClick());
      commits[0]?.fail(UNAVAILABLE);
      await yieldToEventLoop();
      await passed(timers, SPOOL_WAIT_MS);
      assert.equal(await recorded, "unrecorded");
    });
  }

  test("after both have failed, the database is asked again soon", async () => {
    const { recorder, commits, timers, state } = controlled();
    state.spool = "fails";
    const first = recorder.record(newClick());
    commits[0]?.fail(UNAVAILABLE);
    assert.equal(await first, "unrecorded");
    assert.equal(await recorder.record(newClick()), "unrecorded");
    await passed(timers, 1_000);
    const second = recorder.record(newClick());
    commits[1]?.finish();
    assert.equal(await second, "committed");
  });

  test("when neither moves, clicks do not pile up in memory without end", async () => {
    const { recorder, commits, timers, state } = controlled();
    state.spool = "hangs";
    const waiting = Array.from({ length: 20_000 }, () => recorder.record(newClick()));
    assert.equal(commits.length, 10_000);
    assert.equal(await recorder.record(newClick()), "unrecorded");
    timers.pass(COMMIT_WAIT_MS);
    timers.pass(SPOOL_WAIT_MS);
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set(["unrecorded"]));
  });

  test("a commit that comes while a hanging spool is awaited still counts", async () => {
    const { recorder, commits, timers, state } = controlled();
    state.spool = "hangs";
    const recorded = recorder.record(newClick());
    await passed(timers, COMMIT_WAIT_MS);
    commits[0]?.finish();
    assert.equal(await recorded, "committed");
  });

  test("a click that is stored already is committed", async () => {
    const { recorder, commits } = controlled();
    const recorded = recorder.record(newClick());
    commits[0]?.fail(UNMET);
    assert.equal(await recorded, "committed");
  });

  test("a click of an app that is gone is not recorded, and not kept either", async () => {
    const { recorder, commits, entries, state, notes } = controlled();
    state.fate = "orphan";
    const recorded = recorder.record(newClick());
    commits[0]?.fail(UNMET);
    assert.equal(await recorded, "unrecorded");
    assert.equal(entries.size, 0);
    assert.equal(notes[0]?.event, "click.dropped");
  });

  test("a click that was not taken for another reason is kept for later", async () => {
    const { recorder, commits, entries, state } = controlled();
    state.fate = "unknown";
    const recorded = recorder.record(newClick());
    commits[0]?.fail(UNMET);
    assert.equal(await recorded, "spooled");
    assert.equal(entries.size, 1);
  });

  test("a click that the database refuses for good is kept and reported, and others are not held up", async () => {
    const { recorder, commits, entries, notes } = controlled();
    const click = newClick();
    const bad = recorder.record(click);
    commits[0]?.fail(new DatabaseError("bug", "syntax error"));
    assert.equal(await bad, "spooled");
    assert.equal(entries.size, 1);
    assert.ok(notes.some((note) => note.event === "click.failed" && note.cid === click.row.cid));
    const good = recorder.record(newClick());
    commits[1]?.finish();
    assert.equal(await good, "committed");
  });
});

test("stopping waits for what is being written and drains no more", async () => {
  const control = controlled();
  const recorded = control.recorder.record(newClick());
  const stopped = control.recorder.stop();
  let is_stopped = false;
  stopped.then(() => {
    is_stopped = true;
  });
  await yieldToEventLoop();
  assert.equal(is_stopped, false);
  control.commits[0]?.finish();
  await stopped;
  assert.equal(await recorded, "committed");
});

test("a disk that is full is told once a second, with the number of clicks it lost, and not for each of them", async () => {
  const { recorder, state, timers, notes } = controlled();
  state.spool = "fails";
  state.answer = () => Promise.reject(UNAVAILABLE);
  const lost = () => notes.map((note) => note.event === "spool.failed" && note.clicks);
  for (let count = 0; count < 5; count++) assert.equal(await recorder.record(newClick()), "unrecorded");
  assert.deepEqual(lost(), [1]);
  timers.pass(1_000);
  assert.equal(await recorder.record(newClick()), "unrecorded");
  assert.deepEqual(lost(), [1, 5]);
});
