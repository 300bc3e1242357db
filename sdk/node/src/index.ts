// The public surface of the package. Its words and call shapes are those of LinkMe's published Node SDK.
export { LinkMeClient, LinkMeClient as default, type NodeSDKOptions } from "./client.ts";
export {
  LinkMeRequestError,
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
  LinkMeGoogleIds,
  LinkMePlatform,
  LinkMeSurroundings,
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
  type CreateLinkInput,
  type CreateLinkInputParsed,
  CreateLinkInputSchema,
  type CreateLinkResponseParsed,
  CreateLinkResponseSchema,
  type ExtendedLinkParsed,
  ExtendedLinkSchema,
  type Link,
  type LinkMeWebhookEnvelopeParsed,
  LinkMeWebhookEnvelopeSchema,
  type LinkParsed,
  LinkSchema,
  type UpdateLinkInput,
  type UpdateLinkInputParsed,
  UpdateLinkInputSchema,
} from "./schemas.ts";
export {
  type LinkMeHeaders,
  type LinkMeTimeOptions,
  verifyLinkMeWebhookEd25519,
} from "./verify-ed25519.ts";
export { verifyLinkMeWebhookSignature } from "./verify-signature.ts";
