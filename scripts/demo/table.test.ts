import assert from "node:assert/strict";
import { test } from "node:test";
import { composeTable, duration, type Paint, shortId } from "./table.ts";
import type { Row } from "./verdict.ts";

const plain: Paint = (_style, text) => text;
const KEPT: Row = {
  event: "link.deferred_claim_attempt",
  id: "019c1367-459f-78b5-aae4-204142b7c4d1",
  platform: "ios",
  statuses: [503, 200],
  delivered_ms: 1_113.4,
  is_kept: true,
};
const MISSING: Row = {
  event: "link.app_open",
  id: null,
  platform: "web",
  statuses: [],
  delivered_ms: null,
  is_kept: false,
};

test("A table says of each event how it came and whether that was promised", () => {
  assert.deepEqual(composeTable([KEPT, MISSING], plain), [
    "event                        id         platform  attempts   delivered  verdict",
    "───────────────────────────  ─────────  ────────  ─────────  ─────────  ───────────",
    "link.deferred_claim_attempt  …42b7c4d1  ios       503 → 200     1.11 s  as promised",
    "link.app_open                –          web       none           never  broken",
  ]);
});

test("Colours change no width", () => {
  const marked: Paint = (style, text) => `<${style}>${text}</${style}>`;
  const bare = composeTable([KEPT, MISSING], marked).map((line) => line.replaceAll(/<[^>]*>/g, "").trimEnd());
  assert.deepEqual(bare, composeTable([KEPT, MISSING], plain));
});

test("A table of nothing has its titles", () => {
  assert.equal(composeTable([], plain).length, 2);
});

const DURATIONS: [number | null, string][] = [
  [0, "0 ms"],
  [7.6, "8 ms"],
  [999.4, "999 ms"],
  [999.6, "1.00 s"],
  [1_000, "1.00 s"],
  [12_345, "12.35 s"],
  [null, "never"],
];
for (const [ms, text] of DURATIONS) {
  test(`${ms} ms are shown as ${text}`, () => assert.equal(duration(ms), text));
}

test("An id is shown by its end, and a missing one by a dash", () => {
  assert.equal(shortId("019c1367-459f-78b5-aae4-204142b7c4d1"), "…42b7c4d1");
  assert.equal(shortId(null), "–");
});
