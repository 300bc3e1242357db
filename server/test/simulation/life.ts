// The boundary of a simulated process: its clock, its database connection, and the moment when it dies. From then on
// nothing that it waits for ever answers and none of its timers fires, as after a kill -9. Used by process.ts.
import type { Clock } from "../../src/platform/clock.ts";
import { type Database, DatabaseError, type Query, type Row } from "../../src/platform/database.ts";
import type { Statement } from "../../src/platform/sql.ts";
import type { Ledger } from "./ledger.ts";
import type { World } from "./world.ts";

export interface Life {
  readonly name: string;
  readonly clock: Clock;
  isAlive(): boolean;
  /** Counts a step; false when the process died with this one, or before. */
  step(): boolean;
  /** Lets it die at a step to come. */
  dieAfter(steps: number): void;
  /** Ends it now. */
  end(): void;
  onEnd(listener: () => void): void;
}

/** Two machines agree about the time only so far. */
export const SKEW_MAX_MS = 2_000;
const CALL_MAX_MS = 4;
const SLOW_CALL_MAX_MS = 400;

export function createLife(world: World, name: string, isSkewed: boolean): Life {
  const skew = isSkewed ? world.random.int(-SKEW_MAX_MS, SKEW_MAX_MS) : 0;
  const listeners: (() => void)[] = [];
  let is_alive = true;
  let steps_left = Number.POSITIVE_INFINITY;

  function end(): void {
    if (!is_alive) return;
    is_alive = false;
    for (const listener of listeners) listener();
  }

  function step(): boolean {
    if (is_alive && --steps_left <= 0) {
      world.note(`${name} dies`);
      world.weather.disturbances++;
      end();
    }
    return is_alive;
  }

  const after = (delay_ms: number, callback: () => void) =>
    world.time.after(delay_ms, () => {
      if (is_alive) callback();
    });

  return {
    ...{ name, step, end },
    clock: { now: () => world.weather.wall + world.time.elapsed() + skew, after },
    isAlive: () => is_alive,
    dieAfter: (steps) => {
      steps_left = steps;
    },
    onEnd: (listener) => void listeners.push(listener),
  };
}

export function never<Result>(): Promise<Result> {
  return new Promise(() => {});
}

/** Passes time in a process; whoever waits when it dies waits for ever. */
function pause(life: Life, delay_ms: number): Promise<void> {
  return new Promise((resolve) => void life.clock.after(delay_ms, resolve));
}

/** One transaction of several round trips holds the disk of its world; nothing else runs meanwhile. */
const holders = new WeakMap<World, Promise<void>>();

export function connect(world: World, life: Life, ledger: Ledger): Database {
  const { disk, random, weather, time } = world;

  async function perform(run: () => Row[][]): Promise<Row[][]> {
    if (!life.step()) return never();
    await travel();
    while (holders.has(world)) await holders.get(world);
    if (!life.isAlive()) return never();
    const fault = chooseFault();
    if (fault === "before") throw unavailable();
    const rows = run();
    ledger.observe(life);
    if (!life.step()) return never();
    await travel();
    if (fault === "after") throw unavailable();
    return rows;
  }

  async function travel(): Promise<void> {
    const chance = random.next();
    if (chance < weather.slow_calls / 10) await pause(life, random.int(CALL_MAX_MS, SLOW_CALL_MAX_MS));
    else if (chance < weather.slow_calls) await pause(life, random.int(1, CALL_MAX_MS));
  }

  function chooseFault(): "before" | "after" | null {
    if (time.elapsed() >= weather.outage_until) return null;
    const fault = random.chance(weather.outage_ambiguous) ? "after" : "before";
    world.note(`${life.name} database fails ${fault} the commit`);
    return fault;
  }

  const query: Query = async <Result>(statement: Statement) =>
    // What a statement answers is known where it is written.
    (await perform(() => disk.batch([statement])))[0] as Result[];

  async function transaction<Result>(work: (query: Query) => Promise<Result>): Promise<Result> {
    if (!life.step()) return never();
    await travel();
    while (holders.has(world)) await holders.get(world);
    if (!life.isAlive()) return never();
    if (chooseFault() !== null) throw unavailable();
    const { promise, resolve } = Promise.withResolvers<void>();
    let is_open = true;
    const close = (finish: () => void) => {
      if (!is_open) return;
      is_open = false;
      finish();
      holders.delete(world);
      resolve();
    };
    holders.set(world, promise);
    disk.begin();
    life.onEnd(() => close(disk.rollback));
    try {
      const result = await work(async <R>(statement: Statement) => {
        if (!life.step()) return never<R[]>();
        return disk.step(statement) as R[];
      });
      close(disk.commit);
      ledger.observe(life);
      return result;
    } catch (error) {
      close(disk.rollback);
      throw error;
    }
  }

  return {
    ...{ engine: "sqlite" as const, query, transaction, close: async () => {} },
    batch: (statements) => perform(() => disk.batch(statements)),
  };
}

function unavailable(): DatabaseError {
  return new DatabaseError("unavailable", "the simulated database is out of reach");
}
