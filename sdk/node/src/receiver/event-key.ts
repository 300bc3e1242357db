// What a step of an event is remembered under. One form for all stores, made of characters that none of them gives a meaning to.
import type { LinkMeWebhookEnvelope } from "../events.ts";

/** Of an id as it stands in a key: with two of them a key stays within what every store takes (Firestore's is the least). */
export const KEY_PART_MAX_CHARS = 255;

/** A text as part of a key: without slashes, colons, white space and characters beyond ASCII. */
export function keyPart(text: string): string {
  // Half of a character, which JSON can name, cannot be encoded.
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd"));
}

/** One key for each step of each event. Ids of events are unique within an app only. */
export function keyOf({ app_id = "", id }: LinkMeWebhookEnvelope, step: string): string {
  return [app_id, id, step].map(keyPart).join(":");
}
