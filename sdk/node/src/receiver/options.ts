// What a receiver can be told, with its bounds. Read once, when the receiver is made: a mistake is found at the start of the
// program, and not with the first event.
import { LinkMeUsageError } from "../errors.ts";
import type { LinkMeWebhookEnvelope } from "../events.ts";
import { type DedupeStore, memoryDedupe } from "./dedupe.ts";
import { messageOf } from "./errors.ts";
import type { Forwarder } from "./forwarder.ts";
import { checkSecretSource, type SecretSource } from "./secrets.ts";
import type { StepName } from "./steps.ts";

const TOLERANCE_DEFAULT_S = 300;
const MAX_BODY_DEFAULT_BYTES = 1024 * 1024;
const BODY_TIMEOUT_DEFAULT_MS = 10_000;
const LEASE_DEFAULT_MS = 60_000;
/** More than the whole schedule of a webhook, and than most replays by hand. */
const TTL_DEFAULT_MS = 7 * 24 * 60 * 60 * 1000;
const FORWARD_TIMEOUT_DEFAULT_MS = 10_000;
const RETRY_AFTER_DEFAULT_MS = 30_000;
const FORWARDERS_MAX = 32;
const FORWARDER_NAME = /^[A-Za-z0-9_.-]{1,64}$/;

/** Where events go that are handled elsewhere: a queue, or a table in your database. */
export interface HandOff {
  /** Resolves when the event is safe. What it rejects with is answered 503, and the event comes again. */
  enqueue(event: LinkMeWebhookEnvelope): Promise<unknown>;
}

/** Where an error came up; nothing of it is known before the signature was verified. */
export interface ErrorContext {
  event?: LinkMeWebhookEnvelope;
  step?: StepName;
}

export interface ReceiverOptions {
  /** What signatures are verified with. */
  secrets: SecretSource;
  /** Seconds by which `webhook-timestamp`, the time of the delivery, may differ from now, in both directions; default 300. */
  tolerance?: number;
  /**
   * Refuses requests without the three headers of Standard Webhooks; default false. LinkMe Server always sends them, LinkMe's
   * hosted service does not. Without this, whoever has recorded a request can leave them out, and send it again at any time:
   * it is only known by its id then, for `ttl_ms`.
   */
  require_timestamp?: boolean;
  /** Where it is remembered what is done; default: in memory, for this process. */
  dedupe?: DedupeStore;
  /** To whom each event is sent on. */
  forward?: readonly Forwarder[];
  /**
   * `"inline"`, the default: handlers and forwarders run before the answer. Anything else takes the event in their place, and
   * whoever takes it from there calls `receiver.process(event)`.
   */
  handOff?: "inline" | HandOff;
  /** Default 1 MiB; LinkMe Server sends no more than 256 KiB. */
  max_body_bytes?: number;
  /** How long a body may take to arrive; default 10,000. */
  body_timeout_ms?: number;
  /** Longer than a handler takes: after it, an event that comes again is handled again; default 60,000. */
  lease_ms?: number;
  /** How long it is remembered that an event was handled; default seven days. */
  ttl_ms?: number;
  /** How long a forwarder may take; default 10,000. */
  forward_timeout_ms?: number;
  /** What `Retry-After` asks for where nothing else is known; default 30,000. */
  retry_after_ms?: number;
  /** For forwarders; default: the global one. */
  fetch?: typeof fetch;
  /** Milliseconds since 1970; default `Date.now`. */
  now?: () => number;
}

/** The options with what they are when nothing is said. */
export type ReceiverRules = Required<ReceiverOptions>;

/** @throws {LinkMeUsageError} `secret_missing`, `receiver_option` */
export function readOptions(options: ReceiverOptions): ReceiverRules {
  checkSecretSource(options.secrets);
  const rules: ReceiverRules = {
    tolerance: TOLERANCE_DEFAULT_S,
    require_timestamp: false,
    forward: [],
    handOff: "inline",
    max_body_bytes: MAX_BODY_DEFAULT_BYTES,
    body_timeout_ms: BODY_TIMEOUT_DEFAULT_MS,
    lease_ms: LEASE_DEFAULT_MS,
    ttl_ms: TTL_DEFAULT_MS,
    forward_timeout_ms: FORWARD_TIMEOUT_DEFAULT_MS,
    retry_after_ms: RETRY_AFTER_DEFAULT_MS,
    // Looked up with each call, as tests and instrumentation put another one in its place.
    fetch: (...call) => fetch(...call),
    now: Date.now,
    ...withoutUndefined(options),
    dedupe: options.dedupe ?? memoryDedupe({ now: options.now ?? Date.now }),
  };
  const numbers = [
    ["tolerance", rules.tolerance],
    ["max_body_bytes", rules.max_body_bytes],
    ["body_timeout_ms", rules.body_timeout_ms],
    ["lease_ms", rules.lease_ms],
    ["ttl_ms", rules.ttl_ms],
    ["forward_timeout_ms", rules.forward_timeout_ms],
    ["retry_after_ms", rules.retry_after_ms],
  ] as const;
  for (const [name, value] of numbers) {
    if (typeof value !== "number" || !(value > 0) || !Number.isFinite(value)) {
      throw optionError(`${name} must be a number above 0, and the window for replays has no way to be off.`);
    }
  }
  if (rules.handOff !== "inline" && typeof rules.handOff?.enqueue !== "function") {
    throw optionError('handOff must be "inline" or have a method enqueue(event).');
  }
  checkForwarders(rules.forward);
  return rules;
}

function checkForwarders(forwarders: readonly Forwarder[]): void {
  if (!Array.isArray(forwarders) || forwarders.length > FORWARDERS_MAX) {
    throw optionError(`forward must be an array of at most ${FORWARDERS_MAX} forwarders.`);
  }
  const names = new Set<string>();
  for (const { name } of forwarders) {
    if (!FORWARDER_NAME.test(name)) {
      throw optionError(
        `The name of a forwarder has 1 to 64 letters, digits, "_", "-" or ".", unlike ${JSON.stringify(name)}.`,
      );
    }
    if (names.has(name)) throw optionError(`Two forwarders are called "${name}": give one of them another name.`);
    names.add(name);
  }
}

export function optionError(message: string): LinkMeUsageError {
  return new LinkMeUsageError("receiver_option", message);
}

function withoutUndefined<Given extends object>(given: Given): Given {
  // Only members that hold nothing are left out, so what stays has the type of what was given.
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as Given;
}

/** What errors are told to when nobody asks for them: a receiver that fails silently is the worst. */
export function logError(error: unknown, { event, step }: ErrorContext): void {
  const where = [step, event?.event, event?.id].filter((part) => part !== undefined).join(" ");
  console.error(`LinkMe receiver${where === "" ? "" : ` (${where})`}: ${messageOf(error)}`);
}
