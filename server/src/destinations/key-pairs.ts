// The Ed25519 keys of a webhook: where they are kept beside its secrets, and what is published of them. Pure but for the
// random bytes of a new key. Called wherever secrets are made, opened or changed.
// One place for a secret (current, next, each replaced one) holds one sealed text: the secret, and behind a space its
// private key if the webhook signs with Ed25519. So a key is staged, promoted, undone and dropped with its secret, in the
// same step.
import { randomBytes } from "node:crypto";
import type { SignatureScheme } from "#contract/destinations.ts";
import type { KeyStatus } from "#contract/signing-keys.ts";
import type { SigningSecrets } from "#destination-types/definition.ts";
import { composePrivateKey, publicKeyOf, SEED_BYTES } from "#destination-types/key-pair.ts";
import { WebhookConfig } from "#destination-types/webhook.ts";
import type { Sealed, Sealer } from "../platform/sealing.ts";
import type { DestinationRow, SealedReplaced, SealedSecrets } from "./destination.ts";

/** What one place holds, plain. */
export interface Material {
  secret: string;
  private_key?: string | undefined;
}

/** An entry of the column `public_keys`. `valid_until` in ms since 1970. */
export interface PublishedKey {
  public_key: string;
  status: KeyStatus;
  valid_until: number | null;
}

export function newPrivateKey(): string {
  return composePrivateKey(randomBytes(SEED_BYTES));
}

export function sealMaterial({ secret, private_key }: Material, sealer: Sealer): Sealed {
  return sealer.seal(private_key === undefined ? secret : `${secret} ${private_key}`);
}

export function openMaterial(sealed: Sealed, sealer: Sealer): Material {
  const [secret = "", private_key] = sealer.open(sealed).split(" ");
  return { secret, private_key };
}

export function schemeOf(row: Pick<DestinationRow, "config">): SignatureScheme {
  return WebhookConfig.parse(JSON.parse(row.config)).signature_scheme ?? "hmac";
}

/** Every place with a private key. One that has one keeps it, so that who knows its public key goes on verifying. */
export function withPrivateKeys({ current, next, previous, older }: SealedSecrets, sealer: Sealer): SealedSecrets {
  const complete = (sealed: Sealed): Sealed => {
    const { secret, private_key } = openMaterial(sealed, sealer);
    return private_key === undefined ? sealMaterial({ secret, private_key: newPrivateKey() }, sealer) : sealed;
  };
  const completeOne = (replaced: SealedReplaced): SealedReplaced => ({
    ...replaced,
    secret: complete(replaced.secret),
  });
  return {
    current: complete(current),
    ...(next !== undefined && { next: complete(next) }),
    ...(previous !== undefined && { previous: completeOne(previous) }),
    ...(older !== undefined && { older: older.map(completeOne) }),
  };
}

/** The column `public_keys` for these secrets. */
export function publish(scheme: SignatureScheme, { private_keys, replaced = [] }: SigningSecrets): string | null {
  if (scheme !== "ed25519") return null;
  const keys: PublishedKey[] = [];
  const add = (status: KeyStatus, private_key: string | undefined, valid_until: number | null) => {
    if (private_key !== undefined) keys.push({ public_key: publicKeyOf(private_key), status, valid_until });
  };
  add("current", private_keys?.current, null);
  add("next", private_keys?.next, null);
  for (const { private_key, valid_until } of replaced) add("previous", private_key, valid_until);
  return JSON.stringify(keys);
}

export function readPublished(row: Pick<DestinationRow, "public_keys">): PublishedKey[] {
  // Written by `publish` alone.
  return row.public_keys === null ? [] : (JSON.parse(row.public_keys) as PublishedKey[]);
}

export function publishedKey(row: Pick<DestinationRow, "public_keys">, status: KeyStatus): string | undefined {
  return readPublished(row).find((key) => key.status === status)?.public_key;
}
