// What the results of attempts mean for their destination: paused or disabled after failures, resumed after a success,
// disabled when the receiver says so. Used by dispatcher.ts for recorded attempts that count; each change is logged,
// for it is what an operator wants to know.
import type { NewestFailures, Verdict } from "../destinations/failing.ts";
import type { Clock } from "../platform/clock.ts";

/** A destination that fails is looked at this often, however many attempts fail. */
const REVIEW_EVERY_MS = 1_000;

export interface ReviewsOptions {
  destinations: {
    review(id: string, newest: Failures): Promise<Verdict | null>;
    resume(id: string, era: number): Promise<boolean>;
    /** False when it was stopped already, or the attempt was of an earlier era. */
    disable(id: string, reason: string, era: number): Promise<boolean>;
  };
  clock: Pick<Clock, "after">;
  log(event: string, fields: Record<string, unknown>, level?: "info" | "warn" | "error"): void;
}

/** Of attempts that were all made in one era. */
type Failures = NewestFailures & { era: number };

export interface Reviews {
  /** An attempt at a destination that is paused, as far as this process knows. */
  succeeded(destination_id: string, era: number): void;
  failed(destination_id: string, newest: Failures): void;
  /** The receiver wants no more. */
  refused(destination_id: string, reason: string, era: number): void;
  stop(): void;
}

export function createReviews({ destinations, clock, log }: ReviewsOptions): Reviews {
  /** How to call off the next look at a destination, and what is known of the attempts until then. */
  const waiting = new Map<string, { callOff(): void; newest: Failures }>();
  /** By destination and era: a success of an earlier era resumes nothing, and must not block one of the present era. */
  const resuming = new Set<string>();

  function failed(destination_id: string, newest: Failures): void {
    const known = waiting.get(destination_id);
    if (known !== undefined) {
      known.newest = merge(known.newest, newest);
      return;
    }
    const look = () => {
      const known = waiting.get(destination_id)?.newest ?? newest;
      waiting.delete(destination_id);
      void review(destination_id, known);
    };
    waiting.set(destination_id, { callOff: clock.after(REVIEW_EVERY_MS, look), newest });
  }

  async function review(destination_id: string, newest: Failures): Promise<void> {
    try {
      const verdict = await destinations.review(destination_id, newest);
      if (verdict !== null) log(`destination.${verdict.state}`, { destination_id, reason: verdict.reason }, "warn");
    } catch (error) {
      // The next failed attempt asks again; whether to disable what is paused, the next probe that fails.
      log("destination.not_reviewed", { destination_id, error }, "warn");
    }
  }

  function succeeded(destination_id: string, era: number): void {
    const key = `${destination_id} ${era}`;
    if (resuming.has(key)) return;
    resuming.add(key);
    destinations
      .resume(destination_id, era)
      .then(
        (resumed) => {
          if (resumed) log("destination.resumed", { destination_id });
        },
        // The next probe that succeeds asks again.
        (error: unknown) => log("destination.not_resumed", { destination_id, error }, "warn"),
      )
      .finally(() => resuming.delete(key));
  }

  function refused(destination_id: string, reason: string, era: number): void {
    destinations.disable(destination_id, reason, era).then(
      (is_new) => {
        if (is_new) log("destination.disabled", { destination_id, reason }, "warn");
      },
      // The next answer of this kind disables it.
      (error: unknown) => log("destination.not_disabled", { destination_id, error }, "error"),
    );
  }

  function stop(): void {
    for (const { callOff } of waiting.values()) callOff();
    waiting.clear();
  }

  return { succeeded, failed, refused, stop };
}

/** What is known of the newer era alone. */
function merge(before: Failures, newest: Failures): Failures {
  if (newest.era !== before.era) return newest.era > before.era ? newest : before;
  const was_probed = newest.was_probed || before.was_probed;
  return { ...newest, was_probed, is_hopeless: newest.is_hopeless || before.is_hopeless };
}
