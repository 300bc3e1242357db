// Makes clicks durable without holding visitors up. Called by redirect.ts for every click.
// A click goes into the next transaction of the event log. When it is not committed after COMMIT_WAIT_MS, the click is
// written to the spool as well, a local file, the visitor is let go, and it is replayed unless it is committed after all.
// Replaying is exact: a click that is stored already is refused by its key and counts nowhere twice.
import type { EventRow } from "../events/event.ts";
import { isDatabaseError } from "../platform/database.ts";
import { append as addTo, createLinkedList, each, type Links, remove } from "../platform/linked-list.ts";
import type { Spool, SpoolEntry } from "../platform/spool.ts";
import type { Statement } from "../platform/sql.ts";
import type { Click } from "./click.ts";
import { WINDOW_MAX_SECONDS } from "./forget.ts";
import { recordClicks } from "./store.ts";

/** How long a redirect waits for the database. */
export const COMMIT_WAIT_MS = 20;
/** How long it then waits for the spool, which may have to be opened first; then the visitor goes on without a token. */
export const SPOOL_WAIT_MS = 1_000;
/** Clicks that may wait for the database at once; more go to the spool directly. */
const IN_FLIGHT_MAX = 10_000;
const REPLAY_BATCH = 500;
/** Of those so many at a time: half of a transaction, so that fresh clicks need not wait behind them. */
const REPLAY_TOGETHER = 50;
const PROBE_FIRST_MS = 250;
const PROBE_MAX_MS = 5_000;
/** Between two looks for what earlier runs left, while that fails. */
const RECOVER_AGAIN_MS = 30_000;
/** Clicks that the database refused as a bug are asked again after so long: the mistake may have been elsewhere. */
const REFUSED_AGAIN_MS = 60_000;
/** A full disk fails for each click; its log lines must not fill it further. */
const FAILURE_NOTE_MS = 1_000;

/** `committed` and `spooled` are durable. */
export type Recorded = "committed" | "spooled" | "unrecorded";

/** The part of the event log that the recorder uses: items of one transaction, all or nothing. */
export interface ClickLog {
  channel<Item>(
    eventsOf: (item: Item) => readonly EventRow[],
    compose: (items: readonly Item[]) => { statements: Statement[]; may_be_stored: boolean },
  ): (item: Item) => Promise<unknown>;
}

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

/** Why the event log would not take a click: its row is there, or its app is not. */
export type ClickFate = "stored" | "orphan" | "unknown";

export interface RecorderOptions {
  log: ClickLog;
  spool: Spool;
  fateOf(click: Click): Promise<ClickFate>;
  now(): number;
  timers?: Timers;
  /** Told what an operator wants to know; ids, never contents. */
  note?(note: RecorderNote): void;
}

export interface Recorder {
  record(click: Click): Promise<Recorded>;
  /** Replays what an earlier run left behind, and goes on whenever there is something to replay. */
  start(): Promise<void>;
  /** Waits for what is being written. The spool stays open: it belongs to the caller. */
  stop(): Promise<void>;
}

const SYSTEM_TIMERS: Timers = {
  now: () => performance.now(),
  set: (run, delay_ms) => setTimeout(run, delay_ms),
  // What `set` returned.
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

/** A click that waits for the database. */
interface Wait extends Links<Wait> {
  readonly look_at: number;
  spoolIt(): void;
}

/** Nothing of a visitor is kept beyond the longest match window, however long the database was away. */
function withoutOldHashes(click: Click, now: number): Click {
  if (now - click.row.created_at < WINDOW_MAX_SECONDS * 1_000) return click;
  return { ...click, row: { ...click.row, ip_hash: null, ua_hash: null } };
}

interface Storing {
  click: Click;
  /** It comes from the spool. */
  may_be_stored: boolean;
}

/**
 * The rows of clicks, in one transaction with their events. Fresh and spooled ones share a channel, for with two of them links would
 * be counted by two statements, and two processes could wait for each other in a circle.
 */
function composeClicks(items: readonly Storing[]) {
  const statements = recordClicks(items.map(({ click }) => click.row));
  return { statements, may_be_stored: items.some((one) => one.may_be_stored) };
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

export function createRecorder(options: RecorderOptions): Recorder {
  const { log, spool, fateOf, now, timers = SYSTEM_TIMERS, note = () => {} } = options;
  const store = log.channel(({ click }: Storing) => click.events, composeClicks);
  /** Cids of spooled clicks whose first transaction has not ended yet: they may need no replay. */
  const undecided = new Set<string>();
  /** Writes under way, to the database and to the spool, and whoever waits for their end. */
  let in_flight = 0;
  let landed = () => {};
  /** While the database was out of reach a moment ago, clicks do not ask it. */
  let away_until = Number.NEGATIVE_INFINITY;
  let probe_ms = PROBE_FIRST_MS;
  let timer: unknown;
  let recover_timer: unknown;
  /** Entries that are not asked again for a while. */
  const refused = new Set<number>();
  let refused_timer: unknown;
  let refusal_noted_at = Number.NEGATIVE_INFINITY;
  /** Entries that are no clicks: kept, for a later version may read them. */
  const unreadable = new Set<number>();
  let replaying: Promise<void> | null = null;
  let stopped = false;
  /** Clicks that are not durable yet, by the time at which they are looked at. */
  const waiting = createLinkedList<Wait>();
  let look_timer: unknown;
  let unnoted = 0;
  let failure_noted_at = Number.NEGATIVE_INFINITY;

  /** What became of the click in the database; rejects when that is not known. */
  function commit(click: Click, may_be_stored = false): Promise<"stored" | "orphan"> {
    return store({ click, may_be_stored }).then(
      () => answered("stored"),
      async (error: unknown) => {
        if (!isDatabaseError(error, "unmet")) throw error;
        const fate = await fateOf(click);
        if (fate === "unknown") throw error;
        if (fate === "orphan") note({ event: "click.dropped", cid: click.row.cid, app_id: click.row.app_id });
        return answered(fate);
      },
    );
  }

  function answered<Fate>(fate: Fate): Fate {
    probe_ms = PROBE_FIRST_MS;
    away_until = Number.NEGATIVE_INFINITY;
    return fate;
  }

  function isAway(): boolean {
    return timers.now() < away_until;
  }

  function stayAway(): void {
    away_until = timers.now() + PROBE_FIRST_MS;
  }

  function record(click: Click): Promise<Recorded> {
    if (isAway() || in_flight >= IN_FLIGHT_MAX) return toSpool(click);
    return new Promise((resolve) => {
      in_flight++;
      const committing = commit(click);
      let spooling: Promise<number | null> | null = null;
      const wait: Wait = { look_at: timers.now() + COMMIT_WAIT_MS, spoolIt, previous: null, next: null };
      startWaiting(wait);
      committing.then(
        (fate) => {
          endWaiting(wait);
          resolve(fate === "stored" ? "committed" : "unrecorded");
          if (spooling !== null) decided(click, spooling, true);
          landOne();
        },
        (error: unknown) => {
          endWaiting(wait);
          if (isDatabaseError(error, "unavailable")) stayAway();
          else note({ event: "click.failed", error, cid: click.row.cid });
          if (spooling === null) spoolIt();
          else decided(click, spooling, false);
          // Last, so that whoever waits for all writes waits for the spool's too.
          landOne();
        },
      );

      function spoolIt(): void {
        if (spooling !== null) return;
        undecided.add(click.row.cid);
        spooling = append(click);
        waitForSpool(spooling).then(resolve);
        // A commit that failed before has nothing more to decide.
        committing.catch(() => undecided.delete(click.row.cid));
      }
    });
  }

  /** All wait equally long, so they are looked at in the order in which they came, and one timer serves them all. */
  function startWaiting(wait: Wait): void {
    addTo(waiting, wait);
    if (waiting.size === 1) look_timer = timers.set(lookAtWaiting, COMMIT_WAIT_MS);
  }

  function endWaiting(wait: Wait): void {
    if (!remove(waiting, wait) || waiting.size > 0) return;
    timers.clear(look_timer);
    look_timer = undefined;
  }

  function lookAtWaiting(): void {
    const at = timers.now();
    for (const wait of each(waiting)) {
      if (wait.look_at > at) break;
      remove(waiting, wait);
      wait.spoolIt();
    }
    const { first } = waiting;
    look_timer = first === null ? undefined : timers.set(lookAtWaiting, first.look_at - at);
  }

  /** The first transaction of a spooled click ended: a stored click needs no replay. */
  async function decided(click: Click, spooling: Promise<number | null>, is_stored: boolean): Promise<void> {
    const seq = await spooling;
    if (is_stored && seq !== null) await spool.remove([seq]).catch((error) => note({ event: "spool.failed", error }));
    undecided.delete(click.row.cid);
  }

  async function toSpool(click: Click): Promise<Recorded> {
    // Neither the database nor the spool moves: memory must not be the third queue.
    if (in_flight >= 2 * IN_FLIGHT_MAX) return "unrecorded";
    return waitForSpool(append(click));
  }

  /** The number of the entry; null when the spool failed or is full. */
  async function append(click: Click): Promise<number | null> {
    in_flight++;
    try {
      const seq = await spool.append(JSON.stringify(click));
      schedule();
      return seq;
    } catch (error) {
      noteLost(error);
      return null;
    } finally {
      landOne();
    }
  }

  /** The first at once, then together. */
  function noteLost(error: unknown): void {
    unnoted++;
    if (timers.now() - failure_noted_at < FAILURE_NOTE_MS) return;
    failure_noted_at = timers.now();
    note({ event: "spool.failed", error, clicks: unnoted });
    unnoted = 0;
  }

  function waitForSpool(spooling: Promise<number | null>): Promise<Recorded> {
    return new Promise((resolve) => {
      const waited = timers.set(() => resolve("unrecorded"), SPOOL_WAIT_MS);
      spooling.then((seq) => {
        timers.clear(waited);
        resolve(seq === null ? "unrecorded" : "spooled");
      });
    });
  }

  function landOne(): void {
    if (--in_flight === 0) landed();
  }

  function schedule(): void {
    if (timer !== undefined || replaying !== null || stopped) return;
    timer = timers.set(() => {
      timer = undefined;
      replaying = replay().finally(() => {
        replaying = null;
        if (spool.count() > refused.size + unreadable.size) schedule();
      });
    }, probe_ms);
    probe_ms = Math.min(probe_ms * 2, PROBE_MAX_MS);
  }

  async function replay(): Promise<void> {
    let replayed = 0;
    try {
      let after = 0;
      while (!stopped) {
        const entries = await spool.read(after, REPLAY_BATCH);
        const last = entries.at(-1);
        if (last === undefined) break;
        after = last.seq;
        for (let from = 0; from < entries.length && !isAway(); from += REPLAY_TOGETHER) {
          const stored = await replayBatch(entries.slice(from, from + REPLAY_TOGETHER));
          replayed += stored.length;
          if (stored.length > 0) await spool.remove(stored);
        }
        if (isAway()) break;
      }
    } catch (error) {
      // The spool's own failure: what it holds stays there until it answers again.
      note({ event: "spool.failed", error });
    }
    if (replayed > 0) note({ event: "spool.drained", clicks: replayed });
  }

  /** The numbers of those that are in the database now. */
  async function replayBatch(entries: readonly SpoolEntry[]): Promise<number[]> {
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
      if (undecided.has(cid)) return;
      try {
        await commit(withoutOldHashes(click, now()), true);
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

  async function stop(): Promise<void> {
    stopped = true;
    if (timer !== undefined) timers.clear(timer);
    if (recover_timer !== undefined) timers.clear(recover_timer);
    if (refused_timer !== undefined) timers.clear(refused_timer);
    await replaying;
    if (in_flight === 0) return;
    await new Promise<void>((resolve) => {
      landed = resolve;
    });
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

  return { record, start, stop };
}
