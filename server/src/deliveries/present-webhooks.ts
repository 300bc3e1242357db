// Webhooks as the management API shows them, with what only those who send know: how much each is sent at present, and what
// keeps what is due although its receiver is not to blame. Called by the API with what it is about to answer.
import type { Webhook } from "#contract/destinations.ts";
import { OVERDUE_MS } from "./delivery.ts";
import { type LookUpHolds, type LookUpLimits, NOBODY_SENDS } from "./present-limits.ts";
import { STUCK_MS, stepWhenOverdue, stepWhenStuck, stepWhenUntried } from "./webhook-waits.ts";
import type { WebhookWaitsStore } from "./webhook-waits-store.ts";

export interface PresentWebhooksOptions {
  store: WebhookWaitsStore;
  lookUpLimits: LookUpLimits;
  lookUpHolds: LookUpHolds;
  now(): number;
}

export type ShowPresent = (webhooks: readonly Webhook[]) => Promise<Webhook[]>;

export function createPresentWebhooks({ store, lookUpLimits, lookUpHolds, now }: PresentWebhooksOptions): ShowPresent {
  return async (webhooks) => {
    const at = now();
    const waiting = webhooks.filter(({ health }) => health.pending > 0);
    const [limitsOf, overdueStepOf, stuck] = await Promise.all([
      lookUpLimits(),
      lookUpOverdue(waiting, at),
      store.stuckOf(idsOf(waiting.filter(isOrdered)), at, at - STUCK_MS),
    ]);
    return webhooks.map((webhook) => {
      const behind = stuck.get(webhook.id);
      const steps = [overdueStepOf(webhook), webhook.next_step, behind === undefined ? null : stepWhenStuck(behind)];
      const told = steps.filter((step) => step !== null);
      const health = { ...webhook.health, ...limitsOf(webhook) };
      return { ...webhook, health, next_step: told.length === 0 ? null : told.join(" ") };
    });
  };

  /** Who sends is asked only where something is overdue. */
  async function lookUpOverdue(waiting: readonly Webhook[], at: number) {
    const before = at - OVERDUE_MS;
    // What waited for it to come back was not due before it had.
    const active = waiting.filter((one) => one.state === "active" && Date.parse(one.state_changed_at) <= before);
    const overdue = await store.overdueOf(idsOf(active), before);
    const untried = waiting.filter((one) => (probeOf(one) ?? at) <= before);
    if (overdue.size === 0 && untried.length === 0) return () => null;
    const holdsOf = await lookUpHolds();
    return (webhook: Webhook): string | null => {
      const holds = holdsOf(webhook);
      const since = overdue.get(webhook.id);
      if (since !== undefined) return stepWhenOverdue(since, holds);
      const probe_at = untried.includes(webhook) ? probeOf(webhook) : null;
      return probe_at !== null && holds === NOBODY_SENDS ? stepWhenUntried(probe_at, NOBODY_SENDS.nobody) : null;
    };
  }
}

function isOrdered({ state, ordering }: Webhook): boolean {
  return state === "active" && ordering === "link";
}

/** When a webhook that is paused is tried next, in ms since 1970. */
function probeOf({ state, health }: Webhook): number | null {
  return state === "paused" && health.next_probe_at !== null ? Date.parse(health.next_probe_at) : null;
}

function idsOf(webhooks: readonly Webhook[]): string[] {
  return webhooks.map(({ id }) => id);
}
