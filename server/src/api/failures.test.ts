import assert from "node:assert/strict";
import { test } from "node:test";
import { ERROR_STATUS, ErrorBody, type ErrorCode } from "#contract/errors.ts";
import { AppError, invalid, notFound, refuse, unavailable } from "../errors.ts";
import { DatabaseError } from "../platform/database.ts";
import { describeFailure } from "./failures.ts";

const framework = (statusCode: number) => Object.assign(new Error("from below"), { statusCode });

for (const [what, error, status, code] of [
  ["a refusal", refuse("slug_taken", "Choose another one."), 409, "slug_taken"],
  ["a miss", notFound("webhook"), 404, "not_found"],
  ["a wrong field", invalid("url", "an https URL"), 400, "invalid_request"],
  ["something that has to wait", unavailable("Not now.", 7), 503, "temporarily_unavailable"],
  ["a database out of reach", new DatabaseError("unavailable", "no route"), 503, "temporarily_unavailable"],
  ["a mistake in a statement", new DatabaseError("bug", "syntax error at secret"), 500, "internal"],
  ["an unexpected guard", new DatabaseError("unmet", "guard"), 500, "internal"],
  ["a body that is too large", framework(413), 413, "too_large"],
  ["a body of another type", framework(415), 415, "unsupported_media_type"],
  ["a request that was cut short", framework(400), 400, "invalid_request"],
  ["a failure of the framework", framework(500), 500, "internal"],
  ["a bug", new TypeError("cannot read secret of undefined"), 500, "internal"],
  ["a thrown text", "secret", 500, "internal"],
] as const) {
  test(`${what} is answered with ${status} ${code}`, () => {
    const failure = describeFailure(error, "req_1");
    assert.equal(failure.status, status);
    assert.equal(failure.body.error, code);
    assert.equal(failure.body.request_id, "req_1");
    assert.equal(failure.is_bug, status === 500);
    assert.equal(failure.retry_after_seconds !== undefined, status === 503);
    assert.ok(!failure.body.message.includes("secret"), "what went wrong inside is in the log only");
    ErrorBody.parse(failure.body);
  });
}

test("every code has its own status, wherever it is thrown", () => {
  for (const [code, status] of Object.entries(ERROR_STATUS)) {
    assert.equal(describeFailure(new AppError(code as ErrorCode, "x"), "req_1").status, status);
  }
});
