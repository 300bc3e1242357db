// What a check of a receiver has shown, in sentences for the developer who set it up: what was seen, and what to do about
// it. Pure. Called by checks.ts.
import type { Finding } from "#contract/checks.ts";
import { failureOf, type Outcome } from "#destination-types/definition.ts";
import { GONE } from "#destination-types/judging.ts";
import { stepForFailure, stepForStatus } from "../deliveries/advice.ts";
import type { Exchange } from "../platform/egress.ts";

/** An answer that takes more than this share of the timeout is near to being a failure. */
const SLOW_SHARE = 0.5;

/** One request that was sent, how the network took it, and what that would mean for an event. */
export interface Tried {
  exchange: Exchange;
  outcome: Outcome;
}

export interface Trying {
  url: string;
  timeout_ms: number;
  /** The caller brought the secret, so the receiver can know it. */
  is_secret_given: boolean;
  /** Signed with Ed25519 too. */
  is_asymmetric?: boolean;
  wants_forged: boolean;
}

/** Errors first, then warnings, then what is good to know. */
export function findingsOf(trying: Trying, signed: Tried, forged: Tried | null): Finding[] {
  const found = [
    ...judgeSigned(trying, signed),
    ...judgeTime(trying, signed.exchange),
    ...judgeForged(trying, signed, forged),
    ...judgeUrl(trying),
  ];
  const order = ["error", "warning", "info"];
  return found.sort((a, b) => order.indexOf(a.level) - order.indexOf(b.level));
}

export function isAccepted({ exchange }: Tried): boolean {
  return exchange.kind === "response" && exchange.status >= 200 && exchange.status < 300;
}

/** What went wrong, in words that hold for a check; null when nothing did. */
export function errorOf({ outcome }: Tried): string | null {
  return failureOf(outcome)?.message ?? null;
}

function judgeSigned(trying: Trying, signed: Tried): Finding[] {
  const message = errorOf(signed);
  if (message === null) return [];
  const { exchange } = signed;
  const fix = exchange.kind === "failure" ? fixFailure(exchange) : fixStatus(exchange.status, trying);
  return [{ level: "error", message: `${message}.`, fix }];
}

function fixFailure({ code, message }: Extract<Exchange, { kind: "failure" }>): string {
  return code === "aborted"
    ? "Check again: this server closed the connection because it was stopping."
    : stepForFailure(code, message);
}

const FIX_FOR_KEYS =
  "Give the receiver the public_key of this answer, have it verify `v1a` over the raw bytes of the body, and check again with the private_key of this answer as `private_key`. Credentials that it wants go into `headers`.";

function fixStatus(status: number, { is_secret_given, is_asymmetric = false }: Trying): string {
  if (status === 400 || status === 401 || status === 403) {
    if (is_asymmetric) return FIX_FOR_KEYS;
    return is_secret_given
      ? "Give the receiver exactly this secret, verify the raw bytes of the body before parsing them, and send any credentials that it wants in `headers`."
      : "A receiver that verifies cannot know a temporary secret: give it the signing_secret of this answer, and check again with the same one as `secret`. Credentials that it wants go into `headers`.";
  }
  if (status === GONE) return "Answer 2xx: a webhook that is answered 410 is disabled.";
  if (status === 408 || status === 425 || status === 429) return "Loosen the receiver's limits for this sender.";
  return stepForStatus(status);
}

/** Success is there with the headers, so their time is the one that counts. */
function judgeTime({ timeout_ms }: Trying, exchange: Exchange): Finding[] {
  if (exchange.kind === "failure") return [];
  const { first_byte, total } = exchange.timings_ms;
  if (first_byte !== null && first_byte > timeout_ms * SLOW_SHARE) {
    return [
      {
        level: "warning",
        message: `The answer took ${first_byte} ms of the ${timeout_ms} ms that it may take.`,
        fix: "Store the event, answer 2xx, and do the work afterwards. Or raise timeout_ms.",
      },
    ];
  }
  if (!exchange.truncated || total < timeout_ms) return [];
  return [
    {
      level: "warning",
      message: "The answer began in time, but its body did not end: the connection is held until the timeout.",
      fix: "End the response; its body is not needed.",
    },
  ];
}

const VERIFY_FIRST =
  "Verify X-LinkMe-Signature or webhook-signature over the raw body before anything else, and answer 401 when it does not fit; docs/guide/verify-signatures.md shows how.";

function judgeForged({ wants_forged }: Trying, signed: Tried, forged: Tried | null): Finding[] {
  if (!wants_forged) {
    return [
      {
        level: "info",
        message: "Whether the receiver refuses forged events was not tried.",
        fix: "Check again with `forged: true`.",
      },
    ];
  }
  if (forged === null) {
    return [
      {
        level: "info",
        message: "The forged event was not sent, for the signed one got no answer.",
        fix: "Mend that first, then check again.",
      },
    ];
  }
  if (isAccepted(forged)) {
    return [
      {
        level: "error",
        message:
          "The receiver accepted the same event with a wrong signature: anybody who knows its URL can send it events.",
        fix: VERIFY_FIRST,
      },
    ];
  }
  return isAccepted(signed) ? judgeRefusal(forged) : [];
}

/** How the forged event was refused, where the signed one was accepted. */
function judgeRefusal({ exchange }: Tried): Finding[] {
  if (exchange.kind === "failure") {
    const message = `The forged event got no answer: ${exchange.message}.`;
    return [{ level: "warning", message, fix: "Answer 401 when the signature does not fit." }];
  }
  if (exchange.status < 500) return [];
  const message = `The forged event was answered ${exchange.status}: the receiver failed over it rather than to refuse it.`;
  return [{ level: "warning", message, fix: "Answer 401 when the signature does not fit." }];
}

function judgeUrl({ url }: Trying): Finding[] {
  if (!/^http:/i.test(url)) return [];
  const message = "Events go to this URL over plain http, readable for whoever is on the way.";
  return [{ level: "info", message, fix: "Use https, unless the whole way is yours." }];
}
