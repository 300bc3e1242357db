// An event as the mappers of vendors read it. Whatever a backend sends in as `data` is passed on as it is, so each member is
// looked at before it is used, and one of another type counts as absent.
// Everything in this folder is pure and needs nothing of Node or of a package: the server's destinations and the forwarders of
// the SDK for Node, which also runs where Node does not, share it.

/** The envelope of a webhook (contract/src/events.ts), after JSON.parse. */
export interface SourceEvent {
  readonly id: string;
  readonly event: string;
  /** ISO 8601, UTC, with milliseconds. */
  readonly ts: string;
  readonly app_id: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What a mapper needs besides event and settings. */
export interface MapContext {
  /**
   * 32 bytes that stand for a text, the same ones each time, and tell nothing of it: HMAC-SHA256 with a key of the app. Ids leave
   * as such alone, so that no two vendors can join what they have, and a new key cuts all ties.
   */
  pseudonym(text: string): Uint8Array;
}

/** Why an event is not sent to a vendor although the destination takes its type. */
export interface Skipped {
  readonly kind: "skipped";
  readonly reason: SkipReason;
  /** A sentence for the engineer on call. */
  readonly message: string;
}
export type SkipReason = "no_identity" | "consent" | "bot" | "expired";

export function skipped(reason: SkipReason, message: string): Skipped {
  return { kind: "skipped", reason, message };
}

/** `linkme_link_click` of `link.click`: the same name at every vendor, and short enough for the strictest. */
export function eventName(event: string): string {
  return `linkme_${event.replaceAll(".", "_")}`;
}

/** A text with something in it. */
export function textOf(data: SourceEvent["data"], name: string): string | undefined {
  const value = data[name];
  return typeof value === "string" && value !== "" ? value : undefined;
}

export function booleanOf(data: SourceEvent["data"], name: string): boolean | undefined {
  const value = data[name];
  return typeof value === "boolean" ? value : undefined;
}

/** Undefined unless the member is an object. */
export function objectOf(data: SourceEvent["data"], name: string): Readonly<Record<string, unknown>> | undefined {
  const value = data[name];
  // Its members are looked at one by one.
  return isObject(value) ? value : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** When it happened, in milliseconds since 1970; undefined where the text is no time. */
export function timeOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const at = Date.parse(text);
  return Number.isNaN(at) ? undefined : at;
}

/**
 * The first characters of a text, as vendors and JavaScript count them: in UTF-16 units, and never half a pair, which would be a
 * character of its own at the far side.
 */
export function cut(text: string, max_chars: number): string {
  if (text.length <= max_chars) return text;
  const last = text.charCodeAt(max_chars - 1);
  const is_half = last >= 0xd800 && last <= 0xdbff;
  return text.slice(0, is_half ? max_chars - 1 : max_chars);
}

/** Null for a text that is no URL. By hand, for Node 20 has no function for it. */
export function parseUrl(text: string): URL | null {
  return URL.canParse(text) ? new URL(text) : null;
}
