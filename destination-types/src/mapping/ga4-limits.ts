// What Google Analytics documents as the most it takes of one Measurement Protocol request, and where requests go.
// Sources: Google's pages "Sending events", "Measurement Protocol reference" and "Collection limits" (help centre, 9267744).
// Used by the mapper, which keeps to them, by the validator, which tells of whoever does not, and by the fake in the tests.

export const GA4_EVENTS_MAX = 25;
export const GA4_PARAMS_MAX = 25;
export const GA4_NAME_MAX_CHARS = 40;
export const GA4_USER_PROPERTIES_MAX = 25;
export const GA4_USER_PROPERTY_NAME_MAX_CHARS = 24;
export const GA4_USER_PROPERTY_VALUE_MAX_CHARS = 36;
export const GA4_USER_ID_MAX_CHARS = 256;
export const GA4_ITEMS_MAX = 200;
/** Of an item, beside those that Google has a meaning for. */
export const GA4_ITEM_PARAMS_MAX = 27;
/** "Smaller than 130 kB": the first size that is too large is one more. */
export const GA4_BODY_MAX_BYTES = 129_999;
/** Of any value of a param, as a text; a paid property takes 500, which a request does not tell. */
export const GA4_VALUE_MAX_CHARS = 100;
/** Params whose values may be longer. */
export const GA4_LONG_VALUES: ReadonlyMap<string, number> = new Map([
  ["page_location", 1_000],
  ["page_referrer", 420],
  ["page_title", 300],
]);
/** Of these the cookies of Google's own tags are taken as they are, and they have no limit. */
export const GA4_UNLIMITED_VALUES: ReadonlySet<string> = new Set(["session_id", "session_number"]);

/** How far back an event may lie. An older one is refused, or moved to this age, as the request asks. */
export const GA4_AGE_MAX_MS = 72 * 3_600_000;
/** Google says only that events lie in the past; so much is left for clocks that do not agree. */
export const GA4_AHEAD_MAX_MS = 15 * 60_000;
/** After the start of a session: what comes later joins it no more ("Use cases", session attribution). */
export const GA4_ATTRIBUTION_MS = 24 * 3_600_000;

export const GA4_PATH = "/mp/collect";
/** Looks at a request, stores nothing, and answers 200. */
export const GA4_DEBUG_PATH = "/debug/mp/collect";
/** `eu`: collected within the European Union. */
export const GA4_ORIGINS = {
  us: "https://www.google-analytics.com",
  eu: "https://region1.google-analytics.com",
} as const;

/** Of a web stream. */
export const MEASUREMENT_ID = /^G-[A-Z0-9]+$/;
/** Of an app stream; its colons stand as they are in the query, for Google does not decode them. */
export const FIREBASE_APP_ID = /^\d+:\d+:(?:ios|android|web):[0-9a-f]+$/;
/** Given by the Firebase SDK to one installation. */
export const APP_INSTANCE_ID = /^[0-9A-Fa-f]{32}$/;

/** The longest value of a param, in UTF-16 units; infinite where there is no limit. */
export function ga4ValueMaxChars(param: string): number {
  return GA4_UNLIMITED_VALUES.has(param)
    ? Number.POSITIVE_INFINITY
    : (GA4_LONG_VALUES.get(param) ?? GA4_VALUE_MAX_CHARS);
}
