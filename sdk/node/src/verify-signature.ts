// Decides whether a webhook comes from somebody who knows the secret. Called by receivers before they parse anything.
// The comparison takes the same time whether and wherever it fails.
import { createHmac, timingSafeEqual } from "node:crypto";
import { isUint8Array } from "node:util/types";
import { LinkMeUsageError } from "./errors.ts";

const HEADER_FORM = /^sha256=([0-9a-f]{64})$/;

/**
 * Whether `X-LinkMe-Signature` was made for exactly this body with one of the secrets.
 *
 * The header is `sha256=` and 64 lower-case hex digits: HMAC-SHA256 of the raw body, the key being the whole secret
 * (its `whsec_` included) as UTF-8. Any other form, an absent header or an array of headers is `false`.
 *
 * @param rawBody The body as received. Bytes are best: text that was decoded from something else than UTF-8 no longer
 *   has the bytes that were signed.
 * @param signatureHeader `request.headers["x-linkme-signature"]`
 * @param secret The signing secret of the webhook; during a rotation, all secrets to accept. All of them are always
 *   compared.
 * @throws {LinkMeUsageError} `raw_body_parsed`, `raw_body_missing`, `raw_body_type`: `rawBody` is not a raw body.
 *   `secret_missing`: there is no secret, or one is empty, so that anybody could sign.
 *
 * @example
 * const signed = verifyLinkMeWebhookSignature(rawBody, request.headers["x-linkme-signature"], secret);
 * if (!signed) return response.writeHead(401).end();
 */
export function verifyLinkMeWebhookSignature(
  rawBody: string | Uint8Array,
  signatureHeader: string | undefined | null,
  secret: string | readonly string[],
): boolean {
  const body = requireRawBody(rawBody);
  const secrets = requireSecrets(secret);
  const hex = typeof signatureHeader === "string" ? HEADER_FORM.exec(signatureHeader)?.[1] : undefined;
  if (hex === undefined) return false;
  const given = Buffer.from(hex, "hex");
  let matches = false;
  for (const key of secrets) {
    // The comparison stands first: `matches ||` would skip it after the first success.
    matches = timingSafeEqual(createHmac("sha256", key).update(body).digest(), given) || matches;
  }
  return matches;
}

export function requireRawBody(rawBody: unknown): string | Uint8Array {
  // isUint8Array and not instanceof: a Buffer of another realm (a test runner's, for example) is a Buffer too.
  if (typeof rawBody === "string" || isUint8Array(rawBody)) return rawBody;
  if (rawBody === undefined || rawBody === null) {
    throw new LinkMeUsageError(
      "raw_body_missing",
      `rawBody is ${rawBody}: pass the raw request body, as a Buffer, Uint8Array or string. ` +
        "In Express use express.raw({ type: () => true }) on this route.",
    );
  }
  if (typeof rawBody !== "object" || ArrayBuffer.isView(rawBody) || rawBody instanceof ArrayBuffer) {
    throw new LinkMeUsageError("raw_body_type", "rawBody must be a Buffer, a Uint8Array or a string.");
  }
  throw new LinkMeUsageError(
    "raw_body_parsed",
    "rawBody is a parsed object, but the signature is over the bytes: pass the raw request body. " +
      "In Express use express.raw({ type: () => true }) on this route, before any express.json().",
  );
}

function requireSecrets(secret: unknown): string[] {
  const secrets: unknown[] = typeof secret === "string" ? [secret] : Array.isArray(secret) ? [...secret] : [];
  const usable = secrets.filter((one): one is string => typeof one === "string" && one !== "");
  if (usable.length === 0 || usable.length < secrets.length) {
    throw new LinkMeUsageError(
      "secret_missing",
      "secret must be the signing secret of the webhook, or an array of them, and none may be empty: " +
        "is the environment variable that holds it set?",
    );
  }
  return usable;
}
