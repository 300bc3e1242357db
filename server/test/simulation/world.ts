// What all processes of a simulated world share: time, chance, the disk, the weather, and the record of what happened.
// Created by story.ts for one seed.
import { createDisk, type Disk } from "./disk.ts";
import { createRandom, type Random } from "./random.ts";
import { createTime, type Time } from "./time.ts";

const START = Date.UTC(2026, 0, 31, 9, 30);
/** Lines of the trace that a violation shows. */
const TRACE_MAX = 300;

export interface World {
  readonly seed: number;
  readonly time: Time;
  readonly random: Random;
  readonly disk: Disk;
  readonly weather: Weather;
  note(line: string): void;
  /** Remembers a broken promise; the story ends with it at its next step. */
  violate(promise: string): void;
  /** @throws Error with the trace when a promise was broken. */
  check(): void;
}

export interface Weather {
  /** What the wall clock shows beyond elapsed time, in ms since 1970. */
  wall: number;
  /** Elapsed time of the last jump of the clock, and the sum of all jumps back, in ms. */
  jumped_at: number;
  set_back_ms: number;
  /** Elapsed time until which the database fails. */
  outage_until: number;
  /** Share of calls during an outage that are committed although they fail. */
  outage_ambiguous: number;
  /** Share of hints that get lost. */
  hints_lost: number;
  /** Share of database calls that take a while. */
  slow_calls: number;
  /** Anything that may cost a process its leases: crashes, outages, jumps, stops that ran out of time. */
  disturbances: number;
}

export function createWorld(seed: number): World {
  const time = createTime();
  const trace: string[] = [];
  const broken: string[] = [];

  function note(line: string): void {
    trace.push(`${(time.elapsed() / 1000).toFixed(3).padStart(9)} ${line}`);
    if (trace.length > TRACE_MAX) trace.shift();
  }

  function check(): void {
    if (broken.length === 0) return;
    throw new Error(
      `Seed ${seed} breaks a promise: ${broken[0]}\nRun it alone with LINKME_SIM_SEED=${seed}. What happened last:\n${trace.join("\n")}`,
    );
  }

  function violate(promise: string): void {
    if (broken.length === 0) note(`!! ${promise}`);
    // The first is the cause as a rule, so the trace ends there.
    broken.push(promise);
  }

  return {
    ...{ seed, time, note, check, violate },
    random: createRandom(seed),
    disk: createDisk(),
    weather: {
      ...{ wall: START, jumped_at: Number.NEGATIVE_INFINITY, set_back_ms: 0, disturbances: 0 },
      ...{ outage_until: Number.NEGATIVE_INFINITY, outage_ambiguous: 0, hints_lost: 0, slow_calls: 0.1 },
    },
  };
}
