// Refusals: what a caller did wrong, or must wait for, as an error with a code of the closed set. Thrown anywhere below
// the API and turned into an answer by api/failures.ts. The message is one sentence that says what to do next.
import type { ErrorCode, ErrorDetail } from "#contract/errors.ts";

export class AppError extends Error {
  readonly code: ErrorCode;
  readonly details: readonly ErrorDetail[] | undefined;
  /** Sent as `Retry-After`, in seconds. */
  readonly retry_after_seconds: number | undefined;
  /** What would be accepted in place of what was sent. */
  readonly suggestions: readonly string[] | undefined;
  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: readonly ErrorDetail[]; retry_after_seconds?: number; suggestions?: readonly string[] } = {},
  ) {
    super(message);
    this.name = "AppError";
    this.code = code;
    this.details = options.details;
    this.retry_after_seconds = options.retry_after_seconds;
    this.suggestions = options.suggestions;
  }
}

/** @example throw refuse("conflict", "Only a pending delivery can be canceled; this one has succeeded.") */
export function refuse(code: ErrorCode, message: string, details?: readonly ErrorDetail[]): AppError {
  return new AppError(code, message, details === undefined ? {} : { details });
}

/**
 * The same answer for an id that does not exist and for one of another app.
 * @param field the one of the body that holds the id; null: it is in the address
 * @example throw notFound("webhook")
 */
export function notFound(what: string, field: string | null = null): AppError {
  const message = `There is no such ${what}. Check the id and which app the key belongs to.`;
  if (field === null) return new AppError("not_found", message);
  return new AppError("not_found", `${field}: ${message}`, {
    details: [{ path: field, message: `the id of a ${what} of this app` }],
  });
}

/** One wrong field. @example throw invalid("url", "an https URL") */
export function invalid(path: string, message: string): AppError {
  return new AppError("invalid_request", path === "" ? message : `${path}: ${message}`, {
    details: [{ path, message }],
  });
}

/** The server cannot do it now, and the same call may succeed later. */
export function unavailable(message: string, retry_after_seconds: number): AppError {
  return new AppError("temporarily_unavailable", message, { retry_after_seconds });
}
