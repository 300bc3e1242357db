// Under which id a vendor knows whoever an event is about, when nobody has told one. A click, its token, its claim and the opens
// that follow share the id of the first click, so that funnels hold; an id of another click or of the event alone comes last.
// Never an address, a fingerprint, or one id for all: vendors limit how much one user may do.
import { type MapContext, objectOf, type SourceEvent, textOf } from "./source.ts";

/** What to do with an event that names neither click nor user. Its own id keeps the counts right and inflates the users. */
export type Unidentified = "per_event" | "skip";

export interface Anonymous {
  /** `event`: it is about nobody whom anything else names. */
  readonly kind: "click" | "event";
  readonly bytes: Uint8Array;
}

/** @param vendor another one gets other bytes for the same person. Null: nobody is known, and such events are to be skipped. */
export function anonymousOf(
  vendor: string,
  { id, data }: SourceEvent,
  unidentified: Unidentified,
  { pseudonym }: MapContext,
): Anonymous | null {
  const cid = textOf(data, "first_cid") ?? textOf(data, "cid");
  if (cid !== undefined) return { kind: "click", bytes: pseudonym(`${vendor}:click:${cid}`) };
  return unidentified === "skip" ? null : { kind: "event", bytes: pseudonym(`${vendor}:event:${id}`) };
}

/** A name for a vendor that takes any text: 22 characters that are safe everywhere. */
export function anonymousName({ bytes }: Anonymous): string {
  return `lm_${base64url(bytes.subarray(0, 16))}`;
}

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** RFC 4648, section 5, without padding; by hand, for not every runtime has an encoder for it. */
function base64url(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const [first = 0, second = 0, third = 0] = bytes.subarray(at, at + 3);
    const digits = [first >> 2, ((first & 3) << 4) | (second >> 4), ((second & 15) << 2) | (third >> 6), third & 63];
    text += digits
      .slice(0, Math.min(3, bytes.length - at) + 1)
      .map((digit) => DIGITS[digit] ?? "")
      .join("");
  }
  return text;
}

/** What Google Analytics had stored in the visitor's browser, where the app's visitors have agreed to that. */
export function googleOf(data: SourceEvent["data"]): { client_id?: string; cookies: Readonly<Record<string, string>> } {
  const ga = objectOf(data, "ga") ?? {};
  const client_id = textOf(ga, "client_id");
  const found = Object.entries(objectOf(ga, "cookies") ?? {}).filter(
    (one): one is [string, string] => typeof one[1] === "string",
  );
  return { ...(client_id !== undefined && { client_id }), cookies: Object.fromEntries(found) };
}
