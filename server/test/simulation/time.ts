// Virtual time: timers in the order in which they are due, run one by one, with everything that a callback sets off
// finished before the next. Elapsed time only grows; the clock on the wall is this plus what each process believes.

/** As for Node's timers: at least 1 ms, whole milliseconds, and not longer than this. */
const DELAY_MAX_MS = 2 ** 31 - 1;

interface Timer {
  readonly at: number;
  readonly number: number;
  readonly callback: () => void;
  canceled: boolean;
}

export interface Time {
  /** Milliseconds since the world began. */
  elapsed(): number;
  /** Calls back once; the answer cancels it. */
  after(delay_ms: number, callback: () => void): () => void;
  /** Runs the next timer and what follows from it; false when it would be later than `until`. */
  step(until: number): Promise<boolean>;
}

export function createTime(): Time {
  /** Sorted so that the next one is last. */
  const timers: Timer[] = [];
  let elapsed = 0;
  let count = 0;

  function after(delay_ms: number, callback: () => void): () => void {
    if (!(delay_ms <= DELAY_MAX_MS)) throw new RangeError(`a timer of ${delay_ms} ms would fire at once`);
    const timer: Timer = {
      at: elapsed + Math.max(1, Math.trunc(delay_ms)),
      number: ++count,
      callback,
      canceled: false,
    };
    timers.splice(placeFor(timer), 0, timer);
    return () => {
      timer.canceled = true;
    };
  }

  function placeFor(timer: Timer): number {
    let low = 0;
    let high = timers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((timers[middle]?.at ?? 0) > timer.at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  async function step(until: number): Promise<boolean> {
    const timer = timers.at(-1);
    if (timer === undefined || timer.at > until) {
      elapsed = Math.max(elapsed, until);
      return false;
    }
    timers.pop();
    if (timer.canceled) return true;
    elapsed = timer.at;
    timer.callback();
    // Nothing in a world waits for the real outside, so one turn runs every promise to its end.
    await new Promise((resolve) => setImmediate(resolve));
    return true;
  }

  return { elapsed: () => elapsed, after, step };
}
