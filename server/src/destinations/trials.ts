// Destinations made ready to be tried out: what is staged or not yet saved, prepared like any other and stored nowhere.
// Called by the checks of the events module, which send with them.
import type { CheckRequest } from "#contract/checks.ts";
import { refuse, unavailable } from "../errors.ts";
import type { Ids } from "../platform/ids.ts";
import { type Destination, type Preparing, prepareDestination } from "./destination.ts";
import { readSecrets } from "./secrets.ts";
import type { DestinationStore } from "./store.ts";
import { newWebhookRow, readWebhookConfig } from "./webhook-row.ts";
import { checkUrl, found, newSecret, SEAL_RETRY_SECONDS, type UrlCheck, within } from "./webhook-rules.ts";

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
}

export function createTrials(dependencies: TrialDependencies) {
  const { store, sealer, ids, now, egress } = dependencies;

  /**
   * The webhook as it will sign once its staged secret is promoted, but for webhook-signature, which carries both.
   * @throws AppError not_found, conflict, temporarily_unavailable
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
    const swapped = { ...row, secrets: JSON.stringify({ current: next, next: current }) };
    const destination = prepareDestination(swapped, dependencies);
    const { misconfigured } = destination;
    if (misconfigured !== null) throw unavailable(`${misconfigured}.`, SEAL_RETRY_SECONDS);
    return destination;
  }

  /** @throws AppError invalid_request for what creating a webhook refuses too */
  async function newTrial(app_id: string, request: CheckRequest): Promise<Trial> {
    await checkUrl(egress, request.url);
    const secret = request.secret ?? newSecret();
    const made = { id: ids.prefixed("dst"), app_id, now: now(), default_retry_schedule: [] };
    const { url, headers, timeout_ms, event } = request;
    const input = {
      ...{ url, headers, timeout_ms, events: [event], description: "", enabled: true, signing: true },
      ...{ max_in_flight: 1, rate_per_second: null, retry_on: "retriable" as const, ordering: "none" as const },
    };
    const prepare = (signs_with: string) =>
      prepareDestination(newWebhookRow({ ...made, secret: signs_with }, input, sealer), dependencies);
    return { genuine: prepare(secret), forger: prepare(newSecret()), secret };
  }

  return { stagedTrial, newTrial };
}
