// What a receiver says: one answer of HTTP for each way in which a request can end. Pure. The bodies are read by whoever looks at
// the history of a delivery, so they say what to do, and nothing about secrets.
import type { LinkMeUsageError } from "../errors.ts";
import type { LinkMeWebhookEnvelope } from "../events.ts";
import type { SignatureFault } from "./signature.ts";
import type { StepReport } from "./steps.ts";

export type RefusalCode =
  | "method_not_allowed"
  | "content_type"
  | "body_too_large"
  | "body_too_slow"
  | "body_cut"
  | "envelope_invalid"
  | SignatureFault;

/** What became of a request. */
export type ReceiveOutcome =
  /** All that was to be done is done, for good or ill: `steps` say so. */
  | { kind: "processed"; event: LinkMeWebhookEnvelope; steps: StepReport[] }
  /** It is safe with the queue or in the outbox. */
  | { kind: "handed_off"; event: LinkMeWebhookEnvelope; steps: StepReport[] }
  /** All had been done before. */
  | { kind: "duplicate"; event: LinkMeWebhookEnvelope; steps: StepReport[] }
  /** Of a type that this version does not know, or with data of another form than it knows. */
  | { kind: "unknown_event"; event: LinkMeWebhookEnvelope; steps: StepReport[] }
  /** Of a known type for which there is neither a handler nor a forwarder. */
  | { kind: "ignored"; event: LinkMeWebhookEnvelope; steps: StepReport[] }
  /** Something did not work, or is being done at this moment: the event is to come again. */
  | {
      kind: "retry";
      event: LinkMeWebhookEnvelope | undefined;
      steps: StepReport[];
      reason: string;
      retry_after_ms: number;
    }
  /** Nothing was believed, and nothing done. */
  | { kind: "refused"; code: RefusalCode; reason: string }
  /** The receiver itself is at fault; `error` names the fix. */
  | { kind: "misconfigured"; error: LinkMeUsageError };

export type OutcomeKind = ReceiveOutcome["kind"];

export interface ReceiverAnswer {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
  /** JSON. */
  body: string;
}

const REFUSALS: Record<RefusalCode, number> = {
  method_not_allowed: 405,
  content_type: 415,
  body_too_large: 413,
  body_too_slow: 408,
  body_cut: 400,
  envelope_invalid: 400,
  signature_missing: 401,
  signature_malformed: 401,
  signature_mismatch: 401,
  timestamp_missing: 401,
  timestamp_malformed: 401,
  timestamp_outside: 401,
};

/** Sentences for the refusals that say the same each time. */
export const SIGNATURE_REASONS: Record<SignatureFault, string> = {
  signature_missing: "there is no X-LinkMe-Signature header",
  signature_malformed: "a signature header is malformed, incomplete or there twice",
  signature_mismatch: "no signature fits this body and the secrets of this receiver",
  timestamp_missing: "this receiver asks for a signed webhook-timestamp",
  timestamp_malformed: "webhook-timestamp is no number of seconds",
  timestamp_outside: "webhook-timestamp is too far from the clock of this receiver",
};

export function answerTo(outcome: ReceiveOutcome): ReceiverAnswer {
  switch (outcome.kind) {
    case "refused": {
      const allowed: Record<string, string> = outcome.code === "method_not_allowed" ? { allow: "POST" } : {};
      return json(REFUSALS[outcome.code], { error: outcome.code, message: outcome.reason }, allowed);
    }
    case "misconfigured": {
      const message = `This receiver is misconfigured (${outcome.error.code}). Its log says what to change.`;
      return json(500, { error: "misconfigured", message });
    }
    case "retry": {
      const seconds = String(Math.max(1, Math.ceil(outcome.retry_after_ms / 1000)));
      return json(503, { error: "try_again", message: outcome.reason }, { "retry-after": seconds });
    }
    default:
      return json(200, { outcome: outcome.kind, id: outcome.event.id });
  }
}

function json(status: number, body: object, headers: Record<string, string> = {}): ReceiverAnswer {
  return { status, headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) };
}
