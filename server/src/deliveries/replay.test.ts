import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  afterStep,
  allowanceOf,
  paceAfter,
  paceAtStart,
  planStep,
  type ReplayFacts,
  type ReplayRow,
  type StepResult,
  showReplay,
} from "./replay.ts";

const NOW = 1_700_000_000_000;
const webhook = { id: "dst_a", state: "active", max_in_flight: 50, rate_per_second: null, ordering: "none" } as const;
const calm: ReplayFacts = { waiting: 0, attempts: 0, failures: 0 };
const well: ReplayFacts = { waiting: 0, attempts: 1_000, failures: 0 };
const running: ReplayRow = {
  ...{ id: "rpl_1", destination_id: "dst_1", target_id: "dst_1", app_id: "app_1", slot: 3, state: "running" },
  ...{ reason: null, since: 0, until: NOW },
  ...{
    states: '["failed"]',
    events: null,
    missing_events: '["link.click"]',
    parts: null,
    link_id: null,
    rate_per_second: null,
  },
  ...{ total: 1_000, created: 100, succeeded: 80, failed: 5, at_position: "p100", end_position: "p999", walked: 0 },
  ...{ paced_at: NOW, resumed_at: NOW, revision: 7, due_at: NOW, created_at: NOW, finished_at: null },
};

describe("a step hands out", () => {
  const takes: [title: string, row: Partial<ReplayRow>, settings: object, facts: Partial<ReplayFacts>, take: number][] =
    [
      ["twenty at first", {}, {}, {}, 20],
      ["what there is room for beside what waits at first", {}, {}, { waiting: 15 }, 5],
      ["one more for each that was taken lately", {}, {}, { waiting: 20, attempts: 40 }, 40],
      ["none for those that failed", {}, {}, { waiting: 20, attempts: 40, failures: 8 }, 32],
      ["four rounds of requests when all goes well", {}, {}, well, 200],
      ["a step's worth at the most", {}, { max_in_flight: 1_000 }, well, 500],
      ["twenty to a webhook that takes one at a time", {}, { max_in_flight: 1 }, well, 20],
      ["what there is room for beside what waits", {}, {}, { ...well, waiting: 150 }, 50],
      ["nothing while enough waits", {}, {}, { ...well, waiting: 200 }, 0],
      ["nothing while more waits than may", {}, {}, { ...well, waiting: 900 }, 0],
      ["a second's worth of the webhook's rate", {}, { rate_per_second: 12.5 }, {}, 13],
      ["one to a webhook with a rate below one", {}, { rate_per_second: 0.01 }, {}, 1],
      ["what its own rate has room for", { rate_per_second: 10, paced_at: NOW - 500 }, {}, {}, 5],
      ["nothing when all has been looked at", { walked: 1 }, {}, { waiting: 1 }, 0],
      ["nothing while it is paused", { state: "paused" }, {}, {}, 0],
      ["as much to a webhook that is being probed", {}, { state: "paused" }, {}, 20],
    ];
  for (const [title, row, settings, facts, take] of takes) {
    test(title, () => {
      const plan = planStep({ ...running, ...row }, { ...webhook, ...settings }, { ...calm, ...facts }, NOW);
      assert.deepEqual({ ...plan, reason: null }, { state: row.state ?? "running", reason: null, take });
    });
  }

  test("nothing while enough waits, and says so until it goes on", () => {
    const reasonOf = (row: Partial<ReplayRow>, state: "active" | "paused", facts: Partial<ReplayFacts>) =>
      planStep({ ...running, ...row }, { ...webhook, state }, { ...calm, ...facts }, NOW).reason;
    const reason = reasonOf({}, "active", { waiting: 20, attempts: 3, failures: 3 });
    assert.equal(
      reason,
      "It waits for 20 deliveries that it has handed out: for their next attempt, or for their turn. It goes on by itself with each that is tried.",
    );
    const slow = planStep(running, { ...webhook, rate_per_second: 1 }, { ...calm, waiting: 1 }, NOW);
    assert.match(slow.reason ?? "", /^It waits for a delivery that it has handed out/);
    assert.match(
      reasonOf({}, "paused", { waiting: 20 }) ?? "",
      / paused: mend its receiver\. .*; PATCH \/api\/webhooks\/dst_a \{"enabled": true\} resumes the webhook at once\.$/,
    );
    assert.equal(reasonOf({ reason }, "active", { waiting: 19 }), null, "there is room for one more");
    assert.equal(reasonOf({ reason, rate_per_second: 1 }, "active", { waiting: 19 }), null, "its rate holds it up");
  });
});

describe("a replay pauses itself", () => {
  const pauses: [attempts: number, failures: number, state: string][] = [
    [9, 9, "running"],
    [10, 2, "running"],
    [10, 3, "paused"],
    [1_000, 200, "running"],
    [1_000, 201, "paused"],
    [0, 0, "running"],
  ];
  for (const [attempts, failures, state] of pauses) {
    test(`or not: ${failures} of ${attempts} failed`, () => {
      assert.equal(planStep(running, webhook, { ...calm, attempts, failures }, NOW).state, state);
    });
  }

  test("and says when, and what to press; after a resume also since when it counts", () => {
    const facts = { ...calm, attempts: 10, failures: 10 };
    const [resumed, at] = [NOW - 2_000, NOW].map((time) => new Date(time).toISOString());
    const row = { ...running, created_at: NOW - 9_000 };
    const press = "When the receiver is well, go on with POST /api/replays/rpl_1/resume.";
    assert.equal(
      planStep({ ...row, resumed_at: row.created_at }, webhook, facts, NOW).reason,
      `Paused by itself at ${at}: 10 of the last 10 attempts of replays failed. ${press}`,
    );
    assert.equal(
      planStep({ ...row, resumed_at: NOW - 2_000 }, webhook, facts, NOW).reason,
      `Paused by itself at ${at}: 10 of the last 10 attempts of replays since it was resumed at ${resumed} failed. ${press}`,
    );
  });

  test("or not, when nothing is left to hand out", () => {
    const facts = { ...calm, attempts: 20, failures: 20 };
    assert.equal(planStep({ ...running, created: 1_000 }, webhook, facts, NOW).state, "running");
    assert.equal(planStep({ ...running, created: 999 }, webhook, facts, NOW).state, "paused");
    assert.equal(
      planStep({ ...running, created: 1_001 }, webhook, facts, NOW).state,
      "paused",
      "its filter was widened",
    );
  });

  test("when its webhook takes nothing, and ends when that is gone", () => {
    for (const state of ["off", "disabled"] as const) {
      const { reason, ...plan } = planStep(running, { ...webhook, state }, calm, NOW);
      assert.deepEqual(plan, { state: "paused", take: 0 });
      const at = new Date(NOW).toISOString();
      assert.equal(
        reason,
        `Paused by itself at ${at}: the webhook dst_a is ${state}. Turn it on with PATCH /api/webhooks/dst_a {"enabled": true}, then go on with POST /api/replays/rpl_1/resume.`,
      );
    }
    const gone = planStep({ ...running, state: "paused" }, null, calm, NOW);
    assert.deepEqual([gone.state, gone.reason], ["canceled", "The webhook was deleted."]);
  });
});

describe("a replay that has handed out everything does not pause itself, and says what it waits for:", () => {
  const waits: [
    title: string,
    state: "active" | "paused" | "off",
    facts: Partial<ReplayFacts>,
    reason: RegExp | null,
  ][] = [
    ["nothing while first attempts go well", "active", { waiting: 3, attempts: 40 }, null],
    [
      "retries, when attempts failed",
      "active",
      { attempts: 51, failures: 51 },
      /51 of the 51 attempts.*retry schedule/,
    ],
    ["retries, when the last attempts are long ago", "active", {}, /waits for its next attempt.*retry schedule/],
    ["nothing before the first attempt", "active", { waiting: 3 }, null],
    [
      "a webhook that is paused",
      "paused",
      { attempts: 51, failures: 51 },
      /the webhook is paused: mend .* PATCH \S+ \{"enabled": true\} resumes the webhook at once\.$/,
    ],
    ["a webhook that is off", "off", { attempts: 51, failures: 51 }, /the webhook is off: turn it on/],
  ];
  for (const [title, state, facts, reason] of waits) {
    test(title, () => {
      const plan = planStep({ ...running, walked: 1 }, { ...webhook, state }, { ...calm, ...facts }, NOW);
      assert.deepEqual([plan.state, plan.take], ["running", 0]);
      if (reason === null) assert.equal(plan.reason, null);
      else assert.match(plan.reason ?? "", reason);
    });
  }

  test("its turn at a webhook with an order, when nothing was tried lately", () => {
    const ordered = { ...webhook, ordering: "link" } as const;
    const { reason } = planStep({ ...running, walked: 1 }, ordered, { ...calm, waiting: 12 }, NOW);
    assert.match(reason ?? "", /waits for its next attempt or for its turn, by the webhook's retry schedule/);
  });
});

describe("a rate", () => {
  const at = (rate_per_second: number | null, paced_at: number) => ({ rate_per_second, paced_at });

  test("has room for one at the start, and for one more after each interval", () => {
    for (const rate of [0.01, 0.3, 1, 3, 7, 1_000]) {
      const row = at(rate, paceAtStart(rate, NOW));
      assert.equal(allowanceOf(row, NOW), 1, `${rate} a second`);
      const paced = at(rate, paceAfter(row, NOW, 1));
      assert.equal(allowanceOf(paced, NOW), 0);
      assert.equal(allowanceOf(paced, NOW + Math.ceil(1_000 / rate)), 1);
    }
  });

  test("is never exceeded over a minute, whatever the times of the steps, and nearly reached", () => {
    for (const rate of [0.5, 3, 60, 999]) {
      let row = at(rate, paceAtStart(rate, NOW));
      let count = 0;
      for (let now = NOW, n = 0; now < NOW + 60_000; now += 37 + ((n++ * 61) % 400)) {
        const allowed = allowanceOf(row, now);
        count += allowed;
        row = at(rate, paceAfter(row, now, allowed));
      }
      assert.ok(count <= rate * 60 + 1, `${count} at ${rate} a second`);
      assert.ok(count >= rate * 60 * 0.95 - 1, `${count} at ${rate} a second`);
    }
  });

  test("makes up for a second of a pause and no more, and a clock that was set back holds it up for no longer", () => {
    assert.equal(allowanceOf(at(10, NOW - 60_000), NOW), 10);
    assert.equal(allowanceOf(at(0.1, NOW - 60_000), NOW), 1);
    assert.equal(allowanceOf(at(10, NOW + 3_600_000), NOW), -10);
    assert.equal(paceAfter(at(10, NOW + 3_600_000), NOW, 0), NOW + 1_000);
  });

  test("of null has no bound", () => {
    assert.equal(allowanceOf(at(null, NOW), NOW), Number.POSITIVE_INFINITY);
    assert.equal(paceAfter(at(null, 0), NOW, 500), NOW);
  });
});

describe("after a step", () => {
  const still: StepResult = {
    ...{
      waiting: 0,
      created: 0,
      succeeded: 0,
      failed: 0,
      taken_back: 0,
      at_position: "p100",
      walked: false,
      is_under_way: true,
    },
  };
  const plan = { state: "running", reason: null, take: 10 } as const;
  const after = (row: Partial<ReplayRow>, result: Partial<StepResult>, state: ReplayRow["state"] = "running") =>
    afterStep({ ...running, ...row }, { ...plan, state }, { ...still, ...result }, NOW);

  const ends: [
    title: string,
    state: ReplayRow["state"],
    result: Partial<StepResult>,
    then: string,
    due: number | null,
  ][] = [
    ["one that moved goes on soon", "running", { created: 9 }, "running", 100],
    ["one that found nothing goes on at once", "running", { at_position: "p500" }, "running", 0],
    ["one that waits for room looks again", "running", {}, "running", 500],
    ["one whose last deliveries wait for retries rests", "running", { walked: true }, "running", 5_000],
    ["one with nothing left is done", "running", { walked: true, is_under_way: false }, "done", null],
    ["one that is paused still counts", "paused", { succeeded: 1 }, "paused", 100],
    ["one that is paused with nothing under way rests", "paused", { is_under_way: false }, "paused", null],
    ["one that is canceled goes on taking back", "canceled", { taken_back: 500 }, "canceled", 100],
    ["one that is canceled with nothing under way ends", "canceled", { is_under_way: false }, "canceled", null],
  ];
  for (const [title, state, result, then, due] of ends) {
    test(title, () => {
      const changes = after({}, result, state);
      assert.deepEqual([changes.state, changes.due_at], [then, due === null ? null : NOW + due]);
      assert.equal(changes.finished_at !== null, due === null && then !== "paused");
    });
  }

  test("the counters grow, and the total when something from before the start was stored late", () => {
    const grown = { ...running, total: 105, ...after({ total: 105 }, { created: 10, succeeded: 3, failed: 1 }) };
    const shown = showReplay({ ...grown, uncounted_succeeded: 0, uncounted_failed: 0, pending: 0 });
    const { created, succeeded, failed, total } = shown;
    assert.deepEqual({ created, succeeded, failed, total }, { created: 110, succeeded: 83, failed: 6, total: 110 });
  });
});

test("what is shown counts what has ended and is not in the row yet; the rest was canceled", () => {
  const shown = showReplay({ ...running, uncounted_succeeded: 4, uncounted_failed: 1, pending: 3 });
  const { created, succeeded, failed, pending, canceled } = shown;
  assert.deepEqual([created, succeeded, failed, pending, canceled], [100, 84, 6, 3, 7]);
  assert.deepEqual([shown.states, shown.events, shown.finished_at], [["failed"], null, null]);
});

for (const [what, row, reason] of [
  [
    "done with failures",
    { state: "done", failed: 21, created: 1_000 },
    /^21 have failed\. .* with POST \/api\/webhooks\/\S+\/replays \{"since":".*","until":".*","states":\["failed"\]\}\.$/,
  ],
  ["done without any", { state: "done", failed: 0, created: 1_000 }, /^null$/],
  [
    "done with less",
    { state: "done", failed: 0 },
    /^900 of those counted at the start were left out, for they did not match any more .*: another replay or a retry had sent them /,
  ],
  [
    "canceled before its end",
    { state: "canceled", reason: "By hand.", failed: 0 },
    /^By hand\. 900 were not handed out\.$/,
  ],
  [
    "canceled with one failure",
    { state: "canceled", reason: null, failed: 1 },
    /^900 were not handed out\. 1 has failed\. /,
  ],
  ["canceled at its end", { state: "canceled", reason: "By hand.", created: 1_000, failed: 0 }, /^By hand\.$/],
] as const) {
  test(`a replay that is ${what} says what is left`, () => {
    const none = { uncounted_succeeded: 0, uncounted_failed: 0, pending: 0 };
    assert.match(String(showReplay({ ...running, ...row, ...none }).reason), reason);
  });
}
