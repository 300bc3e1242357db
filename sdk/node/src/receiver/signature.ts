// Decides whether a request comes from somebody who knows a secret, and was made just now. By the Web's cryptography alone,
// so it is the same in every runtime. Sources: LinkMe's webhook guide for X-LinkMe-Signature; the Standard Webhooks
// specification for the three headers `webhook-…`.
import { bytesOf, bytesOfBase64, bytesOfHex, joinBytes, type OwnBytes } from "./bytes.ts";
import { hasHeader, type ReceiverHeaders, readHeader } from "./headers.ts";

const LINKME_FORM = /^sha256=([0-9a-f]{64})$/;
const STANDARD_FORM = /^v1,([A-Za-z0-9+/]{43}=)$/;
const TIMESTAMP_FORM = /^[0-9]{1,12}$/;
const STANDARD_HEADERS = ["webhook-id", "webhook-timestamp", "webhook-signature"] as const;
/** A server sends 12 at the most, the asymmetric ones first; of what a stranger sends no more are tried. */
const SIGNATURES_MAX = 16;
const SECRET_PREFIX = "whsec_";
const HMAC = { name: "HMAC", hash: "SHA-256" };

export type SignatureFault =
  | "signature_missing"
  | "signature_malformed"
  | "signature_mismatch"
  | "timestamp_missing"
  | "timestamp_malformed"
  | "timestamp_outside";

export interface SignatureRules {
  /** Not empty. All of them are always compared. */
  secrets: readonly string[];
  /** Seconds by which `webhook-timestamp` may differ from now, in both directions. */
  tolerance: number;
  /** Whether a request without a signed time is refused. */
  require_timestamp: boolean;
  /** Milliseconds since 1970. */
  now: number;
}

/**
 * Why a request must not be believed, or undefined when it may be.
 *
 * `X-LinkMe-Signature` has to fit; in the grace period of a rotation `X-LinkMe-Signature-Previous` does as well. Where there
 * is any of the headers of Standard Webhooks, all three have to be there, one signature `v1` has to fit, and the time of the
 * delivery has to be near now. The time of the event is never looked at: a retry may come days later.
 */
export async function findSignatureFault(
  body: OwnBytes,
  headers: ReceiverHeaders,
  { secrets, tolerance, require_timestamp, now }: SignatureRules,
): Promise<SignatureFault | undefined> {
  const fault = await findLinkMeFault(body, headers, secrets);
  if (fault !== undefined) return fault;
  const keys = secrets.map(standardKeyOf).filter((key) => key.length > 0);
  // A secret that is no base64 at all leaves an empty key, with which anybody can sign: those headers then say nothing.
  if (keys.length === 0 || !STANDARD_HEADERS.some((name) => hasHeader(headers, name))) {
    return require_timestamp ? "timestamp_missing" : undefined;
  }
  const [id, timestamp, signatures] = STANDARD_HEADERS.map((name) => readHeader(headers, name));
  if (id === undefined || timestamp === undefined || signatures === undefined) return "signature_malformed";
  if (!TIMESTAMP_FORM.test(timestamp)) return "timestamp_malformed";
  const message = joinBytes([bytesOf(`${id}.${timestamp}.`), body]);
  if (!(await isSigned(message, readStandard(signatures), keys))) return "signature_mismatch";
  // Written so that a tolerance that is no number accepts nothing.
  return Math.abs(now / 1000 - Number(timestamp)) <= tolerance ? undefined : "timestamp_outside";
}

async function findLinkMeFault(
  body: OwnBytes,
  headers: ReceiverHeaders,
  secrets: readonly string[],
): Promise<SignatureFault | undefined> {
  if (!hasHeader(headers, "x-linkme-signature")) return "signature_missing";
  const current = readLinkMe(readHeader(headers, "x-linkme-signature"));
  if (current === undefined) return "signature_malformed";
  const previous = readLinkMe(readHeader(headers, "x-linkme-signature-previous"));
  const given = previous === undefined ? [current] : [current, previous];
  return (await isSigned(body, given, secrets.map(bytesOf))) ? undefined : "signature_mismatch";
}

/** Every key is tried with every signature; `verify` compares in constant time. */
async function isSigned(message: OwnBytes, given: readonly OwnBytes[], keys: readonly OwnBytes[]): Promise<boolean> {
  let is_signed = false;
  for (const key of keys) {
    const imported = await crypto.subtle.importKey("raw", key, HMAC, false, ["verify"]);
    for (const signature of given) {
      // The comparison stands first: `is_signed ||` would skip it after the first success.
      is_signed = (await crypto.subtle.verify("HMAC", imported, signature, message)) || is_signed;
    }
  }
  return is_signed;
}

function readLinkMe(header: string | undefined): OwnBytes | undefined {
  const hex = LINKME_FORM.exec(header ?? "")?.[1];
  return hex === undefined ? undefined : bytesOfHex(hex);
}

function readStandard(header: string): OwnBytes[] {
  return header.split(" ", SIGNATURES_MAX).flatMap((text) => {
    const base64 = STANDARD_FORM.exec(text)?.[1];
    return base64 === undefined ? [] : [bytesOfBase64(base64)];
  });
}

/** What the base64 after the prefix stands for. */
export function standardKeyOf(secret: string): OwnBytes {
  return bytesOfBase64(secret.startsWith(SECRET_PREFIX) ? secret.slice(SECRET_PREFIX.length) : secret);
}

/** The HMAC-SHA256 of a message. */
export async function sign(key: OwnBytes, message: OwnBytes): Promise<Uint8Array> {
  const imported = await crypto.subtle.importKey("raw", key, HMAC, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, message));
}
