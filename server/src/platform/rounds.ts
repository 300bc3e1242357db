// Work that a process does in rounds, one at a time: at once when it is woken, soon when the round before moved something,
// else at the next poll. Nothing depends on being woken. Used by the runners of replays and erasures, and by retention.
import type { Clock } from "./clock.ts";
import { isDatabaseError } from "./database.ts";

export interface RoundsOptions {
  clock: Pick<Clock, "after">;
  /** Between two rounds of which the first moved nothing. */
  poll_ms: number;
  /** After a round in which something moved. */
  next_ms: number;
  /** Answers whether anything moved. */
  run(): Promise<boolean>;
  /** Called with what ended a round; the next one comes with the next poll. */
  failed(error: unknown): void;
}

export type Rounds = ReturnType<typeof createRounds>;

export function createRounds({ clock, poll_ms, next_ms, run, failed }: RoundsOptions) {
  let state: "idle" | "running" | "stopping" = "idle";
  let round: Promise<boolean> | undefined;
  let is_hinted = false;
  let cancelTimer = () => {};

  async function loop(): Promise<void> {
    is_hinted = false;
    round = run();
    const has_moved = await round.catch((error: unknown) => {
      // Whatever it was about is found by a later round; a database that is out of reach is said by others.
      if (!isDatabaseError(error, "unavailable")) failed(error);
      return false;
    });
    round = undefined;
    schedule(is_hinted ? 0 : has_moved ? next_ms : poll_ms);
  }

  function schedule(delay_ms: number): void {
    cancelTimer();
    if (state === "running") cancelTimer = clock.after(delay_ms, () => void loop());
  }

  /** A hint: something is due now. During a round the next one follows at once, for this one may have looked already. */
  function wake(): void {
    if (round === undefined) schedule(0);
    else is_hinted = true;
  }

  /** @param delay_ms until the first round */
  function start(delay_ms = 0): void {
    state = "running";
    schedule(delay_ms);
  }

  /** No round begins any more. Resolves when the one under way has ended, however it does. */
  async function stop(): Promise<void> {
    state = "stopping";
    cancelTimer();
    await round?.catch(() => false);
  }

  return {
    ...{ wake, start, stop },
    isRunning: () => state === "running",
    /** What a long round asks between two of its steps. */
    isStopping: () => state === "stopping",
  };
}
