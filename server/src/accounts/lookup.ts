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
  /** False of what is too large to be remembered; it is read each time. */
  isKept?(value: Value): boolean;
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
  /**
   * A new map for each read. One that lived on would be old when its entries are young, and V8 keeps whatever an old table has
   * named until it looks at all that is old: measured, most of what was copied for links that are opened once.
   */
  let waiting = new Map<string, Waiting<Value>>();
  /** What is being read now. */
  let loading = new Map<string, Waiting<Value>>();
  /** Keys of it that were forgotten meanwhile: whoever asks now is not answered by that read, and its result is not kept. */
  let forgotten = new Set<string>();
  let is_reading = false;
  const wasSeen = options.is_swept ? createDoorkeeper(options.max_entries) : () => true;

  function peek(key: string): Value | null | undefined {
    const entry = cache.get(key);
    return entry !== undefined && options.now() < entry.until ? entry.value : undefined;
  }

  function find(key: string): Promise<Value | null> {
    const value = peek(key);
    if (value !== undefined) return Promise.resolve(value);
    const shared = waiting.get(key) ?? (forgotten.has(key) ? undefined : loading.get(key));
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
    while (waiting.size > 0) {
      const [batch, others] = split(waiting, BATCH_MAX_KEYS);
      waiting = others;
      await readBatch(batch);
    }
    is_reading = false;
  }

  async function readBatch(batch: Map<string, Waiting<Value>>): Promise<void> {
    loading = batch;
    try {
      const found = await options.load([...batch.keys()]);
      const until = options.now() + options.ttl_ms;
      for (const [key, wait] of batch) {
        const value = found.get(key) ?? null;
        if (!forgotten.has(key)) remember(key, value, until);
        wait.resolve(value);
      }
    } catch (error) {
      // Whoever asked decides what a failed read means; nothing of it is remembered.
      for (const wait of batch.values()) wait.reject(error);
    }
    loading = new Map();
    forgotten = new Set();
  }

  function remember(key: string, value: Value | null, until: number): void {
    const is_known = cache.delete(key);
    const is_full = cache.size >= options.max_entries;
    if (is_full && !is_known && !wasSeen(key)) return;
    if (value !== null && options.isKept?.(value) === false) return;
    if (is_full) {
      const oldest = by_age.next();
      if (!oldest.done) cache.delete(oldest.value);
    }
    cache.set(key, { value, until });
  }

  function forget(key: string): void {
    cache.delete(key);
    if (loading.has(key)) forgotten.add(key);
  }

  function clear(): void {
    cache.clear();
    for (const key of loading.keys()) forgotten.add(key);
  }

  return { peek, find, forget, clear };
}

/** The first `count` and the others. */
function split<Value>(from: Map<string, Value>, count: number): [Map<string, Value>, Map<string, Value>] {
  if (from.size <= count) return [from, new Map()];
  const entries = [...from];
  return [new Map(entries.slice(0, count)), new Map(entries.slice(count))];
}
