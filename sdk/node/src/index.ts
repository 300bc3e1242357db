// The public surface of the package. Its words and call shapes are those of LinkMe's published Node SDK.
export {
  LinkMeUsageError,
  type LinkMeUsageErrorCode,
  LinkMeWebhookError,
  type LinkMeWebhookErrorCode,
} from "./errors.ts";
export type {
  LinkAppOpenData,
  LinkClaimData,
  LinkClickData,
  LinkDeferredClaimAttemptData,
  LinkMeAttemptReason,
  LinkMeClaimType,
  LinkMeEvent,
  LinkMeEventData,
  LinkMeEventType,
  LinkMePlatform,
  LinkMeWebhookEnvelope,
  LinkTokenCreatedData,
} from "./events.ts";
export { isLinkMeEvent } from "./is-event.ts";
export { parseLinkMeWebhookEnvelope } from "./parse-envelope.ts";
export { verifyLinkMeWebhookSignature } from "./verify-signature.ts";
