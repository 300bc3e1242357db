// Finds the public keys of one webhook in the server's document of keys, and keeps them up to date for a receiver that is
// to follow rotations by itself.
import { LinkMeWebhookError } from "./errors.ts";
import { type LinkMeHeaders, type LinkMeTimeOptions, verifyLinkMeWebhookEd25519 } from "./verify-ed25519.ts";

const KEY_FORM = /^whpk_[A-Za-z0-9+/]{43}=$/;
const PATH = "/.well-known/linkme-webhooks-keys.json";
const FETCH_TIMEOUT_MS = 5_000;
const MAX_AGE_DEFAULT_SECONDS = 300;
/** Signatures that do not fit make it read the document again, but strangers who send them not more often than so. */
const REFRESH_MIN_MS = 2_000;

/**
 * The public keys of this webhook in the parsed document. Keys of other webhooks are left out: who may sign for another
 * webhook of the same server must not sign for yours.
 *
 * @param document The answer of `/.well-known/linkme-webhooks-keys.json`, after `JSON.parse`.
 * @param webhookId `dst_…`
 * @param now Milliseconds since 1970; default `Date.now()`.
 * @throws {LinkMeWebhookError} `key_document_invalid`
 *
 * @example
 * const keys = selectLinkMeWebhookKeys(await response.json(), "dst_0197…");
 * verifyLinkMeWebhookEd25519(rawBody, request.headers, keys);
 */
export function selectLinkMeWebhookKeys(document: unknown, webhookId: string, now: number = Date.now()): string[] {
  const keys: unknown = isObject(document) ? document["keys"] : undefined;
  if (!Array.isArray(keys)) {
    throw new LinkMeWebhookError("key_document_invalid", "The document of keys must be a JSON object with `keys`.");
  }
  return keys.filter(isObject).flatMap(({ kty, crv, webhook_id, public_key, valid_until }) => {
    const is_its = kty === "OKP" && crv === "Ed25519" && webhook_id === webhookId;
    const is_over = typeof valid_until === "string" && Date.parse(valid_until) <= now;
    return is_its && !is_over && typeof public_key === "string" && KEY_FORM.test(public_key) ? [public_key] : [];
  });
}

/** What is needed of the Web's `fetch`. */
export type LinkMeFetch = (url: string) => Promise<{ ok: boolean; status: number; json(): Promise<unknown> }>;

export interface LinkMeKeyReaderOptions {
  /** The address of the server, such as `https://links.example.com`. */
  server: string;
  /** `dst_…` */
  webhookId: string;
  /** How long keys are used before they are read again; default 300. */
  maxAgeSeconds?: number;
  /** Default: the global one, with 5 seconds of patience. */
  fetch?: LinkMeFetch;
  /** Milliseconds since 1970; default `Date.now`. */
  now?: () => number;
}

export interface LinkMeKeyReader {
  /** The keys, read when they are not known or old. */
  keys(): Promise<string[]>;
  /**
   * As `verifyLinkMeWebhookEd25519`, with these keys; when none fits, with those of the moment, unless they were read less
   * than 2 seconds ago.
   */
  verify(rawBody: string | Uint8Array, headers: LinkMeHeaders, options?: LinkMeTimeOptions): Promise<boolean>;
}

/**
 * Reads the keys of a webhook from its server and keeps them. While the server cannot be reached it goes on with the keys
 * that it has; without any, its calls reject with a `LinkMeWebhookError`, `key_document_unavailable`: answer 503 then, and
 * the event comes again.
 *
 * @example
 * const reader = createLinkMeKeyReader({ server: "https://links.example.com", webhookId: "dst_0197…" });
 * if (!(await reader.verify(rawBody, request.headers))) return response.writeHead(401).end();
 */
export function createLinkMeKeyReader(options: LinkMeKeyReaderOptions): LinkMeKeyReader {
  const { server, webhookId, maxAgeSeconds = MAX_AGE_DEFAULT_SECONDS, now = Date.now } = options;
  const load = options.fetch ?? fetchPatiently;
  const url = `${server.replace(/\/+$/, "")}${PATH}?webhook_id=${encodeURIComponent(webhookId)}`;
  /** Null until they were read once; none are known then, which is not the same as that there are none. */
  let known: string[] | null = null;
  let tried_at = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  async function keys(): Promise<string[]> {
    const age_ms = now() - tried_at;
    // A clock that was set back makes the age negative.
    if (known === null || age_ms < 0 || age_ms >= maxAgeSeconds * 1000) await refresh();
    return known ?? [];
  }

  /** One at a time, whoever asks. */
  function refresh(): Promise<void> {
    reading ??= readDocument().finally(() => {
      reading = undefined;
    });
    return reading;
  }

  async function readDocument(): Promise<void> {
    tried_at = now();
    try {
      const response = await load(url);
      if (!response.ok) throw new Error(`it answered ${response.status}`);
      known = selectLinkMeWebhookKeys(await response.json(), webhookId, now());
    } catch (error) {
      // The keys of before may well be those of now: what they do not verify is refused all the same.
      if (known !== null) return;
      const why = error instanceof Error ? error.message : String(error);
      throw new LinkMeWebhookError("key_document_unavailable", `The keys of ${webhookId} cannot be read: ${why}`);
    }
  }

  async function verify(rawBody: string | Uint8Array, headers: LinkMeHeaders, time: LinkMeTimeOptions = {}) {
    const at = { now: now(), ...time };
    const fits = (accepted: readonly string[]) =>
      accepted.length > 0 && verifyLinkMeWebhookEd25519(rawBody, headers, accepted, at);
    if (fits(await keys())) return true;
    if (now() - tried_at < REFRESH_MIN_MS) return false;
    await refresh();
    return fits(known ?? []);
  }

  return { keys, verify };
}

function fetchPatiently(url: string) {
  return fetch(url, { signal: AbortSignal.timeout(FETCH_TIMEOUT_MS), redirect: "error" });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
