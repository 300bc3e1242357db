// Tries a receiver out at once, without the queue and without a trace in the ledger: one that is not saved yet, or one that
// is about to get another secret. Called by the API. The sample events are marked as tests, and only the egress gate sends.
import assert from "node:assert/strict";
import type { CheckAnswer, CheckRequest, TriedRequest } from "#contract/checks.ts";
import type { EventType } from "#contract/events.ts";
import type { SecretCheck } from "#contract/secrets.ts";
import { isUnsent } from "#destination-types/definition.ts";
import { deliveryId } from "../deliveries/delivery.ts";
import type { Destination } from "../destinations/destination.ts";
import type { Trial } from "../destinations/trials.ts";
import { type AppError, unavailable } from "../errors.ts";
import type { Egress } from "../platform/egress.ts";
import type { Ids } from "../platform/ids.ts";
import { composeEvent, type EventRow } from "./event.ts";
import { errorOf, findingsOf, isAccepted, type Tried } from "./findings.ts";
import { sampleData } from "./sample.ts";

/** Each holds a connection of a caller, and one to a receiver, for up to two timeouts. */
export const CHECKS_MAX = 32;
/** Of these, what one app may have under way. */
export const APP_CHECKS_MAX = 8;
const BUSY_RETRY_SECONDS = 5;
const STOP_RETRY_SECONDS = 1;

export interface ChecksOptions {
  destinations: {
    stagedTrial(id: string, app_scope: string | null): Promise<Destination>;
    newTrial(app_id: string, request: CheckRequest): Promise<Trial>;
  };
  egress: Pick<Egress, "send">;
  ids: Pick<Ids, "uuid">;
  now(): number;
}

export type Checks = ReturnType<typeof createChecks>;

export function createChecks({ destinations, egress, ids, now }: ChecksOptions) {
  /** What refuses each check that is under way. */
  const under_way = new Map<(reason: AppError) => void, string>();
  let is_stopped = false;

  /** @throws AppError not_found, conflict, temporarily_unavailable */
  async function checkSecret(id: string, app_scope: string | null): Promise<SecretCheck> {
    const destination = await destinations.stagedTrial(id, app_scope);
    const [type] = destination.events;
    assert(type !== undefined, "a destination has at least one event type");
    const event = sample(destination, type);
    const tried = await bound(destination.app_id, () => tryOut(destination, event));
    return { ok: isAccepted(tried), event_id: event.id, ...show(tried, destination) };
  }

  /** @throws AppError invalid_request, temporarily_unavailable */
  async function checkReceiver(app_id: string, request: CheckRequest): Promise<CheckAnswer> {
    const { genuine, forger, secret, key_pair } = await destinations.newTrial(app_id, request);
    const event = sample(genuine, request.event);
    return bound(app_id, async () => {
      const signed = await tryOut(genuine, event);
      // Without an answer to the signed event, a second silence would say nothing.
      const forged = request.forged && signed.exchange.kind === "response" ? await tryOut(forger, event) : null;
      const { url, timeout_ms, forged: wants_forged } = request;
      const trying = {
        url,
        timeout_ms,
        wants_forged,
        is_secret_given: request.secret !== undefined,
        is_asymmetric: key_pair !== null,
      };
      return {
        ok: isAccepted(signed) && (forged === null || !isAccepted(forged)),
        signed: show(signed, genuine),
        forged: forged && show(forged, genuine),
        findings: findingsOf(trying, signed, forged),
        event_id: event.id,
        signing_secret: secret,
        ...key_pair,
      };
    });
  }

  function sample({ app_id }: Destination, event: EventType): EventRow {
    const at = now();
    return composeEvent({ app_id, event, data: sampleData(event, at) }, ids, at);
  }

  async function tryOut(destination: Destination, { id, position, body }: EventRow): Promise<Tried> {
    const delivery_id = deliveryId({ destination_id: destination.id, position });
    const request = destination.build({ event_id: id, delivery_id, body, attempt: 1, at: now() });
    assert(!isUnsent(request), "a webhook sends every event");
    // An owner of its own: it waits for no delivery's connection, and its timings are those of a new one.
    const { timeout_ms } = destination;
    const answered = await egress.send({ ...request, timeout_ms, owner: delivery_id, connections: 1 });
    const exchange =
      answered.kind === "failure" ? { ...answered, message: destination.hide(answered.message) } : answered;
    return { exchange, outcome: destination.judge(exchange) };
  }

  /** Not too many at a time, and none outlives `stop`: of all that sends at once because somebody asked. */
  function bound<Answer>(app_id: string, check: () => Promise<Answer>): Promise<Answer> {
    if (is_stopped) throw stopping();
    const of_app = [...under_way.values()].filter((one) => one === app_id).length;
    if (of_app >= APP_CHECKS_MAX) {
      throw unavailable(
        `${of_app} checks of this app are under way already: try again in a moment.`,
        BUSY_RETRY_SECONDS,
      );
    }
    if (under_way.size >= CHECKS_MAX) {
      throw unavailable(`${CHECKS_MAX} checks are under way already: try again in a moment.`, BUSY_RETRY_SECONDS);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    under_way.set(reject, app_id);
    check()
      .then(resolve, reject)
      .finally(() => under_way.delete(reject));
    return promise;
  }

  /** Refuses what is under way; its requests end with the egress gate. */
  function stop(): void {
    is_stopped = true;
    for (const refuseOne of under_way.keys()) refuseOne(stopping());
  }

  return { checkSecret, checkReceiver, bound, stop };
}

function stopping(): AppError {
  return unavailable("This server is stopping: check again.", STOP_RETRY_SECONDS);
}

/** A receiver may echo its request: what is sealed in the settings is hidden as in the record of an attempt. */
function show(tried: Tried, { hide }: Destination): TriedRequest {
  const { exchange, outcome } = tried;
  const is_response = exchange.kind === "response";
  return {
    status_code: is_response ? exchange.status : null,
    outcome: outcome.kind,
    error: errorOf(tried),
    timings_ms: exchange.timings_ms,
    response_snippet: is_response ? hide(exchange.snippet, exchange.truncated) : "",
  };
}
