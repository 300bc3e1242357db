// A map that never holds more than its limit: the entry added first makes room.
// Used for what is cheap to find again, such as parsed URLs and TLS sessions. Reads do not move entries.
export interface BoundedMap<Value> {
  get(key: string): Value | undefined;
  set(key: string, value: Value): void;
}

export function createBoundedMap<Value>(limit: number): BoundedMap<Value> {
  const entries = new Map<string, Value>();
  return {
    get: (key) => entries.get(key),
    set(key, value) {
      // Taken out first, so that an entry written again counts as new.
      entries.delete(key);
      const [oldest] = entries.size >= limit ? entries.keys() : [];
      if (oldest !== undefined) entries.delete(oldest);
      entries.set(key, value);
    },
  };
}
