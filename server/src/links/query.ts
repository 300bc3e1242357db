// Reads the query of an opened link into UTM values and other parameters, bounded and tolerant: what is malformed or too
// long is left out, because a visitor must be redirected whatever was glued to the link. Pure; called by routing.ts.
import { UTM_KEYS, type UtmKey } from "#contract/links.ts";

export type StringMap = Readonly<Record<string, string>>;

export interface Incoming {
  readonly utm: StringMap;
  readonly params: StringMap;
}

const PAIRS_MAX = 100;
const PARAMS_MAX = 50;
const KEY_MAX_CHARS = 100;
const UTM_VALUE_MAX_CHARS = 500;
const VALUE_MAX_CHARS = 2_000;

const UTM = new Set<string>(UTM_KEYS);
/** A token belongs to one click: one that comes with the request is never handed on. The other names no plain key. */
const NOT_HANDED_ON = new Set(["cid", "__proto__"]);

export const EMPTY: StringMap = Object.freeze({});
const NOTHING: Incoming = { utm: EMPTY, params: EMPTY };

/** @param query without the question mark; the first of several values of one key counts, an empty value is none */
export function readQuery(query: string): Incoming {
  if (query === "") return NOTHING;
  const utm: Record<string, string> = {};
  const params: Record<string, string> = {};
  let count = 0;
  for (const pair of query.split("&", PAIRS_MAX)) {
    const equals = pair.indexOf("=");
    const key = decode(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? "" : decode(pair.slice(equals + 1));
    if (key === null || value === null || key === "" || key.length > KEY_MAX_CHARS || NOT_HANDED_ON.has(key)) continue;
    if (UTM.has(key)) {
      if (value !== "" && value.length <= UTM_VALUE_MAX_CHARS) utm[key] ??= value;
    } else if (value.length <= VALUE_MAX_CHARS && !Object.hasOwn(params, key) && count < PARAMS_MAX) {
      params[key] = value;
      count++;
    }
  }
  return { utm, params };
}

/**
 * The UTM values that a click carries.
 * Without passthrough the stored ones. With it, incoming ones fill what is not stored, and win where `override` says so.
 */
export function mergeUtm(
  stored: StringMap,
  incoming: StringMap,
  rules: { passthrough: boolean; override: Readonly<Partial<Record<UtmKey, boolean>>> },
): StringMap {
  if (!rules.passthrough || incoming === EMPTY) return stored;
  const merged: Record<string, string> = {};
  for (const key of UTM_KEYS) {
    const value = isOfVisit(key, stored, incoming, rules) ? incoming[key] : stored[key];
    if (value !== undefined) merged[key] = value;
  }
  return merged;
}

/** Whether the merged value of this key comes from the visit, and not from what is stored. */
export function isOfVisit(
  key: UtmKey,
  stored: StringMap,
  incoming: StringMap,
  { passthrough, override }: { passthrough: boolean; override: Readonly<Partial<Record<UtmKey, boolean>>> },
): boolean {
  return passthrough && incoming[key] !== undefined && (stored[key] === undefined || override[key] === true);
}

/** The parameters that a click carries: the link's own, and with passthrough those of the request beside them. */
export function mergeParams(stored: StringMap, incoming: StringMap, passthrough: boolean): StringMap {
  if (!passthrough || incoming === EMPTY) return stored;
  return { ...incoming, ...stored };
}

export function isEmpty(map: StringMap): boolean {
  for (const _ in map) return false;
  return true;
}

function decode(text: string): string | null {
  if (!text.includes("%") && !text.includes("+")) return text;
  try {
    const decoded = decodeURIComponent(text.replaceAll("+", " "));
    return decoded.includes("\u0000") ? null : decoded;
  } catch {
    // Not UTF-8 behind the percent signs: there is no text to hand on.
    return null;
  }
}
