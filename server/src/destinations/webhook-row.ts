// What creating and changing a webhook makes of its row, and how a row is shown. Pure but for the sealer.
// Called by webhooks.ts and trials.ts; input has passed the contract's schemas.
import {
  type Health,
  MASK,
  type Ordering,
  type Webhook,
  type WebhookCreate,
  type WebhookPatch,
} from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import { mapSecrets } from "#destination-types/definition.ts";
import { WebhookConfig, webhook } from "#destination-types/webhook.ts";
import { invalid } from "../errors.ts";
import type { Sealer } from "../platform/sealing.ts";
import type { DestinationRow, SealedSecrets, StoredOrdering } from "./destination.ts";
import { timeText } from "./health.ts";

interface NewWebhook {
  id: string;
  app_id: string;
  /** The signing secret, plain. */
  secret: string;
  now: number;
  default_retry_schedule: readonly number[];
}

export function newWebhookRow(made: NewWebhook, input: WebhookCreate, sealer: Sealer): DestinationRow {
  const config = { url: input.url, signing: input.signing, headers: sealHeaders(input.headers, {}, sealer) };
  const secrets: SealedSecrets = { current: sealer.seal(made.secret) };
  return {
    id: made.id,
    app_id: made.app_id,
    type: webhook.type,
    config: JSON.stringify(config),
    secrets: JSON.stringify(secrets),
    events: JSON.stringify(input.events),
    description: input.description,
    enabled: input.enabled ? 1 : 0,
    state: input.enabled ? "active" : "off",
    state_reason: null,
    state_changed_at: made.now,
    retry_schedule: JSON.stringify(input.retry_schedule ?? made.default_retry_schedule),
    timeout_ms: input.timeout_ms,
    max_in_flight: input.max_in_flight,
    rate_per_second: input.rate_per_second,
    retry_on: input.retry_on,
    ordering: input.ordering,
    created_at: made.now,
    updated_at: made.now,
  };
}

/** The row after a patch; `null` where nothing is given to change. */
export function patchWebhookRow(row: DestinationRow, patch: WebhookPatch, now: number, sealer: Sealer) {
  if (Object.values(patch).every((value) => value === undefined)) return null;
  const { url, events, description, signing, retry_schedule, timeout_ms, max_in_flight, retry_on, headers } = patch;
  const config = readWebhookConfig(row);
  const changed: DestinationRow = {
    ...row,
    config: JSON.stringify({
      url: url ?? config.url,
      signing: signing ?? config.signing,
      headers: headers === undefined ? config.headers : sealHeaders(headers, config.headers, sealer),
    }),
    events: events === undefined ? row.events : JSON.stringify(events),
    description: description ?? row.description,
    retry_schedule: retry_schedule === undefined ? row.retry_schedule : JSON.stringify(retry_schedule),
    timeout_ms: timeout_ms ?? row.timeout_ms,
    max_in_flight: max_in_flight ?? row.max_in_flight,
    rate_per_second: patch.rate_per_second === undefined ? row.rate_per_second : patch.rate_per_second,
    retry_on: retry_on ?? row.retry_on,
    ordering: nextOrdering(row.ordering, patch.ordering),
    updated_at: now,
  };
  return switchState(changed, patch.enabled, now);
}

/** Nothing can be set to `leaving`: that ends by itself when nothing waits for its turn any more. */
function nextOrdering(from: StoredOrdering, to: Ordering | undefined): StoredOrdering {
  return to === "none" && from !== "none" ? "leaving" : (to ?? from);
}

/** Enabling ends `off`, `disabled` and `paused`, and forgets the failures. */
function switchState(row: DestinationRow, enabled: boolean | undefined, now: number) {
  const from = row.state;
  const to = enabled === false ? "off" : enabled === true ? "active" : from;
  if (enabled === undefined || to === from) return { row, cause: whyUnchanged(row), reset_health: false };
  const switched: DestinationRow = {
    ...row,
    enabled: enabled ? 1 : 0,
    state: to,
    state_reason: null,
    state_changed_at: now,
  };
  return { row: switched, cause: enabled ? "enabled" : "turned off", reset_health: enabled };
}

/** A destination that was stopped stays so for the same reason, whatever else changes. */
function whyUnchanged({ state, state_reason }: DestinationRow): string {
  if (state === "off") return "turned off";
  return state === "disabled" && state_reason !== null ? state_reason : "changed";
}

/** As the API shows it; `problem` says why a stored webhook cannot send. */
export function showWebhook(row: DestinationRow, health: Health, problem: string | null): Webhook {
  const config = readWebhookConfig(row);
  return {
    id: row.id,
    app_id: row.app_id,
    url: config.url,
    // Written by the functions above only, after validation.
    events: JSON.parse(row.events) as EventType[],
    description: row.description,
    enabled: row.enabled === 1,
    state: row.state,
    state_reason: row.state_reason ?? problem,
    state_changed_at: timeText(row.state_changed_at),
    signing: config.signing,
    retry_schedule: JSON.parse(row.retry_schedule) as number[],
    timeout_ms: row.timeout_ms,
    max_in_flight: row.max_in_flight,
    rate_per_second: row.rate_per_second,
    retry_on: row.retry_on,
    ordering: row.ordering === "link" ? "link" : "none",
    headers: mapSecrets(webhook.config, config, () => MASK).headers,
    created_at: timeText(row.created_at),
    updated_at: timeText(row.updated_at),
    health,
  };
}

export function readWebhookConfig(row: DestinationRow): WebhookConfig {
  return WebhookConfig.parse(JSON.parse(row.config));
}

/** A masked value sent back stands for the sealed one; without one there is nothing that it could mean. */
function sealHeaders(headers: Record<string, string>, kept: Record<string, string>, sealer: Sealer) {
  const sealed = Object.entries(headers).map(([name, value]): [string, string] => {
    if (value !== MASK) return [name, sealer.seal(value)];
    const before = Object.hasOwn(kept, name) ? kept[name] : undefined;
    if (before === undefined) {
      throw invalid(`headers.${name}`, "the value itself: the mask stands for a stored value, and there is none");
    }
    return [name, before];
  });
  return Object.fromEntries(sealed);
}
