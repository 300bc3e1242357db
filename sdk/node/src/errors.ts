// The errors of this package. Those of webhooks have a closed set of stable codes to switch on each: the first is about what
// was received; the second is about how this package was called, so it belongs in a log and never in an answer. The third is
// about a call of the server's API.

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

/**
 * The server refused a call. `status` is that of HTTP; `detail` is the JSON of the answer, as a rule with a code in
 * `detail.error`, and undefined when the answer was no JSON.
 */
export class LinkMeRequestError extends Error {
  override readonly name = "LinkMeRequestError";
  readonly status: number;
  readonly detail: unknown;

  constructor(asked: string, status: number, detail: unknown) {
    super(`HTTP ${status} for ${asked}`);
    this.status = status;
    this.detail = detail;
  }
}
