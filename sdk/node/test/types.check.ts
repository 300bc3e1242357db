// Compiled, never run. The SDK writes its types out in full, and this file stops compiling as soon as they say
// something else than the contract does: then mend sdk/node/src/events.ts.
import type {
  ATTEMPT_REASONS,
  ClaimType,
  Envelope,
  EventData,
  EventType,
  Platform,
} from "../../../contract/src/events.ts";
import type {
  LinkMeAttemptReason,
  LinkMeClaimType,
  LinkMeEvent,
  LinkMeEventData,
  LinkMeEventType,
  LinkMePlatform,
  LinkMeWebhookEnvelope,
} from "../src/index.ts";

type Assignable<From, To> = [From] extends [To] ? true : false;

/** Assignable in both directions, and with the same members: an optional one more would still be assignable. */
type Same<A, B> =
  Assignable<A, B> extends true
    ? Assignable<B, A> extends true
      ? Assignable<keyof A, keyof B> extends true
        ? Assignable<keyof B, keyof A>
        : false
      : false
    : false;

type Assert<_Holds extends true> = never;

type OfType<Type extends EventType> = Extract<LinkMeEvent, { event: Type }>;

export type Checks = [
  Assert<Same<LinkMePlatform, Platform>>,
  Assert<Same<LinkMeClaimType, ClaimType>>,
  Assert<Same<LinkMeAttemptReason, (typeof ATTEMPT_REASONS)[number]>>,
  Assert<Same<LinkMeEventType, EventType>>,
  Assert<Same<LinkMeEventData["link.click"], EventData["link.click"]>>,
  Assert<Same<LinkMeEventData["link.token_created"], EventData["link.token_created"]>>,
  Assert<Same<LinkMeEventData["link.claim"], EventData["link.claim"]>>,
  Assert<Same<LinkMeEventData["link.app_open"], EventData["link.app_open"]>>,
  Assert<Same<LinkMeEventData["link.deferred_claim_attempt"], EventData["link.deferred_claim_attempt"]>>,
  // Together they are the whole list: a sixth event type fails here.
  Assert<Same<{ [Type in EventType]: OfType<Type>["data"] }, EventData>>,
  Assert<Same<keyof LinkMeWebhookEnvelope, keyof Envelope>>,
  Assert<Same<Omit<OfType<"link.click">, "data">, Omit<Envelope, "data" | "event"> & { event: "link.click" }>>,
  Assert<Assignable<Envelope, LinkMeWebhookEnvelope>>,
];

// What must not pass does not pass, else everything above would be idle.
export type CounterChecks = [
  // @ts-expect-error a member is missing on one side, though it is optional
  Assert<Same<{ a: string; b?: string }, { a: string }>>,
  // @ts-expect-error a member is optional on one side only
  Assert<Same<{ a?: string }, { a: string }>>,
  // @ts-expect-error one side allows more
  Assert<Same<"ios" | "android", "ios">>,
];
