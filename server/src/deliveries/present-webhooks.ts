// Webhooks as the management API shows them, with what only those who send know: how much each is sent at present, and what
// keeps what is due although its receiver is not to blame. Called by the API with what it is about to answer.
import type { Webhook as Whole } from "#contract/destinations.ts";
import { OVERDUE_MS } from "./due.ts";
import type { LookUpHolds, LookUpLimits } from "./present-limits.ts";
import {
  STUCK_MS,
  type Stuck,
  stepWhenOverdue,
  stepWhenStuck,
  stepWhenUntried,
  stepWhilePaused,
} from "./webhook-waits.ts";
import type { WebhookWaitsStore } from "./webhook-waits-store.ts";

/** Ordered webhooks of an answer that are looked at for what waits behind another event. */
const STUCK_LOOKED_AT_MAX = 20;

export interface PresentWebhooksOptions {
  store: WebhookWaitsStore;
  lookUpLimits: LookUpLimits;
  lookUpHolds: LookUpHolds;
  now(): number;
}

/** What is looked at of one: other destinations have it, too. */
type Webhook = Pick<
  Whole,
  | "id"
  | "app_id"
  | "state"
  | "state_changed_at"
  | "ordering"
  | "health"
  | "next_step"
  | "max_in_flight"
  | "timeout_ms"
  | "rate_per_second"
>;

export type ShowPresent = <One extends Webhook>(webhooks: readonly One[]) => Promise<One[]>;

export function createPresentWebhooks({ store, lookUpLimits, lookUpHolds, now }: PresentWebhooksOptions): ShowPresent {
  return async (webhooks) => {
    const at = now();
    const waiting = webhooks.filter(({ health }) => health.pending > 0);
    const [limitsOf, stepsOf] = await Promise.all([lookUpLimits(), lookUpSteps(waiting, at)]);
    return webhooks.map((webhook) => {
      const { first, last } = stepsOf(webhook);
      const told = [first, webhook.next_step, last].filter((step) => step !== null);
      const health = { ...webhook.health, ...limitsOf(webhook) };
      return { ...webhook, health, next_step: told.length === 0 ? null : told.join(" ") };
    });
  };

  /** What to do before and after all else. Who sends is asked only where something waits that should not. */
  async function lookUpSteps(waiting: readonly Webhook[], at: number) {
    const before = at - OVERDUE_MS;
    // What waited for it to come back was not due before it had: so for a minute after it was turned on again nothing is said
    // of a dispatcher that does not run, either.
    const active = waiting.filter((one) => one.state === "active" && Date.parse(one.state_changed_at) <= before);
    const untried = waiting.filter((one) => (probeOf(one) ?? at) <= before);
    const ordered = mostWaiting(waiting.filter(isOrdered));
    const stuckIn = (state: Webhook["state"], after: number) => {
      const ids = idsOf(ordered.filter((one) => one.state === state));
      return ids.length === 0 ? new Map<string, Stuck>() : store.stuckOf(ids, after, at - STUCK_MS);
    };
    const [overdue, stuck, stuck_paused] = await Promise.all([
      store.overdueOf(idsOf(active), before),
      stuckIn("active", at),
      // Its time is of before the pause, and may have passed.
      stuckIn("paused", 0),
    ]);
    if (overdue.size + stuck.size + stuck_paused.size + untried.length === 0) return () => NOTHING_WAITS;
    const holdsOf = await lookUpHolds();
    return (webhook: Webhook): Steps => {
      const holds = holdsOf(webhook);
      const nobody = holds?.nobody ?? null;
      const since = overdue.get(webhook.id);
      const probe_at = untried.includes(webhook) ? probeOf(webhook) : null;
      const first_untried = probe_at === null || nobody === null ? null : stepWhenUntried(probe_at, nobody);
      const first = since === undefined ? first_untried : stepWhenOverdue(since, holds);
      const behind = stuck.get(webhook.id);
      // While nobody sends, no call lets those behind it go on, and that is said once.
      const is_last = behind !== undefined && (first === null || nobody === null);
      const head = stuck_paused.get(webhook.id);
      const while_paused = head === undefined || nobody !== null ? null : stepWhilePaused(head);
      return { first, last: is_last ? stepWhenStuck(behind, nobody) : while_paused };
    };
  }
}

interface Steps {
  first: string | null;
  last: string | null;
}

const NOTHING_WAITS: Steps = { first: null, last: null };

/** Each costs a query of its own, and whoever lists webhooks again and again is not to cost others their turn. */
function mostWaiting(ordered: readonly Webhook[]): Webhook[] {
  return ordered.toSorted((one, other) => other.health.pending - one.health.pending).slice(0, STUCK_LOOKED_AT_MAX);
}

function isOrdered({ state, ordering }: Webhook): boolean {
  return (state === "active" || state === "paused") && ordering === "link";
}

/** When a webhook that is paused is tried next, in ms since 1970. */
function probeOf({ state, health }: Webhook): number | null {
  return state === "paused" && health.next_probe_at !== null ? Date.parse(health.next_probe_at) : null;
}

function idsOf(webhooks: readonly Webhook[]): string[] {
  return webhooks.map(({ id }) => id);
}
