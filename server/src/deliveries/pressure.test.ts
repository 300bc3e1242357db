import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "#destination-types/definition.ts";
import { settlementOf } from "../../test/support/settlements.ts";
import { pressureOf } from "./pressure.ts";

const made = settlementOf({ destination_id: "dst_a", position: "p1" }, 1, { state: "pending", failures: 1, due_at: 1 });
const refused = (retry_after_ms?: number): Outcome => ({
  ...{ kind: "refused", retriable: true, message: "no" },
  ...(retry_after_ms !== undefined && { retry_after_ms }),
});

const answers: [title: string, outcome: Outcome | undefined, status: number | null, pressure: number | null][] = [
  ["a success", { kind: "accepted" }, 200, null],
  ["a 503 that says for how long", refused(30_000), 503, 30_000],
  ["a 429 that says for how long", refused(0), 429, 0],
  ["a 429 that does not", refused(), 429, 1_000],
  ["a 500", refused(), 500, null],
  ["a 400", { kind: "refused", retriable: false, message: "no" }, 400, null],
  ["no answer", { kind: "unreachable", retriable: true, message: "late" }, null, 0],
  ["nothing that was sent", undefined, null, null],
];
for (const [title, outcome, status_code, pressure] of answers) {
  test(`${title} asks for ${pressure === null ? "nothing" : `less, for ${pressure} ms`}`, () => {
    assert.equal(pressureOf({ outcome, record: { ...made.record, status_code } }), pressure);
  });
}
