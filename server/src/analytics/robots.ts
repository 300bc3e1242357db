// Counts crawlers and previews, which leave no click: in memory, and written once a second. What a process had counted since
// is lost when it is killed. Called by redirect.ts for every page that a crawler gets.
import { isDatabaseError } from "../platform/database.ts";
import { addTotal, dayOf, hourOf, type TotalRow, WHOLE_APP } from "./visit.ts";

const FLUSH_MS = 1_000;
/** Links and hours that wait to be written at once; a crawler that walks over more of them is not counted. */
export const WAITING_MAX = 10_000;

export interface Robots {
  count(link: { app_id: string; id: string }): void;
  start(): void;
  /** Writes what is waiting, as far as the database answers. */
  stop(): Promise<void>;
}

export interface RobotsOptions {
  write(hours: TotalRow[], days: TotalRow[]): Promise<unknown>;
  now(): number;
  every?(run: () => void, ms: number): () => void;
  failed(error: unknown): void;
}

export function createRobots({ write, now, failed, every = everySoOften }: RobotsOptions): Robots {
  let waiting = new Map<string, TotalRow>();
  let writing: Promise<void> | null = null;
  let cancel = () => {};

  function count({ app_id, id: link_id }: { app_id: string; id: string }): void {
    if (waiting.size < WAITING_MAX) addTotal(waiting, { app_id, link_id, at: hourOf(now()), clicks: 0, bots: 1 });
  }

  function flush(): Promise<void> {
    if (waiting.size > 0) writing ??= writeWaiting().finally(() => (writing = null));
    return writing ?? Promise.resolve();
  }

  async function writeWaiting(): Promise<void> {
    const taken = waiting;
    waiting = new Map();
    try {
      const { hours, days } = spread([...taken.values()]);
      await write(hours, days);
    } catch (error) {
      if (!isDatabaseError(error, "unavailable")) return failed(error);
      // What came meanwhile has its place too: together they are bounded, and what is beyond is lost.
      for (const row of taken.values()) if (waiting.size < WAITING_MAX) addTotal(waiting, row);
    }
  }

  async function stop(): Promise<void> {
    cancel();
    await flush();
    await flush();
  }

  return {
    count,
    start: () => {
      cancel = every(() => void flush(), FLUSH_MS);
    },
    stop,
  };
}

/** The same by day, and of the apps as a whole. */
function spread(counted: readonly TotalRow[]): { hours: TotalRow[]; days: TotalRow[] } {
  const hours = new Map<string, TotalRow>();
  const days = new Map<string, TotalRow>();
  for (const row of counted) {
    for (const link_id of [row.link_id, WHOLE_APP]) {
      addTotal(hours, { ...row, link_id });
      addTotal(days, { ...row, link_id, at: dayOf(row.at) });
    }
  }
  return { hours: [...hours.values()], days: [...days.values()] };
}

function everySoOften(run: () => void, ms: number): () => void {
  const timer = setInterval(run, ms);
  return () => clearInterval(timer);
}
