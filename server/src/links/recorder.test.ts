import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { DatabaseError } from "../platform/database.ts";
import type { Spool, SpoolEntry } from "../platform/spool.ts";
import type { Click } from "./click.ts";
import {
  type ClickFate,
  COMMIT_WAIT_MS,
  createRecorder,
  type RecorderNote,
  SPOOL_WAIT_MS,
  type Timers,
} from "./recorder.ts";

const UNAVAILABLE = new DatabaseError("unavailable", "down");
const UNMET = new DatabaseError("unmet", "stored already");

let clicks = 0;

function newClick(): Click {
  const cid = (++clicks).toString(16).padStart(32, "0");
  const row = { cid, app_id: "shop", link_id: "lnk_1", platform: "web", dest_url: "", created_at: 1, expires_at: 2 };
  const rest = { utm: null, params: null, os_version: null, locale: null, ip_hash: null, ua_hash: null };
  return { row: { ...row, ...rest }, events: [] };
}

/** Time that passes when the test says so. */
function manualTimers(): Timers & { pass(ms: number): void; pending(): number } {
  let now = 0;
  const timers = new Set<{ at: number; run: () => void }>();
  return {
    now: () => now,
    set(run, delay_ms) {
      const timer = { at: now + delay_ms, run };
      timers.add(timer);
      return timer;
    },
    // What `set` returned.
    clear: (timer) => void timers.delete(timer as { at: number; run: () => void }),
    pass(ms) {
      now += ms;
      for (const timer of [...timers]) {
        if (timer.at > now) continue;
        timers.delete(timer);
        timer.run();
      }
    },
    pending: () => timers.size,
  };
}

interface Commit {
  cid: string;
  finish(): void;
  fail(error: unknown): void;
}

/** A log whose commits end when the test says so, a spool in memory that can break, and time that stands still. */
function controlled() {
  const commits: Commit[] = [];
  const entries = new Map<number, string>();
  const notes: RecorderNote[] = [];
  const state = {
    spool: "works" as "works" | "fails" | "hangs",
    answer: null as null | (() => Promise<void>),
    fate: "stored" as ClickFate,
  };
  let last_seq = 0;
  const spool: Spool = {
    async append(body) {
      if (state.spool === "fails") throw new DatabaseError("unavailable", "disk full");
      if (state.spool === "hangs") await new Promise(() => {});
      entries.set(++last_seq, body);
      return last_seq;
    },
    read: async (after, limit) =>
      [...entries]
        .filter(([seq]) => seq > after)
        .slice(0, limit)
        .map(([seq, body]): SpoolEntry => ({ seq, body })),
    remove: async (seqs) => seqs.forEach((seq) => void entries.delete(seq)),
    recover: async () => {},
    count: () => entries.size,
    close: async () => {},
  };
  const timers = manualTimers();
  const log = {
    channel: () => (item: unknown) => {
      const { row } = (item as { click: Click }).click;
      const ended = Promise.withResolvers<void>();
      commits.push({ cid: row.cid, finish: ended.resolve, fail: ended.reject });
      if (state.answer !== null) state.answer().then(ended.resolve, ended.reject);
      return ended.promise;
    },
  };
  const recorder = createRecorder({
    log,
    spool,
    fateOf: async () => state.fate,
    now: () => 1,
    timers,
    note: (note) => notes.push(note),
  });
  return { recorder, commits, entries, timers, notes, state, spool };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

async function passed(timers: { pass(ms: number): void }, ms: number): Promise<void> {
  timers.pass(ms);
  await turn();
}

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
    await turn();
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

  test("while its first transaction has not ended, a spooled click is not replayed", async () => {
    const { recorder, commits, entries, timers } = controlled();
    const recorded = recorder.record(newClick());
    await passed(timers, COMMIT_WAIT_MS);
    assert.equal(await recorded, "spooled");
    await passed(timers, 60_000);
    await passed(timers, 60_000);
    assert.equal(commits.length, 1);
    commits[0]?.fail(UNAVAILABLE);
    await turn();
    await passed(timers, 60_000);
    assert.equal(commits.length, 2, "now it is");
    commits[1]?.finish();
    await turn();
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
      await turn();
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

describe("what is in the spool is replayed when the database is back", () => {
  async function outage(control: ReturnType<typeof controlled>, count: number): Promise<void> {
    control.state.answer = () => Promise.reject(UNAVAILABLE);
    for (let left = count; left > 0; left--) assert.equal(await control.recorder.record(newClick()), "spooled");
  }

  test("all of it, and then clicks go to the database again", async () => {
    const control = controlled();
    await outage(control, 1_200);
    control.state.answer = () => Promise.resolve();
    await passed(control.timers, 5_000);
    for (let turns = 0; turns < 20; turns++) await turn();
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
    await turn();
    assert.equal(control.entries.size, 0);
  });

  test("one that the database refuses for good stays and does not hold up those behind it", async () => {
    const control = controlled();
    await outage(control, 3);
    let calls = 0;
    control.state.answer = () => (calls++ === 0 ? Promise.reject(new DatabaseError("bug", "x")) : Promise.resolve());
    control.timers.pass(5_000);
    for (let turns = 0; turns < 5; turns++) await turn();
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
    await turn();
    assert.deepEqual([...control.entries.values()], ["{", "null"]);
    control.state.answer = () => Promise.reject(UNAVAILABLE);
    assert.equal(await control.recorder.record(newClick()), "spooled");
    control.state.answer = () => Promise.resolve();
    await passed(control.timers, 5_000);
    await turn();
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

  test("what an earlier run left is replayed from the start", async () => {
    const control = controlled();
    await control.spool.append(JSON.stringify(newClick()));
    control.state.answer = () => Promise.resolve();
    await control.recorder.start();
    await passed(control.timers, 5_000);
    await turn();
    assert.equal(control.entries.size, 0);
  });

  test("stopping waits for what is being written and replays no more", async () => {
    const control = controlled();
    const recorded = control.recorder.record(newClick());
    const stopped = control.recorder.stop();
    let is_stopped = false;
    stopped.then(() => {
      is_stopped = true;
    });
    await turn();
    assert.equal(is_stopped, false);
    control.commits[0]?.finish();
    await stopped;
    assert.equal(await recorded, "committed");
  });
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
