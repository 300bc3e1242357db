// The rule by which an HTTP answer decides over a delivery: what is success, what is worth another attempt, how long to
// wait. The webhook's own rule, and the default of types whose vendor has no better one. Pure.
import type { Exchange, FailedOutcome, HttpOutcome, JudgeRules } from "./definition.ts";
import { readRetryAfter } from "./retry-after.ts";

/** The receiver wants no more, ever (RFC 9110, 15.5.11). */
export const GONE = 410;
/** Beside 5xx: answers that say "later", not "no". */
const RETRIABLE_STATUS: ReadonlySet<number> = new Set([408, 425, 429]);
const RETRY_AFTER_STATUS: ReadonlySet<number> = new Set([429, 503]);

type Response = Extract<Exchange, { kind: "response" }>;

export function judgeHttp(exchange: Exchange, rules: JudgeRules): HttpOutcome {
  if (exchange.kind === "failure") return { kind: "unreachable", retriable: true, message: exchange.message };
  const { status } = exchange;
  if (status >= 200 && status < 300) return { kind: "accepted" };
  if (status === GONE) {
    // Whether that disables the webhook depends on who asked: tests and replays change nothing.
    const message = "The receiver answered 410: it wants no more events";
    return { kind: "refused", retriable: false, message, disable: "The receiver answered 410 (gone)" };
  }
  const outcome: FailedOutcome = {
    kind: "refused",
    retriable: rules.retry_on === "any_failure" || (status >= 500 && status < 600) || RETRIABLE_STATUS.has(status),
    message: describeStatus(exchange),
  };
  const delay = pauseAskedFor(exchange, endOf(exchange));
  if (delay !== null) outcome.retry_after_ms = delay;
  return outcome;
}

/** For how long an answer asks to be left alone, in ms; null when it does not. @param ended_at when it came, in ms since 1970 */
export function pauseAskedFor(
  { status, headers }: Pick<Response, "status" | "headers">,
  ended_at: number,
): number | null {
  const delay = RETRY_AFTER_STATUS.has(status) ? readRetryAfter(headers["retry-after"], ended_at) : null;
  return delay === null || delay === 0 ? null : delay;
}

function endOf(exchange: Response): number {
  return exchange.started_at + exchange.duration_ms;
}

function describeStatus({ status, headers }: Response): string {
  if (status >= 300 && status < 400 && status !== 304) {
    const to = locationHost(headers["location"]);
    const where = to === null ? "" : ` to ${to}`;
    return `The receiver answered ${status}, a redirect${where}; redirects are never followed: set the URL that it leads to`;
  }
  const hint = STATUS_HINTS[status];
  if (hint !== undefined) return `The receiver answered ${status}: ${hint}`;
  return status >= 500 ? `The receiver answered ${status}: it failed on its side` : `The receiver answered ${status}`;
}

const STATUS_HINTS: Readonly<Record<number, string>> = {
  400: "it did not like the request",
  401: "it wants credentials, or did not accept the signature",
  403: "it refuses this sender, or did not accept the signature",
  404: "there is nothing at this URL",
  405: "it takes no POST at this URL",
  408: "it ran out of time reading the request",
  413: "the event is larger than it accepts",
  415: "it does not accept application/json",
  425: "it asks to try again later",
  429: "it asks to slow down",
  502: "its gateway could not reach it",
  503: "it is not available at the moment",
  504: "its gateway ran out of time",
};

/** Only the host: the rest of a location may carry tokens. */
function locationHost(location: string | undefined): string | null {
  if (location === undefined) return null;
  // Two slashes begin a host (RFC 3986, 4.2).
  const url = URL.parse(location.startsWith("//") ? `https:${location}` : location);
  if (url === null) return location.startsWith("/") ? "another path of the same host" : null;
  return url.host || null;
}
