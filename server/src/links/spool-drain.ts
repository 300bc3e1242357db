// Brings what is in the spool to the database when that answers again, what earlier runs left included. Used by recorder.ts.
// What the database refuses, or nobody can read, stays in the spool and holds nothing up.
import { isDatabaseError } from "../platform/database.ts";
import type { Spool, SpoolEntry } from "../platform/spool.ts";
import type { Click } from "./click.ts";
import { WINDOW_MAX_SECONDS } from "./forget.ts";

/** Entries of the spool. */
const READ_AT_ONCE = 500;
/** Of those so many go into one transaction, half of what it takes, so that fresh clicks need not wait behind them. */
const COMMITTED_TOGETHER = 50;
/** Between two tries while the database is away: at first, and at the most. */
export const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 5_000;
/** Between two looks for what earlier runs left, while that fails. */
const RECOVER_AGAIN_MS = 30_000;
/** Clicks that the database refused as a bug are asked again after so long: the mistake may have been elsewhere. */
const REFUSED_AGAIN_MS = 60_000;
/** A full disk fails for each click; its log lines must not fill it further. */
export const FAILURE_NOTE_MS = 1_000;

/** Timers, injected so that tests own the time. */
export interface Timers {
  /** Milliseconds of a clock that never goes back. */
  now(): number;
  set(run: () => void, delay_ms: number): unknown;
  clear(timer: unknown): void;
}

export type RecorderNote =
  | { readonly event: "spool.started" | "spool.drained"; readonly clicks: number }
  | { readonly event: "click.dropped"; readonly cid: string; readonly app_id: string }
  | { readonly event: "click.failed"; readonly error: unknown; readonly cid?: string }
  /** `clicks`: that were lost since the note before. */
  | { readonly event: "spool.failed"; readonly error: unknown; readonly clicks?: number };

export interface SpoolDrainOptions {
  spool: Spool;
  now(): number;
  timers: Timers;
  note(note: RecorderNote): void;
  /** Whether the database was out of reach a moment ago. */
  isAway(): boolean;
  stayAway(): void;
  /** Whether its first transaction is still under way, which may store it. */
  isUndecided(cid: string): boolean;
  /** Rejects when it is not known what became of the click. */
  commit(click: Click): Promise<unknown>;
}

export function createSpoolDrain(options: SpoolDrainOptions) {
  const { spool, now, timers, note, isAway, stayAway, isUndecided, commit } = options;
  let retry_ms = RETRY_FIRST_MS;
  let timer: unknown;
  let recover_timer: unknown;
  /** Entries that are not asked again for a while. */
  const refused = new Set<number>();
  let refused_timer: unknown;
  let refusal_noted_at = Number.NEGATIVE_INFINITY;
  /** Entries that are no clicks: kept, for a later version may read them. */
  const unreadable = new Set<number>();
  let draining: Promise<void> | null = null;
  let stopped = false;

  /** Brings over what is there after a while, which grows as long as the database does not answer. */
  function schedule(): void {
    if (timer !== undefined || draining !== null || stopped) return;
    timer = timers.set(() => {
      timer = undefined;
      draining = drain().finally(() => {
        draining = null;
        if (spool.count() > refused.size + unreadable.size) schedule();
      });
    }, retry_ms);
    retry_ms = Math.min(retry_ms * 2, RETRY_MAX_MS);
  }

  async function drain(): Promise<void> {
    let drained = 0;
    try {
      let after = 0;
      while (!stopped) {
        const entries = await spool.read(after, READ_AT_ONCE);
        const last = entries.at(-1);
        if (last === undefined) break;
        after = last.seq;
        for (let from = 0; from < entries.length && !isAway(); from += COMMITTED_TOGETHER) {
          const stored = await commitBatch(entries.slice(from, from + COMMITTED_TOGETHER));
          drained += stored.length;
          if (stored.length > 0) await spool.remove(stored);
        }
        if (isAway()) break;
      }
    } catch (error) {
      // The spool's own failure: what it holds stays there until it answers again.
      note({ event: "spool.failed", error });
    }
    if (drained > 0) note({ event: "spool.drained", clicks: drained });
  }

  /** The numbers of those that are in the database now. */
  async function commitBatch(entries: readonly SpoolEntry[]): Promise<number[]> {
    const stored: number[] = [];
    const commits = entries.map(async ({ seq, body }) => {
      if (refused.has(seq) || unreadable.has(seq)) return;
      const click = readClick(body);
      if (click === null) {
        unreadable.add(seq);
        noteRefused({ event: "click.failed", error: new Error(`Entry ${seq} of the spool is no click.`) });
        return;
      }
      const { cid } = click.row;
      if (isUndecided(cid)) return;
      try {
        await commit(withoutOldHashes(click, now()));
        stored.push(seq);
      } catch (error) {
        if (isDatabaseError(error, "unavailable")) return stayAway();
        setAside(seq);
        noteRefused({ event: "click.failed", error, cid });
      }
    });
    await Promise.all(commits);
    return stored;
  }

  function setAside(seq: number): void {
    refused.add(seq);
    if (stopped) return;
    refused_timer ??= timers.set(() => {
      refused_timer = undefined;
      refused.clear();
      schedule();
    }, REFUSED_AGAIN_MS);
  }

  /** One line a second: what refuses one click may refuse all. */
  function noteRefused(refusal: RecorderNote): void {
    if (timers.now() - refusal_noted_at < FAILURE_NOTE_MS) return;
    refusal_noted_at = timers.now();
    note(refusal);
  }

  /** The database has answered. */
  function soon(): void {
    retry_ms = RETRY_FIRST_MS;
  }

  async function stop(): Promise<void> {
    stopped = true;
    if (timer !== undefined) timers.clear(timer);
    if (recover_timer !== undefined) timers.clear(recover_timer);
    if (refused_timer !== undefined) timers.clear(refused_timer);
    await draining;
  }

  async function start(): Promise<void> {
    await recover();
    if (spool.count() > 0) note({ event: "spool.started", clicks: spool.count() });
  }

  /** Visitors hold the tokens of what earlier runs left: it is looked for until it is found. */
  function recover(): Promise<void> {
    recover_timer = undefined;
    return spool
      .recover()
      .catch((error: unknown) => {
        note({ event: "spool.failed", error });
        if (!stopped) recover_timer = timers.set(recover, RECOVER_AGAIN_MS);
      })
      .then(() => {
        if (spool.count() > 0) schedule();
      });
  }

  return { schedule, soon, start, stop };
}

/** Nothing of a visitor is kept beyond the longest match window, however long the database was away. */
function withoutOldHashes(click: Click, now: number): Click {
  if (now - click.row.created_at < WINDOW_MAX_SECONDS * 1_000) return click;
  return { ...click, row: { ...click.row, ip_hash: null, ua_hash: null } };
}

/** Written by `append`, in this run or an earlier one; null when it is no click. */
function readClick(body: string): Click | null {
  try {
    const click = JSON.parse(body) as Click | null;
    return typeof click?.row?.cid === "string" ? click : null;
  } catch {
    return null;
  }
}
