// What creating and changing a webhook makes of its row, and how a row is shown. Pure but for the sealer.
// Called by webhooks.ts and trials.ts; input has passed the contract's schemas.
import {
  type Health,
  MASK,
  type Ordering,
  type SignatureScheme,
  type Webhook,
  type WebhookCreate,
  type WebhookPatch,
} from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import type { Filter } from "#contract/filters.ts";
import { mapSecrets } from "#destination-types/definition.ts";
import { WebhookConfig, webhook } from "#destination-types/webhook.ts";
import { invalid } from "../errors.ts";
import { SealError, type Sealed, type Sealer } from "../platform/sealing.ts";
import { timeText } from "../platform/time-text.ts";
import { changedFields } from "./changed-fields.ts";
import type { DestinationRow, SealedSecrets, StoredOrdering } from "./destination.ts";
import { newPrivateKey, publish, publishedKey, sealMaterial, withPrivateKeys } from "./key-pairs.ts";
import { type Going, type Known, nextStep } from "./missed.ts";
import { readSecrets } from "./secrets.ts";
import type { Change } from "./store.ts";
import { openForCaller } from "./webhook-rules.ts";

interface NewWebhook {
  id: string;
  app_id: string;
  /** The signing secret, plain. */
  secret: string;
  /** Signs beside it with Ed25519; a new one when it is needed and not given. */
  private_key?: string | undefined;
  now: number;
  default_retry_schedule: readonly number[];
}

export function newWebhookRow(made: NewWebhook, input: WebhookCreate, sealer: Sealer): DestinationRow {
  const { url, signing, signature_scheme = "hmac" } = input;
  const config = { url, signing, ...storedScheme(signature_scheme), headers: sealHeaders(input.headers, {}, sealer) };
  const private_key = signature_scheme === "ed25519" ? (made.private_key ?? newPrivateKey()) : undefined;
  const secrets: SealedSecrets = { current: sealMaterial({ secret: made.secret, private_key }, sealer) };
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
    filter: filterText(input.filter),
    stopped_at: input.enabled ? null : made.now,
    restarted_at: null,
    ordering: input.ordering,
    created_at: made.now,
    updated_at: made.now,
    public_keys: publish(signature_scheme, {
      current: made.secret,
      private_keys: private_key === undefined ? {} : { current: private_key },
    }),
    era: 0,
  };
}

/** The row after a patch; `null` where nothing is given to change. */
export function patchWebhookRow(row: DestinationRow, patch: WebhookPatch, now: number, sealer: Sealer): Change | null {
  if (Object.values(patch).every((value) => value === undefined)) return null;
  const { url, events, description, signing, retry_schedule, timeout_ms, max_in_flight, retry_on, headers } = patch;
  const config = readWebhookConfig(row);
  const scheme = patch.signature_scheme ?? config.signature_scheme ?? "hmac";
  const changed: DestinationRow = {
    ...row,
    config: JSON.stringify({
      url: url ?? config.url,
      signing: signing ?? config.signing,
      ...storedScheme(scheme),
      headers: headers === undefined ? config.headers : sealHeaders(headers, config.headers, sealer),
    }),
    events: events === undefined ? row.events : JSON.stringify(events),
    description: description ?? row.description,
    retry_schedule: retry_schedule === undefined ? row.retry_schedule : JSON.stringify(retry_schedule),
    timeout_ms: timeout_ms ?? row.timeout_ms,
    max_in_flight: max_in_flight ?? row.max_in_flight,
    rate_per_second: patch.rate_per_second === undefined ? row.rate_per_second : patch.rate_per_second,
    retry_on: retry_on ?? row.retry_on,
    filter: patch.filter === undefined ? row.filter : filterText(patch.filter),
    ordering: nextOrdering(row.ordering, patch.ordering),
    updated_at: now,
  };
  const switched = triedAnew(row, switchState(withKeysFor(scheme, changed, sealer), patch.enabled, now), now);
  return { ...switched, cause: causeOf(switched.cause, row, switched.row) };
}

/** Why, then what else was changed with it. */
function causeOf(cause: string, before: DestinationRow, after: DestinationRow): string {
  const is_filter = cause === CHANGED && after.filter !== before.filter;
  const filter_cause = after.filter === null ? "its filter was removed" : "its filter was changed";
  const first = is_filter ? filter_cause : cause;
  const fields = changedFields(before, after).filter((name) => !is_filter || name !== "filter");
  if (fields.length === 0) return first;
  const named = `changed: ${fields.join(", ")}`;
  return first === CHANGED ? named : `${first}; ${named}`;
}

/** As the config holds it: what was stored before there was a choice says nothing. */
function storedScheme(scheme: SignatureScheme): { signature_scheme?: SignatureScheme } {
  return scheme === "hmac" ? {} : { signature_scheme: scheme };
}

/** Keys are made when they are first needed, and published as long as they sign. */
function withKeysFor(scheme: SignatureScheme, row: DestinationRow, sealer: Sealer): DestinationRow {
  if (scheme === "hmac") return { ...row, public_keys: null };
  if (row.public_keys !== null) return row;
  // Secrets that cannot be opened are refused here, in words for the caller.
  openForCaller(readSecrets(row), sealer);
  const secrets = withPrivateKeys(readSecrets(row), sealer);
  const public_keys = publish(scheme, openForCaller(secrets, sealer));
  return { ...row, secrets: JSON.stringify(secrets), public_keys };
}

function filterText(filter: Filter | null): string | null {
  return filter === null ? null : JSON.stringify(filter);
}

const CHANGED = "changed";

/** Nothing can be set to `leaving`: that ends by itself when nothing waits for its turn any more. */
function nextOrdering(from: StoredOrdering, to: Ordering | undefined): StoredOrdering {
  return to === "none" && from !== "none" ? "leaving" : (to ?? from);
}

/** Enabling ends `off`, `disabled` and `paused`, and forgets the failures. */
function switchState(row: DestinationRow, enabled: boolean | undefined, now: number): Change {
  const from = row.state;
  const to = enabled === false ? "off" : enabled === true ? "active" : from;
  if (enabled === undefined || to === from) return { row, cause: CHANGED, reset_health: false };
  const switched: DestinationRow = {
    ...row,
    enabled: enabled ? 1 : 0,
    state: to,
    state_reason: null,
    state_changed_at: now,
  };
  return { row: switched, cause: enabled ? "enabled" : "turned off", reset_health: enabled };
}

/**
 * What its attempts depend on may be what was wrong: those under way say nothing about it any more, nor about what was enabled
 * since. While it is paused, the next one tells at once.
 */
function triedAnew(before: DestinationRow, change: Change, now: number): Change {
  const { state, config, timeout_ms } = change.row;
  const is_set_anew = config !== before.config || timeout_ms !== before.timeout_ms;
  const is_enabled = state === "active" && before.state !== "active";
  if (!is_set_anew && !is_enabled) return change;
  const row = { ...change.row, era: before.era + 1 };
  return state === "paused" ? { ...change, row, probe_at: now } : { ...change, row };
}

/** What is known of a webhook beside its row; `problem` says why it cannot send, and `repair` what to do about that. */
export interface Facts extends Known, Going {
  health: Health;
  problem: string | null;
  repair: string | null;
}

/** As the API shows it. */
export function showWebhook(row: DestinationRow, facts: Facts, now: number): Webhook {
  const { health, missed, problem, repair } = facts;
  const config = readWebhookConfig(row);
  return {
    id: row.id,
    app_id: row.app_id,
    url: config.url,
    // These texts are written by the functions above only, after validation.
    events: JSON.parse(row.events) as EventType[],
    description: row.description,
    enabled: row.enabled === 1,
    state: row.state,
    state_reason: row.state_reason ?? problem,
    state_changed_at: timeText(row.state_changed_at),
    signing: config.signing,
    signature_scheme: config.signature_scheme ?? "hmac",
    ...(row.public_keys !== null && { public_key: publishedKey(row, "current") }),
    retry_schedule: JSON.parse(row.retry_schedule) as number[],
    timeout_ms: row.timeout_ms,
    max_in_flight: row.max_in_flight,
    rate_per_second: row.rate_per_second,
    retry_on: row.retry_on,
    ordering: row.ordering === "link" ? "link" : "none",
    headers: mapSecrets(webhook.config, config, () => MASK).headers,
    filter: row.filter === null ? null : (JSON.parse(row.filter) as Filter),
    created_at: timeText(row.created_at),
    updated_at: timeText(row.updated_at),
    health,
    missed,
    next_step: repair ?? nextStep(row, facts, facts, now),
  };
}

export function readWebhookConfig(row: DestinationRow): WebhookConfig {
  return WebhookConfig.parse(JSON.parse(row.config));
}

/**
 * A masked value sent back stands for the sealed one; without one there is nothing that it could mean. The same value sent again
 * keeps what is sealed, which is another text each time: who applies the same settings over and over changes nothing.
 */
function sealHeaders(headers: Record<string, string>, kept: Record<string, string>, sealer: Sealer) {
  const sealed = Object.entries(headers).map(([name, value]): [string, string] => {
    const before = Object.hasOwn(kept, name) ? kept[name] : undefined;
    if (value === MASK && before === undefined) {
      throw invalid(`headers.${name}`, "the value itself: the mask stands for a stored value, and there is none");
    }
    const is_kept = before !== undefined && (value === MASK || holds(before, value, sealer));
    return [name, is_kept ? before : sealer.seal(value)];
  });
  const is_same = sealed.length === Object.keys(kept).length && sealed.every(([name, value]) => kept[name] === value);
  // Whatever the order in which they come.
  return is_same ? kept : Object.fromEntries(sealed);
}

function holds(sealed: string, value: string, sealer: Sealer): boolean {
  try {
    // What a config holds of headers was sealed here.
    return sealer.open(sealed as Sealed) === value;
  } catch (error) {
    if (!(error instanceof SealError)) throw error;
    // What cannot be opened any more is what a value is sent again for.
    return false;
  }
}
