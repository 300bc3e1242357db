// Addresses a link can send people to, taken apart once when the link is loaded, so that parameters can be added to them
// per click without parsing. Pure; called by routing.ts.
// Only addresses with a safe scheme become targets, and what leaves here is ASCII without spaces: fit for a header.
import { isIP } from "node:net";
import { EMPTY, type StringMap } from "./query.ts";

export type TargetKind =
  /** Another scheme than http and https: opens the app. */
  "custom" | "app_store" | "play" | "web";

export interface Target {
  readonly kind: TargetKind;
  /** Host of an http or https address, as it is written in it, without port. */
  readonly host: string | null;
  readonly text: string;
  /** Everything before the query and the fragment. */
  readonly base: string;
  /** The address's own query, as it was given. */
  readonly segments: readonly { readonly key: string; readonly text: string }[];
  /** With its number sign, or empty. */
  readonly fragment: string;
  /** What a Play address's own `referrer` holds. */
  readonly referrer: readonly (readonly [string, string])[];
}

const SCHEME = /^([a-z][a-z0-9+.-]*):/i;
/** They run or show something in place of opening an address. */
const UNSAFE_SCHEMES = new Set(["javascript", "data", "vbscript", "file", "blob", "about", "view-source"]);
const NOT_HEADER_SAFE = /[^\u0021-\u007e]/gu;
const STORE_REFERRER = "referrer";

/** Null for what is not an absolute address or has an unsafe scheme. */
export function prepareTarget(given: string | null): Target | null {
  if (given === null) return null;
  const scheme = SCHEME.exec(given)?.[1]?.toLowerCase();
  if (scheme === undefined || UNSAFE_SCHEMES.has(scheme)) return null;
  const url = URL.parse(given);
  if (url === null) return null;
  const parsed = scheme === "https" || scheme === "http" ? url : null;
  const text = (parsed?.href ?? given.toWellFormed()).replace(NOT_HEADER_SAFE, encodeURIComponent);
  const hash = text.indexOf("#");
  const before = hash < 0 ? text : text.slice(0, hash);
  const question = before.indexOf("?");
  const query = question < 0 ? "" : before.slice(question + 1);
  const segments = query === "" ? [] : query.split("&").map((segment) => ({ key: keyOf(segment), text: segment }));
  const referrer = segments.find((segment) => segment.key === STORE_REFERRER)?.text ?? "";
  return {
    kind: kindOf(scheme, parsed, text),
    host: parsed?.hostname ?? null,
    text,
    base: question < 0 ? before : before.slice(0, question),
    segments,
    fragment: hash < 0 ? "" : text.slice(hash),
    referrer: referrer === "" ? [] : [...new URLSearchParams(decodeSegment(referrer.slice(referrer.indexOf("=") + 1)))],
  };
}

function kindOf(scheme: string, parsed: URL | null, text: string): TargetKind {
  if (scheme === "itms-apps" || scheme === "itms-appss" || scheme === "itms") return "app_store";
  if (scheme === "market") return "play";
  if (parsed === null) return "custom";
  if (parsed.hostname === "apps.apple.com" || parsed.hostname === "itunes.apple.com") return "app_store";
  return parsed.hostname === "play.google.com" && /\/store\/apps\//.test(text) ? "play" : "web";
}

/**
 * The address with parameters in its query.
 * @param fill added where the address has no such key: what is passed through never changes what its owner wrote
 * @param set replaces the address's own values of these keys
 */
export function withParameters(target: Target, fill: StringMap, set: StringMap): string {
  let query = "";
  for (const segment of target.segments) if (!Object.hasOwn(set, segment.key)) query += `&${segment.text}`;
  for (const key in fill) {
    const is_taken = Object.hasOwn(set, key) || target.segments.some((segment) => segment.key === key);
    if (!is_taken) query += pair(key, fill[key]);
  }
  for (const key in set) query += pair(key, set[key]);
  return query === "" ? target.text : `${target.base}?${query.slice(1)}${target.fragment}`;
}

/**
 * A Play address whose `referrer` carries `cid` and the UTM values: what the Install Referrer hands to the app.
 * Keys that the address's own referrer has are kept unless they are among these.
 */
export function withReferrer(target: Target, values: StringMap): string {
  let referrer = "";
  for (const key in values) referrer += pair(key, values[key]);
  for (const [key, value] of target.referrer) if (!Object.hasOwn(values, key)) referrer += pair(key, value);
  return withParameters(target, EMPTY, { [STORE_REFERRER]: referrer.slice(1) });
}

/** With its question mark; empty without parameters. */
export function queryText(values: StringMap): string {
  let query = "";
  for (const key in values) query += pair(key, values[key]);
  return query === "" ? "" : `?${query.slice(1)}`;
}

/** True when the address is on one of these hosts. */
export function isOnHost(target: Target, hosts: readonly string[]): boolean {
  return target.host !== null && hosts.includes(target.host);
}

/** Host of a `Host` header without its port, lower case; null for what cannot be a host. */
export function hostWithoutPort(host: string): string | null {
  const lower = host.toLowerCase();
  const found = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+?)\.?(?::\d{1,5})?$/.exec(lower)?.[1];
  return found === undefined || found.length > 253 ? null : found;
}

export function isBareIp(host: string): boolean {
  return isIP(host.replace(/^\[|\]$/g, "")) !== 0;
}

function keyOf(segment: string): string {
  const equals = segment.indexOf("=");
  return decodeSegment(equals < 0 ? segment : segment.slice(0, equals));
}

function decodeSegment(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    // Malformed in the stored address: it is passed on as it was written, under a key that equals no other.
    return text;
  }
}

function pair(key: string, value: string | undefined): string {
  return `&${encodeURIComponent(key)}=${encodeURIComponent(value ?? "")}`;
}
