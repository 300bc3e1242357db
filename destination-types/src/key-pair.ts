// Ed25519 key pairs of webhooks: how they are written, and the asymmetric signature of webhook-signature. Called by the
// webhook definition for every request of a webhook that signs this way, and by the server, which publishes the public half.
// Sources: the Standard Webhooks specification (prefixes, `v1a`), RFC 8032 (Ed25519), RFC 8410 (its keys), RFC 7638 (`kid`).
import { createPrivateKey, createPublicKey, hash, type KeyObject, sign } from "node:crypto";

const PRIVATE_PREFIX = "whsk_";
const PUBLIC_PREFIX = "whpk_";
export const SEED_BYTES = 32;
/** What comes before the seed in a PKCS #8 file of an Ed25519 key. */
const PKCS8_HEAD = Buffer.from("302e020100300506032b657004220420", "hex");

/** Writes a private key from random bytes. */
export function composePrivateKey(seed: Uint8Array): string {
  return PRIVATE_PREFIX + Buffer.from(seed).toString("base64");
}

/** A key that is ready to sign. Throws when the text is no private key. */
export function preparePrivateKey(private_key: string): KeyObject {
  const seed = Buffer.from(private_key.slice(PRIVATE_PREFIX.length), "base64");
  if (!private_key.startsWith(PRIVATE_PREFIX) || seed.length !== SEED_BYTES) {
    throw new Error(`a private key is ${PRIVATE_PREFIX} and the base64 of ${SEED_BYTES} bytes`);
  }
  return createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, seed]), format: "der", type: "pkcs8" });
}

/** `whpk_` and the base64 of the 32 bytes of the public key. */
export function publicKeyOf(private_key: string): string {
  const { x } = createPublicKey(preparePrivateKey(private_key)).export({ format: "jwk" });
  return PUBLIC_PREFIX + Buffer.from(x ?? "", "base64url").toString("base64");
}

/** The members of a public key as a JSON Web Key; `kid` is its thumbprint. */
export function jwkOf(public_key: string) {
  const x = Buffer.from(public_key.slice(PUBLIC_PREFIX.length), "base64").toString("base64url");
  const kid = hash("sha256", JSON.stringify({ crv: "Ed25519", kty: "OKP", x }), "base64url");
  return { kid, kty: "OKP", crv: "Ed25519", x, alg: "EdDSA", use: "sig" } as const;
}

/** One asymmetric signature of webhook-signature, over `id.timestamp.body`; `prefix` is `id.timestamp.` */
export function signAsymmetric(key: KeyObject, prefix: string, body: string | Uint8Array): string {
  const message = Buffer.concat([Buffer.from(prefix), typeof body === "string" ? Buffer.from(body) : body]);
  return `v1a,${sign(null, message, key).toString("base64")}`;
}
