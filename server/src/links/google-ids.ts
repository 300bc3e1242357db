// What Google Analytics has stored in a visitor's browser and the browser sends along, where the link's host is under the
// domain of the site. Pure; called by redirect.ts, for apps that have the visitors' consent alone.
import type { GoogleIds } from "#contract/events.ts";

const STREAMS_MAX = 5;
const VALUE_MAX_CHARS = 256;
const HEADER_MAX_CHARS = 8_192;

const COOKIE = /(?:^|;)[ \t]*(_ga(?:_[A-Z0-9]{4,20})?)=([^;]*)/g;
/** `GA1.<depth>.<random>.<first visit>`; the last two are the client. */
const CLIENT = /^GA1\.\d{1,2}(?:-\d{1,2})?\.(\d{1,10}\.\d{1,10})$/;
/** `GS1.1.<session>.<number>.…`, and since 2025 `GS2.1.s<session>$o<number>$…`. */
const SESSION =
  /^(?:GS1\.\d{1,2}(?:-\d{1,2})?(?:\.\d{1,13}){2,10}|GS2\.\d{1,2}(?:-\d{1,2})?\.s\d{1,13}(?:\$[a-z][\w.-]{0,64}){0,20})$/;

/**
 * Null when there is nothing that has their form. Of two cookies of a name the first counts, as servers read them.
 * @example readGoogleIds("_ga=GA1.1.1390821944.1652345678")?.client_id // "1390821944.1652345678"
 */
export function readGoogleIds(header: string | string[] | undefined): GoogleIds | null {
  const text = typeof header === "string" ? header : (header?.join(";") ?? "");
  if (text.length > HEADER_MAX_CHARS || !text.includes("_ga")) return null;
  const cookies = new Map<string, string>();
  let client_id: string | undefined;
  for (const [, name = "", raw = ""] of text.matchAll(COOKIE)) {
    const value = raw.trim();
    if (cookies.has(name) || value.length > VALUE_MAX_CHARS) continue;
    if (name === "_ga") {
      client_id = CLIENT.exec(value)?.[1];
      if (client_id !== undefined) cookies.set(name, value);
    } else if (SESSION.test(value) && countStreams(cookies) < STREAMS_MAX) cookies.set(name, value);
  }
  if (cookies.size === 0) return null;
  const found = { cookies: Object.fromEntries(cookies) };
  return client_id === undefined ? found : { client_id, ...found };
}

function countStreams(cookies: ReadonlyMap<string, string>): number {
  return cookies.size - (cookies.has("_ga") ? 1 : 0);
}
