// Runs what is to be done for one event: the handler, each forwarder, or the hand-off. Each is a step with a key of its own in
// the dedupe store, so that a delivery that comes again does only what is not done yet. The steps run at the same time, and
// none waits for another's failure.
import type { LinkMeWebhookEnvelope } from "../events.ts";
import type { BeginAnswer, DedupeStore } from "./dedupe.ts";
import { delayOf, isFinal, messageOf } from "./errors.ts";
import { keyOf } from "./event-key.ts";
import type { Forwarder, ForwardIo, ForwardOutcome } from "./forwarder.ts";

/** `handler`, `hand-off`, or `forward.` and the name of the forwarder. */
export type StepName = string;

/**
 * - `done`: it worked; `skipped`: the forwarder did not want it.
 * - `duplicate`: it had been done before.
 * - `failed`: for good, nothing comes again for it.
 * - `retry`: it did not work and may later; `in_progress`: somebody else is at it.
 */
export type StepState = "done" | "skipped" | "duplicate" | "failed" | "retry" | "in_progress";

export interface StepReport {
  step: StepName;
  state: StepState;
  /** Why, where there is something to say. */
  reason?: string;
  retry_after_ms?: number;
}

export interface Step {
  name: StepName;
  run(): Promise<StepReport>;
}

export interface StepRules {
  dedupe: DedupeStore;
  lease_ms: number;
  ttl_ms: number;
  /** Called with every error, also those that change nothing for the answer. */
  report(error: unknown, event: LinkMeWebhookEnvelope, step: StepName): void;
}

export function runSteps(
  rules: StepRules,
  event: LinkMeWebhookEnvelope,
  steps: readonly Step[],
): Promise<StepReport[]> {
  return Promise.all(steps.map((step) => runStep(rules, event, step)));
}

async function runStep(rules: StepRules, event: LinkMeWebhookEnvelope, step: Step): Promise<StepReport> {
  const key = keyOf(event, step.name);
  const report = (error: unknown) => rules.report(error, event, step.name);
  let begun: BeginAnswer;
  try {
    begun = await rules.dedupe.begin(key, rules.lease_ms);
  } catch (error) {
    report(error);
    return { step: step.name, state: "retry", reason: "the dedupe store cannot be reached" };
  }
  if (begun === "done") return { step: step.name, state: "duplicate" };
  if (begun === "in_progress") return { step: step.name, state: "in_progress", reason: "it is being handled" };
  const result = await step.run().catch((error: unknown) => resultOfError(step.name, error, report));
  try {
    if (result.state === "retry") await rules.dedupe.release(key);
    else await rules.dedupe.done(key, rules.ttl_ms);
  } catch (error) {
    // What was done is done: asking for the event again would do it twice. The lease that stays runs out by itself.
    report(error);
  }
  return result;
}

function resultOfError(step: StepName, error: unknown, report: (error: unknown) => void): StepReport {
  report(error);
  const retry_after_ms = delayOf(error);
  return {
    step,
    state: isFinal(error) ? "failed" : "retry",
    reason: messageOf(error),
    ...(retry_after_ms === undefined ? {} : { retry_after_ms }),
  };
}

/** Calls code of the user. */
export function handlerStep(name: StepName, call: () => unknown): Step {
  return {
    name,
    async run() {
      await call();
      return { step: name, state: "done" };
    },
  };
}

/** Why a forwarder did not get an event to where it belongs; what `onError` is called with. */
export class LinkMeForwardError extends Error {
  override readonly name = "LinkMeForwardError";
  readonly forwarder: string;
  readonly outcome: ForwardOutcome;

  constructor(forwarder: string, outcome: ForwardOutcome, message: string) {
    super(`${forwarder}: ${message}`);
    this.forwarder = forwarder;
    this.outcome = outcome;
  }
}

export interface ForwardRules {
  io: Omit<ForwardIo, "signal">;
  timeout_ms: number;
  report(error: unknown): void;
}

/** Lets a forwarder make its attempt, in the time there is. */
export function forwardStep(forwarder: Forwarder, event: LinkMeWebhookEnvelope, rules: ForwardRules): Step {
  const name = `forward.${forwarder.name}`;
  return {
    name,
    async run() {
      const outcome = await attempt(forwarder, event, rules);
      if (outcome.kind === "accepted") return { step: name, state: "done" };
      if (outcome.kind === "skipped") return { step: name, state: "skipped", reason: outcome.reason };
      rules.report(new LinkMeForwardError(forwarder.name, outcome, outcome.message));
      const { retriable, message, retry_after_ms } = outcome;
      const delay = retriable && retry_after_ms !== undefined ? { retry_after_ms } : {};
      return { step: name, state: retriable ? "retry" : "failed", reason: message, ...delay };
    },
  };
}

async function attempt(
  forwarder: Forwarder,
  event: LinkMeWebhookEnvelope,
  rules: ForwardRules,
): Promise<ForwardOutcome> {
  const controller = new AbortController();
  const message = `no answer within ${rules.timeout_ms} ms`;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<ForwardOutcome>((resolve) => {
    timer = setTimeout(() => {
      // First, so that what the abort makes of the attempt comes too late to count.
      resolve({ kind: "ambiguous", retriable: true, message });
      controller.abort(new Error(message));
    }, rules.timeout_ms);
  });
  try {
    const sending = forwarder.forward(event, { ...rules.io, signal: controller.signal });
    // After the time-out nobody waits for it any more.
    sending.catch(() => {});
    return await Promise.race([sending, late]);
  } finally {
    clearTimeout(timer);
  }
}
