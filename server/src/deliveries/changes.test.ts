// What is written into the journal is what is read from it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventsEntry } from "../events/journaled.ts";
import { eventPositionsIn, type JournalEntry, type JournalRow } from "../platform/journal.ts";
import { attemptsEntry, changeEntry, changesIn } from "./changes.ts";

const A = { id: "dst_a", app_id: "app_1" };
const B = { id: "dst_b", app_id: "app_1" };
const C = { id: "dst_c", app_id: "app_2" };

/** As the table gives it back. */
function rowOf({ part, lists }: JournalEntry): JournalRow {
  return { tx: 1, part, topics: ` ${[...lists.keys()].join(" ")} `, changes: [...lists.values()].join("\n") };
}

const event = (app_id: string, position: string) => ({ app_id, position });
const delivery = ({ id, app_id }: typeof A, position: string) => ({ destination_id: id, app_id, position });

test("events are listed by app, and their deliveries by destination, whichever of the events those want", () => {
  const events = [event("app_1", "p1"), event("app_2", "p2"), event("app_1", "p3"), event("app_1", "p4")];
  const deliveries = [
    delivery(B, "p4"),
    ...["p1", "p3", "p4"].map((p) => delivery(A, p)),
    delivery(C, "p2"),
    delivery(B, "p1"),
  ];
  const row = rowOf(eventsEntry(events, deliveries, 0));
  assert.deepEqual(eventPositionsIn(row, "app_1"), ["p1", "p3", "p4"]);
  assert.deepEqual(eventPositionsIn(row, "app_2"), ["p2"]);
  assert.deepEqual(eventPositionsIn(row, "app_3"), []);
  const created = (destination: typeof A) => changesIn(row, destination).map(({ position, kind }) => [position, kind]);
  assert.deepEqual(created(A), [
    ["p1", "created"],
    ["p3", "created"],
    ["p4", "created"],
  ]);
  assert.deepEqual(created(B), [
    ["p4", "created"],
    ["p1", "created"],
  ]);
  assert.deepEqual(created(C), [["p2", "created"]]);
});

test("attempts keep their numbers, in the order of each destination", () => {
  const finished = [
    [A, "p1", 1],
    [B, "p1", 1],
    [A, "p2", 1],
    [A, "p3", 2],
    [A, "p3", 12],
    [A, "p4", 1],
  ] as const;
  const row = rowOf(
    attemptsEntry(
      finished.map(([destination, position, attempt]) => ({ key: delivery(destination, position), attempt })),
      0,
    ),
  );
  const numbers = (destination: typeof A) =>
    changesIn(row, destination).map(({ position, number }) => [position, number]);
  assert.deepEqual(numbers(A), [
    ["p1", 1],
    ["p2", 1],
    ["p3", 2],
    ["p3", 12],
    ["p4", 1],
  ]);
  assert.deepEqual(numbers(B), [["p1", 1]]);
  assert.deepEqual(numbers(C), []);
});

for (const kind of ["asked_for", "replayed", "canceled", "expired", "erased"] as const) {
  test(`a change of the kind ${kind} names its deliveries`, () => {
    const row = rowOf(changeEntry(kind, "dst_a", ["p1", "p2"], 0));
    const change = { kind, number: null };
    assert.deepEqual(changesIn(row, A), [
      { position: "p1", ...change },
      { position: "p2", ...change },
    ]);
  });
}

test("a kind that a later version writes is passed over", () => {
  const row = { tx: 1, part: "x", topics: " dst_a ", changes: "Z9:p1;A1:p2" };
  assert.deepEqual(changesIn(row, A), [{ position: "p2", kind: "attempted", number: 1 }]);
});
