// What brings events to another product (an analytics service, a queue, a warehouse) from within a receiver. One forwarder
// makes one attempt; that the event comes again is up to LinkMe, and that what is done is not done again, to the dedupe store.
import type { LinkMeWebhookEnvelope } from "../events.ts";

/** What became of one event at one forwarder. */
export type ForwardOutcome =
  /** `unverified`: it was answered 2xx by a product that answers so to everything. */
  | { kind: "accepted"; unverified?: boolean }
  /** It was not sent, and is not to be: no consent, a filter, nothing to identify anybody by. */
  | { kind: "skipped"; reason: string }
  | {
      kind: "refused" | "unreachable" | "ambiguous" | "misconfigured";
      /** Whether another attempt may end better. */
      retriable: boolean;
      message: string;
      /** The far side asked for at least this delay. */
      retry_after_ms?: number;
    };

export interface ForwardIo {
  /** To be used instead of the global one. */
  fetch: typeof fetch;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Aborted when the time for this attempt is over. */
  signal: AbortSignal;
}

export interface Forwarder {
  /** Unique among the forwarders of a receiver, and stable: it is part of what is remembered. Letters, digits, `_`, `-`, `.` */
  readonly name: string;
  /**
   * Sends one event, once, without attempts of its own. Events of types that it does not know are skipped.
   *
   * What is thrown counts as `retriable`.
   */
  forward(event: LinkMeWebhookEnvelope, io: ForwardIo): Promise<ForwardOutcome>;
}
