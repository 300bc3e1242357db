// Adds tallies to the counts, in processes with the role `dispatcher`: once a second, and at the start and stop. A step
// removes the oldest tallies and writes what they add up to in one transaction, so each counts once, whoever dies. Steps are
// small, and after each there is a rest as long as it took: on SQLite everybody else waits for the same thread. Made by compose.ts.
import type { Clock } from "../platform/clock.ts";
import { isDatabaseError } from "../platform/database.ts";
import { uuidTime } from "../platform/ids.ts";
import type { TallyStore, WaitingTallies } from "./tally-store.ts";
import { type Counts, createSum, readTallies, type Tally, WHOLE_APP } from "./visit.ts";

/** Between two looks for tallies, when there were none left. */
export const FOLD_EVERY_MS = 1_000;
/** Rows of tallies that are read at once: for more, PostgreSQL would read the whole table while its statistics are old. */
const PAGE_ROWS = 16;
/**
 * A step takes no more tallies when it writes so many rows of counts; a row of tallies makes 400 at the most. The more it takes, the
 * more of them is the same: steps grow while they are fast, and shrink when the database is slow or busy.
 */
const STEP_ROWS = { first: 200, least: 100, most: 1_000 };
const FAST_MS = 5;
const SLOW_MS = 10;
/** Steps of the last run, at a stop; what is left then waits for whoever folds next. */
const LAST_STEPS_MAX = 20;
/** Counts are behind when there was always something left for so long, and the oldest is as old; told as often. */
const BEHIND_MS = 60_000;
/** Of what cannot be read, so many are told of. */
const UNREADABLE_MAX = 100;

/**
 * Something that is folded in the same rhythm: one small step of it. Answers whether there was anything.
 * @throws DatabaseError "unmet" when somebody else is at it
 */
export type FoldStep = () => Promise<boolean>;

export interface FoldingOptions {
  store: TallyStore;
  beside?: FoldStep;
  clock: Clock;
  /** Milliseconds that only go forward. */
  elapsed(): number;
  log(event: string, fields: Record<string, unknown>, level: "info" | "warn"): void;
}

interface ReadTallies {
  id: string;
  app_id: string;
  tallies: Tally[];
}

/** What the first of a page add up to. */
interface Taken {
  ids: string[];
  counts: Counts;
}

export function createFolding({ store, beside, clock, elapsed, log }: FoldingOptions) {
  let state: "idle" | "running" | "stopping" = "idle";
  let run: Promise<void> | undefined;
  let step_rows = STEP_ROWS.first;
  let is_failing = false;
  let is_behind = false;
  /** When nothing was left, or it was told that counts are behind; by `elapsed`. */
  let quiet_from = elapsed();
  /** Ids that were told of. */
  const unreadable = new Set<string>();
  let cancelTimer = () => {};
  let endRest = () => {};

  /** Folds what is there, in turns. What another process folds at this moment is left to it. */
  async function fold(mayGoOn = () => true): Promise<void> {
    let steps = [tallySteps(), ...(beside === undefined ? [] : [beside])];
    while (steps.length > 0) {
      const left: FoldStep[] = [];
      for (const step of steps) {
        if (!mayGoOn()) return;
        const began_at = elapsed();
        if (!(await tryStep(step))) continue;
        left.push(step);
        if (state === "running") await rest(elapsed() - began_at);
      }
      steps = left;
    }
  }

  async function tryStep(step: FoldStep): Promise<boolean> {
    try {
      return await step();
    } catch (error) {
      if (isDatabaseError(error, "unmet")) return false;
      throw error;
    }
  }

  function tallySteps(): FoldStep {
    let after = "";
    let page: ReadTallies[] = [];
    return async () => {
      while (page.length === 0) {
        const waiting = await store.selectWaiting(after, PAGE_ROWS);
        if (waiting.length === 0) {
          noteEnd();
          return false;
        }
        after = waiting.at(-1)?.id ?? after;
        page = readAll(waiting);
        noteLag(page[0]);
      }
      const began_at = elapsed();
      const folded = await foldSome(page);
      page = page.slice(folded);
      step_rows = nextRows(step_rows, elapsed() - began_at);
      return true;
    };
  }

  /** The age is by the clock of whoever stored it. That alone says little, for that clock may be wrong. */
  function noteLag(oldest: ReadTallies | undefined): void {
    const age_ms = oldest === undefined ? 0 : clock.now() - uuidTime(oldest.id);
    if (elapsed() - quiet_from < BEHIND_MS || !(age_ms >= BEHIND_MS)) return;
    log("counts.behind", { behind_seconds: Math.floor(age_ms / 1_000) }, "warn");
    is_behind = true;
    quiet_from = elapsed();
  }

  function noteEnd(): void {
    if (is_behind) log("counts.caught_up", {}, "info");
    is_behind = false;
    quiet_from = elapsed();
  }

  /** What nobody can read stays where it is, for a later version may read it, and holds nothing up. */
  function readAll(waiting: readonly WaitingTallies[]): ReadTallies[] {
    return waiting.flatMap(({ id, app_id, tallies: text }) => {
      const tallies = readTallies(text);
      if (tallies !== null) return [{ id, app_id, tallies }];
      if (!unreadable.has(id) && unreadable.size < UNREADABLE_MAX) {
        unreadable.add(id);
        log("counts.unreadable", { id, app_id }, "warn");
      }
      return [];
    });
  }

  /** How many of the page. @throws DatabaseError "unmet" when somebody else is at it, or something of it has just gone */
  async function foldSome(page: readonly ReadTallies[]): Promise<number> {
    const { ids, counts } = take(page, step_rows);
    const links = idsOf(counts, "link_id").filter((id) => id !== WHOLE_APP);
    const there = await store.selectThere(idsOf(counts, "app_id"), links);
    await store.fold(ids, there, countsOfThose(counts, there));
    return ids.length;
  }

  function rest(rest_ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = clock.after(rest_ms, resolve);
      endRest = () => {
        cancel();
        resolve();
      };
    });
  }

  /** Never rejects: what could not be folded is there for the next run. */
  async function runOnce(mayGoOn: () => boolean): Promise<void> {
    try {
      await fold(mayGoOn);
      if (is_failing) log("counts.mended", {}, "info");
      is_failing = false;
    } catch (error) {
      if (!is_failing) log("counts.failed", { error }, "warn");
      is_failing = true;
    }
  }

  async function loop(): Promise<void> {
    run = runOnce(() => state === "running");
    await run;
    run = undefined;
    if (state === "running") cancelTimer = clock.after(FOLD_EVERY_MS, () => void loop());
  }

  function start(): void {
    state = "running";
    quiet_from = elapsed();
    void loop();
  }

  /** To be called when nothing more is recorded here: waits for the step under way, then folds what was recorded last. */
  async function stop(): Promise<void> {
    const was_running = state === "running";
    state = "stopping";
    cancelTimer();
    endRest();
    await run;
    let left = LAST_STEPS_MAX;
    if (was_running) await runOnce(() => left-- > 0);
  }

  return { fold: () => fold(), start, stop };
}

function nextRows(rows: number, took_ms: number): number {
  if (took_ms < FAST_MS) return Math.min(2 * rows, STEP_ROWS.most);
  return took_ms > SLOW_MS ? Math.max(rows / 2, STEP_ROWS.least) : rows;
}

/** At least one row, and further ones until there is enough to do. */
function take(page: readonly ReadTallies[], step_rows: number): Taken {
  const sum = createSum();
  const ids: string[] = [];
  for (const { id, app_id, tallies } of page) {
    if (sum.size() >= step_rows) break;
    sum.add(app_id, tallies);
    ids.push(id);
  }
  return { ids, counts: sum.counts() };
}

/** Every count stands in the hours, too. */
function idsOf({ hours }: Counts, name: "app_id" | "link_id"): string[] {
  return [...new Set(hours.map((row) => row[name]))];
}

/** Nothing is counted of an app that is gone, and of a link that is gone only what it adds to its app. */
function countsOfThose({ hours, days, parts }: Counts, there: { apps: string[]; links: string[] }): Counts {
  const apps = new Set(there.apps);
  const links = new Set([...there.links, WHOLE_APP]);
  const isThere = ({ app_id, link_id }: { app_id: string; link_id: string }) => apps.has(app_id) && links.has(link_id);
  return { hours: hours.filter(isThere), days: days.filter(isThere), parts: parts.filter(isThere) };
}
