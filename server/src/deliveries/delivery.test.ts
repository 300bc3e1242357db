import assert from "node:assert/strict";
import { test } from "node:test";
import type { DestinationState } from "#contract/destinations.ts";
import { type Limits, NO_LIMITS } from "../destinations/health.ts";
import {
  type AttemptRow,
  type DeliveryRow,
  deliveryId,
  parseDeliveryId,
  showAttempts,
  showDelivery,
} from "./delivery.ts";
import { DUE_FIRST, UNDER_WAY } from "./due.ts";
import { WAITS_FOR_TURN } from "./turn.ts";

const key = { destination_id: "dst_019c13634ab2", position: "019c1363-95eb-7000-8197-52ec64a7690b" };
const id = "dlv_019c136395eb7000819752ec64a7690b_019c13634ab2";
const CREATED = Date.UTC(2026, 0, 31, 9, 30);
const NOW = CREATED + 3_600_000;

const row: DeliveryRow = {
  ...{
    ...key,
    app_id: "shop",
    event: "link.click",
    state: "pending",
    reason: null,
    attempt: 0,
    failures: 0,
    leased: 0,
  },
  ...{ due_at: CREATED, trigger: "auto", resume_state: null, resume_at: null, created_at: CREATED, settled_at: null },
};

const record = (number: number): AttemptRow => ({
  ...{ ...key, number, trigger: "auto", started_at: CREATED + number, duration_ms: 7, outcome: "refused" },
  ...{
    status_code: 500,
    error: "no",
    cause: null,
    response_headers: '{"a":"b"}',
    response_snippet: "x",
    response_truncated: 1,
  },
});

test("an id holds the key of its delivery and nothing else", () => {
  assert.equal(deliveryId(key), id);
  assert.deepEqual(parseDeliveryId(id), key);
});

for (const wrong of [
  "",
  "dlv_",
  id.toUpperCase(),
  id.slice(4),
  `${id}!`,
  id.slice(0, -13),
  `att_${id.slice(4)}`,
  `dlv_${"0".repeat(31)}_a`,
  `dlv_${"g".repeat(32)}_a`,
  `dlv_${"0".repeat(32)}_${"a".repeat(41)}`,
  `${id}\n`,
]) {
  test(`${JSON.stringify(wrong)} is no delivery's id`, () => assert.equal(parseDeliveryId(wrong), null));
}

const cases: { title: string; changes: Partial<DeliveryRow>; next: number | null; settled: number | null }[] = [
  { title: "waits for its time", changes: { due_at: CREATED + 5 }, next: CREATED + 5, settled: null },
  {
    title: "asked for by a person is due now",
    changes: { due_at: DUE_FIRST },
    next: NOW,
    settled: null,
  },
  {
    title: "in flight has no next attempt",
    changes: { leased: 1, attempt: 1, due_at: NOW + 1 },
    next: null,
    settled: null,
  },
  {
    title: "settled has none",
    changes: { state: "failed", due_at: null, settled_at: CREATED + 9 },
    next: null,
    settled: CREATED + 9,
  },
  {
    title: "retried by hand is not settled any more",
    changes: { settled_at: CREATED + 9 },
    next: CREATED,
    settled: null,
  },
];
const standing = (state: DestinationState) => ({ state, state_reason: null });
for (const { title, changes, next, settled } of cases) {
  test(`a delivery that is ${title}`.replace("that is waits", "that waits"), () => {
    const shown = showDelivery({ ...row, ...changes }, "event-1", NOW, standing("active"));
    assert.equal(shown.next_attempt_at, next === null ? null : new Date(next).toISOString());
    assert.equal(shown.settled_at, settled === null ? null : new Date(settled).toISOString());
    assert.equal(shown.event_id, "event-1");
    assert.equal(shown.id, id);
  });
}

for (const { changes, reason } of [
  { changes: { state: "canceled", reason: "Canceled by hand." }, reason: "Canceled by hand." },
  { changes: { reason: "The receiver answered 500." }, reason: "The receiver answered 500." },
  { changes: { trigger: "test", due_at: DUE_FIRST }, reason: null },
  {
    changes: { trigger: "replay", reason: "Of before.", replay_id: "rpl_1" },
    reason: "Asked for by the replay rpl_1.",
  },
  { changes: { trigger: "replay", reason: "Of now.", replay_id: "rpl_1", failures: 1 }, reason: "Of now." },
  { changes: { state: "failed", reason: "Of now.", replay_id: "rpl_1" }, reason: "Of now." },
  { changes: { reason: "Of now.", replay_id: null }, reason: "Of now." },
  ...(["canceled", "failed", "skipped", "pending", "succeeded"] as const).map((resume_state) => ({
    changes: { trigger: "manual", due_at: DUE_FIRST, reason: "Of that state.", resume_state } as const,
    reason: "An attempt was asked for by hand.",
  })),
] satisfies { changes: Partial<DeliveryRow>; reason: string | null }[]) {
  test(`with ${JSON.stringify(changes)} the reason is ${reason}`, () => {
    assert.equal(showDelivery({ ...row, ...changes }, "event-1", CREATED, standing("active")).reason, reason);
  });
}

test("what is due for more than a minute says so, and what may keep it", () => {
  const reasonAt = (now: number, changes: Partial<DeliveryRow> = {}, state: "active" | "off" = "active") =>
    showDelivery({ ...row, ...changes }, "event-1", now, standing(state)).reason;
  assert.equal(reasonAt(CREATED + 60_000), null);
  const overdue = `It is due since ${new Date(CREATED).toISOString()}, and nothing has taken it: no process with the role dispatcher runs, or a backlog or a limit of the webhook keeps it.`;
  assert.equal(reasonAt(CREATED + 60_001), overdue);
  assert.equal(reasonAt(CREATED + 60_001, { reason: "It broke" }), `It broke. ${overdue}`);
  assert.equal(reasonAt(NOW, {}, "off"), "It waits, for the webhook is off.");
  assert.equal(reasonAt(NOW, { due_at: DUE_FIRST, trigger: "test" }), null);
  assert.equal(reasonAt(NOW, { due_at: NOW + 1 }), null);
});

const HELD = { held_until: "2026-01-31T09:31:00.000Z", limited_because: "The receiver asked for less." };
const SLOWED = { held_until: null, limited_because: "It answers more slowly." };
const limited: [title: string, limits: Limits, changes: Partial<DeliveryRow>, reason: string | null][] = [
  [
    "is due",
    { concurrency_limit: 1, rate_limit_per_second: 1, ...HELD },
    {},
    `It is due since ${new Date(CREATED).toISOString()}. The webhook is sent nothing until 2026-01-31T09:31:00.000Z. The receiver asked for less.`,
  ],
  [
    "is due",
    { concurrency_limit: 3, rate_limit_per_second: 0.5, ...SLOWED },
    { reason: "It broke" },
    `It broke. It is due since ${new Date(CREATED).toISOString()}. The webhook is sent at most 3 at a time and 0.5 a second. It answers more slowly.`,
  ],
  [
    "is due",
    { concurrency_limit: null, rate_limit_per_second: null, held_until: null, limited_because: "Nobody delivers." },
    {},
    `It is due since ${new Date(CREATED).toISOString()}. Nobody delivers.`,
  ],
  [
    "is with a dispatcher",
    { concurrency_limit: 1, rate_limit_per_second: null, ...HELD },
    { leased: 1, due_at: NOW + 1 },
    "With a dispatcher: it is being sent, or is as soon as the limits of the webhook and of the dispatcher allow. Should that one have ended, another one takes it by 2026-01-31T10:30:00.001Z. The webhook is sent nothing until 2026-01-31T09:31:00.000Z. The receiver asked for less.",
  ],
  [
    "is with a dispatcher",
    { concurrency_limit: 1, rate_limit_per_second: null, ...SLOWED },
    { leased: 1, due_at: NOW + 1 },
    "With a dispatcher: it is being sent, or is as soon as the limits of the webhook and of the dispatcher allow. Should that one have ended, another one takes it by 2026-01-31T10:30:00.001Z.",
  ],
  [
    "is with a dispatcher because a person asked for it",
    { concurrency_limit: 1, rate_limit_per_second: null, ...HELD },
    { leased: 1, due_at: NOW + 1, trigger: "manual", resume_state: "pending" },
    "With a dispatcher: it is being sent, or is as soon as the limits of the webhook and of the dispatcher allow. Should that one have ended, another one takes it by 2026-01-31T10:30:00.001Z.",
  ],
  ["comes later", { concurrency_limit: 1, rate_limit_per_second: null, ...HELD }, { due_at: NOW + 1 }, null],
  ["was asked for", { concurrency_limit: 1, rate_limit_per_second: null, ...HELD }, { due_at: DUE_FIRST }, null],
];
for (const [title, limits, changes, reason] of limited) {
  test(`a delivery that ${title} names the limit that keeps it: ${reason}`, () => {
    const shown = showDelivery({ ...row, ...changes }, "event-1", NOW, { ...standing("active"), limits });
    assert.equal(shown.reason, reason);
  });
}

test("what is due for more than a minute while a dispatcher is known and tells of no limit may wait for that one", () => {
  const limits = { concurrency_limit: 50, rate_limit_per_second: null, held_until: null, limited_because: null };
  const shown = showDelivery(row, "event-1", CREATED + 60_001, { ...standing("active"), limits });
  assert.match(
    shown.reason ?? "",
    /Z, though a dispatcher runs, which tells of nothing that keeps it: it may be behind, or keep to the webhook's rate_per_second, where it has one\.$/,
  );
});

const OWN = { reason: "Its own rate keeps it.", step: "Nothing." };
const kept: [changes: Partial<DeliveryRow>, reason: string | null][] = [
  [{}, `It is due since ${new Date(CREATED).toISOString()}. Its own rate keeps it.`],
  [{ due_at: DUE_FIRST }, "An attempt is due now. Its own rate keeps it."],
  [{ due_at: NOW + 1 }, null],
  [
    { leased: 1, due_at: NOW + 1 },
    `${UNDER_WAY} Should that one have ended, another one takes it by ${new Date(NOW + 1).toISOString()}. Its own rate keeps it.`,
  ],
];
for (const [changes, reason] of kept) {
  test(`what the settings of the webhook keep back says so: ${reason}`, () => {
    const limits = { ...NO_LIMITS, own: OWN, sending: () => null };
    assert.equal(
      showDelivery({ ...row, ...changes }, "event-1", NOW, { ...standing("active"), limits }).reason,
      reason,
    );
  });
}

test("what this process is sending says so, and what waits for its turn says how it stands with what is before it", () => {
  const limits = {
    ...NO_LIMITS,
    sending: (position: string) => (position === key.position ? "It is being sent." : null),
  };
  const sent = { ...row, leased: 1, due_at: NOW + 1 };
  const active = { ...standing("active"), limits };
  assert.equal(showDelivery(sent, "event-1", NOW, active).reason, "It is being sent.");
  const position = "019c1363-95eb-7000-8197-52ec64a7690c";
  const behind = { ...row, position, order_key: "L", due_at: WAITS_FOR_TURN, turn_position: key.position };
  const reasonWith = (ahead: DeliveryRow | null) => showDelivery(behind, "event-2", NOW, { ...active, ahead }).reason;
  const waits = `It waits for an earlier event of its link, ${id}.`;
  assert.equal(reasonWith(null), waits);
  assert.equal(reasonWith({ ...row, state: "succeeded" }), waits);
  assert.equal(reasonWith(sent), `${waits} Of that one: It is being sent.`);
  const next = new Date(NOW + 1).toISOString();
  const failed = { ...row, reason: "The receiver answered 500", due_at: NOW + 1 };
  assert.equal(reasonWith(failed), `${waits} Of that one: The receiver answered 500. Next attempt at ${next}.`);
  const off = showDelivery(behind, "event-2", NOW, { ...standing("off"), ahead: failed });
  assert.equal(
    off.reason,
    `${waits} Of that one: The receiver answered 500. It is sent not before ${next}. Both wait, for the webhook is off.`,
  );
});

const NOBODY = { ...NO_LIMITS, nobody: { reason: "Nobody sends.", step: "Start a dispatcher." } };
const ITS_TIME = new Date(CREATED).toISOString();
const unsent: [changes: Partial<DeliveryRow>, state: DestinationState, reason: string | null][] = [
  [{}, "active", `It is due since ${ITS_TIME}. Nobody sends.`],
  [{ due_at: NOW + 1 }, "active", "Nobody sends."],
  [{ due_at: DUE_FIRST, trigger: "manual" }, "off", "An attempt is due now. Nobody sends."],
  [{}, "off", "It waits, for the webhook is off. Nobody sends."],
  [
    { leased: 1, due_at: NOW + 1 },
    "active",
    `A dispatcher took it, and had until ${new Date(NOW + 1).toISOString()} to send it. Nobody sends.`,
  ],
  [{ state: "failed", reason: "It broke.", due_at: null }, "active", "It broke."],
];
for (const [changes, state, reason] of unsent) {
  test(`while nobody sends, what is pending says so: ${reason}`, () => {
    const shown = showDelivery({ ...row, ...changes }, "event-1", NOW, { ...standing(state), limits: NOBODY });
    assert.equal(shown.reason, reason);
  });
}

test("attempts are shown in order, and one without a record was interrupted", () => {
  const shown = showAttempts({ ...row, attempt: 3 }, [record(3), record(1)], NOW);
  assert.deepEqual(
    shown.map((one) => [one.number, one.outcome, one.status_code, one.started_at]),
    [
      [1, "refused", 500, new Date(CREATED + 1).toISOString()],
      [2, "interrupted", null, null],
      [3, "refused", 500, new Date(CREATED + 3).toISOString()],
    ],
  );
  assert.equal(shown[0]?.id, `att_${id.slice(4)}_1`);
  assert.deepEqual(shown[0]?.response_headers, { a: "b" });
  assert.equal(shown[0]?.response_truncated, true);
  assert.match(
    shown[1]?.error ?? "",
    /^No result is known: the server ended, stopped or killed, .*; or it was called off .* by a cancel/,
  );
});

test("an attempt in flight is not shown as interrupted, an older one without a record is", () => {
  const leased = { ...row, attempt: 2, leased: 1, due_at: NOW + 1 };
  const shown = showAttempts(leased, [], NOW);
  assert.deepEqual(
    shown.map((one) => [one.number, one.outcome]),
    [[1, "interrupted"]],
  );
  assert.deepEqual(showAttempts(row, [], NOW), []);
  const delivery = showDelivery({ ...leased, reason: "It broke" }, "event-1", NOW, standing("active"));
  assert.deepEqual(
    [delivery.next_attempt_at, delivery.reason],
    [
      null,
      "With a dispatcher: it is being sent, or is as soon as the limits of the webhook and of the dispatcher allow. Should that one have ended, another one takes it by 2026-01-31T10:30:00.001Z.",
    ],
  );
  const asked = { ...leased, trigger: "manual", resume_state: "failed" } as const;
  assert.equal(
    showDelivery(asked, "event-1", NOW, standing("off")).reason,
    "With a dispatcher: it is being sent, or is as soon as the limits of the webhook and of the dispatcher allow. Should that one have ended, another one takes it by 2026-01-31T10:30:00.001Z.",
  );
});

test("under a lease that ran out nothing is under way: that attempt was interrupted, and the next is due", () => {
  const left = { ...row, attempt: 2, leased: 1, due_at: NOW };
  assert.deepEqual(
    showAttempts(left, [], NOW).map((one) => [one.number, one.outcome]),
    [
      [1, "interrupted"],
      [2, "interrupted"],
    ],
  );
  assert.equal(showDelivery(left, "event-1", NOW, standing("active")).next_attempt_at, new Date(NOW).toISOString());
});

test("what waits for its destination has no next attempt and says so; what a person asked for does not wait", () => {
  const paused = { state: "paused", state_reason: "20 attempts in a row failed." } as const;
  const waiting = showDelivery({ ...row, reason: "The receiver answered 500" }, "event-1", NOW, paused);
  assert.deepEqual(
    [waiting.next_attempt_at, waiting.reason],
    [null, "The receiver answered 500. It waits, for the webhook is paused: 20 attempts in a row failed."],
  );
  const later = showDelivery({ ...row, due_at: NOW + 1 }, "event-1", NOW, { ...paused, state_reason: null });
  assert.deepEqual(
    [later.next_attempt_at, later.reason],
    [
      null,
      `It waits, for the webhook is paused. When that is over, it is sent not before ${new Date(NOW + 1).toISOString()}.`,
    ],
  );
  const asked = showDelivery({ ...row, trigger: "manual", due_at: DUE_FIRST }, "event-1", NOW, standing("off"));
  assert.equal(asked.next_attempt_at, new Date(NOW).toISOString());
  const ended = showDelivery(
    { ...row, state: "succeeded", due_at: null, settled_at: NOW },
    "event-1",
    NOW,
    standing("off"),
  );
  assert.equal(ended.reason, null);
});
