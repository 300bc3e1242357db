// What the newest attempts of a webhook say beside its health, which leaves out tests and replays and knows no causes. Pure;
// called by webhooks.ts for what failed-store.ts has found of one whose attempts fail.

import type { FailureCode, OutcomeKind } from "#contract/deliveries.ts";
import { isAccepted } from "#destination-types/definition.ts";
import { GONE } from "#destination-types/judging.ts";
import type { DestinationRow } from "./destination.ts";

/** One of the newest attempts on record, of any delivery. */
export interface Try {
  /** In ms since 1970. */
  started_at: number;
  trigger: string;
  outcome: OutcomeKind;
  status_code: number | null;
  cause: FailureCode | null;
  error: string | null;
}

/** What to do about an attempt that failed, as a sentence; null when nothing is known that would help. */
export type Advise = (tried: Omit<Try, "started_at" | "trigger">) => string | null;

export interface LastTries {
  /** What to do about the newest that failed; null: not known, or what the webhook says anyway. */
  advice: string | null;
  /** When the newest succeeded, if nothing has failed since: of an active webhook that of a test or replay. In ms since 1970. */
  well_at: number | null;
}

export const NOT_TRIED: LastTries = { advice: null, well_at: null };

/** From the start of an attempt until its failure is on record: the longest timeout_ms, and as much to settle it. */
const FAILURE_MAX_MS = 120_000;
const FAILED: readonly OutcomeKind[] = ["refused", "unreachable", "ambiguous"];

export function lastTriesOf(
  { state_changed_at, updated_at }: Pick<DestinationRow, "state_changed_at" | "updated_at">,
  tries: readonly Try[],
  last_failure_at: number | null,
  advise: Advise,
): LastTries {
  const newest_first = tries.toSorted((left, right) => right.started_at - left.started_at);
  // What this server cut off by itself says nothing of the receiver.
  const failed = newest_first.find(({ outcome, cause }) => FAILED.includes(outcome) && cause !== "aborted");
  const well = newest_first.find(({ outcome }) => isAccepted(outcome));
  const failed_at = Math.max(failed?.started_at ?? 0, last_failure_at ?? 0);
  // A change of the settings since may be what mends it.
  const is_past = updated_at > state_changed_at && failed !== undefined && failed.started_at < updated_at;
  // They are those of the newest events, and an older event may have failed since, of another cause.
  const is_outdated = failed !== undefined && failed.started_at + FAILURE_MAX_MS < failed_at;
  // A webhook that was answered so is disabled, which it says itself.
  const is_of_use = failed !== undefined && !is_past && !is_outdated && failed.status_code !== GONE;
  return {
    advice: is_of_use ? advise(failed) : null,
    well_at: well !== undefined && well.started_at > failed_at ? well.started_at : null,
  };
}
