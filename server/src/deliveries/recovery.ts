// Turning a webhook on again with recovery: what it missed while it was off or disabled is replayed. Called by the API in
// the place of a plain change; without `recover` it is one.
import type { Webhook, WebhookPatch } from "#contract/destinations.ts";
import type { Replay, ReplayCreate } from "#contract/replays.ts";
import { rangesOf, type Stop, type TimeRange } from "../destinations/missed.ts";
import { AppError, refuse } from "../errors.ts";
import { timeText } from "../platform/time-text.ts";

export interface RecoveryOptions {
  webhooks: {
    patchWebhook(id: string, app_scope: string | null, patch: WebhookPatch, actor: string): Promise<Webhook>;
    getWebhook(id: string, app_scope: string | null, sender?: Replay): Promise<Webhook>;
    openStops(id: string, app_scope: string | null): Promise<Stop[]>;
  };
  replays: {
    startReplay(
      destination_id: string,
      app_scope: string | null,
      input: ReplayCreate,
      ranges: readonly TimeRange[],
    ): Promise<Replay>;
  };
  now(): number;
}

export function createRecovery({ webhooks, replays, now }: RecoveryOptions) {
  /** @throws AppError as a change does, and conflict when the webhook is on but its replay could not begin */
  async function patchWebhook(
    id: string,
    app_scope: string | null,
    patch: WebhookPatch,
    actor: string,
  ): Promise<Webhook> {
    const { recover, ...changes } = patch;
    const webhook = await webhooks.patchWebhook(id, app_scope, changes, actor);
    if (recover !== true) return webhook;
    const stops = await webhooks.openStops(id, app_scope);
    const recovery = await startRecovery(id, app_scope, rangesOf(stops, now()));
    if (recovery === null) return { ...webhook, recovery };
    // It has found that nothing is missing.
    if (recovery.finished_at !== null) return { ...(await webhooks.getWebhook(id, app_scope)), recovery };
    // What was there to do about what it missed is what has just been asked for; all else still is.
    const { next_step } = await webhooks.getWebhook(id, app_scope, recovery);
    return { ...webhook, next_step, recovery };
  }

  async function startRecovery(
    id: string,
    app_scope: string | null,
    ranges: readonly TimeRange[],
  ): Promise<Replay | null> {
    const [first, last = first] = [ranges[0], ranges.at(-1)];
    if (first === undefined || last === undefined) return null;
    const range = { since: timeText(first.since), until: timeText(last.until) };
    try {
      const settings = { states: ["missing" as const], dry_run: false, rate_per_second: null };
      return await replays.startReplay(id, app_scope, { ...range, ...settings }, ranges);
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== "conflict") throw error;
      throw refuse("conflict", `The webhook is on, but what it missed is not replayed yet. ${error.message}`);
    }
  }

  return { patchWebhook };
}
