// Whether an answer, or its absence, asks for fewer requests. Pure. Called by the dispatcher for every attempt.
import type { Settlement } from "./settle-store.ts";

const TOO_MANY_REQUESTS = 429;
/** For a 429 that does not say for how long. */
const UNSAID_MS = 1_000;

/** For how long the receiver asks to be spared, in ms; 0 when it was too slow or away; null when it asks for nothing. */
export function pressureOf({ outcome, record }: Pick<Settlement, "outcome" | "record">): number | null {
  if (outcome === undefined || outcome.kind === "accepted") return null;
  if (outcome.retry_after_ms !== undefined) return outcome.retry_after_ms;
  if (record.status_code === TOO_MANY_REQUESTS) return UNSAID_MS;
  return outcome.kind === "unreachable" ? 0 : null;
}
