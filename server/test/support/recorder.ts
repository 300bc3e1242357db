// A recorder of clicks whose database, spool and time are in the hands of a test.

import type { Click } from "../../src/links/click.ts";
import { type ClickFate, createRecorder } from "../../src/links/recorder.ts";
import type { RecorderNote, Timers } from "../../src/links/spool-drain.ts";
import { DatabaseError } from "../../src/platform/database.ts";
import type { Spool, SpoolEntry } from "../../src/platform/spool.ts";
import { yieldToEventLoop } from "../../src/platform/yield-to-event-loop.ts";

export const UNAVAILABLE = new DatabaseError("unavailable", "down");
export const UNMET = new DatabaseError("unmet", "stored already");

let clicks = 0;

export function newClick(): Click {
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
export function controlled() {
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
    newId: () => "one",
    timers,
    note: (note) => notes.push(note),
  });
  return { recorder, commits, entries, timers, notes, state, spool };
}

export async function passed(timers: { pass(ms: number): void }, ms: number): Promise<void> {
  timers.pass(ms);
  await yieldToEventLoop();
}
