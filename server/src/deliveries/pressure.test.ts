import assert from "node:assert/strict";
import { test } from "node:test";
import type { Outcome } from "#destination-types/definition.ts";
import { settlementOf } from "../../test/support/settlements.ts";
import type { Reaction } from "./limit.ts";
import { reactionOf } from "./pressure.ts";

const made = settlementOf({ destination_id: "dst_a", position: "p1" }, 1, { state: "pending", failures: 1, due_at: 1 });
const refused = (retry_after_ms?: number): Outcome => ({
  ...{ kind: "refused", retriable: true, message: "no" },
  ...(retry_after_ms !== undefined && { retry_after_ms }),
});

const DURATION_MS = made.record.duration_ms;

const unreachable: Outcome = { kind: "unreachable", retriable: true, message: "late" };

type Case = [title: string, outcome: Outcome | undefined, status: number | null, reaction: Reaction, silence?: true];
const answers: Case[] = [
  ["a success", { kind: "accepted" }, 200, { kind: "well", duration_ms: DURATION_MS }],
  ["a 503 that says for how long", refused(30_000), 503, { kind: "too_many", for_ms: 30_000 }],
  ["a 429 that says for how long", refused(0), 429, { kind: "too_many", for_ms: 0 }],
  ["a 429 that does not", refused(), 429, { kind: "too_many", for_ms: 1_000 }],
  ["a 500", refused(), 500, { kind: "other" }],
  ["a 400", { kind: "refused", retriable: false, message: "no" }, 400, { kind: "other" }],
  ["no answer", unreachable, null, { kind: "silent" }, true],
  ["what this server refused to send, or could not", unreachable, null, { kind: "other" }],
  [
    "a webhook whose settings make no request",
    { kind: "misconfigured", retriable: true, message: "no" },
    null,
    { kind: "other" },
  ],
  ["nothing that was sent", undefined, null, { kind: "other" }],
];
for (const [title, outcome, status_code, reaction, is_silence = false] of answers) {
  test(`${title} says ${reaction.kind}`, () => {
    assert.deepEqual(reactionOf({ outcome, is_silence, record: { ...made.record, status_code } }), reaction);
  });
}

for (const trigger of ["test", "replay", "manual", "probe"] as const) {
  test(`a ${trigger} attempt that is told "too many" says as much as any other`, () => {
    const record = { ...made.record, trigger, status_code: 429 };
    assert.equal(reactionOf({ outcome: refused(5), record }).kind, "too_many");
  });
}
