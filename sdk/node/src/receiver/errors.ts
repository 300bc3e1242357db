// What handlers may throw to decide what becomes of an event, and what `process` throws to the worker of a queue. They are
// told apart by their names: a program may hold this package twice, as a module and as CommonJS.

const FINAL = "LinkMeFinalError";
const RETRY = "LinkMeRetryError";

/** Thrown by a handler: this event cannot be handled, and sending it again would not help. It is answered 2xx and reported. */
export class LinkMeFinalError extends Error {
  override readonly name = FINAL;
}

/**
 * Something did not work that may work later. Thrown by a handler it asks for a delay; `process` throws it so that the queue
 * keeps the event.
 */
export class LinkMeRetryError extends Error {
  override readonly name = RETRY;
  /** Milliseconds until the next attempt, or undefined: whenever the sender likes. */
  readonly retry_after_ms: number | undefined;

  constructor(message: string, options: { retry_after_ms?: number | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.retry_after_ms = options.retry_after_ms;
  }
}

export function isFinal(error: unknown): boolean {
  return error instanceof Error && error.name === FINAL;
}

/** The delay that an error asks for, if it does. */
export function delayOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || error.name !== RETRY || !("retry_after_ms" in error)) return undefined;
  return typeof error.retry_after_ms === "number" ? error.retry_after_ms : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
