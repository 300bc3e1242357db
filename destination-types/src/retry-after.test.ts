import assert from "node:assert/strict";
import { test } from "node:test";
import { RETRY_AFTER_MAX_MS, readRetryAfter } from "./retry-after.ts";

const now = Date.UTC(2026, 0, 31, 9, 30, 0);
const MINUTE_MS = 60_000;

const READ: [string, number][] = [
  ["0", 0],
  ["120", 2 * MINUTE_MS],
  [" 7 ", 7_000],
  ["86400", RETRY_AFTER_MAX_MS],
  ["86401", RETRY_AFTER_MAX_MS],
  ["999999999999999999999999", RETRY_AFTER_MAX_MS],
  ["Sat, 31 Jan 2026 09:32:00 GMT", 2 * MINUTE_MS],
  ["Saturday, 31-Jan-26 09:32:00 GMT", 2 * MINUTE_MS],
  ["Sat Jan 31 09:32:00 2026", 2 * MINUTE_MS],
  ["Sun Feb  1 09:29:00 2026", RETRY_AFTER_MAX_MS - MINUTE_MS],
  ["Sat, 31 Jan 2026 09:30:60 GMT", MINUTE_MS],
  ["Fri, 31 Jan 2027 09:30:00 GMT", RETRY_AFTER_MAX_MS],
  ["Sun, 06 Nov 1994 08:49:37 GMT", 0],
  ["Sunday, 06-Nov-94 08:49:37 GMT", 0],
  ["Friday, 31-Jan-76 09:30:00 GMT", RETRY_AFTER_MAX_MS],
  ["Monday, 31-Jan-77 09:30:00 GMT", 0],
];
for (const [text, delay] of READ) {
  test(`"${text}" asks for ${delay} ms`, () => assert.equal(readRetryAfter(text, now), delay));
}

test("a fraction of a millisecond is rounded up, so that the delay is never undercut", () => {
  assert.equal(readRetryAfter("Sat, 31 Jan 2026 09:32:00 GMT", now + 0.4), 2 * MINUTE_MS);
});

const IGNORED = [
  "",
  "soon",
  "-5",
  "+5",
  "1.5",
  "1e3",
  "0x10",
  "5, 10",
  "120 s",
  "2026-01-31T09:32:00Z",
  "31 Jan 2026 09:32:00 GMT",
  "Sat, 31 Jan 2026 09:32:00",
  "Sat, 31 Jan 2026 09:32:00 CET",
  "Sat, 31 Foo 2026 09:32:00 GMT",
  "Sat, 30 Feb 2026 09:32:00 GMT",
  "Sat, 00 Jan 2026 09:32:00 GMT",
  "Sat, 31 Jan 2026 24:00:00 GMT",
  "Sat, 31 Jan 2026 09:60:00 GMT",
  "Sat, 31 Jan 2026 09:30:61 GMT",
  "Sat, 31 Jan 26 09:32:00 GMT",
  "Sat Jan 31 09:32:00 26",
];
for (const text of IGNORED) {
  test(`"${text}" is ignored`, () => assert.equal(readRetryAfter(text, now), null));
}

test("an absent header asks for nothing", () => assert.equal(readRetryAfter(undefined, now), null));
