// What calls about a webhook share: which rows an id may mean, that there is one, that a URL may be a target, secrets.
// Called by webhooks.ts, rotation.ts and trials.ts.
import { randomBytes } from "node:crypto";
import type { SigningSecrets } from "#destination-types/definition.ts";
import { composeSecret, SECRET_BYTES } from "#destination-types/signing.ts";
import { invalid, notFound, refuse } from "../errors.ts";
import { SealError, type Sealer } from "../platform/sealing.ts";
import { openSecrets, type SealedSecrets } from "./destination.ts";
import type { Scope } from "./store.ts";

/** Says what is wrong with a URL, or null. */
export interface UrlCheck {
  check(url: string): Promise<string | null>;
}

/** `app_scope` null is the operator. */
export function within(app_scope: string | null): Scope {
  return { type: "webhook", app_id: app_scope };
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

/** @throws AppError conflict: a server that runs has the key that it goes on with, so asking again would not help */
export function openForCaller(secrets: SealedSecrets, sealer: Sealer): SigningSecrets {
  try {
    return openSecrets(secrets, sealer);
  } catch (error) {
    if (error instanceof SealError) {
      const cure = "If that cannot be done, POST /api/webhooks/{id}/secret/revoke makes a new secret.";
      throw refuse("conflict", `${error.message}. ${cure}`);
    }
    throw error;
  }
}

export function newSecret(): string {
  return composeSecret(randomBytes(SECRET_BYTES));
}
