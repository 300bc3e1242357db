// The document of public keys that receivers of Ed25519 signatures read. Called by the API, by anybody and without a key, so
// it names no URL and no app, and reads at most one range of an index.
import { createHash } from "node:crypto";
import type { SigningKey, SigningKeys } from "#contract/signing-keys.ts";
import { jwkOf } from "#destination-types/key-pair.ts";
import { invalid } from "../errors.ts";
import { timeText } from "../platform/time-text.ts";
import type { DestinationRow } from "./destination.ts";
import { readPublished } from "./key-pairs.ts";
import type { DestinationStore } from "./store.ts";

/** Webhooks whose keys stand in one document, each of which has up to 12 keys of about 350 bytes. */
export const DOCUMENT_WEBHOOKS_MAX = 5_000;
/** How long the whole document is kept, in ms, for many may ask for it: as long as a change that nobody told of may be unseen. */
export const DOCUMENT_KEPT_MS = 1_000;

export interface KeyDocument {
  document: SigningKeys;
  /** Changes with the content. */
  etag: string;
}

interface KeysDependencies {
  store: Pick<DestinationStore, "publicKeys">;
  now(): number;
}

export function createSigningKeys({ store, now }: KeysDependencies) {
  let kept: { at: number; answer: Promise<KeyDocument> } | null = null;

  /** Of one webhook, or of all. @throws AppError invalid_request when all are too many */
  function signingKeys(webhook_id: string | null): Promise<KeyDocument> {
    if (webhook_id !== null) return compose(webhook_id);
    const at = now();
    const age = kept === null ? -1 : at - kept.at;
    if (kept !== null && age >= 0 && age < DOCUMENT_KEPT_MS) return kept.answer;
    const answer = compose(null);
    kept = { at, answer };
    answer.catch(() => {
      // The next one who asks reads again.
      if (kept?.answer === answer) kept = null;
    });
    return answer;
  }

  /** After every change of a destination: a key that was revoked must not be shown again. */
  function forgetSigningKeys(): void {
    kept = null;
  }

  async function compose(webhook_id: string | null): Promise<KeyDocument> {
    const rows = await store.publicKeys(webhook_id, DOCUMENT_WEBHOOKS_MAX + 1);
    if (rows.length > DOCUMENT_WEBHOOKS_MAX) {
      throw invalid("webhook_id", `the id of a webhook: more than ${DOCUMENT_WEBHOOKS_MAX} have keys`);
    }
    const at = now();
    const document = { keys: rows.flatMap((row) => keysOf(row, at)) };
    const digest = createHash("sha256").update(JSON.stringify(document)).digest("base64url");
    return { document, etag: `"${digest}"` };
  }

  return { signingKeys, forgetSigningKeys };
}

function keysOf(row: Pick<DestinationRow, "id" | "public_keys">, now: number): SigningKey[] {
  return readPublished(row)
    .filter(({ valid_until }) => valid_until === null || valid_until > now)
    .map(({ public_key, status, valid_until }) => ({
      ...jwkOf(public_key),
      ...{ public_key, webhook_id: row.id, status },
      valid_until: timeText(valid_until),
    }));
}
