import assert from "node:assert/strict";
import { test } from "node:test";
import { DAY_MS } from "../deliveries/expiry.ts";
import type { AgedDelivery } from "../deliveries/expiry-store.ts";
import { uuidFloor } from "../platform/ids.ts";
import { FIRST_PACE, nextPace, planDeliveries, planEvents, REST_MAX_MS, STEP_ROWS_MAX, STEP_ROWS_MIN } from "./plan.ts";

const NOW = Date.UTC(2027, 0, 31);
const CUTOFFS = { now: NOW, records: NOW - 30 * DAY_MS, events: NOW - 395 * DAY_MS };

function aged(days: number, changes: Partial<AgedDelivery> = {}): AgedDelivery {
  const at = NOW - days * DAY_MS;
  return {
    ...{ position: uuidFloor(at), app_id: "shop", state: "failed", settled_at: at, attempt: 1 },
    ...{ expired_attempt: null, has_first: 0, records: 1, last_attempt_at: at, ...changes },
  };
}

for (const { title, row, expires } of [
  { title: "whose time is over", row: aged(30), expires: true },
  { title: "that is pending", row: aged(300, { state: "pending" }), expires: false },
  { title: "that ended later", row: aged(300, { settled_at: NOW - 29 * DAY_MS }), expires: false },
  { title: "that was tried later", row: aged(300, { last_attempt_at: NOW - 29 * DAY_MS }), expires: false },
  { title: "without a record", row: aged(300, { records: 0, last_attempt_at: null }), expires: false },
  { title: "with its record in its row", row: aged(300, { records: 0, has_first: 1 }), expires: true },
]) {
  test(`the records of a delivery ${title} ${expires ? "go" : "stay"}`, () => {
    assert.equal(planDeliveries([row], CUTOFFS, 10).expired.length === 1, expires);
  });
}

for (const { title, changes, goes } of [
  { title: "without a delivery", changes: null, goes: true },
  { title: "whose delivery ended long ago", changes: {}, goes: true },
  { title: "whose delivery ended a day ago", changes: { settled_at: NOW - DAY_MS }, goes: true },
  { title: "whose delivery ended less than a day ago", changes: { settled_at: NOW - DAY_MS + 1 }, goes: false },
  { title: "whose delivery ended in a year, by a clock that was wrong", changes: { settled_at: 2 * NOW }, goes: true },
  { title: "whose delivery is pending", changes: { state: "pending", settled_at: null, due_at: NOW }, goes: false },
] as const) {
  test(`an expired event ${title} ${goes ? "goes" : "stays"}`, () => {
    const position = uuidFloor(CUTOFFS.events);
    const delivery = {
      destination_id: "dst_1",
      position,
      attempt: 1,
      leased: 0,
      due_at: null,
      trigger: "auto",
    } as const;
    const settled = {
      state: "failed",
      resume_state: null,
      settled_at: CUTOFFS.events,
      replay_id: null,
      order_key: null,
    } as const;
    const deliveries = changes === null ? [] : [{ ...delivery, ...settled, ...changes }];
    const plan = planEvents([position], deliveries, { now: NOW, cutoff: CUTOFFS.events });
    assert.deepEqual(plan.leaving, goes ? [position] : []);
    assert.equal(plan.deliveries, goes ? deliveries.length : 0);
  });
}

test("a step ends before it removes too much, and takes a delivery with many attempts as a whole", () => {
  const rows = [aged(60, { records: 3 }), aged(59, { records: 3 }), aged(58, { records: 3 }), aged(57)];
  const plan = planDeliveries(rows, CUTOFFS, 9);
  assert.deepEqual([plan.expired.length, plan.at_key], [2, rows[1]?.position]);
  const many = [aged(60, { records: 5_000 }), aged(59)];
  assert.deepEqual(planDeliveries(many, CUTOFFS, 9).expired, [many[0]]);
  assert.deepEqual(planDeliveries([], CUTOFFS, 9), { expired: [], old: [], at_key: null });
});

test("a tenth of the time is the most that removing takes, and less when the database is slow", () => {
  let pace = nextPace(FIRST_PACE, 5);
  assert.deepEqual([pace.rows, pace.rest_ms], [STEP_ROWS_MAX, 45]);
  const rests: number[] = [];
  for (let step = 0; step < 10; step++) {
    pace = nextPace(pace, 100);
    rests.push(pace.rest_ms);
  }
  assert.deepEqual(rests.slice(0, 3), [900, 1_800, 3_600]);
  assert.ok(rests.every((rest_ms, index) => rest_ms >= (rests[index - 1] ?? 0) && rest_ms <= REST_MAX_MS));
  assert.equal(pace.rows, STEP_ROWS_MIN);
  assert.equal(nextPace(pace, 60_000).rest_ms, REST_MAX_MS);
  for (let step = 0; step < 10; step++) pace = nextPace(pace, 1);
  assert.deepEqual([pace.rows, pace.rest_ms], [STEP_ROWS_MAX, 20]);
});
