import assert from "node:assert/strict";
import { test } from "node:test";
import { type DeliveryRow, DUE_FIRST, deliveryId } from "../deliveries/delivery.ts";
import { fateOf, type PastSettings } from "./fate.ts";

const AT = Date.UTC(2026, 0, 31, 9, 30);
const TIME = "2026-01-31T09:30:00.000Z";
const destination = { id: "dst_a", created_at: AT, state: "active" as const };
const event = { event: "link.click" as const, target_id: null, created_at: AT };
const on: PastSettings = { state: "active", events: '["link.click"]', cause: "created", at: AT };

const delivery: DeliveryRow = {
  ...{ destination_id: "dst_a", position: "019c1363-95eb-7000-8197-52ec64a7690b", app_id: "shop", event: "link.click" },
  ...{ state: "pending", reason: null, attempt: 0, failures: 0, leased: 0, due_at: AT, trigger: "auto" },
  ...{ resume_state: null, resume_at: null, created_at: AT, settled_at: null },
};

const delivered: { changes: Partial<DeliveryRow>; state: string; reason: string | null }[] = [
  { changes: {}, state: "pending", reason: `Next attempt at ${TIME}.` },
  { changes: { reason: "It broke." }, state: "pending", reason: `It broke. Next attempt at ${TIME}.` },
  { changes: { reason: "It broke" }, state: "pending", reason: `It broke. Next attempt at ${TIME}.` },
  { changes: { due_at: DUE_FIRST }, state: "pending", reason: "An attempt is due now." },
  { changes: { due_at: DUE_FIRST, reason: "It broke" }, state: "pending", reason: "It broke. An attempt is due now." },
  {
    changes: { due_at: DUE_FIRST, reason: "Canceled by hand.", resume_state: "canceled" },
    state: "pending",
    reason: "An attempt was asked for by hand. An attempt is due now.",
  },
  { changes: { leased: 1, due_at: AT + 1 }, state: "pending", reason: "An attempt is under way." },
  { changes: { leased: 1, due_at: AT }, state: "pending", reason: `Next attempt at ${new Date(AT).toISOString()}.` },
  { changes: { due_at: null }, state: "pending", reason: null },
  { changes: { state: "succeeded", due_at: null }, state: "succeeded", reason: null },
  { changes: { state: "failed", reason: "All 3 attempts failed." }, state: "failed", reason: "All 3 attempts failed." },
  { changes: { state: "canceled", reason: "By hand." }, state: "canceled", reason: "By hand." },
];
for (const { changes, state, reason } of delivered) {
  test(`with a delivery ${JSON.stringify(changes)} the fate is ${state}: ${reason}`, () => {
    const row = { ...delivery, ...changes };
    // What it was set to does not matter once there is a delivery.
    assert.deepEqual(fateOf(event, destination, { delivery: row, settings: undefined }, AT), {
      ...{ destination_id: "dst_a", state, reason, delivery_id: deliveryId(row) },
    });
  });
}

test("a delivery whose destination is not active says that it waits, unless a person asked for it", () => {
  const fate = (changes: Partial<DeliveryRow>, state: "paused" | "off") =>
    fateOf(event, { ...destination, state }, { delivery: { ...delivery, ...changes }, settings: undefined }, AT).reason;
  assert.equal(fate({}, "off"), "It waits, for the destination is off.");
  assert.equal(fate({ reason: "It broke" }, "paused"), "It broke. It waits, for the destination is paused.");
  assert.equal(fate({ trigger: "test", due_at: DUE_FIRST }, "off"), "An attempt is due now.");
  assert.equal(fate({ leased: 1, due_at: AT + 1 }, "paused"), "An attempt is under way.");
});

const undelivered: { title: string; target_id?: string; settings?: PastSettings; state: string; reason: RegExp }[] = [
  {
    title: "a test event for another",
    target_id: "dst_b",
    settings: on,
    state: "not_subscribed",
    reason: /test event/,
  },
  { title: "an event before its creation", state: "not_yet_created", reason: new RegExp(`created at ${TIME}`) },
  {
    title: "an event of another type",
    settings: { ...on, events: '["link.claim","link.app_open"]' },
    state: "not_subscribed",
    reason: /set to link\.claim, link\.app_open only/,
  },
  {
    title: "an event while it was off",
    settings: { ...on, state: "off", cause: "turned off" },
    state: "off",
    reason: new RegExp(`It was off since ${TIME}: turned off`),
  },
  {
    title: "an event while it was disabled",
    settings: { ...on, state: "disabled", cause: "The receiver answered 410 (gone)" },
    state: "off",
    reason: /disabled since .*410/,
  },
];
for (const { title, target_id = null, settings, state, reason } of undelivered) {
  test(`without a delivery, ${title} is ${state}`, () => {
    const fate = fateOf({ ...event, target_id }, destination, { delivery: undefined, settings }, AT);
    assert.equal(fate.state, state);
    assert.match(fate.reason ?? "", reason);
    assert.equal("delivery_id" in fate, false);
  });
}
