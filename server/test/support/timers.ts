// A clock that stands still until a test moves it. Called by tests of what waits.
export function createTimers() {
  let now = 0;
  let timers: { at: number; run: () => void }[] = [];
  return {
    now: () => now,
    after(delay_ms: number, run: () => void) {
      const timer = { at: now + delay_ms, run };
      timers.push(timer);
      return () => {
        timers = timers.filter((one) => one !== timer);
      };
    },
    /** When the next one is due, from now on; null when none waits. */
    next: () => (timers.length === 0 ? null : Math.min(...timers.map(({ at }) => at)) - now),
    /** Moves on, and runs what is due in its order. */
    advance(delay_ms: number) {
      const end = now + delay_ms;
      for (;;) {
        const due = timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
        if (due === undefined) break;
        timers = timers.filter((one) => one !== due);
        now = Math.max(now, due.at);
        due.run();
      }
      now = end;
    },
  };
}
