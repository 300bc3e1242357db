// Looks at something now and then: one look at a time, with the injected clock. Each watch of compose-notices.ts is one.

import type { Clock } from "../platform/clock.ts";
import { isDatabaseError } from "../platform/database.ts";
import type { LogLevel } from "../platform/log.ts";

export interface WatchOptions {
  /** For the log. */
  name: string;
  every_ms: number;
  look(): Promise<void>;
  clock: Clock;
  log(event: string, fields: Record<string, unknown>, level?: LogLevel): void;
}

export interface Watch {
  start(): void;
  /** Looks no more, and waits for nobody. */
  stop(): void;
}

export function createWatch({ name, every_ms, look, clock, log }: WatchOptions): Watch {
  let is_running = false;
  let cancelTimer = () => {};

  async function loop(): Promise<void> {
    // The next look is made in any case. A database that is away is said by its own watch.
    await look().catch((error: unknown) => {
      if (is_running && !isDatabaseError(error, "unavailable")) log("watch.failed", { watch: name, error }, "warn");
    });
    schedule();
  }

  function schedule(): void {
    if (is_running) cancelTimer = clock.after(every_ms, () => void loop());
  }

  function start(): void {
    is_running = true;
    schedule();
  }

  function stop(): void {
    is_running = false;
    cancelTimer();
  }

  return { start, stop };
}
