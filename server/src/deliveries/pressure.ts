// What an answer, or its absence, says about how much the receiver bears. Pure. Called by the dispatcher for every attempt,
// whoever asked for it: a test or a replay that is told "too many" says as much about the receiver as any other request.
import type { Reaction } from "./limit.ts";
import type { Settlement } from "./settle-store.ts";

const TOO_MANY_REQUESTS = 429;
/** For a 429 that does not say for how long. */
const UNSAID_MS = 1_000;

/** For what was not sent, whether it was refused here, could not be looked up or met a bug of ours. */
export const NOTHING_SAID: Reaction = { kind: "other" };

export function reactionOf({
  outcome,
  record,
  is_silence,
}: Pick<Settlement, "outcome" | "record" | "is_silence">): Reaction {
  if (outcome === undefined) return NOTHING_SAID;
  if (outcome.kind === "skipped") return NOTHING_SAID;
  if (outcome.kind === "accepted" || outcome.kind === "accepted_unverified") {
    return { kind: "well", duration_ms: record.duration_ms };
  }
  if (outcome.retry_after_ms !== undefined) return { kind: "too_many", for_ms: outcome.retry_after_ms };
  if (record.status_code === TOO_MANY_REQUESTS) return { kind: "too_many", for_ms: UNSAID_MS };
  return is_silence === true ? { kind: "silent" } : NOTHING_SAID;
}
