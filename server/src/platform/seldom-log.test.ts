import assert from "node:assert/strict";
import { test } from "node:test";
import { DatabaseError } from "./database.ts";
import { createSeldomLog } from "./seldom-log.ts";

const away = new DatabaseError("unavailable", "away");

function open() {
  const clock = { at: 1_000_000 };
  const lines: [event: string, failures: unknown, level: string | undefined][] = [];
  const log = createSeldomLog(
    (event, { failures }, level) => void lines.push([event, failures, level]),
    () => clock.at,
  );
  return { clock, lines, log };
}

test("what fails each second is one line a minute, which says how often it failed", () => {
  const { clock, lines, log } = open();
  for (let second = 0; second <= 120; second++) {
    log("deliveries.not_polled", { error: away }, "warn");
    clock.at += 1_000;
  }
  assert.deepEqual(
    lines,
    [1, 60, 60].map((failures) => ["deliveries.not_polled", failures, "warn"]),
  );
});

test("another event, and another kind of error, is told at once", () => {
  const { lines, log } = open();
  for (const error of [away, away, new DatabaseError("bug", "ours"), new TypeError("ours"), new TypeError("ours")]) {
    log("deliveries.not_polled", { error }, "warn");
  }
  log("deliveries.not_claimed", { error: away });
  assert.deepEqual(
    lines.map(([event]) => event),
    ["deliveries.not_polled", "deliveries.not_polled", "deliveries.not_polled", "deliveries.not_claimed"],
  );
});

test("a clock that was set back silences nothing", () => {
  const { clock, lines, log } = open();
  log("deliveries.not_polled", { error: away });
  clock.at -= 3_600_000;
  log("deliveries.not_polled", { error: away });
  assert.equal(lines.length, 2);
});
