// The closed set of refusals. A code is tied to one HTTP status; clients compare the code, people read the message.
// Source: management API conventions; LinkMe's SDKs compare `error` as a string.
import { z } from "zod";

/** Every refusal code with the HTTP status that it always has. */
export const ERROR_STATUS = {
  invalid_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  domain_not_found: 404,
  no_match: 404,
  conflict: 409,
  slug_taken: 409,
  expired: 410,
  too_large: 413,
  unsupported_media_type: 415,
  rate_limited: 429,
  internal: 500,
  temporarily_unavailable: 503,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** One field of a request that was refused: where it is, and what would be accepted. */
export const ErrorDetail = z.object({ path: z.string(), message: z.string() });
export type ErrorDetail = z.infer<typeof ErrorDetail>;

export const ErrorBody = z
  .object({
    error: z.enum(Object.keys(ERROR_STATUS) as [ErrorCode, ...ErrorCode[]]),
    message: z.string(),
    request_id: z.string(),
    details: z.array(ErrorDetail).optional(),
    suggestions: z.array(z.string()).optional().describe("with slug_taken: slugs that are free"),
  })
  .meta({ id: "Error", description: "A refusal. `error` is stable; `message` says what to do next." });
export type ErrorBody = z.infer<typeof ErrorBody>;
