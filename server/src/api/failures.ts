// Turns every error into an answer of the one shape. Refusals say what they are; a database out of reach is a 503 that
// asks to come back; the rest is a bug of ours: 500 with the request id, and the stack in the log, never in the answer.
import { ERROR_STATUS, type ErrorBody, type ErrorCode } from "#contract/errors.ts";
import { AppError } from "../errors.ts";
import { isDatabaseError } from "../platform/database.ts";

const RETRY_AFTER_SECONDS = 1;
const CODE_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  404: "not_found",
  405: "not_found",
  413: "too_large",
  415: "unsupported_media_type",
  429: "rate_limited",
};

export interface Failure {
  status: number;
  body: ErrorBody;
  retry_after_seconds: number | undefined;
  is_bug: boolean;
}

export function describeFailure(error: unknown, request_id: string): Failure {
  const refusal = toRefusal(error);
  if (refusal === null) {
    const message = "The server made a mistake; it is in the log under this request id.";
    return compose(new AppError("internal", message), request_id, true);
  }
  return compose(refusal, request_id, false);
}

function compose(refusal: AppError, request_id: string, is_bug: boolean): Failure {
  const { code, retry_after_seconds } = refusal;
  const { error, message, ...rest } = presentRefusal(refusal);
  return { status: ERROR_STATUS[code], body: { error, message, request_id, ...rest }, retry_after_seconds, is_bug };
}

/** What a refusal says, of a request or of one thing among many in it. */
export function presentRefusal({ code, message, details, suggestions }: AppError): Omit<ErrorBody, "request_id"> {
  return {
    error: code,
    message,
    ...(details !== undefined && { details: [...details] }),
    ...(suggestions !== undefined && { suggestions: [...suggestions] }),
  };
}

function toRefusal(error: unknown): AppError | null {
  if (error instanceof AppError) return error;
  if (isDatabaseError(error, "unavailable")) {
    const message = "The database does not answer, or takes no writes, at the moment. Send the same request again.";
    return new AppError("temporarily_unavailable", message, { retry_after_seconds: RETRY_AFTER_SECONDS });
  }
  return fromFramework(error);
}

/** What the HTTP layer refuses by itself: bodies that are too large, cut short, or of another type. */
function fromFramework(error: unknown): AppError | null {
  if (!(error instanceof Error) || !("statusCode" in error) || typeof error.statusCode !== "number") return null;
  const status = error.statusCode;
  if (status < 400 || status > 499) return null;
  if (status === 413) return new AppError("too_large", "The body is larger than 1 MiB; send less at once.");
  if (status === 415)
    return new AppError(
      "unsupported_media_type",
      "Send the body as content-type: application/json, or text/csv for an import.",
    );
  return new AppError(CODE_BY_STATUS[status] ?? "invalid_request", error.message);
}
