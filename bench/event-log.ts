// What happened to which event, in two flat logs: the generator notes key and send time of every accepted event, the
// sink key and arrival time of every webhook. A key is the event id (or the click's cid). Nothing is looked up while
// the load runs: an entry is one copy of a few bytes, and `reconcile` joins the two logs afterwards.
import assert from "node:assert/strict";

const FIRST_CAPACITY = 1 << 14;
const ENTRIES_MAX = 1 << 23;

/** `count` entries; entry i is `keys[i * key_bytes, (i + 1) * key_bytes)` at `at[i]` (ms, shared monotonic clock). */
export type EventLog = { key_bytes: number; count: number; keys: Uint8Array; at: Float64Array };

export type Recorder = {
  append: (source: Buffer, offset: number, at: number) => void;
  count: () => number;
  take: () => EventLog;
};

/** An append-only log that doubles as it grows; `take` returns a trimmed copy. */
export function createRecorder(keyBytes: number): Recorder {
  let capacity = FIRST_CAPACITY;
  let keys = Buffer.allocUnsafe(capacity * keyBytes);
  const times = createSeries();
  let count = 0;

  function grow(): void {
    assert(capacity < ENTRIES_MAX, `one run records at most ${ENTRIES_MAX} events: choose fewer seconds`);
    capacity *= 2;
    const wider = Buffer.allocUnsafe(capacity * keyBytes);
    keys.copy(wider);
    keys = wider;
  }

  return {
    append(source, offset, at) {
      if (count === capacity) grow();
      source.copy(keys, count * keyBytes, offset, offset + keyBytes);
      times.push(at);
      count += 1;
    },
    count: () => count,
    take: () => ({
      key_bytes: keyBytes,
      count,
      keys: Uint8Array.from(keys.subarray(0, count * keyBytes)),
      at: times.take(),
    }),
  };
}

export type Series = { push: (value: number) => void; take: () => Float64Array };

/** A growing list of numbers without boxing. */
export function createSeries(): Series {
  let values = new Float64Array(FIRST_CAPACITY);
  let count = 0;
  return {
    push(value) {
      if (count === values.length) {
        assert(count < ENTRIES_MAX, `one run records at most ${ENTRIES_MAX} values: choose fewer seconds`);
        const wider = new Float64Array(count * 2);
        wider.set(values);
        values = wider;
      }
      values[count] = value;
      count += 1;
    },
    take: () => values.slice(0, count),
  };
}

/**
 * `latency_ms` holds one entry per event that arrived, from its send time to its first arrival. `unexpected` are
 * arrivals of events that no answer accepted: normal after requests that failed half-way, a bug otherwise.
 */
export type Reconciliation = {
  delivered: number;
  lost: number;
  duplicated: number;
  unexpected: number;
  last_arrival: number;
  latency_ms: Float64Array;
};

/** Joins what was accepted with what arrived. */
export function reconcile(accepted: EventLog, arrived: EventLog): Reconciliation {
  assert.equal(accepted.key_bytes, arrived.key_bytes);
  const index = new Map<string, number>();
  for (let i = 0; i < accepted.count; i++) index.set(keyAt(accepted, i), i);
  const seen = new Uint8Array(accepted.count);
  const latency = createSeries();
  const result = { delivered: 0, duplicated: 0, unexpected: 0, last_arrival: 0 };
  for (let i = 0; i < arrived.count; i++) {
    const at = arrived.at[i]!;
    const origin = index.get(keyAt(arrived, i));
    if (origin === undefined) result.unexpected += 1;
    else if (seen[origin] === 1) result.duplicated += 1;
    else {
      seen[origin] = 1;
      result.delivered += 1;
      result.last_arrival = Math.max(result.last_arrival, at);
      latency.push(at - accepted.at[origin]!);
    }
  }
  return { ...result, lost: accepted.count - result.delivered, latency_ms: latency.take() };
}

function keyAt(log: EventLog, i: number): string {
  const from = i * log.key_bytes;
  return Buffer.from(log.keys.buffer, log.keys.byteOffset + from, log.key_bytes).toString("latin1");
}
