import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanValue, createSum, DAY_MS, HOUR_MS, type Tally, tallyBots, tallyVisits, type Visit } from "./visit.ts";

const DAY = Date.UTC(2026, 2, 1);
const BASE: Visit = { app_id: "shop", link_id: "lnk_1", at: DAY + HOUR_MS + 1, values: {} };

function countVisits(visits: Visit[]) {
  const sum = createSum();
  for (const [app_id, tallies] of tallyVisits(visits)) sum.add(app_id, JSON.parse(tallies));
  return sum.counts();
}

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

test("visits that look the same are one tally, those of each app in rows of their own", () => {
  const ios = { ...BASE, values: { platform: "ios", os: null, browser: undefined } };
  const web = { ...ios, values: { ...ios.values, platform: "web" } };
  const rows = tallyVisits([ios, web, { ...ios, at: DAY + 2 * HOUR_MS - 1 }, { ...web, app_id: "other" }]);
  const seen = (platform: string) => ({ link_id: "lnk_1", at: DAY + HOUR_MS, values: { platform, os: null } });
  assert.deepEqual(
    rows.map(([app_id, tallies]) => [app_id, JSON.parse(tallies)]),
    [
      [
        "shop",
        [
          [2, 0, seen("ios")],
          [1, 0, seen("web")],
        ],
      ],
      ["other", [[1, 0, seen("web")]]],
    ],
  );
});

test("a row holds so many tallies at the most, and none is lost", () => {
  const links = Array.from({ length: 45 }, (_, n) => `lnk_${n}`);
  const clicks = tallyVisits(links.map((link_id) => ({ ...BASE, link_id })));
  const bots = tallyBots(
    "shop",
    links.map((link_id) => ({ link_id, at: DAY, bots: 3 })),
  );
  for (const rows of [clicks, bots]) {
    const tallies = rows.map(([, list]) => JSON.parse(list) as Tally[]);
    assert.deepEqual(
      tallies.map(({ length }) => length),
      [20, 20, 5],
    );
    assert.deepEqual(
      tallies.flat().map(([, , seen]) => seen.link_id),
      links,
    );
  }
  const sum = createSum();
  for (const [app_id, tallies] of bots) sum.add(app_id, JSON.parse(tallies));
  assert.deepEqual(
    sum.counts().hours.find(({ link_id }) => link_id === ""),
    { app_id: "shop", link_id: "", at: DAY, clicks: 0, bots: 135 },
  );
});

test("whatever visitors write, a tally is stored in a bounded text", () => {
  const values = { utm_source: "\u0000".repeat(8_000), utm_medium: "\\".repeat(8_000), platform: "ios", os: null };
  const [row] = tallyVisits([{ ...BASE, values }]);
  assert.ok(row !== undefined && row[1].length < 1_000, `${row?.[1].length}`);
  const [[, , seen]] = JSON.parse(row[1]);
  assert.deepEqual(seen.values, { utm_source: "", utm_medium: "\\".repeat(100), platform: "ios", os: null });
});
