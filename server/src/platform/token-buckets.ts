// Token buckets: a caller may do so many things a minute, all at once or spread, and has the more left the longer it
// waits. Pure but for what it remembers, which is bounded. Used by the API's limits (api/rate-limits.ts).
import { createBoundedMap } from "./bounded-map.ts";

const MINUTE_MS = 60_000;
/** Some 120 bytes each. A caller that has made room for others begins with a full bucket again. */
const CALLERS_MAX = 50_000;

export interface TokenBuckets {
  /** Takes one; answers 0, or, where there is none, after how many milliseconds there is. */
  take(caller: string, now: number): number;
}

interface Bucket {
  tokens: number;
  at: number;
}

/** @param per_minute what a full bucket holds, and what flows into it in a minute; more than 0 */
export function createTokenBuckets(per_minute: number, callers_max = CALLERS_MAX): TokenBuckets {
  const buckets = createBoundedMap<Bucket>(callers_max);

  function take(caller: string, now: number): number {
    const bucket = buckets.get(caller) ?? { tokens: per_minute, at: now };
    // A clock that was set back adds nothing, and takes nothing away.
    const passed_ms = Math.max(0, now - bucket.at);
    bucket.tokens = Math.min(per_minute, bucket.tokens + (passed_ms * per_minute) / MINUTE_MS);
    bucket.at = now;
    // Written again, so that who has been idle for longest makes room.
    buckets.set(caller, bucket);
    if (bucket.tokens < 1) return Math.ceil(((1 - bucket.tokens) * MINUTE_MS) / per_minute);
    bucket.tokens -= 1;
    return 0;
  }

  return { take };
}
