// Which browser or installation an event is of in Google Analytics, and which of its sessions. What Google's own tags have stored
// goes before anything that is made here: only under those ids an event joins what the site's visitors do otherwise.
// Sources: "Measurement Protocol reference" (client_id, session_id), the forms of `_ga` and `_ga_<stream>`.
import { GA4_ATTRIBUTION_MS } from "./ga4-limits.ts";
import { anonymousOf, googleOf, type Unidentified } from "./identity.ts";
import { type MapContext, objectOf, type SourceEvent, textOf, timeOf } from "./source.ts";

const CLIENT_ID = /^[1-9]\d{0,19}\.[1-9]\d{0,19}$/;
/** `GA1.<depth>.<random>.<first visit>`; the last two are the client. */
const CLIENT_COOKIE = /^GA1\.\d+(?:-\d+)?\.([1-9]\d*\.[1-9]\d*)$/;
/** `GS1.1.<start>.<number>.…`, and since 2025 `GS2.1.s<start>$o<number>$…`. */
const SESSION_COOKIE = /^(?:GS1\.\d+(?:-\d+)?\.|GS2\.\d+(?:-\d+)?\.s)(\d{1,13})(?![\d])/;
const SESSION_ID = /^[1-9]\d{0,12}$/;

/** A session of Google Analytics ends after so long without an event. */
const SESSION_SECONDS = 30 * 60;
/** The second number of a client id is when the browser was first seen: ids that are made here have one between 2020 and 2023. */
const FIRST_SEEN_FROM = 1_600_000_000;
const FIRST_SEEN_SPREAD = 100_000_000;

/** The carried one, else one that is made of the click's or the event's pseudonym; null: nobody is known. */
export function clientIdOf(event: SourceEvent, unidentified: Unidentified, context: MapContext): string | null {
  const { client_id, cookies } = googleOf(event.data);
  if (client_id !== undefined && CLIENT_ID.test(client_id)) return client_id;
  const in_cookie = CLIENT_COOKIE.exec(cookies["_ga"] ?? "")?.[1];
  if (in_cookie !== undefined) return in_cookie;
  const anonymous = anonymousOf("ga4", event, unidentified, context);
  return anonymous === null ? null : clientIdFrom(anonymous.bytes);
}

/** The documented form: two positive numbers with a dot between. @param bytes at least 8 */
function clientIdFrom(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // The first is a positive number of 31 bits in Google's cookie.
  const random = view.getUint32(0) & 0x7fffffff || 1;
  return `${random}.${FIRST_SEEN_FROM + (view.getUint32(4) % FIRST_SEEN_SPREAD)}`;
}

/**
 * The second in which the session began, as a text: the carried session while it can still be joined, else the one that the click
 * began, else the half hour of the event. The same each time, so a later attempt stays in its session.
 * @param at of the event, in ms since 1970, @param stream of its cookie: a measurement id without `G-`; undefined: not known
 */
export function sessionIdOf(event: SourceEvent, at: number, stream: string | undefined): string {
  const second = Math.floor(at / 1_000);
  const carried = carriedSession(event.data, stream);
  if (carried !== undefined && Math.abs(second - Number(carried)) * 1_000 <= GA4_ATTRIBUTION_MS) return carried;
  const clicked_at = clickTimeOf(event);
  const clicked = clicked_at === undefined ? undefined : Math.floor(clicked_at / 1_000);
  if (clicked !== undefined && clicked <= second && second - clicked <= SESSION_SECONDS) return String(clicked);
  return String(Math.floor(second / SESSION_SECONDS) * SESSION_SECONDS);
}

/** Of the stream's own cookie, else of the only other one: a property has one count of sessions over all its streams. */
function carriedSession(data: SourceEvent["data"], stream: string | undefined): string | undefined {
  const firebase = textOf(objectOf(data, "firebase") ?? {}, "session_id");
  if (stream === undefined && firebase !== undefined && SESSION_ID.test(firebase)) return firebase;
  const { cookies } = googleOf(data);
  const own = stream === undefined ? undefined : sessionIn(cookies[`_ga_${stream}`]);
  if (own !== undefined) return own;
  const found = Object.entries(cookies).flatMap(([name, value]) => (name.startsWith("_ga_") ? [sessionIn(value)] : []));
  return found.length === 1 ? found[0] : undefined;
}

function sessionIn(cookie: string | undefined): string | undefined {
  const start = SESSION_COOKIE.exec(cookie ?? "")?.[1];
  return start !== undefined && SESSION_ID.test(start) ? start : undefined;
}

/** A token is made with its click. */
function clickTimeOf({ event, ts, data }: SourceEvent): number | undefined {
  return event === "link.click" || event === "link.token_created" ? timeOf(ts) : timeOf(textOf(data, "clicked_at"));
}
