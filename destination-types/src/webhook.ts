// The webhook: LinkMe's own kind of destination, one POST of the envelope to the customer's URL, signed twice.
// Called by the server for every attempt, so everything constant is prepared once: 5 µs per request are the budget.
// Sources: the management API contract, "What a receiver sees"; the Standard Webhooks specification.
import type { KeyObject } from "node:crypto";
import { z } from "zod";
import { SignatureScheme } from "#contract/destinations.ts";
import { ENVELOPE_MAX_BYTES } from "#contract/events.ts";
import {
  type BuiltRequest,
  type Definition,
  type HttpOutcome,
  maskHeaders,
  type Outgoing,
  type PrepareContext,
  type ReplacedSecret,
  type ShownRequest,
  type SigningSecrets,
  secret,
} from "./definition.ts";
import { judgeHttp } from "./judging.ts";
import { preparePrivateKey, signAsymmetric } from "./key-pair.ts";
import { prepareKeys, type SigningKeys, signBody, signMessage } from "./signing.ts";

/** As it is stored; what a caller may send is narrower and defined by the contract. */
export const WebhookConfig = z.strictObject({
  url: z.string(),
  signing: z.boolean(),
  /** Absent: HMAC alone. */
  signature_scheme: SignatureScheme.optional(),
  headers: z.record(z.string(), secret(z.string())),
});
export type WebhookConfig = z.infer<typeof WebhookConfig>;

export interface PreparedWebhook {
  readonly url: string;
  /** Flat pairs that are the same for every request. */
  readonly constant_headers: readonly string[];
  readonly masked_names: ReadonlySet<string>;
  readonly keys: PreparedKeys | null;
}

interface PreparedKeys {
  readonly current: Signer;
  /** What was replaced last stands first. */
  readonly replaced: readonly Signer[];
  /** All that sign `webhook-signature`; the signatures of each version stand in this order. */
  readonly all: readonly Signer[];
}

/** What signs with one secret. */
interface Signer {
  readonly keys: SigningKeys;
  /** Signs asymmetrically beside it. */
  readonly private_key: KeyObject | null;
  /** Milliseconds since 1970: from then on it signs nothing. */
  readonly valid_until: number;
}

export const webhook = {
  type: "webhook",
  label: "Webhook",
  docs: "POSTs each event as JSON to a URL of yours, signed, and tries again until the URL answers 2xx.",
  config: WebhookConfig,
  limits: { max_events: 1, max_bytes: ENVELOPE_MAX_BYTES },
  prepare,
  target: ({ url }) => url,
  buildRequest,
  judge: judgeHttp,
  show,
} satisfies Definition<WebhookConfig, PreparedWebhook, BuiltRequest, HttpOutcome>;

function prepare(config: WebhookConfig, context: Pick<PrepareContext, "version" | "secrets">): PreparedWebhook {
  const custom = Object.entries(config.headers);
  return {
    url: config.url,
    constant_headers: [
      "content-type",
      "application/json",
      "user-agent",
      `LinkMe-Webhooks/${context.version}`,
      ...custom.flat(),
    ],
    masked_names: new Set(custom.map(([name]) => name)),
    keys: config.signing ? prepareAll(context.secrets, config.signature_scheme === "ed25519") : null,
  };
}

function prepareAll(
  { current, next, replaced = [], private_keys = {} }: SigningSecrets,
  is_asymmetric: boolean,
): PreparedKeys {
  const prepareOne = ({ secret, private_key, valid_until }: ReplacedSecret): Signer => ({
    keys: prepareKeys(secret),
    private_key: is_asymmetric && private_key !== undefined ? preparePrivateKey(private_key) : null,
    valid_until,
  });
  const lasting = (secret: string, private_key: string | undefined): Signer =>
    prepareOne({ secret, private_key, valid_until: Number.POSITIVE_INFINITY });
  const signs = lasting(current, private_keys.current);
  const staged = next === undefined ? [] : [lasting(next, private_keys.next)];
  const signed_before = replaced.map(prepareOne);
  return { current: signs, replaced: signed_before, all: [signs, ...staged, ...signed_before] };
}

function buildRequest(delivery: Outgoing, prepared: PreparedWebhook): BuiltRequest {
  const { body, event_id, at } = delivery;
  const timestamp = String(Math.floor(at / 1000));
  const headers = prepared.constant_headers.slice();
  headers.push("webhook-id", event_id, "webhook-timestamp", timestamp);
  if (prepared.keys !== null) pushSignatures(headers, prepared.keys, delivery, `${event_id}.${timestamp}.`);
  headers.push("X-LinkMe-Delivery", delivery.delivery_id, "X-LinkMe-Attempt", String(delivery.attempt));
  return { method: "POST", url: prepared.url, headers, body };
}

/**
 * X-LinkMe-Signature and X-LinkMe-Signature-Previous are one signature each: the published verifiers break on two.
 * webhook-signature carries all, the asymmetric ones first: receivers pass over the versions that they do not look for, and our
 * SDKs over what comes after the first 16.
 */
function pushSignatures(headers: string[], keys: PreparedKeys, { body, at }: Outgoing, prefix: string): void {
  let asymmetric = "";
  let symmetric = "";
  for (const signer of keys.all) {
    if (at >= signer.valid_until) continue;
    if (signer.private_key !== null) asymmetric += `${signAsymmetric(signer.private_key, prefix, body)} `;
    const signature = signMessage(signer.keys, prefix, body);
    symmetric = symmetric === "" ? signature : `${symmetric} ${signature}`;
  }
  const previous = keys.replaced.find(({ valid_until }) => at < valid_until);
  if (previous !== undefined) headers.push("X-LinkMe-Signature-Previous", signBody(previous.keys, body));
  headers.push("webhook-signature", asymmetric + symmetric, "X-LinkMe-Signature", signBody(keys.current.keys, body));
}

/** Signatures are shown: whoever may read the body may see that they fit. Values of custom headers are not. */
function show({ method, url, headers, body }: BuiltRequest, { masked_names }: PreparedWebhook): ShownRequest {
  return { method, url, headers: maskHeaders(headers, masked_names), body };
}
