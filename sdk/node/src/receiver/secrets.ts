// The secrets of a receiver: a text, several, or a function for those that exist only while it runs. A receiver without a
// secret is a mistake that is named, never one that verifies nothing.
import { LinkMeUsageError } from "../errors.ts";

/** The signing secret of the webhook, whole (`whsec_…`); during a rotation, all secrets to accept. */
export type Secret = string | readonly string[];

/**
 * A function is called for each request, so that a secret may come from a place that is filled only at run time
 * (`defineSecret(…).value()` of Firebase is empty while the code is deployed) or changes. Let it keep what costs time.
 */
export type SecretSource = Secret | (() => Secret | undefined | Promise<Secret | undefined>);

/** More are a mistake, and each costs an HMAC for each request. */
const SECRETS_MAX = 16;

/**
 * The secrets of this moment.
 *
 * @throws {LinkMeUsageError} `secret_missing`: there is none, or one is empty. What the function throws passes through.
 */
export async function readSecrets(source: SecretSource | undefined): Promise<string[]> {
  return checkSecrets(typeof source === "function" ? await source() : source, typeof source === "function");
}

/** What can be checked when the receiver is made; a function is left for the first request. */
export function checkSecretSource(source: SecretSource | undefined): void {
  if (typeof source !== "function") checkSecrets(source, false);
}

function checkSecrets(given: unknown, is_called: boolean): string[] {
  const secrets: unknown[] = typeof given === "string" ? [given] : Array.isArray(given) ? [...given] : [];
  const usable = secrets.filter((one): one is string => typeof one === "string" && one.trim() !== "");
  if (usable.length === 0 || usable.length < secrets.length || usable.length > SECRETS_MAX) {
    throw new LinkMeUsageError("secret_missing", whyMissing(secrets.length, is_called));
  }
  return usable;
}

function whyMissing(count: number, is_called: boolean): string {
  if (count > SECRETS_MAX) return `secrets holds ${count} secrets; ${SECRETS_MAX} are the most.`;
  const where = is_called ? "The function that was given as secrets returned" : "secrets holds";
  const what = count > 1 ? "an empty secret beside others" : "no signing secret";
  return (
    `${where} ${what}, so nothing can be verified. Give the signing_secret of the webhook (whsec_…), as a text or an array: ` +
    "is the environment variable that holds it set? A secret that exists only at run time is given as a function, " +
    "secrets: () => SECRET.value()."
  );
}

/**
 * A likely reason why no signature fits, or undefined: a secret with white space around it. It is not removed, as it is part
 * of the key where it was meant.
 */
export function findSecretFault(secrets: readonly string[]): LinkMeUsageError | undefined {
  if (secrets.every((secret) => secret === secret.trim())) return undefined;
  const what = secrets.some((secret) => /[\r\n]$/.test(secret))
    ? "ends with a line break"
    : "has white space around it";
  return new LinkMeUsageError(
    "secret_whitespace",
    `A signature did not fit, and a secret ${what}, which is part of the key. Store it again without: ` +
      'printf %s "$SECRET" instead of echo, or secrets: () => SECRET.value().trim().',
  );
}
