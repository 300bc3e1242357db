// The receiver: from a request of HTTP to what is done with its event, and to the answer. Web standards only, so that it runs
// in Node, Bun, Deno and Workers alike; adapters bring the requests of frameworks to `receive`.
// Nothing is parsed, stored or called before the signature fits, and nothing is answered 2xx before the event is safe.
import { LinkMeUsageError } from "../errors.ts";
import type { LinkMeEvent, LinkMeEventType, LinkMeWebhookEnvelope } from "../events.ts";
import { isLinkMeEvent } from "../is-event.ts";
import { answerTo, type OutcomeKind, type ReceiveOutcome, type ReceiverAnswer, SIGNATURE_REASONS } from "./answer.ts";
import type { OwnBytes } from "./bytes.ts";
import { readEnvelope } from "./envelope.ts";
import { LinkMeFinalError, LinkMeRetryError } from "./errors.ts";
import { type ReceiverHeaders, readHeader } from "./headers.ts";
import { type ErrorContext, logError, type ReceiverOptions, readOptions } from "./options.ts";
import {
  BodyCut,
  BodyTooLarge,
  BodyTooSlow,
  type Framework,
  type RawBody,
  type ReadBody,
  readRawBody,
  readWebBody,
} from "./raw-body.ts";
import { findSecretFault, readSecrets } from "./secrets.ts";
import { findSignatureFault } from "./signature.ts";
import { forwardStep, handlerStep, runSteps, type Step, type StepReport } from "./steps.ts";

/** The five event types that this version knows, at the time it was written; the compiler says when one is missing. */
const EVENT_TYPES: Record<LinkMeEventType, true> = {
  "link.click": true,
  "link.token_created": true,
  "link.claim": true,
  "link.app_open": true,
  "link.deferred_claim_attempt": true,
};

export type EventOf<Type extends LinkMeEventType> = Extract<LinkMeEvent, { event: Type }>;
/** What it returns is waited for. It throws so that the event comes again, or a `LinkMeFinalError` so that it does not. */
export type EventHandler<Type extends LinkMeEventType> = (event: EventOf<Type>) => unknown;
/** `type`: this version does not know the type. `data`: of a known type, but members are missing or of another form. */
export type UnknownHandler = (event: LinkMeWebhookEnvelope, why: "type" | "data") => unknown;
export type ErrorHandler = (error: unknown, context: ErrorContext) => void;

export interface ReceiverRequest {
  method: string;
  headers: ReceiverHeaders;
  /** The body as it was sent, or what reads it. */
  body: RawBody | ReadBody;
  /** For errors that name the fix. */
  framework?: Framework;
}

export interface Received extends ReceiverAnswer {
  outcome: ReceiveOutcome;
}

export interface Receiver {
  /** Registers the handler of an event type. @throws {LinkMeUsageError} `handler_twice`: there is one already. */
  on<Type extends LinkMeEventType>(event: Type, handler: EventHandler<Type>): Receiver;
  /** Registers what gets events for which `on` has no type. @throws {LinkMeUsageError} `handler_twice` */
  onUnknown(handler: UnknownHandler): Receiver;
  /** Registers what is told of errors, instead of the console. @throws {LinkMeUsageError} `handler_twice` */
  onError(handler: ErrorHandler): Receiver;
  /** For everything that speaks the Web's `Request` and `Response`. Never rejects, and needs no `this`. */
  handle(request: Request): Promise<Response>;
  /** For everything else; adapters rest on it. Never rejects. */
  receive(request: ReceiverRequest): Promise<Received>;
  /**
   * Does what `handOff` put off: handlers and forwarders, of which those that were done before are left out. For the worker of a
   * queue: resolves when the event is done with, for good or ill.
   *
   * @throws {LinkMeRetryError} when the event is to come again
   */
  process(event: LinkMeWebhookEnvelope): Promise<ReceiveOutcome>;
  /** How many requests and calls of `process` have ended in which way, since the receiver was made. */
  counts(): Readonly<Record<OutcomeKind, number>>;
}

/**
 * Makes a receiver.
 *
 * @throws {LinkMeUsageError} `secret_missing`, `receiver_option`
 *
 * @example
 * const receiver = createReceiver({ secrets: () => process.env.LINKME_WEBHOOK_SECRET }).on("link.claim", async (event) => {
 *   await saveClaim(event.id, event.data.link_id, event.data.user_id);
 * });
 * export const POST = receiver.handle;
 */
export function createReceiver(options: ReceiverOptions): Receiver {
  const rules = readOptions(options);
  const handlers = new Map<string, (event: LinkMeEvent) => unknown>();
  let unknown_handler: UnknownHandler | undefined;
  let error_handler: ErrorHandler | undefined;
  const counted: Record<OutcomeKind, number> = {
    processed: 0,
    handed_off: 0,
    duplicate: 0,
    unknown_event: 0,
    ignored: 0,
    retry: 0,
    refused: 0,
    misconfigured: 0,
  };

  function reportError(error: unknown, context: ErrorContext = {}): void {
    try {
      (error_handler ?? logError)(error, context);
    } catch {
      // What becomes of an event must not depend on whether its error could be told.
    }
  }

  async function receive(request: ReceiverRequest): Promise<Received> {
    const outcome = await decide(request);
    counted[outcome.kind] += 1;
    return { ...answerTo(outcome), outcome };
  }

  async function decide({ method, headers, body, framework }: ReceiverRequest): Promise<ReceiveOutcome> {
    if (method.toUpperCase() !== "POST") {
      return { kind: "refused", code: "method_not_allowed", reason: "webhooks are sent with POST" };
    }
    if (!/^application\/json\s*(?:;|$)/i.test(readHeader(headers, "content-type") ?? "")) {
      return { kind: "refused", code: "content_type", reason: "webhooks are sent as application/json" };
    }
    if (Number(readHeader(headers, "content-length") ?? 0) > rules.max_body_bytes) return tooLarge();
    let bytes: OwnBytes;
    try {
      const limits = { max_bytes: rules.max_body_bytes, timeout_ms: rules.body_timeout_ms };
      bytes = await readRawBody(body, limits, framework);
    } catch (error) {
      return outcomeOfBody(error);
    }
    return (await verify(bytes, headers)) ?? (await takeEnvelope(bytes));
  }

  function tooLarge(): ReceiveOutcome {
    const reason = `the body has more than ${rules.max_body_bytes} bytes`;
    return { kind: "refused", code: "body_too_large", reason };
  }

  function outcomeOfBody(error: unknown): ReceiveOutcome {
    if (error instanceof BodyTooLarge) return tooLarge();
    if (error instanceof BodyTooSlow) {
      return { kind: "refused", code: "body_too_slow", reason: `the body took more than ${rules.body_timeout_ms} ms` };
    }
    if (error instanceof BodyCut) return { kind: "refused", code: "body_cut", reason: "the body ended too early" };
    return outcomeOfFault(error);
  }

  /** Of an error that is the receiver's own: a mistake in its code, or something that it needs and does not get. */
  function outcomeOfFault(error: unknown): ReceiveOutcome {
    reportError(error);
    if (error instanceof LinkMeUsageError) return { kind: "misconfigured", error };
    const reason = "something that this receiver needs is not there";
    return { kind: "retry", event: undefined, steps: [], reason, retry_after_ms: rules.retry_after_ms };
  }

  async function verify(bytes: OwnBytes, headers: ReceiverHeaders): Promise<ReceiveOutcome | undefined> {
    try {
      const secrets = await readSecrets(rules.secrets);
      const { tolerance, require_timestamp, now } = rules;
      const code = await findSignatureFault(bytes, headers, { secrets, tolerance, require_timestamp, now: now() });
      if (code === undefined) return undefined;
      const hint = code === "signature_mismatch" ? findSecretFault(secrets) : undefined;
      if (hint !== undefined) reportError(hint);
      return { kind: "refused", code, reason: SIGNATURE_REASONS[code] };
    } catch (error) {
      return outcomeOfFault(error);
    }
  }

  async function takeEnvelope(bytes: OwnBytes): Promise<ReceiveOutcome> {
    const event = readEnvelope(bytes);
    if (typeof event === "string") return { kind: "refused", code: "envelope_invalid", reason: event };
    if (rules.handOff === "inline") return work(event);
    const { handOff } = rules;
    const steps = await run(event, [handlerStep("hand-off", () => handOff.enqueue(event))]);
    return outcomeOf(event, steps, "handed_off");
  }

  /** Handlers and forwarders of one event. */
  async function work(event: LinkMeWebhookEnvelope): Promise<ReceiveOutcome> {
    const why = isLinkMeEvent(event) ? undefined : Object.hasOwn(EVENT_TYPES, event.event) ? "data" : "type";
    const call = why === undefined ? callOf(event) : callOfUnknown(event, why);
    const steps: Step[] = call === undefined ? [] : [handlerStep("handler", call)];
    for (const forwarder of rules.forward) {
      const report = (error: unknown) => reportError(error, { event, step: `forward.${forwarder.name}` });
      const { fetch, now, forward_timeout_ms: timeout_ms } = rules;
      steps.push(forwardStep(forwarder, event, { io: { fetch, now }, timeout_ms, report }));
    }
    const reports = await run(event, steps);
    if (why !== undefined) return outcomeOf(event, reports, "unknown_event");
    return outcomeOf(event, reports, steps.length === 0 ? "ignored" : "processed");
  }

  function callOf(event: LinkMeWebhookEnvelope): (() => unknown) | undefined {
    const handler = handlers.get(event.event);
    // Called for events that isLinkMeEvent has found to be of a known type.
    return handler && (() => handler(event as LinkMeEvent));
  }

  function callOfUnknown(event: LinkMeWebhookEnvelope, why: "type" | "data"): (() => unknown) | undefined {
    const handler = unknown_handler;
    if (handler !== undefined) return () => handler(event, why);
    if (why === "type" || !handlers.has(event.event)) return undefined;
    // The handler is there and is not called: whoever wrote it has to learn of it.
    return () => {
      const message = `${event.event} came with data of another form than its handler is promised; onUnknown would get it`;
      throw new LinkMeFinalError(message);
    };
  }

  function run(event: LinkMeWebhookEnvelope, steps: readonly Step[]): Promise<StepReport[]> {
    const { dedupe, lease_ms, ttl_ms } = rules;
    const report = (error: unknown, of: LinkMeWebhookEnvelope, step: string) => reportError(error, { event: of, step });
    return runSteps({ dedupe, lease_ms, ttl_ms, report }, event, steps);
  }

  function outcomeOf(
    event: LinkMeWebhookEnvelope,
    steps: StepReport[],
    kind: "processed" | "handed_off" | "unknown_event" | "ignored",
  ): ReceiveOutcome {
    const open = steps.filter(({ state }) => state === "retry" || state === "in_progress");
    if (open.length > 0) {
      const delays = open.flatMap(({ retry_after_ms }) => retry_after_ms ?? []);
      const retry_after_ms = delays.length > 0 ? Math.max(...delays) : rules.retry_after_ms;
      // What an error said may name things that are nobody's business: it was reported, and stays here.
      const reason = open.map(({ step, state }) => `${step}: ${state}`).join(", ");
      return { kind: "retry", event, steps, reason, retry_after_ms };
    }
    const is_known = steps.length > 0 && steps.every(({ state }) => state === "duplicate");
    return is_known ? { kind: "duplicate", event, steps } : { kind, event, steps };
  }

  async function process(event: LinkMeWebhookEnvelope): Promise<ReceiveOutcome> {
    const outcome = await work(event);
    counted[outcome.kind] += 1;
    if (outcome.kind !== "retry") return outcome;
    const { reason, retry_after_ms } = outcome;
    throw new LinkMeRetryError(`${event.event} ${event.id} is to come again: ${reason}`, { retry_after_ms });
  }

  async function handle(request: Request): Promise<Response> {
    const { method, headers } = request;
    const answer = await receive({ method, headers, body: readWebBody(request, "web"), framework: "web" });
    return new Response(answer.body, { status: answer.status, headers: answer.headers });
  }

  const receiver: Receiver = {
    on(event, handler) {
      if (!Object.hasOwn(EVENT_TYPES, event)) {
        const known = Object.keys(EVENT_TYPES).join(", ");
        throw new LinkMeUsageError(
          "receiver_option",
          `There is no event "${event}": on() takes ${known}; onUnknown() the rest.`,
        );
      }
      if (handlers.has(event)) throw twice(`on("${event}")`);
      // `work` calls a handler with events of the type that it is kept under.
      handlers.set(event, handler as (event: LinkMeEvent) => unknown);
      return receiver;
    },
    onUnknown(handler) {
      if (unknown_handler !== undefined) throw twice("onUnknown()");
      unknown_handler = handler;
      return receiver;
    },
    onError(handler) {
      if (error_handler !== undefined) throw twice("onError()");
      error_handler = handler;
      return receiver;
    },
    handle,
    receive,
    process,
    counts: () => ({ ...counted }),
  };
  return receiver;
}

function twice(what: string): LinkMeUsageError {
  return new LinkMeUsageError(
    "handler_twice",
    `${what} has a handler already, and one would never be called: call both from one.`,
  );
}
