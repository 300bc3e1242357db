import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Outcome } from "#destination-types/definition.ts";
import { uuidFloor } from "../platform/ids.ts";
import { type DecisionInput, decide, PARKED_AFTER_MS, UNREADABLE_RETRY_MS } from "./policy.ts";

const NOW = 1_000_000;
const SCHEDULE = [5, 300];
const fresh: DecisionInput = {
  ...{ failures: 0, trigger: "auto", is_test: false, resume_state: null, resume_at: null },
  ...{ tries: 0, order_key: null, replay_id: null, armed_at: null, position: uuidFloor(0) },
};
const down: Outcome = { kind: "unreachable", retriable: true, message: "down" };
const final: Outcome = { kind: "refused", retriable: false, message: "no" };
const middle = { now: NOW, random: 0.5 };

describe("an attempt", () => {
  test("that is accepted settles the delivery, whatever came before", () => {
    for (const resume_state of [null, "failed", "pending", "succeeded", "canceled"] as const) {
      const decision = decide({ ...fresh, failures: 2, resume_state }, { kind: "accepted" }, SCHEDULE, middle);
      assert.deepEqual([decision.state, decision.due_at, decision.reason], ["succeeded", null, null]);
    }
  });

  test("that is refused for good ends as failed, with the words of the outcome", () => {
    const decision = decide(fresh, final, SCHEDULE, middle);
    assert.deepEqual([decision.state, decision.reason, decision.failures], ["failed", "no", 1]);
  });

  const delays: { title: string; failures: number; random: number; retry_after_ms?: number; delay_ms: number }[] = [
    { title: "the first delay", failures: 0, random: 0.5, delay_ms: 5_000 },
    { title: "the second delay", failures: 1, random: 0.5, delay_ms: 300_000 },
    { title: "a fifth less at the least", failures: 0, random: 0, delay_ms: 4_000 },
    { title: "a fifth more at the most", failures: 0, random: 1, delay_ms: 6_000 },
    {
      title: "what the receiver asked for when it is more",
      failures: 0,
      random: 0,
      retry_after_ms: 60_000,
      delay_ms: 60_000,
    },
    {
      title: "the schedule when the receiver asks for less",
      failures: 0,
      random: 0.5,
      retry_after_ms: 1,
      delay_ms: 5_000,
    },
  ];
  for (const { title, failures, random, retry_after_ms, delay_ms } of delays) {
    test(`that may be repeated waits ${title}`, () => {
      const outcome = retry_after_ms === undefined ? down : { ...down, retry_after_ms };
      const decision = decide({ ...fresh, failures }, outcome, SCHEDULE, { now: NOW, random });
      assert.deepEqual([decision.state, decision.due_at, decision.failures], ["pending", NOW + delay_ms, failures + 1]);
    });
  }

  test("that this server could not make costs nothing of the schedule, however short that is, and comes again", () => {
    const unreadable = { kind: "misconfigured", retriable: true, message: "no key", is_unreadable: true } as const;
    for (const [schedule, failures] of [
      [[], 0],
      [SCHEDULE, 0],
      [SCHEDULE, 2],
    ] as const) {
      const { state, due_at, ...rest } = decide({ ...fresh, failures }, unreadable, schedule, middle);
      assert.deepEqual([state, due_at, rest.failures], ["pending", NOW + UNREADABLE_RETRY_MS, failures]);
    }
    const by_hand = decide({ ...fresh, trigger: "manual", resume_state: "failed" }, unreadable, [], middle);
    assert.deepEqual([by_hand.state, by_hand.restored], ["failed", true]);
  });

  test("leaves a test a test, also when a person sent it again, and a replay a replay; the next attempt of all others comes by itself", () => {
    const next = (changes: Partial<DecisionInput>) => decide({ ...fresh, ...changes }, down, SCHEDULE, middle).trigger;
    assert.deepEqual([next({}), next({ trigger: "manual", resume_state: "pending" })], ["auto", "auto"]);
    assert.equal(next({ trigger: "replay" }), "replay");
    assert.equal(next({ trigger: "test", is_test: true }), "test");
    assert.equal(next({ trigger: "manual", is_test: true, resume_state: "pending", resume_at: NOW }), "test");
  });

  test("of a probe that may be repeated costs the delivery nothing", () => {
    const probe: DecisionInput = {
      ...fresh,
      failures: 2,
      trigger: "probe",
      resume_state: "pending",
      resume_at: NOW - 9,
    };
    const decision = decide(probe, down, SCHEDULE, middle);
    assert.deepEqual(
      [decision.state, decision.failures, decision.due_at, decision.trigger, decision.restored],
      ["pending", 2, NOW - 9, "auto", true],
    );
    assert.equal(decide(probe, final, SCHEDULE, middle).state, "failed", "the receiver refused this one for good");
    assert.equal(decide(probe, { kind: "accepted" }, SCHEDULE, middle).state, "succeeded");
  });

  const refused: Outcome = { kind: "refused", retriable: true, message: "503" };
  const head: DecisionInput = {
    ...{ failures: 1, trigger: "probe", is_test: false, resume_state: "pending", resume_at: NOW - 9 },
    ...{
      tries: 3,
      order_key: "lnk_1",
      replay_id: null,
      armed_at: null,
      position: uuidFloor(NOW),
    },
  };
  /** A schedule of two delays is over, and so is a day. */
  const DAYS = [5, 86_400];
  const OVER = { now: NOW + 86_405_000, random: 0.5 };
  const isParked = (changes: Partial<DecisionInput>, outcome = refused, at = OVER, schedule = DAYS) => {
    const { state, restored } = decide({ ...head, ...changes }, outcome, schedule, at);
    return state === "failed" && !restored;
  };

  test("of a probe parks what a link waits for when the receiver refuses it after all of its schedule", () => {
    const { reason, ...decision } = decide(head, refused, DAYS, OVER);
    assert.deepEqual(decision, { state: "failed", failures: 2, due_at: null, trigger: "auto", restored: false });
    assert.match(reason ?? "", /^Given up so that its link can go on: .* 503$/);
    assert.equal(isParked({}), true);
    assert.equal(isParked({ order_key: null }), false, "nothing waits for it");
    assert.equal(isParked({ tries: 2 }), false, "it was not tried as often");
    const day = { ...OVER, now: NOW + PARKED_AFTER_MS };
    assert.equal(isParked({}, refused, day, []), true);
    assert.equal(isParked({}, refused, { ...day, now: day.now - 1 }, []), false, "the receiver may be down");
    assert.equal(isParked({}, refused, { ...OVER, now: OVER.now - 1 }), false, "nor as long");
    assert.equal(isParked({}, { ...refused, retry_after_ms: 1 }), false, "it is to come again");
    assert.equal(isParked({}, { ...down, kind: "unreachable" }), false, "it may be that nobody is there");
    assert.equal(isParked({ trigger: "manual" }), false, "a person has asked");
    assert.equal(isParked({ resume_state: "failed" }), false, "it has ended before, and nothing waits for it");
  });

  test("of a probe parks what a replay sends by what came since", () => {
    const AT = { ...OVER, now: NOW + 2 * 86_405_000 };
    const armed_at = NOW + 86_405_000;
    const isParkedAt = (changes: Partial<DecisionInput>, at = AT) => isParked({ armed_at, ...changes }, refused, at);
    assert.equal(isParkedAt({}), true);
    assert.equal(
      isParkedAt({}, { ...AT, now: AT.now - 1 }),
      false,
      "its event is older than what the replay has asked for",
    );
    const event_later = { armed_at: NOW - 1, position: uuidFloor(armed_at) };
    assert.equal(isParkedAt(event_later), true);
    assert.equal(isParkedAt(event_later, { ...AT, now: AT.now - 1 }), false, "its event is from after that");
    assert.equal(isParkedAt({ replay_id: "rpl_1" }), true);
    const unknown = { replay_id: "rpl_1", armed_at: null };
    assert.equal(isParkedAt(unknown), false, "how often it was tried since is not known");
  });

  test("beyond the schedule is the last one", () => {
    const decision = decide({ ...fresh, failures: 2 }, down, SCHEDULE, middle);
    assert.deepEqual([decision.state, decision.reason], ["failed", "All 3 attempts failed. down"]);
    assert.equal(decide(fresh, down, [], middle).reason, "The only attempt failed. down");
  });

  test("by hand that fails leaves the delivery as it was", () => {
    const pending = decide(
      { ...fresh, failures: 1, trigger: "manual", resume_state: "pending", resume_at: 77 },
      final,
      SCHEDULE,
      middle,
    );
    assert.deepEqual([pending.state, pending.due_at, pending.failures], ["pending", 77, 1]);
    for (const state of ["failed", "succeeded", "canceled"] as const) {
      const decision = decide(
        { ...fresh, failures: 3, trigger: "manual", resume_state: state },
        down,
        SCHEDULE,
        middle,
      );
      assert.deepEqual([decision.state, decision.due_at, decision.failures], [state, null, 3]);
      assert.equal(decision.restored, true);
    }
  });
});
