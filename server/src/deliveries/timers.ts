// Timers by name: at most one of each name waits, and all can be stopped at once. Used by the dispatcher and its parts.
import type { Clock } from "../platform/clock.ts";

export type Timers = ReturnType<typeof createTimers>;

export function createTimers(clock: Pick<Clock, "after">) {
  const waiting = new Map<string, () => void>();

  /** In place of the one of that name that waits. */
  function schedule(name: string, delay_ms: number, callback: () => void): void {
    waiting.get(name)?.();
    const run = () => {
      waiting.delete(name);
      callback();
    };
    waiting.set(name, clock.after(delay_ms, run));
  }

  function cancel(name: string): void {
    waiting.get(name)?.();
    waiting.delete(name);
  }

  function clear(): void {
    for (const cancel of waiting.values()) cancel();
    waiting.clear();
  }

  return { schedule, cancel, clear };
}
