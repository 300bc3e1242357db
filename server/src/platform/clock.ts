// The clock that is handed to whatever waits, so that tests own the time.

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back once; the answer cancels it. */
  after(delay_ms: number, callback: () => void): () => void;
}
