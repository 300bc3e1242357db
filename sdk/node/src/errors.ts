// The errors of this package. Those of webhooks have a closed set of stable codes to switch on each: the first is about keys
// that cannot be read; the second is about how this package was called, so it belongs in a log and never in an answer. The third is
// about a call of the server's API.

export type LinkMeWebhookErrorCode = "key_document_invalid" | "key_document_unavailable";

/** The keys of a server could not be read, so nothing can be verified. That an envelope is none is told by a `ZodError`. */
export class LinkMeWebhookError extends Error {
  override readonly name = "LinkMeWebhookError";
  readonly code: LinkMeWebhookErrorCode;

  constructor(code: LinkMeWebhookErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export type LinkMeUsageErrorCode =
  | "raw_body_parsed"
  | "raw_body_missing"
  | "raw_body_type"
  | "secret_missing"
  | "secret_whitespace"
  | "key_missing"
  | "key_invalid"
  | "receiver_option"
  | "handler_twice"
  | "request_form";

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
