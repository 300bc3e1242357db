// The two errors of this package, each with a closed set of stable codes to switch on. The first is about what was
// received; the second is about how this package was called, so it belongs in a log and never in an answer.

export type LinkMeWebhookErrorCode =
  | "envelope_not_object"
  | "field_missing"
  | "field_invalid"
  | "key_document_invalid"
  | "key_document_unavailable";

/**
 * What was received is not a LinkMe webhook. `field` names the offending member, if it is one member's fault.
 *
 * @example
 * catch (error) {
 *   if (error instanceof LinkMeWebhookError) return response.status(400).send(error.message);
 *   throw error;
 * }
 */
export class LinkMeWebhookError extends Error {
  override readonly name = "LinkMeWebhookError";
  readonly code: LinkMeWebhookErrorCode;
  readonly field: string | undefined;

  constructor(code: LinkMeWebhookErrorCode, message: string, field?: string) {
    super(message);
    this.code = code;
    this.field = field;
  }
}

export type LinkMeUsageErrorCode =
  | "raw_body_parsed"
  | "raw_body_missing"
  | "raw_body_type"
  | "secret_missing"
  | "key_missing"
  | "key_invalid";

/** A mistake in the code or the configuration of the receiver; the message says how to mend it. */
export class LinkMeUsageError extends TypeError {
  override readonly name = "LinkMeUsageError";
  readonly code: LinkMeUsageErrorCode;

  constructor(code: LinkMeUsageErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
