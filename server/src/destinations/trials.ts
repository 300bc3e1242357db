// Destinations made ready to be tried out: what is staged or not yet saved, prepared like any other and stored nowhere.
// Called by the checks of the events module, which send with them.
import type { CheckRequest } from "#contract/checks.ts";
import { publicKeyOf } from "#destination-types/key-pair.ts";
import { refuse } from "../errors.ts";
import type { Ids } from "../platform/ids.ts";
import type { Sealed } from "../platform/sealing.ts";
import { type Destination, type DestinationRow, type Preparing, prepareDestination } from "./destination.ts";
import { type Material, newPrivateKey, openMaterial, schemeOf, sealMaterial } from "./key-pairs.ts";
import { readSecrets } from "./secrets.ts";
import type { DestinationStore } from "./store.ts";
import { newWebhookRow, readWebhookConfig } from "./webhook-row.ts";
import { checkUrl, found, newSecret, type UrlCheck, within } from "./webhook-rules.ts";

interface TrialDependencies extends Preparing {
  store: DestinationStore;
  ids: Pick<Ids, "prefixed">;
  now(): number;
  egress: UrlCheck;
}

/** A webhook that is not saved. */
export interface Trial {
  genuine: Destination;
  /** The same, signing with a secret that nobody knows. */
  forger: Destination;
  /** What `genuine` signs with, plain. */
  secret: string;
  /** With Ed25519: what it signs with besides, and what verifies that. */
  key_pair: { private_key: string; public_key: string } | null;
}

export function createTrials(dependencies: TrialDependencies) {
  const { store, sealer, ids, now, egress } = dependencies;

  /**
   * The webhook as it will sign once its staged secret is promoted, but for webhook-signature, which carries both. With
   * Ed25519 the staged key alone signs: it is what the receiver has to know.
   * @throws AppError not_found, conflict
   */
  async function stagedTrial(id: string, app_scope: string | null): Promise<Destination> {
    const row = await found(store.find(id, within(app_scope)));
    const { current, next } = readSecrets(row);
    if (next === undefined) {
      throw refuse("conflict", "No secret is staged: stage one with POST /api/webhooks/{id}/secret/rotate first.");
    }
    if (!readWebhookConfig(row).signing) {
      throw refuse(
        "conflict",
        "Signing is off for this webhook, so there is no signature to check: set `signing` to true.",
      );
    }
    const swapped = { ...row, secrets: JSON.stringify({ current: next, next: withoutKey(row, current) }) };
    const destination = prepareDestination(swapped, dependencies);
    const { misconfigured } = destination;
    if (misconfigured !== null) throw refuse("conflict", `${misconfigured}.`);
    return destination;
  }

  /** @throws AppError invalid_request for what creating a webhook refuses too */
  async function newTrial(app_id: string, request: CheckRequest): Promise<Trial> {
    await checkUrl(egress, request.url);
    const secret = request.secret ?? newSecret();
    const made = { id: ids.prefixed("dst"), app_id, now: now(), default_retry_schedule: [] };
    const { url, headers, timeout_ms, event, signature_scheme } = request;
    const input = {
      ...{ url, headers, timeout_ms, events: [event], description: "", enabled: true, signing: true },
      ...{
        max_in_flight: 1,
        rate_per_second: null,
        retry_on: "retriable" as const,
        signature_scheme,
        filter: null,
        ordering: "none" as const,
      },
    };
    const prepare = (signs_with: Material) =>
      prepareDestination(newWebhookRow({ ...made, ...signs_with }, input, sealer), dependencies);
    const private_key = request.private_key ?? newPrivateKey();
    return {
      genuine: prepare({ secret, private_key }),
      forger: prepare({ secret: newSecret(), private_key: newPrivateKey() }),
      secret,
      key_pair: signature_scheme === "ed25519" ? { private_key, public_key: publicKeyOf(private_key) } : null,
    };
  }

  /** What cannot be opened stays, for the preparation to say so. */
  function withoutKey(row: DestinationRow, sealed: Sealed): Sealed {
    if (schemeOf(row) === "hmac") return sealed;
    try {
      return sealMaterial({ secret: openMaterial(sealed, sealer).secret }, sealer);
    } catch {
      return sealed;
    }
  }

  return { stagedTrial, newTrial };
}
