// Makes both signatures of a webhook. Called by the webhook definition for every request, so keys are prepared once.
// Sources: LinkMe's webhook guide for X-LinkMe-Signature; the Standard Webhooks specification for webhook-signature.
import { type HmacKey, hmac, prepareHmac } from "./hmac.ts";

const SECRET_PREFIX = "whsec_";
export const SECRET_BYTES = 32;

export interface SigningKeys {
  /** The whole secret as UTF-8, prefix included. */
  readonly linkme: HmacKey;
  /** What the base64 after the prefix stands for. */
  readonly standard: HmacKey;
}

/** Writes a signing secret from random bytes. */
export function composeSecret(random: Uint8Array): string {
  return SECRET_PREFIX + Buffer.from(random).toString("base64");
}

/** Throws when the secret is empty: anybody could sign with an empty key. */
export function prepareKeys(secret: string): SigningKeys {
  const encoded = secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : secret;
  if (encoded === "") throw new Error("a signing secret must not be empty");
  return {
    linkme: prepareHmac(Buffer.from(secret, "utf8")),
    standard: prepareHmac(Buffer.from(encoded, "base64")),
  };
}

/** The value of X-LinkMe-Signature: `sha256=` and the lower-case hex HMAC-SHA256 of the raw body. */
export function signBody(keys: SigningKeys, body: string | Uint8Array): string {
  return `sha256=${hmac(keys.linkme, "", body, "hex")}`;
}

/** One signature of webhook-signature, over `id.timestamp.body`; `prefix` is `id.timestamp.` */
export function signMessage(keys: SigningKeys, prefix: string, body: string | Uint8Array): string {
  return `v1,${hmac(keys.standard, prefix, body, "base64")}`;
}
