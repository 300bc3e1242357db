import assert from "node:assert/strict";
import { test } from "node:test";
import { AppError } from "../errors.ts";
import { decodeCursor, encodeCursor } from "./cursor.ts";

test("a cursor gives back what was encoded", () => {
  assert.deepEqual(decodeCursor(encodeCursor([1_769_851_800_412, "lnk_1"]), ["number", "string"]), [
    1_769_851_800_412,
    "lnk_1",
  ]);
  assert.deepEqual(decodeCursor(encodeCursor(["ü 🔗"]), ["string"]), ["ü 🔗"]);
  assert.match(encodeCursor(["??>>~~"]), /^[A-Za-z0-9_-]+$/);
});

const of = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");

for (const [what, cursor] of [
  ["an empty text", ""],
  ["text that is not base64url", "a b"],
  ["text that is not JSON", Buffer.from("{").toString("base64url")],
  ["no array", of({ 0: 1 })],
  ["too few values", of([1])],
  ["too many values", of([1, "a", "b"])],
  ["another type", of(["1", "a"])],
  ["a fraction", of([1.5, "a"])],
  ["a negative number", of([-1, "a"])],
  ["null", of([null, "a"])],
  ["a NUL", of([1, "a\u0000"])],
  ["a lone surrogate", Buffer.from('[1,"\\ud800"]').toString("base64url")],
  ["a value that is too long", of([1, "a".repeat(201)])],
  ["a cursor that is too long", "a".repeat(513)],
] as const) {
  test(`a cursor is refused by name when it holds ${what}`, () => {
    assert.throws(
      () => decodeCursor(cursor, ["number", "string"]),
      (error) => error instanceof AppError && error.code === "invalid_request" && error.details?.[0]?.path === "cursor",
    );
  });
}
