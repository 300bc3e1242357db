// Makes clicks durable without holding visitors up. Called by redirect.ts for every click.
// A click goes into the next transaction of the event log. When it is not committed after COMMIT_WAIT_MS, the click is
// written to the spool as well, a local file, and the visitor is let go. From there it is stored unless it is committed after all.
// Nothing counts twice: a click that is stored already is refused by its key.
import { insertTallies } from "../analytics/tally-store.ts";
import { tallyVisits } from "../analytics/visit.ts";
import type { EventRow } from "../events/event.ts";
import { isDatabaseError } from "../platform/database.ts";
import { append as addTo, createLinkedList, each, type Listed, remove } from "../platform/linked-list.ts";
import type { Spool } from "../platform/spool.ts";
import type { Statement } from "../platform/sql.ts";
import { type Click, countedVisit } from "./click.ts";
import { countClicks } from "./count-store.ts";
import { createSpoolDrain, FAILURE_NOTE_MS, RETRY_FIRST_MS, type RecorderNote, type Timers } from "./spool-drain.ts";
import { insertClicks } from "./store.ts";

/** How long a redirect waits for the database. */
export const COMMIT_WAIT_MS = 20;
/** How long it then waits for the spool, which may have to be opened first; then the visitor goes on without a token. */
export const SPOOL_WAIT_MS = 1_000;
/** Clicks that may wait for the database at once; more go to the spool directly. */
const IN_FLIGHT_MAX = 10_000;
/** `committed` and `spooled` are durable. */
export type Recorded = "committed" | "spooled" | "unrecorded";

/** The part of the event log that the recorder uses: items of one transaction, all or nothing. */
export interface ClickLog {
  channel<Item>(
    eventsOf: (item: Item) => readonly EventRow[],
    compose: (items: readonly Item[]) => { statements: Statement[]; may_be_stored: boolean },
  ): (item: Item) => Promise<unknown>;
}

/** Why the event log would not take a click: its row is there, or its app is not. */
export type ClickFate = "stored" | "orphan" | "unknown";

export interface RecorderOptions {
  log: ClickLog;
  spool: Spool;
  fateOf(click: Click): Promise<ClickFate>;
  /** An id that nothing has, and that begins with the time. */
  newId(): string;
  now(): number;
  timers?: Timers;
  /** Told what an operator wants to know; ids, never contents. */
  note?(note: RecorderNote): void;
}

export interface Recorder {
  record(click: Click): Promise<Recorded>;
  /** Drains what an earlier run left behind, and goes on whenever there is something in the spool. */
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
interface Wait extends Listed<Wait> {
  readonly look_at: number;
  spoolIt(): void;
}

interface Storing {
  click: Click;
  /** It comes from the spool. */
  may_be_stored: boolean;
}

/**
 * The rows of clicks and what is to be counted of them, in one transaction with their events. Fresh and spooled ones share a
 * channel, for with two of them links would be counted by two statements, and two processes could wait for each other in a circle.
 */
function composeClicks(items: readonly Storing[], newId: () => string) {
  const clicks = items.map(({ click }) => click);
  const tallies = insertTallies(tallyVisits(clicks.map(countedVisit)), newId);
  const statements = [insertClicks(clicks.map(({ row }) => row)), ...countClicks(clicks, newId), tallies];
  return { statements, may_be_stored: items.some((one) => one.may_be_stored) };
}

export function createRecorder(options: RecorderOptions): Recorder {
  const { log, spool, fateOf, now, newId, timers = SYSTEM_TIMERS, note = () => {} } = options;
  const store = log.channel(
    ({ click }: Storing) => click.events,
    (items: readonly Storing[]) => composeClicks(items, newId),
  );
  /** Cids of spooled clicks whose first transaction has not ended yet: they may be stored yet. */
  const undecided = new Set<string>();
  /** Writes under way, to the database and to the spool, and whoever waits for their end. */
  let in_flight = 0;
  let landed = () => {};
  /** While the database was out of reach a moment ago, clicks do not ask it. */
  let away_until = Number.NEGATIVE_INFINITY;
  /** Clicks that are not durable yet, by the time at which they are looked at. */
  const waiting = createLinkedList<Wait>();
  let look_timer: unknown;
  let unnoted = 0;
  let failure_noted_at = Number.NEGATIVE_INFINITY;

  const drain = createSpoolDrain({
    ...{ spool, now, timers, note, isAway, stayAway },
    isUndecided: (cid) => undecided.has(cid),
    commit: (click) => commit(click, true),
  });

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
    drain.soon();
    away_until = Number.NEGATIVE_INFINITY;
    return fate;
  }

  function isAway(): boolean {
    return timers.now() < away_until;
  }

  function stayAway(): void {
    away_until = timers.now() + RETRY_FIRST_MS;
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

  /** The first transaction of a spooled click ended: a stored click need not stay in the spool. */
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
      drain.schedule();
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

  async function stop(): Promise<void> {
    await drain.stop();
    if (in_flight === 0) return;
    await new Promise<void>((resolve) => {
      landed = resolve;
    });
  }

  return { record, start: drain.start, stop };
}
