// A bounded, short-lived cache in front of point reads, for keys, apps and domains on the hot path. Hits and misses are
// both remembered for a moment, and whatever is asked for while one read is running is read together in the next: a
// flood of unknown keys costs a few large reads instead of many small ones. `forget` holds from the moment it returns.
import { unavailable } from "../errors.ts";
import { createDoorkeeper } from "../platform/doorkeeper.ts";

const BATCH_MAX_KEYS = 500;
const WAITING_MAX_KEYS = 10_000;
const RETRY_AFTER_SECONDS = 1;

export interface LookupOptions<Value> {
  /** Reads many at once; what is missing from the answer does not exist. */
  load(keys: readonly string[]): Promise<ReadonlyMap<string, Value>>;
  now(): number;
  /** How long a change made by another process may stay unseen. */
  ttl_ms: number;
  max_entries: number;
  /** When full, only what is asked for a second time lately is remembered: for keys of which many are asked for once. */
  is_swept?: boolean;
}

export interface Lookup<Value> {
  /** What is remembered: null for "does not exist", undefined for "not known, use find". */
  peek(key: string): Value | null | undefined;
  find(key: string): Promise<Value | null>;
  forget(key: string): void;
  clear(): void;
}

interface Waiting<Value> {
  promise: Promise<Value | null>;
  resolve(value: Value | null): void;
  reject(error: unknown): void;
}

export function createLookup<Value>(options: LookupOptions<Value>): Lookup<Value> {
  const cache = new Map<string, { value: Value | null; until: number }>();
  /** One for ever, which stands at the oldest entry: see bounded-map.ts. */
  const by_age = cache.keys();
  const waiting = new Map<string, Waiting<Value>>();
  /** What is being read now; an entry that was forgotten meanwhile is gone from here, and its result is not kept. */
  const loading = new Map<string, Waiting<Value>>();
  let is_reading = false;
  const wasSeen = options.is_swept ? createDoorkeeper(options.max_entries) : () => true;

  function peek(key: string): Value | null | undefined {
    const entry = cache.get(key);
    return entry !== undefined && options.now() < entry.until ? entry.value : undefined;
  }

  function find(key: string): Promise<Value | null> {
    const value = peek(key);
    if (value !== undefined) return Promise.resolve(value);
    const shared = waiting.get(key) ?? loading.get(key);
    if (shared !== undefined) return shared.promise;
    if (waiting.size >= WAITING_MAX_KEYS) {
      return Promise.reject(unavailable("Too many look-ups are waiting. Try again in a second.", RETRY_AFTER_SECONDS));
    }
    const wait = Promise.withResolvers<Value | null>();
    waiting.set(key, wait);
    if (!is_reading) {
      is_reading = true;
      // What else arrives in this round of the event loop joins the same read.
      queueMicrotask(readWaiting);
    }
    return wait.promise;
  }

  async function readWaiting(): Promise<void> {
    while (waiting.size > 0) await readBatch(take(waiting, BATCH_MAX_KEYS));
    is_reading = false;
  }

  async function readBatch(batch: Map<string, Waiting<Value>>): Promise<void> {
    for (const [key, wait] of batch) loading.set(key, wait);
    try {
      const found = await options.load([...batch.keys()]);
      const until = options.now() + options.ttl_ms;
      for (const [key, wait] of batch) {
        const value = found.get(key) ?? null;
        if (loading.get(key) === wait) remember(key, { value, until });
        wait.resolve(value);
      }
    } catch (error) {
      // Whoever asked decides what a failed read means; nothing of it is remembered.
      for (const wait of batch.values()) wait.reject(error);
    }
    for (const [key, wait] of batch) if (loading.get(key) === wait) loading.delete(key);
  }

  function remember(key: string, entry: { value: Value | null; until: number }): void {
    const is_known = cache.delete(key);
    if (cache.size >= options.max_entries) {
      if (!is_known && !wasSeen(key)) return;
      const oldest = by_age.next();
      if (!oldest.done) cache.delete(oldest.value);
    }
    cache.set(key, entry);
  }

  function forget(key: string): void {
    cache.delete(key);
    loading.delete(key);
  }

  function clear(): void {
    cache.clear();
    loading.clear();
  }

  return { peek, find, forget, clear };
}

function take<Value>(from: Map<string, Value>, count: number): Map<string, Value> {
  const taken = new Map<string, Value>();
  for (const [key, value] of from) {
    if (taken.size === count) break;
    taken.set(key, value);
    from.delete(key);
  }
  return taken;
}
