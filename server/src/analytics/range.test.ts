import assert from "node:assert/strict";
import { test } from "node:test";
import { AppError } from "../errors.ts";
import { readRange } from "./range.ts";

const NOW = Date.parse("2026-03-10T09:30:00.000Z");

test("a range is whole days or hours in UTC", () => {
  for (const [asked, since, until] of [
    [{ by: "day" }, "2026-02-09T00:00:00.000Z", "2026-03-11T00:00:00.000Z"],
    [{ by: "hour" }, "2026-03-09T10:00:00.000Z", "2026-03-10T10:00:00.000Z"],
    [
      { by: "day", since: "2026-03-01T23:59:59+02:00", until: "2026-03-02T00:00:00Z" },
      "2026-03-01T00:00:00.000Z",
      "2026-03-02T00:00:00.000Z",
    ],
    [
      { by: "hour", since: "2026-03-10T08:59:00Z", until: "2026-03-10T09:00:01Z" },
      "2026-03-10T08:00:00.000Z",
      "2026-03-10T10:00:00.000Z",
    ],
    [
      { by: "day", since: "2025-02-04T00:00:00Z", until: "2026-03-11T00:00:00Z", dimension: "os" },
      "2025-02-04T00:00:00.000Z",
      "2026-03-11T00:00:00.000Z",
    ],
  ] as const) {
    const range = readRange(asked, NOW);
    assert.deepEqual(
      [range.since, range.until].map((at) => new Date(at).toISOString()),
      [since, until],
    );
  }
});

test("a range that cannot be counted is refused, with the field and what is accepted", () => {
  for (const [asked, path, message] of [
    [{ by: "hour", dimension: "os" }, "dimension", /leave out by=hour/],
    [{ by: "day", since: "2026-03-11T00:00:00Z" }, "since", /before `until`/],
    [{ by: "day", until: "0001-01-01T00:00:00Z", since: "2026-01-01T00:00:00Z" }, "since", /before `until`/],
    [{ by: "day", since: "2025-02-03T00:00:00Z" }, "since", /at most 400 days/],
    [{ by: "hour", since: "2026-01-20T00:00:00Z" }, "since", /at most 840 hours/],
    [{ by: "hour", since: "2026-01-20T00:00:00Z", until: "2026-01-21T00:00:00Z" }, "since", /last 35 days/],
  ] as const) {
    assert.throws(
      () => readRange(asked, NOW),
      (error: unknown) => {
        assert.ok(error instanceof AppError && error.code === "invalid_request", JSON.stringify(asked));
        assert.equal(error.details?.[0]?.path, path);
        assert.match(error.details?.[0]?.message ?? "", message);
        return true;
      },
    );
  }
});
