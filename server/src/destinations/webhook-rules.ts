// What calls about a webhook share: which rows an id may mean, that there is one, that a URL may be a target, secrets.
// Called by webhooks.ts, rotation.ts and trials.ts.
import { randomBytes } from "node:crypto";
import type { SigningSecrets } from "#destination-types/definition.ts";
import { composeSecret, SECRET_BYTES } from "#destination-types/signing.ts";
import { webhook } from "#destination-types/webhook.ts";
import { invalid, notFound, unavailable } from "../errors.ts";
import { SealError, type Sealer } from "../platform/sealing.ts";
import { openSecrets, type SealedSecrets } from "./destination.ts";
import type { Scope } from "./store.ts";

/** What to wait for before asking again, while the operator repairs the seal key. */
export const SEAL_RETRY_SECONDS = 60;

/** Says what is wrong with a URL, or null. */
export interface UrlCheck {
  check(url: string): Promise<string | null>;
}

/** `app_scope` null is the operator. */
export function within(app_scope: string | null): Scope {
  return { type: webhook.type, app_id: app_scope };
}

export async function found<Value>(value: Promise<Value | null>): Promise<Value> {
  const known = await value;
  if (known === null) throw notFound("webhook");
  return known;
}

/** @throws AppError invalid_request */
export async function checkUrl(egress: UrlCheck, url: string): Promise<void> {
  const problem = await egress.check(url);
  if (problem !== null) throw invalid("url", problem);
}

/** @throws AppError temporarily_unavailable: not a bug and not the caller's fault, the operator has to give the key back */
export function openForCaller(secrets: SealedSecrets, sealer: Sealer): SigningSecrets {
  try {
    return openSecrets(secrets, sealer);
  } catch (error) {
    if (error instanceof SealError) throw unavailable(`${error.message}.`, SEAL_RETRY_SECONDS);
    throw error;
  }
}

export function newSecret(): string {
  return composeSecret(randomBytes(SECRET_BYTES));
}
