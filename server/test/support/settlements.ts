// Settlements of made-up attempts, for tests of what records them.
import type { Decision } from "../../src/deliveries/policy.ts";
import type { Settlement } from "../../src/deliveries/settle-store.ts";

const AT = 1_700_000_000_000;

export function settlementOf(
  key: Settlement["key"],
  attempt: number,
  decision: Pick<Decision, "state" | "failures" | "due_at">,
): Settlement {
  const is_accepted = decision.state === "succeeded";
  return {
    key,
    attempt,
    decision: { ...decision, reason: null, trigger: "auto", restored: false },
    settled_at: decision.state === "pending" ? null : AT,
    outcome: undefined,
    counts: true,
    set_apart: false,
    record: {
      ...{ ...key, number: attempt, trigger: "auto", started_at: AT, duration_ms: 5 },
      ...{
        outcome: is_accepted ? "accepted" : "refused",
        status_code: is_accepted ? 200 : 500,
        error: null,
        cause: null,
      },
      ...{ response_headers: "{}", response_snippet: "", response_truncated: 0 },
    },
  };
}
