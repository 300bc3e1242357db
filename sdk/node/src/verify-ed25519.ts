// Decides whether a webhook comes from the holder of a private key, of which the receiver knows the public half: the
// signatures `v1a` of Standard Webhooks. Called by receivers before they parse anything.
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { LinkMeUsageError } from "./errors.ts";
import { requireRawBody } from "./verify-signature.ts";

const KEY_FORM = /^whpk_([A-Za-z0-9+/]{43}=)$/;
const SIGNATURE_FORM = /^v1a,([A-Za-z0-9+/]{86}==)$/;
const TIMESTAMP_FORM = /^[0-9]{1,12}$/;
const TOLERANCE_DEFAULT_SECONDS = 300;
/** A server puts these first and sends 12 at the most; of what a stranger sends no more are tried with each key. */
const SIGNATURES_MAX = 16;

/** `request.headers` of Node, the `Headers` of the Web, or a plain object with lower-case names. */
export type LinkMeHeaders =
  | Readonly<Record<string, string | readonly string[] | undefined>>
  | { get(name: string): string | null };

export interface LinkMeTimeOptions {
  /** Seconds by which `webhook-timestamp` may differ from now, in both directions; default 300. */
  toleranceSeconds?: number;
  /** Milliseconds since 1970; default `Date.now()`. */
  now?: number;
}

/**
 * Whether `webhook-signature` holds a signature `v1a` that one of these keys verifies for exactly this body, and
 * `webhook-timestamp` is not far from now. Signatures of other versions are passed over; an absent, repeated or malformed
 * header is `false`.
 *
 * The signature is Ed25519 over `webhook-id`, a dot, `webhook-timestamp`, a dot and the raw body.
 *
 * @param rawBody The body as received. Bytes are best.
 * @param headers All headers of the request.
 * @param publicKey The `public_key` of the webhook, `whpk_…`; during a rotation, all keys to accept.
 * @throws {LinkMeUsageError} `raw_body_parsed`, `raw_body_missing`, `raw_body_type`: `rawBody` is not a raw body.
 *   `key_missing`: there is no key, or one is empty. `key_invalid`: one is no public key.
 *
 * @example
 * if (!verifyLinkMeWebhookEd25519(rawBody, request.headers, publicKey)) return response.writeHead(401).end();
 */
export function verifyLinkMeWebhookEd25519(
  rawBody: string | Uint8Array,
  headers: LinkMeHeaders,
  publicKey: string | readonly string[],
  { toleranceSeconds = TOLERANCE_DEFAULT_SECONDS, now = Date.now() }: LinkMeTimeOptions = {},
): boolean {
  const body = requireRawBody(rawBody);
  const keys = requireKeys(publicKey);
  const id = read(headers, "webhook-id");
  const timestamp = read(headers, "webhook-timestamp");
  if (id === undefined || timestamp === undefined || !TIMESTAMP_FORM.test(timestamp)) return false;
  // Written so that a tolerance that is no number accepts nothing.
  if (!(Math.abs(now / 1000 - Number(timestamp)) <= toleranceSeconds)) return false;
  const message = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), Buffer.from(body)]);
  const signatures = readSignatures(read(headers, "webhook-signature") ?? "");
  return signatures.some((signature) => keys.some((key) => verify(null, message, key, signature)));
}

function readSignatures(header: string): Buffer[] {
  return header.split(" ", SIGNATURES_MAX).flatMap((text) => {
    const base64 = SIGNATURE_FORM.exec(text)?.[1];
    return base64 === undefined ? [] : [Buffer.from(base64, "base64")];
  });
}

function read(headers: LinkMeHeaders, name: string): string | undefined {
  // Without `get` it is a plain object of headers.
  const value = typeof headers.get === "function" ? headers.get(name) : (headers as Record<string, unknown>)[name];
  return typeof value === "string" ? value : undefined;
}

function requireKeys(publicKey: unknown): KeyObject[] {
  const given: unknown[] = typeof publicKey === "string" ? [publicKey] : Array.isArray(publicKey) ? [...publicKey] : [];
  if (given.length === 0 || given.some((key) => typeof key !== "string" || key === "")) {
    throw new LinkMeUsageError(
      "key_missing",
      "publicKey must be the public_key of the webhook (whpk_…), or an array of them, and none may be empty: " +
        "is the environment variable that holds it set?",
    );
  }
  // Checked above.
  return (given as string[]).map(importKey);
}

function importKey(text: string): KeyObject {
  const base64 = KEY_FORM.exec(text)?.[1];
  if (base64 === undefined) {
    throw new LinkMeUsageError(
      "key_invalid",
      "publicKey must be whpk_ and the base64 of 32 bytes: the public_key of the webhook, not its signing_secret.",
    );
  }
  const x = Buffer.from(base64, "base64").toString("base64url");
  return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
}
