// What finished attempts add up to for the health of a destination, when some were made by settings of before.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type HealthChange, healthChanges, singleChanges, withUnchanged } from "./totals.ts";

/** One attempt each, in order, the first of which ends at 1: `ok` or `no`, and its era, where it was sent. */
const finished = (ends: string) =>
  ends.split(" ").map((end, index) => ({
    ...{ key: { destination_id: "dst_1", position: `${index}` }, attempt: 1 },
    record: { started_at: index + 1, duration_ms: 0, outcome: end.startsWith("ok") ? "accepted" : "refused" } as const,
    ...(end.length > 2 && { era: Number(end.slice(2)) }),
  }));

const told = ({ era, success_at, failure_at, failures, failing_since }: HealthChange) =>
  `era ${era}: ok at ${success_at}, no at ${failure_at}, ${failures} since ${failing_since}`;

const cases: [title: string, ends: string, together: string, each: string[]][] = [
  [
    "of one era are one run, which a success ends",
    "no2 ok2 no2 no2",
    "era 2: ok at 2, no at 4, 2 since 3",
    [
      ...["era 2: ok at null, no at 1, 0 since null", "era 2: ok at 2, no at null, 0 since null"],
      ...["era 2: ok at null, no at 3, 1 since 3", "era 2: ok at null, no at 4, 1 since 4"],
    ],
  ],
  [
    "that fail by older settings are no part of the run",
    "no0 no1 no0 no1",
    "era 1: ok at null, no at 4, 2 since 2",
    [
      ...["era 1: ok at null, no at 1, 0 since null", "era 1: ok at null, no at 2, 1 since 2"],
      ...["era 1: ok at null, no at 3, 0 since null", "era 1: ok at null, no at 4, 1 since 4"],
    ],
  ],
  [
    "that succeed by older settings do not end it",
    "ok0 no1 ok0",
    "era 1: ok at null, no at 2, 1 since 2",
    [
      ...["era 1: ok at null, no at null, 0 since null", "era 1: ok at null, no at 2, 1 since 2"],
      "era 1: ok at null, no at null, 0 since null",
    ],
  ],
  [
    "that were not sent begin no era",
    "no no3 no",
    "era 3: ok at null, no at 3, 1 since 2",
    [
      ...["era 3: ok at null, no at 1, 0 since null", "era 3: ok at null, no at 2, 1 since 2"],
      "era 3: ok at null, no at 3, 0 since null",
    ],
  ],
];
for (const [title, ends, together, each] of cases) {
  test(`attempts ${title}`, () => {
    const attempts = finished(ends);
    assert.deepEqual(healthChanges(attempts).map(told), [together]);
    assert.deepEqual(
      singleChanges(attempts).map(({ health }) => told(health)),
      each,
    );
  });
}

test("a destination of which nothing is changed stays in its era", () => {
  assert.deepEqual(withUnchanged([], [{ destination_id: "dst_1" }]).map(told), [
    "era 0: ok at null, no at null, 0 since null",
  ]);
});
