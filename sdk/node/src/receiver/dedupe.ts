// Remembers what has been done, so that an event that comes twice is handled once. In two phases: a lease while somebody is
// at work, and a mark when it is done. Whoever dies in between leaves a lease that runs out, and the next delivery is handled.

export type BeginAnswer = "fresh" | "done" | "in_progress";

/**
 * Where a receiver remembers. Every call is atomic over all processes that share the store. A call that rejects is answered
 * 503, so the event comes again.
 */
export interface DedupeStore {
  /**
   * Takes a lease on a key: `fresh` when nobody else holds one and the key is not done, or its time is over.
   *
   * @param key ASCII without white space and slashes, up to 600 characters; as a rule about 60.
   */
  begin(key: string, lease_ms: number): Promise<BeginAnswer>;
  /** Marks a key as done for so long. */
  done(key: string, ttl_ms: number): Promise<void>;
  /** Gives the lease back, so that the next delivery begins at once. A lease of somebody else stays. */
  release(key: string): Promise<void>;
}

const MAX_KEYS_DEFAULT = 10_000;

export interface MemoryDedupeOptions {
  /** How many keys are remembered at the most; default 10,000. The oldest are forgotten first. */
  max_keys?: number;
  /** Milliseconds since 1970; default `Date.now`. */
  now?: () => number;
}

/**
 * Remembers within this process and until it ends: for tests, for development, and where handling an event twice does no
 * harm. Leases are never forgotten before their time: when `max_keys` are held at once, `begin` rejects.
 *
 * @example createReceiver({ secrets, dedupe: memoryDedupe() })
 */
export function memoryDedupe({ max_keys = MAX_KEYS_DEFAULT, now = Date.now }: MemoryDedupeOptions = {}): DedupeStore {
  /** Until when each is held, or remembered, in ms since 1970. The oldest stand first. */
  const leases = new Map<string, number>();
  const marks = new Map<string, number>();

  function forgetOver(of: Map<string, number>): void {
    for (const [key, until] of of) {
      if (until <= now()) of.delete(key);
    }
  }

  return {
    async begin(key, lease_ms) {
      if ((marks.get(key) ?? 0) > now()) return "done";
      if ((leases.get(key) ?? 0) > now()) return "in_progress";
      leases.delete(key);
      if (leases.size >= max_keys) forgetOver(leases);
      if (leases.size >= max_keys) throw new Error(`${max_keys} events are being handled at once`);
      leases.set(key, now() + lease_ms);
      return "fresh";
    },
    async done(key, ttl_ms) {
      leases.delete(key);
      marks.delete(key);
      const [oldest] = marks.keys();
      if (marks.size >= max_keys && oldest !== undefined) marks.delete(oldest);
      marks.set(key, now() + ttl_ms);
    },
    async release(key) {
      leases.delete(key);
    },
  };
}
