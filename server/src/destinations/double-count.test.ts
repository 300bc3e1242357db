import assert from "node:assert/strict";
import { test } from "node:test";
import { doubleCounts } from "./double-count.ts";

function row(id: string, type: string, config: object = {}, changes: object = {}) {
  const own = type === "ga4" ? { measurement_id: "G-ONE" } : {};
  return {
    ...{ id, type, state: "active" as const, events: JSON.stringify(["link.click", "link.claim"]) },
    config: JSON.stringify({ ...own, ...config }),
    ...changes,
  };
}

const GOOGLE = row("dst_google", "ga4");

test("events that Segment passes on to Google Analytics, too, are told at both, with what to set", () => {
  const segment = row("dst_segment", "segment", { skip_google_analytics: false, integrations: {} });
  for (const [one, other] of [
    [GOOGLE, segment],
    [segment, GOOGLE],
  ] as const) {
    const [warning, ...more] = doubleCounts(one, [GOOGLE, segment]);
    assert.match(warning ?? "", new RegExp(`Destination ${other.id} takes link.click, link.claim, too`));
    assert.match(warning ?? "", /Set skip_google_analytics of dst_segment to true/);
    assert.deepEqual(more, []);
  }
});

for (const [title, segment] of [
  ["its switch keeps them", row("dst_s", "segment", { skip_google_analytics: true })],
  [
    "its integrations keep them",
    row("dst_s", "segment", { integrations: { "Google Analytics 4": false, "Google Analytics 4 Cloud": false } }),
  ],
  ["it passes nothing on", row("dst_s", "segment", { integrations: { All: false } })],
  ["it takes other events", row("dst_s", "segment", {}, { events: JSON.stringify(["link.app_open"]) })],
  ["it is off", row("dst_s", "segment", {}, { state: "off" })],
  ["it is no Segment", row("dst_s", "posthog")],
] as const) {
  test(`nothing counts twice where ${title}`, () => {
    assert.deepEqual(doubleCounts(GOOGLE, [GOOGLE, segment]), []);
    assert.deepEqual(doubleCounts(segment, [GOOGLE, segment]), []);
  });
}

test("what Segment passes on to one integration by name is passed on, whatever holds for all", () => {
  const segment = row("dst_s", "segment", { integrations: { All: false, "Google Analytics 4": true } });
  assert.equal(doubleCounts(GOOGLE, [GOOGLE, segment]).length, 1);
  const cloud = row("dst_s", "segment", {
    skip_google_analytics: true,
    integrations: { "Google Analytics 4 Cloud": true },
  });
  assert.equal(doubleCounts(GOOGLE, [GOOGLE, cloud]).length, 1);
});

test("two destinations of one stream count twice; of two streams, or one that is off, they do not", () => {
  const twin = row("dst_twin", "ga4");
  assert.match(doubleCounts(GOOGLE, [GOOGLE, twin])[0] ?? "", /dst_twin sends .* to the same stream/);
  assert.deepEqual(doubleCounts(GOOGLE, [GOOGLE, row("dst_other", "ga4", { measurement_id: "G-TWO" })]), []);
  assert.deepEqual(doubleCounts({ ...GOOGLE, state: "off" }, [GOOGLE, twin]), []);
});
