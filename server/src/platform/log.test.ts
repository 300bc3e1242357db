import assert from "node:assert/strict";
import { test } from "node:test";
import { DatabaseError } from "./database.ts";
import { composeLine } from "./log.ts";

const AT = new Date(Date.UTC(2026, 0, 31, 9, 30));

test("a line is one JSON object with time, level and event first", () => {
  const line = composeLine("server.ready", { url: "http://127.0.0.1:8080" }, "info", AT);
  assert.equal(
    line,
    '{"ts":"2026-01-31T09:30:00.000Z","level":"info","event":"server.ready","url":"http://127.0.0.1:8080"}\n',
  );
});

test("an error shows its message, code, cause and stack, and never more than one line", () => {
  const error = Object.assign(new Error("first\nsecond", { cause: new Error("below") }), { code: "EPIPE" });
  const line = composeLine("request.failed", { error }, "error", AT);
  assert.equal(line.indexOf("\n"), line.length - 1);
  const shown = JSON.parse(line).error;
  assert.equal(shown.message, "first\nsecond");
  assert.equal(shown.code, "EPIPE");
  assert.equal(shown.cause.message, "below");
  assert.match(shown.stack, /log\.test\.ts/);
});

test("a database that is away is told without stacks, its cause included; a bug keeps its own", () => {
  const cause = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED" });
  const show = (kind: "unavailable" | "bug") => {
    const error = new DatabaseError(kind, "PostgreSQL: away", { cause });
    return JSON.parse(composeLine("deliveries.not_polled", { error }, "warn", AT)).error;
  };
  assert.deepEqual(show("unavailable"), {
    message: "PostgreSQL: away",
    cause: { message: "connect ECONNREFUSED", code: "ECONNREFUSED" },
  });
  assert.match(show("bug").stack, /log\.test\.ts/);
  assert.match(show("bug").cause.stack, /log\.test\.ts/);
});

test("long texts are cut and big integers are text", () => {
  const shown = JSON.parse(composeLine("x", { text: "a".repeat(100_000), big: 12n }, "info", AT));
  assert.ok(shown.text.length < 5_000);
  assert.match(shown.text, /100000 characters/);
  assert.equal(shown.big, "12");
});
