// What keeps a delivery that is pending, and what to do about it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type DeliveryRow, deliveryId } from "../deliveries/delivery.ts";
import type { LastAttempt } from "../deliveries/ledger-store.ts";
import { WAITS_FOR_TURN } from "../deliveries/turn.ts";
import { NO_LIMITS } from "../destinations/health.ts";
import { fateOf } from "./fate.ts";

const AT = Date.UTC(2026, 0, 31, 9, 30);
const TIME = "2026-01-31T09:30:00.000Z";
const destination = {
  ...{ id: "dst_a", created_at: AT, state: "active" as const, state_reason: null, repair: null },
  events: new Set(["link.click"] as const),
};
const event = { event: "link.click" as const, target_id: null, created_at: AT };
const HOUR_MS = 3_600_000;

const delivery: DeliveryRow = {
  ...{ destination_id: "dst_a", position: "019c1363-95eb-7000-8197-52ec64a7690b", app_id: "shop", event: "link.click" },
  ...{ state: "pending", reason: null, attempt: 0, failures: 0, leased: 0, due_at: AT, trigger: "auto" },
  ...{ resume_state: null, resume_at: null, created_at: AT, settled_at: null },
};

const unsure: LastAttempt = {
  ...{ destination_id: "dst_a", trigger: "auto", started_at: AT },
  ...{ outcome: "unreachable", status_code: null, cause: null, error: null },
};

test("what its webhook's own settings keep back is told what changes that, until it is sent", () => {
  const own = { reason: "Its rate keeps it.", step: "Raise the rate." };
  const limits = { ...NO_LIMITS, own, sending: () => null };
  const fate = (changes: Partial<DeliveryRow>, late_ms: number, more = {}) =>
    fateOf(
      event,
      { ...destination, limits: { ...limits, ...more } },
      { delivery: { ...delivery, ...changes }, history: [] },
      AT + late_ms,
    );
  for (const late_ms of [1, 60_001]) {
    const { reason, next_step } = fate({}, late_ms);
    assert.deepEqual([reason, next_step], [`It is due since ${TIME}. Its rate keeps it.`, own.step]);
  }
  assert.equal(fate({ due_at: AT + HOUR_MS }, 1).next_step, null);
  assert.equal(fate({ leased: 1, due_at: AT + HOUR_MS }, 1).next_step, own.step);
  const sent = fate({ leased: 1, due_at: AT + HOUR_MS }, 1, { sending: () => "It is being sent." });
  assert.deepEqual([sent.reason, sent.next_step], ["It is being sent.", null]);
});

test("behind an earlier event of its link the way on is to retry or cancel that one, or to go before it", () => {
  const ahead = { ...delivery, attempt: 1, reason: "The receiver answered 500", due_at: AT + HOUR_MS };
  const position = "019c1363-95eb-7000-8197-52ec64a7690c";
  const behind = { ...delivery, position, order_key: "L", due_at: WAITS_FOR_TURN, turn_position: ahead.position };
  const { reason, next_step } = fateOf(event, destination, { delivery: behind, history: [], ahead }, AT);
  const first = deliveryId(ahead);
  const next = new Date(AT + HOUR_MS).toISOString();
  assert.equal(
    reason,
    `It waits for an earlier event of its link, ${first}. Of that one: The receiver answered 500. Next attempt at ${next}.`,
  );
  assert.equal(
    next_step,
    `It goes when that one has ended: try that one at once with POST /api/deliveries/${first}/retry, or give it up with POST /api/deliveries/${first}/cancel. To send this one before it, out of order: POST /api/deliveries/${deliveryId(behind)}/retry.`,
  );
});

test("what kept an attempt from being made and has been mended since is not to be mended once more", () => {
  const error = "A secret was sealed with another key (a, this server has b): if it is lost, revoke";
  const row = { ...delivery, attempt: 1, reason: error, due_at: AT + HOUR_MS };
  const tried: LastAttempt = { ...unsure, outcome: "misconfigured", error };
  const told = (misconfigured: string | null) =>
    fateOf(event, { ...destination, misconfigured }, { delivery: row, history: [], tried }, AT);
  const before = told(error);
  assert.match(before.reason ?? "", /^A secret was sealed with another key/);
  assert.match(before.next_step ?? "", /do what the error of the attempt says/);
  // The secret is new, and the headers cannot be read yet.
  const later = "Its headers were sealed with another key: send them again";
  assert.ok(told(later).reason?.startsWith(`${later}. Next attempt`), `${told(later).reason}`);
  const { reason, next_step } = told(null);
  assert.match(reason ?? "", /^An attempt found settings .* It can read them again\. Next attempt at \S+Z\.$/);
  assert.match(
    next_step ?? "",
    /^Nothing more is to be mended: keep the secret .* To try it at once: POST \S+\/retry\.$/,
  );
});

test("what waits for a paused webhook says when that is tried next", () => {
  const step = (probe_at: number | null) =>
    fateOf(event, { ...destination, state: "paused" }, { delivery, history: [], probe_at }, AT).next_step ?? "";
  assert.match(
    step(AT + HOUR_MS),
    /; the webhook is tried next at about 2026-01-31T10:30:00\.000Z\. To try this one now/,
  );
  for (const due of [AT, null]) assert.match(step(due), /; the webhook is tried next as soon as may be\. To try/);
  const later = { ...delivery, due_at: AT + HOUR_MS };
  const { next_step } = fateOf(event, { ...destination, state: "paused" }, { delivery: later, history: [] }, AT);
  assert.match(next_step ?? "", /sent by itself then, not before 2026-01-31T10:30:00\.000Z; the webhook/);
});
