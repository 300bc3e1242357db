// Counts crawlers and previews, which leave no click: in memory, and written as tallies once a second. What a process had
// counted since is lost when it is killed. Called by redirect.ts for every page that a crawler gets.
import { isDatabaseError } from "../platform/database.ts";
import { hourOf, type TalliesOfApp, tallyBots } from "./visit.ts";

const FLUSH_MS = 1_000;
/** Links and hours that wait to be written at once; a crawler that walks over more of them is not counted. */
export const WAITING_MAX = 10_000;

/** Pages of one link that bots got within an hour. */
interface Waiting {
  readonly app_id: string;
  readonly link_id: string;
  readonly at: number;
  bots: number;
}

export interface Robots {
  count(link: { app_id: string; id: string }): void;
  start(): void;
  /** Writes what is waiting, as far as the database answers. */
  stop(): Promise<void>;
}

export interface RobotsOptions {
  write(rows: TalliesOfApp[]): Promise<unknown>;
  now(): number;
  every?(run: () => void, ms: number): () => void;
  failed(error: unknown): void;
}

export function createRobots({ write, now, failed, every = everySoOften }: RobotsOptions): Robots {
  let waiting = new Map<string, Waiting>();
  let writing: Promise<void> | null = null;
  let cancel = () => {};

  function count({ app_id, id: link_id }: { app_id: string; id: string }): void {
    add({ app_id, link_id, at: hourOf(now()), bots: 1 });
  }

  function add(one: Waiting): void {
    const key = `${one.link_id} ${one.at}`;
    const known = waiting.get(key);
    if (known !== undefined) known.bots += one.bots;
    else if (waiting.size < WAITING_MAX) waiting.set(key, one);
  }

  function flush(): Promise<void> {
    if (waiting.size > 0) writing ??= writeWaiting().finally(() => (writing = null));
    return writing ?? Promise.resolve();
  }

  async function writeWaiting(): Promise<void> {
    const taken = waiting;
    waiting = new Map();
    try {
      const by_app = Map.groupBy(taken.values(), ({ app_id }) => app_id);
      await write([...by_app].flatMap(([app_id, seen]) => tallyBots(app_id, seen)));
    } catch (error) {
      if (!isDatabaseError(error, "unavailable")) return failed(error);
      // What came meanwhile has its place too: together they are bounded, and what is beyond is lost.
      for (const one of taken.values()) add(one);
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

function everySoOften(run: () => void, ms: number): () => void {
  const timer = setInterval(run, ms);
  return () => clearInterval(timer);
}
