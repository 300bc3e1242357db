// What to do about an attempt that went wrong, in one sentence for whoever owns the receiver. Pure. Called where attempts
// are shown, and by the check of a receiver.
import type { FailureCode, OutcomeKind } from "#contract/deliveries.ts";
import type { DestinationState } from "#contract/destinations.ts";
import { GONE, pauseAskedFor } from "#destination-types/judging.ts";
import { PLAIN_HTTP, SPEAKS_NO_TLS } from "../platform/exchange.ts";
import { timeText } from "../platform/time-text.ts";

const TOO_MANY = 429;
/** As a rule it is the server that cannot read what is stored; the error says what. */
const MISCONFIGURED_STEP =
  "Nothing was sent and the receiver is not at fault: do what the error of the attempt says, or have the operator of this server do it. The delivery is tried again by itself.";

/** The same when it can by now, because there is a new secret for instance. */
export const READ_AGAIN_STEP =
  "Nothing more is to be mended: keep the secret of now, and give it to the receiver if that has another one. The delivery is tried again by itself.";

/** What the advice depends on. */
export interface Tried {
  outcome: OutcomeKind;
  status_code: number | null;
  cause: FailureCode | null;
  /** What the network said. */
  error: string | null;
  /** Of an attempt that is on record, as AttemptRow has them. */
  started_at?: number;
  duration_ms?: number;
  response_headers?: string;
}

/** The same where the webhook is known: whether a 410 has to be followed by turning it on. */
export function nextStepAt({ id, state }: { id: string; state: DestinationState }, tried: Tried): string | null {
  if (tried.status_code !== GONE) return nextStepOf(tried);
  if (state === "active" || state === "paused")
    return `Answer 2xx; the webhook is ${state === "active" ? "on" : state}.`;
  return `Answer 2xx, and turn the webhook on, which is ${state}, with PATCH /api/webhooks/${id} {"enabled": true}.`;
}

/** Null when nothing went wrong, or nothing is known that would help. */
export function nextStepOf(tried: Tried): string | null {
  const { outcome, status_code, cause, error } = tried;
  if (outcome === "misconfigured") return MISCONFIGURED_STEP;
  if (cause !== null) return stepForFailure(cause, error ?? "");
  const has_failed = outcome === "refused" || outcome === "unreachable" || outcome === "ambiguous";
  if (!has_failed || status_code === null) return null;
  const until = pauseUntil(tried);
  return until === null ? stepForStatus(status_code) : stepForPause(status_code, timeText(until));
}

/** Until when the answer to an attempt asked for a pause, in ms since 1970; null where it did not. */
export function pauseUntil({ status_code, response_headers, started_at, duration_ms = 0 }: Tried): number | null {
  if (status_code === null || response_headers === undefined || started_at === undefined) return null;
  // Written by attempt.ts alone.
  const headers = JSON.parse(response_headers) as Record<string, string>;
  const ended_at = started_at + duration_ms;
  const pause_ms = pauseAskedFor({ status: status_code, headers }, ended_at);
  return pause_ms === null ? null : ended_at + pause_ms;
}

function stepForPause(status: number, until: string): string {
  const asked = `Let the receiver come back: it asked for a pause until ${until} (Retry-After)`;
  return status === TOO_MANY ? `${asked}. If it asks often: ${LIMITS}` : `${asked}, and its log may say why.`;
}

export function stepForFailure(cause: FailureCode, message: string): string {
  if (cause === "tls" && message.includes(SPEAKS_NO_TLS)) return NO_TLS_STEP;
  return message.includes(PLAIN_HTTP) ? `${PLAIN_HTTP_STEP} ${FAILURE_STEPS[cause]}` : FAILURE_STEPS[cause];
}

const PLAIN_HTTP_STEP = "If this port of the receiver speaks TLS, the URL has to begin with https. Otherwise:";

const NO_TLS_STEP =
  "Turn TLS on at this port of the receiver, or use its https port; a URL with http is for networks that the operator allows with LINKME_EGRESS_ALLOW.";

const FAILURE_STEPS: Readonly<Record<FailureCode, string>> = {
  refused_address:
    "Use a URL with a public address, or let the operator allow this network with the setting LINKME_EGRESS_ALLOW.",
  dns: "Correct the host name in the URL, or add its DNS record and wait until it has spread.",
  connect: "Start the receiver, have it listen on this port, and let the connection through its firewall.",
  tls: "Give the receiver a valid certificate for this host name, with its intermediate certificates, from an authority that is publicly trusted.",
  timeout:
    "Answer before the work is done: store the event, answer 2xx, and do the rest afterwards. Or raise timeout_ms.",
  reset:
    "Look into the receiver's log, and into that of the proxy before it: it closed the connection without an answer.",
  protocol: "Make sure that an HTTP/1.1 server listens at this URL.",
  aborted: "Nothing: this server closed the connection because it was stopping, and tries again.",
};

/** For an answer that is not 2xx. */
export function stepForStatus(status: number): string {
  if (status >= 300 && status < 400 && status !== 304)
    return "Set the URL to where the redirect leads: redirects are never followed.";
  const known = STATUS_STEPS[status];
  if (known !== undefined) return known;
  if (status >= 500)
    return "Look into the receiver's log: it failed while it worked on the event, or its gateway did not reach it.";
  return "Answer any 2xx to an event that was taken; every other answer is a failed delivery.";
}

const CREDENTIALS =
  "Give the receiver this webhook's signing secret, verify the raw bytes of the body before parsing them, and send any credentials that it wants in `headers`.";
const LIMITS = "Loosen the receiver's limits for this sender, or lower rate_per_second and max_in_flight.";

const STATUS_STEPS: Readonly<Record<number, string>> = {
  400: CREDENTIALS,
  401: CREDENTIALS,
  403: CREDENTIALS,
  404: "Correct the path of the URL, or add the route to the receiver.",
  405: "Let the receiver take POST at this URL.",
  408: LIMITS,
  [GONE]:
    'Answer 2xx. A 410 disables a webhook: where it is, turn it on with PATCH /api/webhooks/{id} {"enabled": true}.',
  413: "Raise the receiver's limit on bodies: an event has up to 256 KiB.",
  415: "Let the receiver accept application/json.",
  425: LIMITS,
  [TOO_MANY]: LIMITS,
};
