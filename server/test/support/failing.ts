// The rules by which failing destinations are paused, as they are by default, for tests of something else.
import type { FailureRules } from "../../src/destinations/failing.ts";

export const FAILURE_RULES: FailureRules = {
  pause_after_failures: 20,
  pause_after_ms: 300_000,
  disable_after_ms: 432_000_000,
};
