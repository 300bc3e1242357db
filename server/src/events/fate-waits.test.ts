// What keeps a delivery that is pending, and what to do about it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type DeliveryRow, deliveryId } from "../deliveries/delivery.ts";
import { DUE_FIRST } from "../deliveries/due.ts";
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
  ...{ destination_id: "dst_a", position: "", trigger: "auto", started_at: AT, duration_ms: 5, response_headers: "{}" },
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
    `This one goes when ${first} has ended: try that one at once with POST /api/deliveries/${first}/retry, or give it up with POST /api/deliveries/${first}/cancel. To send this one before it, out of order: POST /api/deliveries/${deliveryId(behind)}/retry.`,
  );
});

test("one that fails while later events of its link wait behind it may be given up, so that they go", () => {
  const failed = { ...delivery, attempt: 1, failures: 1, order_key: "L", reason: "It broke.", due_at: AT + HOUR_MS };
  const tried: LastAttempt = { ...unsure, outcome: "refused", status_code: 500, error: "It broke." };
  const step = (changes: Partial<DeliveryRow>, state: "active" | "paused", has_behind = true) =>
    fateOf(
      event,
      { ...destination, state },
      { delivery: { ...failed, ...changes }, history: [], tried, has_behind },
      AT,
    ).next_step ?? "";
  const call = `POST /api/deliveries/${deliveryId(failed)}`;
  for (const state of ["active", "paused"] as const) {
    const retry = state === "active" ? `To try it at once: ${call}/retry.` : `To try this one now: ${call}/retry.`;
    const next = state === "active" ? "has its turn" : "is tried instead, the next time";
    const cancel = ` Later events of its link wait behind it: ${call}/cancel gives it up, and the next one ${next}.`;
    assert.ok(step({}, state).endsWith(`${retry}${cancel}`), step({}, state));
    assert.ok(step({}, state, false).endsWith(retry));
    assert.ok(!step({ attempt: 0, reason: null }, state).includes("/cancel"), "it has not been tried");
  }
});

test("what waits longer than its schedule says because its receiver asked for a pause says so", () => {
  const until = AT + HOUR_MS + 5;
  const error = "The receiver answered 503: it is not available at the moment";
  const row = { ...delivery, attempt: 1, failures: 1, reason: error, due_at: until };
  const asked: LastAttempt = { ...unsure, outcome: "refused", status_code: 503, error };
  const tried = { ...asked, response_headers: '{"retry-after":"3600"}' };
  const told = (changes: Partial<DeliveryRow>, of: LastAttempt = tried, at = AT) =>
    fateOf(event, destination, { delivery: { ...row, ...changes }, history: [], tried: of }, at);
  const time = new Date(until).toISOString();
  const { reason, next_step } = told({});
  assert.equal(
    reason,
    `${error}. The receiver asked for a pause until ${time} (Retry-After): no attempt is made by itself before that, whatever the retry schedule says. Next attempt at ${time}.`,
  );
  assert.equal(
    next_step,
    `Let the receiver come back: it asked for a pause until ${time} (Retry-After), and its log may say why. To try it at once: POST /api/deliveries/${deliveryId(row)}/retry.`,
  );
  const without = (...of: Parameters<typeof told>) => assert.doesNotMatch(told(...of).reason ?? "", /Retry-After/);
  without({ due_at: until - 1_001 });
  without({}, asked);
  without({}, tried, until);
  without({}, { ...tried, trigger: "manual" });
  without({ state: "failed", due_at: null });
  const paused = { ...destination, state: "paused" as const };
  const probed = fateOf(event, paused, { delivery: row, history: [], tried }, AT);
  assert.doesNotMatch(probed.reason ?? "", /Retry-After/, "a probe does not wait for that");
});

test("of one that was given up, what went wrong in this server when it was sent by hand is nothing to do first", () => {
  const canceled = { ...delivery, state: "canceled" as const, attempt: 1, due_at: null, settled_at: AT };
  const send = `end it after all with POST /api/deliveries/${deliveryId(canceled)}/retry.`;
  const step = (tried: Partial<LastAttempt>) =>
    fateOf(
      event,
      destination,
      { delivery: canceled, history: [], tried: { ...unsure, trigger: "manual", ...tried } },
      AT,
    ).next_step ?? "";
  assert.equal(step({ outcome: "misconfigured", cause: null }), `S${send}`);
  assert.equal(step({ outcome: "unreachable", cause: "aborted" }), `S${send}`);
  assert.match(
    step({ outcome: "refused", status_code: 401, cause: null }),
    new RegExp(`\\. Then s${send.replaceAll("/", ".")}$`),
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

const NOBODY = { ...NO_LIMITS, nobody: { reason: "Nobody sends.", step: "Start a dispatcher." } };
const retry = /POST \S+\/retry/;

test("while nobody sends, that is what to mend first, and of what is pending no retry is named, for it would do nothing", () => {
  const failing: LastAttempt = { ...unsure, outcome: "refused", status_code: 503 };
  const ahead = { ...delivery, reason: "The receiver answered 500", due_at: AT + HOUR_MS };
  const position = "019c1363-95eb-7000-8197-52ec64a7690c";
  const behind = { position, order_key: "L", due_at: WAITS_FOR_TURN, turn_position: ahead.position };
  const rows: Partial<DeliveryRow>[] = [
    ...[{}, { due_at: AT - HOUR_MS }, { due_at: AT + HOUR_MS }, { due_at: DUE_FIRST, trigger: "manual" as const }],
    ...[{ leased: 1, due_at: AT + 1 }, behind],
  ];
  for (const changes of rows) {
    for (const state of ["active", "paused", "disabled", "off"] as const) {
      for (const tried of [undefined, failing]) {
        const found = { delivery: { ...delivery, ...changes }, history: [], tried, ahead };
        const { reason, next_step } = fateOf(event, { ...destination, state, limits: NOBODY }, found, AT);
        const told = `${JSON.stringify(changes)} ${state}: ${reason} | ${next_step}`;
        assert.match(next_step ?? "", /^Start a dispatcher\.( When one runs: .+)?$/, told);
        assert.doesNotMatch(next_step ?? "", retry, told);
        assert.match(reason ?? "", / Nobody sends\.$/, told);
        assert.equal(reason?.split("Nobody sends.").length, 2, told);
        assert.doesNotMatch(reason ?? "", /a backlog or a limit|another one takes it/, told);
      }
    }
  }
  const failed = { ...delivery, state: "failed", reason: "It broke", due_at: null } as const;
  const fate = fateOf(event, { ...destination, limits: NOBODY }, { delivery: failed, history: [] }, AT);
  assert.match(fate.next_step ?? "", /^Start a dispatcher\. When one runs: Mend what the reason says, then send/);
  const missed = fateOf(event, { ...destination, limits: NOBODY }, { delivery: undefined, history: [] }, AT);
  assert.match(missed.next_step ?? "", /^Start a dispatcher\. When one runs: Send what it lacks/);
  const arrived = { ...delivery, state: "succeeded", due_at: null, settled_at: AT } as const;
  const done = fateOf(event, { ...destination, limits: NOBODY }, { delivery: arrived, history: [] }, AT);
  assert.deepEqual([done.reason, done.next_step], [`Delivered at ${TIME}.`, null]);
});

test("what its webhook holds says from when on it would be sent, where its own time is still to come", () => {
  const reason = (due_at: number) => {
    const row = { ...delivery, reason: "The receiver answered 503", due_at };
    return fateOf(event, { ...destination, state: "paused" }, { delivery: row, history: [] }, AT).reason;
  };
  const held = "The receiver answered 503. It waits, for the webhook is paused.";
  assert.equal(reason(AT), held);
  assert.equal(
    reason(AT + HOUR_MS),
    `${held} When that is over, it is sent not before ${new Date(AT + HOUR_MS).toISOString()}.`,
  );
});

test("what was sent again by hand in vain while it is pending says so, and reason and next step are of that attempt", () => {
  const row = { ...delivery, attempt: 2, reason: "The receiver answered 503", due_at: AT + HOUR_MS };
  const manual = { ...unsure, trigger: "manual", outcome: "refused", status_code: 401 } as const;
  const tried: LastAttempt = { ...manual, error: "The receiver answered 401" };
  const by_hand = `Sent again by hand at ${TIME}, it failed: The receiver answered 401.`;
  const next = new Date(AT + HOUR_MS).toISOString();
  const told = (changes: Partial<DeliveryRow>, last = tried) => {
    const found = { delivery: { ...row, ...changes }, history: [], tried: last };
    return fateOf(event, destination, found, AT);
  };
  const { reason, next_step } = told({});
  assert.equal(reason, `The receiver answered 503. ${by_hand} Next attempt at ${next}.`);
  assert.match(next_step ?? "", /^Give the receiver this webhook's signing secret, /);
  assert.equal(told({}, { ...tried, trigger: "auto" }).reason, `The receiver answered 503. Next attempt at ${next}.`);
  const off =
    fateOf(event, { ...destination, state: "off" }, { delivery: row, history: [], tried }, AT).next_step ?? "";
  assert.match(off, /^Give the receiver this webhook's signing secret, .* Then turn the webhook on with PATCH /);
  assert.doesNotMatch(told({ resume_state: "pending", due_at: DUE_FIRST, trigger: "manual" }).reason ?? "", /failed/);
  // A delivery that a person made begins with such an attempt, whose reason is its own.
  const first = told({ attempt: 1, reason: "The receiver answered 401" }).reason;
  assert.equal(first, `The receiver answered 401. Next attempt at ${next}.`);
});

test("behind an event that failed, at a webhook that is off, it is told what that one waits for, and how to get past it", () => {
  const ahead = { ...delivery, attempt: 1, reason: "The receiver answered 500", due_at: AT + HOUR_MS };
  const position = "019c1363-95eb-7000-8197-52ec64a7690c";
  const behind = { ...delivery, position, order_key: "L", due_at: WAITS_FOR_TURN, turn_position: ahead.position };
  const told = (state: "off" | "paused" | "disabled", first: DeliveryRow | null = ahead) =>
    fateOf(event, { ...destination, state }, { delivery: behind, history: [], ahead: first }, AT);
  const id = deliveryId(ahead);
  const next = new Date(AT + HOUR_MS).toISOString();
  const { reason, next_step } = told("off");
  assert.equal(
    reason,
    `It waits for an earlier event of its link, ${id}. Of that one: The receiver answered 500. It is sent not before ${next}. Both wait, for the webhook is off.`,
  );
  const past = `This one goes when ${id} has ended: try that one at once with POST /api/deliveries/${id}/retry, or give it up with`;
  assert.ok(
    next_step?.startsWith(`Turn the webhook on with PATCH /api/webhooks/dst_a {"enabled": true}. ${past}`),
    `${next_step}`,
  );
  for (const state of ["paused", "disabled"] as const) assert.ok(told(state).next_step?.includes(` ${past}`), state);
  assert.equal(
    told("off", { ...ahead, reason: null, due_at: AT }).reason,
    `It waits for an earlier event of its link, ${id}. Both wait, for the webhook is off.`,
  );
  assert.match(told("off", null).reason ?? "", /its link, \S+\. It waits, for the webhook is off\.$/);
  const asked = { ...ahead, trigger: "manual", due_at: DUE_FIRST, resume_state: "pending" } as const;
  assert.match(told("off", asked).reason ?? "", /An attempt is due now\. It waits, for the webhook is off\.$/);
});

test("what waits for another one of its webhook, which takes one at a time, is not said to be sent perhaps", () => {
  const own = { reason: "All are under way. Its rate keeps it.", step: "Allow more.", rate: "Its rate keeps it." };
  const row = { ...delivery, leased: 1, due_at: AT + HOUR_MS };
  const told = (behind: string | null) => {
    const limits = { ...NO_LIMITS, own, sending: () => null, behind: () => behind };
    return fateOf(event, { ...destination, limits }, { delivery: row, history: [] }, AT);
  };
  const { reason, next_step } = told("It waits for another one.");
  assert.deepEqual([reason, next_step], ["It waits for another one. Its rate keeps it.", "Allow more."]);
  assert.match(
    told(null).reason ?? "",
    /^With a dispatcher: it is being sent, or is as soon as .* Its rate keeps it\.$/,
  );
  const limits = { ...NO_LIMITS, own: { ...own, is_single: true } };
  assert.match(
    fateOf(event, { ...destination, limits }, { delivery: row, history: [] }, AT).reason ?? "",
    /^With a dispatcher: it is the one request that the webhook may have at a time \(max_in_flight\), or waits for that one\. Should /,
  );
});

test("of one that failed it is told how all that failed go again, however old, but of a test and where the webhook is stopped", () => {
  const failed = { ...delivery, state: "failed", reason: "It broke", due_at: null } as const;
  const step = (target_id: string | null, state: "active" | "paused" | "off" | "disabled") => {
    const one = { ...event, target_id };
    return fateOf(one, { ...destination, state }, { delivery: failed, history: [] }, AT + HOUR_MS).next_step ?? "";
  };
  const until = new Date(AT + HOUR_MS).toISOString();
  const all = ` All that failed at this webhook go again with POST /api/webhooks/dst_a/replays {"since":"1970-01-01T00:00:00.000Z","until":"${until}","states":["failed"]}; "dry_run": true beside that counts them first.`;
  for (const state of ["active", "paused"] as const) assert.ok(step(null, state).endsWith(`/retry.${all}`), state);
  for (const state of ["off", "disabled"] as const) assert.ok(step(null, state).endsWith("/retry."), state);
  assert.ok(step("dst_a", "active").endsWith("/retry."));
});
