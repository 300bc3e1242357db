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
export {
  createLinkMeKeyReader,
  type LinkMeFetch,
  type LinkMeKeyReader,
  type LinkMeKeyReaderOptions,
  selectLinkMeWebhookKeys,
} from "./keys.ts";
export { parseLinkMeWebhookEnvelope } from "./parse-envelope.ts";
export {
  type LinkMeHeaders,
  type LinkMeTimeOptions,
  verifyLinkMeWebhookEd25519,
} from "./verify-ed25519.ts";
export { verifyLinkMeWebhookSignature } from "./verify-signature.ts";
