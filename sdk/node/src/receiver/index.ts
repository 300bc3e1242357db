// What `@li-nk.me/node-sdk/receiver` exports: the receiver, and all that needs no framework and no client of a store.
export { LinkMeUsageError, type LinkMeUsageErrorCode } from "../errors.ts";
export type {
  LinkMeEvent,
  LinkMeEventData,
  LinkMeEventType,
  LinkMeWebhookEnvelope,
} from "../events.ts";
export type { OutcomeKind, ReceiveOutcome, ReceiverAnswer, RefusalCode } from "./answer.ts";
export { type BeginAnswer, type DedupeStore, type MemoryDedupeOptions, memoryDedupe } from "./dedupe.ts";
export { LinkMeFinalError, LinkMeRetryError } from "./errors.ts";
export type { Forwarder, ForwardIo, ForwardOutcome } from "./forwarder.ts";
export type { ReceiverHeaders } from "./headers.ts";
export type { ErrorContext, HandOff, ReceiverOptions } from "./options.ts";
export type { BodyLimits, Framework, RawBody, ReadBody } from "./raw-body.ts";
export {
  createReceiver,
  type ErrorHandler,
  type EventHandler,
  type EventOf,
  type Received,
  type Receiver,
  type ReceiverRequest,
  type UnknownHandler,
} from "./receiver.ts";
export type { Secret, SecretSource } from "./secrets.ts";
export { type SignedPayload, signTestPayload, type TestPayloadOptions } from "./sign-test-payload.ts";
export { LinkMeForwardError, type StepReport, type StepState } from "./steps.ts";
