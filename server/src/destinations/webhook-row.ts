// What creating and changing a webhook makes of its row, and how a row is shown. Pure but for the sealer.
// Called by webhooks.ts and trials.ts; input has passed the contract's schemas.
import {
  MASK,
  type SignatureScheme,
  type Webhook,
  type WebhookCreate,
  type WebhookPatch,
} from "#contract/destinations.ts";
import { mapSecrets } from "#destination-types/definition.ts";
import { WebhookConfig, webhook } from "#destination-types/webhook.ts";
import { invalid } from "../errors.ts";
import { SealError, type Sealed, type Sealer } from "../platform/sealing.ts";
import type { DestinationRow, SealedSecrets } from "./destination.ts";
import { newPrivateKey, publish, publishedKey, sealMaterial, withPrivateKeys } from "./key-pairs.ts";
import { readSecrets } from "./secrets.ts";
import { asChange, changeSettings, type Facts, newRow, showSettings } from "./settings-row.ts";
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
  const public_keys = publish(signature_scheme, {
    current: made.secret,
    private_keys: private_key === undefined ? {} : { current: private_key },
  });
  const texts = { config: JSON.stringify(config), secrets: JSON.stringify(secrets) };
  return newRow({ ...made, type: webhook.type, ...texts, public_keys }, input);
}

/** The row after a patch; `null` where nothing is given to change. */
export function patchWebhookRow(row: DestinationRow, patch: WebhookPatch, now: number, sealer: Sealer): Change | null {
  if (Object.values(patch).every((value) => value === undefined)) return null;
  const { url, signing, headers } = patch;
  const config = readWebhookConfig(row);
  const scheme = patch.signature_scheme ?? config.signature_scheme ?? "hmac";
  const changed: DestinationRow = {
    ...changeSettings(row, patch, now),
    config: JSON.stringify({
      url: url ?? config.url,
      signing: signing ?? config.signing,
      ...storedScheme(scheme),
      headers: headers === undefined ? config.headers : sealHeaders(headers, config.headers, sealer),
    }),
  };
  return asChange(row, withKeysFor(scheme, changed, sealer), patch.enabled, now);
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

/** As the API shows it. */
export function showWebhook(row: DestinationRow, facts: Facts, now: number): Webhook {
  const config = readWebhookConfig(row);
  const { id, app_id, ...settings } = showSettings(row, facts, now);
  return {
    ...{ id, app_id, url: config.url },
    ...settings,
    signing: config.signing,
    signature_scheme: config.signature_scheme ?? "hmac",
    ...(row.public_keys !== null && { public_key: publishedKey(row, "current") }),
    headers: mapSecrets(webhook.config, config, () => MASK).headers,
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
