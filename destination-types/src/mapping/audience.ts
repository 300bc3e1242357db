// Whether an event may go to an analytics vendor at all, and under which ids. Used by the mapper of each vendor that takes one
// event as something that one user did.
import { type Anonymous, anonymousName, anonymousOf, type Unidentified } from "./identity.ts";
import { booleanOf, type MapContext, objectOf, type Skipped, type SourceEvent, skipped, textOf } from "./source.ts";

export interface Audience {
  /** Events that say of themselves that a program made them (`data.is_bot`). */
  readonly skip_bots: boolean;
  /** Events of visitors who have refused analytics (`data.consent.analytics_storage` is `denied`). */
  readonly respect_consent: boolean;
  /** Whether the name that the app has for a user (`data.user_id`) leaves this server. */
  readonly send_user_id: boolean;
  readonly unidentified: Unidentified;
}

/** At least one of the three is there. */
export interface Who {
  /** Under which the vendor itself knows the visitor. */
  readonly carried?: string;
  readonly user_id?: string;
  readonly anonymous?: Anonymous;
}

/**
 * Who it was, or why nobody is to be told.
 * @param vendor another one gets other anonymous ids for the same person
 * @param limits `id_max_bytes` of UTF-8: a longer id is not sent, for two that are cut may become one. `carried`: the id of the
 *   visitor at that vendor, where the app's backend has sent it in
 */
export function whoOf(
  vendor: string,
  event: SourceEvent,
  settings: Audience,
  { pseudonym, ...limits }: MapContext & { id_max_bytes: number; carried?: string | undefined },
): Who | Skipped {
  const excluded = exclusionOf(event.data, settings);
  if (excluded !== null) return excluded;
  const user_id = userIdOf(event.data, settings, limits.id_max_bytes);
  const carried = usable(limits.carried, limits.id_max_bytes);
  const is_named = user_id !== undefined || carried !== undefined;
  // Whoever has a name needs no id that is made for one event.
  const anonymous = anonymousOf(vendor, event, is_named ? "skip" : settings.unidentified, { pseudonym });
  if (!is_named && anonymous === null) {
    return skipped("no_identity", "It names neither a click nor a user, and this destination skips such events");
  }
  return {
    ...(carried !== undefined && { carried }),
    ...(user_id !== undefined && { user_id }),
    ...(anonymous !== null && { anonymous }),
  };
}

/** The name of `who.anonymous`, if there is one. */
export function anonymousNameOf({ anonymous }: Who): string | undefined {
  return anonymous === undefined ? undefined : anonymousName(anonymous);
}

export function exclusionOf(
  data: SourceEvent["data"],
  { skip_bots, respect_consent }: Pick<Audience, "skip_bots" | "respect_consent">,
): Skipped | null {
  if (skip_bots && booleanOf(data, "is_bot") === true) {
    return skipped("bot", "A bot made it, and this destination skips those");
  }
  const consent = textOf(objectOf(data, "consent") ?? {}, "analytics_storage");
  if (respect_consent && consent?.toLowerCase() === "denied") {
    return skipped("consent", "Its visitor has denied analytics (consent.analytics_storage)");
  }
  return null;
}

/** Undefined where there is none, where it may not be sent, or where it could not stand for a user at a vendor. */
export function userIdOf(
  data: SourceEvent["data"],
  { send_user_id }: Pick<Audience, "send_user_id">,
  max_bytes: number,
): string | undefined {
  return send_user_id ? usable(textOf(data, "user_id"), max_bytes) : undefined;
}

function usable(id: string | undefined, max_bytes: number): string | undefined {
  return id === undefined || whyUnusable(id, max_bytes) !== null ? undefined : id;
}

/** What is wrong with the name of a user, to stand behind "it"; null: nothing. @param max_bytes of UTF-8 */
export function whyUnusable(id: string, max_bytes: number): string | null {
  if (PLACEHOLDERS.has(id.trim().toLowerCase())) return "is a placeholder that would make one user of many";
  return utf8Length(id) > max_bytes ? `is longer than ${max_bytes} bytes` : null;
}

/**
 * What programs send as the name of a user when they have none. Vendors refuse these or drop their events: PostHog's
 * capture service, Mixpanel's documentation of "Import Events", Amplitude's of device and user ids. None of them is sent to any.
 */
const PLACEHOLDERS: ReadonlySet<string> = new Set([
  ...["", "-1", "0", "00000000-0000-0000-0000-000000000000", "[]", "[object object]", "{}", "anon", "anonymous"],
  ...["anonymous-user", "backend", "distinct_id", "distinctid", "email", "false", "guest", "id", "lmy47d", "n/a", "na"],
  ...["nan", "nil", "none", "not_authenticated", "null", "system", "true", "undefined", "unknown", "user"],
]);

const ENCODER = new TextEncoder();

export function utf8Length(text: string): number {
  return ENCODER.encode(text).length;
}

/** The start of a text that takes at most so many bytes of UTF-8, without half a character at its end. */
export function cutBytes(text: string, max_bytes: number): string {
  // No character takes more than three bytes for each of its UTF-16 units.
  if (text.length * 3 <= max_bytes) return text;
  return text.slice(0, ENCODER.encodeInto(text, new Uint8Array(max_bytes)).read);
}
