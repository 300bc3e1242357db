// A clock that goes when the test says so, with the timers that are set by it. Used by tests of what happens now and then.

import type { Clock } from "../../src/platform/clock.ts";

export interface ManualClock extends Clock {
  at: number;
  /** Lets so much time pass and calls back what is due by then, in order, what that sets included. */
  pass(ms: number): void;
  /** Timers that wait. */
  pending(): number;
}

export function createManualClock(at = Date.UTC(2026, 0, 31, 9, 30)): ManualClock {
  const timers = new Set<{ at: number; callback: () => void }>();
  const clock: ManualClock = {
    at,
    now: () => clock.at,
    after(delay_ms, callback) {
      const timer = { at: clock.at + delay_ms, callback };
      timers.add(timer);
      return () => void timers.delete(timer);
    },
    pass(ms) {
      const until = clock.at + ms;
      for (;;) {
        const next = [...timers].filter((one) => one.at <= until).sort((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        timers.delete(next);
        clock.at = Math.max(clock.at, next.at);
        next.callback();
      }
      clock.at = until;
    },
    pending: () => timers.size,
  };
  return clock;
}
