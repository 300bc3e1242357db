import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanValue, countVisits, DAY_MS, HOUR_MS, type Visit } from "./visit.ts";

const DAY = Date.UTC(2026, 2, 1);
const BASE: Visit = { app_id: "shop", link_id: "lnk_1", at: DAY + HOUR_MS + 1, values: {} };

test("each click counts for its link and its app, in its hour and day", () => {
  const { hours, days, parts } = countVisits([BASE, { ...BASE, at: DAY + 3 * HOUR_MS - 1 }, { ...BASE, at: DAY - 1 }]);
  const of_link = (list: { link_id: string; at: number; clicks: number }[], link_id: string) =>
    list.filter((one) => one.link_id === link_id).map(({ at, clicks }) => [(at - DAY) / HOUR_MS, clicks]);
  for (const link_id of ["lnk_1", ""]) {
    assert.deepEqual(of_link(hours, link_id), [
      [1, 1],
      [2, 1],
      [-1, 1],
    ]);
    assert.deepEqual(of_link(days, link_id), [
      [0, 2],
      [-24, 1],
    ]);
  }
  assert.deepEqual(parts, []);
});

test("a value is counted once for the link and once for the app, whatever the hour", () => {
  const ios = { ...BASE, values: { platform: "ios", os: null, browser: undefined, utm_source: "mail" } };
  const { parts } = countVisits([ios, { ...ios, at: DAY }, { ...ios, link_id: "lnk_2" }]);
  const seen = parts.map((one) => `${one.link_id} ${one.dimension} ${one.value} ${one.clicks} ${one.at - DAY}`).sort();
  assert.deepEqual(seen, [
    " platform ios 3 0",
    " utm_source mail 3 0",
    "lnk_1 platform ios 2 0",
    "lnk_1 utm_source mail 2 0",
    "lnk_2 platform ios 1 0",
    "lnk_2 utm_source mail 1 0",
  ]);
});

test("two texts that are the same when they are cut are one value", () => {
  const long = (end: string) => ({ ...BASE, values: { utm_campaign: "x".repeat(100) + end } });
  const { parts } = countVisits([long("a"), long("b"), { ...BASE, values: { utm_campaign: "\u0000 \n" } }]);
  assert.deepEqual(
    parts.map(({ value, clicks }) => [value.length, clicks]),
    [
      [100, 2],
      [100, 2],
    ],
  );
});

test("a value is one line of text that both engines store", () => {
  for (const [text, value] of [
    ["mail", "mail"],
    ["  two  words ", "two  words"],
    ["a\u0000b\r\nc", "a b c"],
    ["\u007f\u0085", ""],
    ["", ""],
    [`${"x".repeat(99)}\u{1f600}`, `${"x".repeat(99)}\ufffd`],
    ["\ud800", "\ufffd"],
    ["y".repeat(5_000), "y".repeat(100)],
  ] as const) {
    assert.equal(cleanValue(text), value, JSON.stringify(text).slice(0, 40));
  }
});

test("a group of clicks over a day's end stays apart", () => {
  const { days } = countVisits([BASE, { ...BASE, at: DAY + DAY_MS }]);
  assert.equal(days.length, 4);
});
