import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventType } from "#contract/events.ts";
import { type DeliveryRow, deliveryId } from "../deliveries/delivery.ts";
import { DUE_FIRST } from "../deliveries/due.ts";
import type { LastAttempt } from "../deliveries/ledger-store.ts";
import { NO_LIMITS } from "../destinations/health.ts";
import { fateOf, fateWithout } from "./fate.ts";
import type { PastSettings } from "./past-settings.ts";

const AT = Date.UTC(2026, 0, 31, 9, 30);
const TIME = "2026-01-31T09:30:00.000Z";
const TYPES = new Set(["link.click"] as const);
const destination = {
  ...{ id: "dst_a", created_at: AT, state: "active" as const, state_reason: null, repair: null, events: TYPES },
};
const event = { event: "link.click" as const, target_id: null, created_at: AT };
const on: PastSettings = { state: "active", events: '["link.click"]', cause: "created", at: AT };

const delivery: DeliveryRow = {
  ...{ destination_id: "dst_a", position: "019c1363-95eb-7000-8197-52ec64a7690b", app_id: "shop", event: "link.click" },
  ...{ state: "pending", reason: null, attempt: 0, failures: 0, leased: 0, due_at: AT, trigger: "auto" },
  ...{ resume_state: null, resume_at: null, created_at: AT, settled_at: null },
};

const delivered: { changes: Partial<DeliveryRow>; state: string; reason: string | null; step?: boolean }[] = [
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
  {
    changes: { leased: 1, due_at: AT + 1 },
    state: "pending",
    reason:
      "With a dispatcher: it is being sent, or is as soon as the limits of the webhook and of the dispatcher allow. Should that one have ended, another one takes it by 2026-01-31T09:30:00.001Z.",
  },
  { changes: { leased: 1, due_at: AT }, state: "pending", reason: `Next attempt at ${new Date(AT).toISOString()}.` },
  { changes: { due_at: null }, state: "pending", reason: null },
  {
    changes: { state: "succeeded", due_at: null, settled_at: AT },
    state: "succeeded",
    reason: `Delivered at ${TIME}.`,
  },
  { changes: { state: "failed", reason: "All 3 failed." }, state: "failed", reason: "All 3 failed.", step: true },
  { changes: { state: "canceled", reason: "By hand." }, state: "canceled", reason: "By hand.", step: true },
  { changes: { state: "skipped", reason: "Filtered: …" }, state: "skipped", reason: "Filtered: …", step: true },
];
for (const { changes, state, reason, step = false } of delivered) {
  test(`with a delivery ${JSON.stringify(changes)} the fate is ${state}: ${reason}`, () => {
    const row = { ...delivery, ...changes };
    // What it was set to does not matter once there is a delivery.
    const { next_step, ...fate } = fateOf(event, destination, { delivery: row, history: [] }, AT);
    assert.deepEqual(fate, { destination_id: "dst_a", state, reason, delivery_id: deliveryId(row) });
    assert.equal(next_step !== null, step, String(next_step));
  });
}

test("a delivery whose destination is not active says that it waits, unless a person asked for it", () => {
  const fate = (changes: Partial<DeliveryRow>, state: "paused" | "off") =>
    fateOf(event, { ...destination, state }, { delivery: { ...delivery, ...changes }, history: [] }, AT).reason;
  assert.equal(fate({}, "off"), "It waits, for the webhook is off.");
  assert.equal(fate({ reason: "It broke" }, "paused"), "It broke. It waits, for the webhook is paused.");
  const paused = { ...destination, state: "paused", state_reason: "20 attempts in a row failed." } as const;
  assert.equal(
    fateOf(event, paused, { delivery, history: [] }, AT).reason,
    "It waits, for the webhook is paused: 20 attempts in a row failed.",
  );
  assert.equal(fate({ trigger: "test", due_at: DUE_FIRST }, "off"), "An attempt is due now.");
  assert.equal(
    fate({ leased: 1, due_at: AT + 1 }, "paused"),
    "With a dispatcher: it is being sent, or is as soon as the limits of the webhook and of the dispatcher allow. Should that one have ended, another one takes it by 2026-01-31T09:30:00.001Z.",
  );
});

test("what a limit of its webhook keeps says so, and that nothing need be done", () => {
  const held_until = "2026-01-31T09:31:00.000Z";
  const limits = { concurrency_limit: 1, rate_limit_per_second: 1, held_until, limited_because: "It asked for less." };
  const fate = fateOf(event, { ...destination, limits }, { delivery, history: [] }, AT + 60_001);
  const reason = `It is due since ${TIME}. The webhook is sent nothing until ${held_until}. It asked for less.`;
  assert.deepEqual([fate.reason, fate.next_step], [reason, null]);
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
    const history = settings === undefined ? [] : [settings];
    const fate = fateOf({ ...event, target_id }, destination, { delivery: undefined, history }, AT);
    assert.equal(fate.state, state);
    assert.match(fate.reason ?? "", reason);
    assert.equal("delivery_id" in fate, false);
  });
}

const off = { ...on, state: "off", cause: "turned off" };
const others = { ...on, events: '["link.claim"]', cause: "changed" };
const SECOND_MS = 1_000;
const HOUR_MS = 3_600_000;

const raced: { title: string; history: PastSettings[]; state: string; reason: RegExp }[] = [
  {
    title: "was stored before the creation of the same millisecond",
    history: [on],
    state: "not_yet_created",
    reason: /created at/,
  },
  {
    title: "was stored before the webhook was turned on in the same millisecond",
    history: [{ ...off, at: AT - HOUR_MS }, on],
    state: "off",
    reason: new RegExp(`It was off since ${new Date(AT - HOUR_MS).toISOString()}: turned off`),
  },
  {
    title: "was stored a moment after its date, when the webhook was off",
    history: [
      { ...on, at: AT - HOUR_MS },
      { ...off, at: AT + 2 },
    ],
    state: "off",
    reason: /It was stored when the webhook was off since 2026-01-31T09:30:00\.002Z: turned off/,
  },
  {
    title: "came from a spool hours later, when the webhook was off",
    history: [
      { ...on, at: AT - HOUR_MS },
      { ...on, at: AT + HOUR_MS },
      { ...off, at: AT + 2 * HOUR_MS },
    ],
    state: "off",
    reason: /It was stored when/,
  },
  {
    title: "was stored a moment after its date, when the webhook took another type",
    history: [
      { ...on, at: AT - HOUR_MS },
      { ...others, at: AT + 1 },
    ],
    state: "not_subscribed",
    reason: /set to link\.claim only/,
  },
  {
    title: "lies nearer to the change behind it than to the one before it",
    history: [
      { ...others, at: AT - 2 * HOUR_MS },
      { ...on, at: AT - SECOND_MS },
      { ...off, at: AT + 1 },
    ],
    state: "off",
    reason: /turned off/,
  },
  {
    title: "has no change near it that explains it",
    history: [{ ...on, at: AT - HOUR_MS }],
    state: "missed",
    reason: /nothing on record/,
  },
  {
    title: "was accepted while it was off, which another change did not end",
    history: [
      { ...on, at: AT - 3 * HOUR_MS },
      { ...off, at: AT - 2 * HOUR_MS },
      { ...off, at: AT - HOUR_MS },
    ],
    state: "off",
    reason: new RegExp(`off since ${new Date(AT - 2 * HOUR_MS).toISOString()}`),
  },
];
for (const { title, history, state, reason } of raced) {
  test(`an event without a delivery that ${title} is ${state}`, () => {
    const fate = fateOf(event, destination, { delivery: undefined, history }, AT);
    assert.equal(fate.state, state);
    assert.match(fate.reason ?? "", reason);
    assert.equal(fateWithout(event, "dst_a", history), state);
    assert.match(fate.next_step ?? "", /POST \/api\/webhooks\/dst_a\/replays \{"since":/);
  });
}

test("what to do about an event that was not delivered begins with the webhook when that is off", () => {
  const step = (state: "active" | "off" | "disabled") =>
    fateOf(event, { ...destination, state }, { delivery: undefined, history: [off] }, AT).next_step ?? "";
  assert.match(step("active"), /^Send what/);
  assert.match(step("off"), /^Turn the webhook on with PATCH \/api\/webhooks\/dst_a/);
  assert.match(step("disabled"), /^Mend the receiver, .*"recover": true.* Or, when it is on, send what .*\/replays \{/);
  const held = (state: "off" | "disabled") =>
    fateOf(event, { ...destination, state }, { delivery, history: [] }, AT).next_step ?? "";
  assert.match(held("off"), /^Turn the webhook on with .*\/retry\.$/);
  assert.match(
    held("disabled"),
    /^Mend the receiver, .*\/dst_a\/test, then turn .* Or send this one now with .*\/retry\.$/,
  );
});

test("a type that the webhook takes by now is not to be added to its types, but what was before that is still to be sent", () => {
  const step = (events: ReadonlySet<EventType>) =>
    fateOf(event, { ...destination, events }, { delivery: undefined, history: [others] }, AT).next_step ?? "";
  assert.match(step(new Set(["link.claim"])), /^Add link\.click to its events for those to come\. Send what /);
  assert.match(step(new Set(["link.claim", "link.click"])), /^Send what .*"events":\["link\.click"\]/);
});

test("after a 410 it is told to turn the webhook on where it is not", () => {
  const tried: LastAttempt = { ...unsure, outcome: "refused", status_code: 410 };
  const failed = { ...delivery, attempt: 1, state: "failed", due_at: null } as const;
  const step = (state: "active" | "disabled") =>
    fateOf(event, { ...destination, state }, { delivery: failed, history: [], tried }, AT).next_step ?? "";
  assert.match(step("active"), /Answer 2xx; the webhook is on\. Then send it again/);
  assert.match(
    step("disabled"),
    /on, which is disabled, with PATCH \/api\/webhooks\/dst_a \{"enabled": true\}\. Then send/,
  );
});

test("a destination that has been off since then is said to be off", () => {
  const reason = (state: "active" | "off" | "disabled", history: PastSettings[]) =>
    fateOf(event, { ...destination, state }, { delivery: undefined, history }, AT).reason ?? "";
  const back = { ...on, at: AT + HOUR_MS };
  assert.match(reason("off", [off]), /^It is off since/);
  assert.match(reason("off", [off, back, { ...off, at: AT + 2 * HOUR_MS }]), /^It was off since/);
  assert.match(reason("active", [off, back]), /^It was off since/);
  assert.match(reason("disabled", [off]), /^It was off since/);
});

const refusal = 'Filtered: platform is "web", and the filter wants "ios".';

test("what a webhook does not take is never to be sent by a replay without its type, which would leave it out", () => {
  const of_claims = { ...destination, events: new Set(["link.claim"] as const) };
  for (const history of [[], [off]]) {
    const { next_step } = fateOf(event, of_claims, { delivery: undefined, history }, AT);
    assert.match(next_step ?? "", /^Add link\.click to its events for those to come\. .*"events":\["link\.click"\]/);
  }
});

test("what the filter refuses now is never to be sent by a replay of what is missing, which would leave it out", () => {
  const histories: [state: string, history: PastSettings[]][] = [
    ["off", [off]],
    ["not_subscribed", [others]],
    ["not_yet_created", []],
    ["missed", [{ ...on, at: AT - HOUR_MS }]],
  ];
  const elsewhere = { ...delivery, destination_id: "dst_b" };
  for (const [state, history] of histories) {
    const found = { delivery: undefined, history, refusal, elsewhere };
    const fate = fateOf(event, destination, found, AT);
    assert.equal(fate.state, state);
    assert.equal(
      fate.next_step,
      'Its filter refuses it: platform is "web", and the filter wants "ios". Send it all the same with ' +
        `POST /api/deliveries/${deliveryId(elsewhere)}/resend {"destination_id":"dst_a"}.`,
    );
    const alone = fateOf(event, destination, { ...found, elsewhere: undefined }, AT).next_step ?? "";
    assert.match(
      alone,
      /^Its filter refuses it: .* change the filter first with PATCH \/api\/webhooks\/dst_a \{"filter": …\}: .*\/replays \{/,
    );
  }
});

test("an attempt whose time has passed is due since then, and after a while that is worth a look", () => {
  const fate = (changes: Partial<DeliveryRow>, late_ms: number) =>
    fateOf(event, destination, { delivery: { ...delivery, ...changes }, history: [] }, AT + late_ms);
  assert.deepEqual([fate({}, 1).reason, fate({}, 1).next_step], [`It is due since ${TIME}.`, null]);
  assert.equal(fate({}, 2_000).reason, `It is due since ${TIME}.`);
  assert.match(fate({}, 2_001).reason ?? "", new RegExp(`^It is due since ${TIME}\\. .*when one has died`));
  assert.equal(fate({}, 60_000).next_step, null);
  for (const changes of [{}, { leased: 1 }]) {
    const { reason, next_step } = fate(changes, 60_001);
    assert.match(
      reason ?? "",
      new RegExp(`^It is due since ${TIME}, and nothing has taken it: no process .*dispatcher`),
    );
    assert.match(next_step ?? "", /role dispatcher/);
  }
  const known = { ...destination, limits: NO_LIMITS };
  const behind = fateOf(event, known, { delivery, history: [] }, AT + 60_001);
  assert.match(behind.reason ?? "", /though a dispatcher runs/);
  assert.match(behind.next_step ?? "", /^Wait while `health\.pending` of the webhook goes down, or raise /);
  assert.match(fate({ reason: "It broke" }, 60_001).reason ?? "", /^It broke\. It is due since .*dispatcher/);
  assert.equal(fate({ due_at: DUE_FIRST }, HOUR_MS).next_step, null);
  assert.equal(fate({ due_at: AT + HOUR_MS }, 60_001).next_step, null);
});

const retry = `POST /api/deliveries/${deliveryId(delivery)}/retry`;
const unsure: LastAttempt = {
  ...{ destination_id: "dst_a", position: "", trigger: "auto", started_at: AT, duration_ms: 5, response_headers: "{}" },
  ...{ outcome: "unreachable", status_code: null, cause: null, error: null },
};
const attempts: [title: string, tried: LastAttempt, advice: RegExp][] = [
  ["met a self-signed certificate", { ...unsure, cause: "tls" }, /^Give the receiver a valid certificate .*\./],
  ["was refused the connection", { ...unsure, cause: "connect" }, /^Start the receiver, .*\./],
  ["found no such name", { ...unsure, cause: "dns" }, /^Correct the host name .*\./],
  ["was answered too late", { ...unsure, cause: "timeout" }, /^Answer before the work is done: .*\./],
  ["was answered 500", { ...unsure, outcome: "refused", status_code: 500 }, /^Look into the receiver's log: .*\./],
];
for (const [title, tried, advice] of attempts) {
  test(`a delivery whose last attempt ${title} is told what to do about that, in each state`, () => {
    const step = (changes: Partial<DeliveryRow>, state: "active" | "paused" = "active") => {
      const row = { ...delivery, attempt: 1, ...changes };
      return fateOf(event, { ...destination, state }, { delivery: row, history: [], tried }, AT).next_step ?? "";
    };
    assert.match(step({}), advice);
    assert.ok(step({}).endsWith(` To try it at once: ${retry}.`), step({}));
    assert.match(step({}, "paused"), advice);
    assert.ok(step({}, "paused").endsWith(` To try this one now: ${retry}.`));
    const failed = step({ state: "failed", due_at: null });
    assert.match(failed, advice);
    assert.ok(failed.includes(` Then send it again with ${retry}. All that failed at`), failed);
    assert.doesNotMatch(step({ due_at: DUE_FIRST }), /retry/);
    assert.equal(step({ leased: 1, due_at: AT + 1 }), "");
  });
}

test("a failed delivery that was sent again by hand in vain says what came of that beside what it was", () => {
  const failed = {
    ...delivery,
    attempt: 2,
    state: "failed",
    reason: "The receiver answered 404",
    due_at: null,
  } as const;
  const tried = { ...unsure, cause: "connect", trigger: "manual", error: "Nothing listens there." } as const;
  const told = (changes: Partial<LastAttempt>) =>
    fateOf(event, destination, { delivery: failed, history: [], tried: { ...tried, ...changes } }, AT).reason;
  assert.equal(told({}), `The receiver answered 404. Sent again by hand at ${TIME}, it failed: Nothing listens there.`);
  assert.equal(told({ trigger: "auto" }), "The receiver answered 404");
});

test("of an event that was erased every fate says so, and nothing is left to do", () => {
  const erased = { ...event, erased_at: AT };
  const told = `The event was erased at ${TIME}.`;
  const none = { delivery: undefined, history: [on] };
  for (const one of [erased, { ...erased, target_id: "dst_b" }]) {
    assert.deepEqual(fateOf(one, destination, none, AT), {
      ...{ destination_id: "dst_a", state: "erased", reason: told, next_step: null },
    });
  }
  const states: [changes: Partial<DeliveryRow>, reason: string][] = [
    [{ state: "succeeded", settled_at: AT }, `Delivered at ${TIME}. ${told}`],
    [{ state: "failed", reason: "All 3 failed." }, `All 3 failed. ${told}`],
    [{ state: "canceled", reason: null }, told],
  ];
  const tried = { ...unsure, trigger: "manual", outcome: "skipped", error: "It was not sent." } as const;
  for (const [changes, reason] of states) {
    const row = { ...delivery, due_at: null, ...changes };
    const fate = fateOf(erased, destination, { delivery: row, history: [], tried }, AT);
    assert.deepEqual([fate.state, fate.reason, fate.next_step], [row.state, reason, null]);
  }
});

test("what this server cannot read is repaired first, whatever an attempt has shown before", () => {
  const unreadable = { ...destination, repair: "Give the server back its key." };
  const tried: LastAttempt = { ...unsure, cause: "connect" };
  const fate = fateOf(event, unreadable, { delivery: { ...delivery, attempt: 1 }, history: [], tried }, AT);
  assert.match(fate.next_step ?? "", /^Give the server back its key\. To try it at once: /);
});
