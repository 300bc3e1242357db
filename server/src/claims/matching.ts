// Which click a claim without a token belongs to. Pure; called by claims.ts with clicks of the same app and network that
// are in the match window. Equal User-Agents cannot be demanded: the click came from a browser and the claim from an app.
// So the network decides who may match, and everything else only who comes first.
import type { Platform } from "#contract/events.ts";
import type { Fingerprint } from "../links/fingerprint.ts";
import { ROOT_LINK_ID } from "../links/link.ts";
import { describeAgent } from "../links/visitor.ts";
import type { Device } from "./device.ts";
import { isZoneOf } from "./time-zones.ts";

/** Clicks that are compared at a time: enough to rank. Of more that fit, the newest are. */
export const CANDIDATES_MAX = 50;
/**
 * How often the next ones are looked at when all of these were lost to faster claims, or lead to links that are gone: as far as
 * the 500th click. More than that of one network, all lost while a call waits or all of removed links, is no visitor any more.
 */
export const PAGES_MAX = 10;

/** A click that may be the one. */
export interface Candidate {
  readonly cid: string;
  readonly platform: string;
  readonly ua_hash: string | null;
  readonly os_version: string | null;
  readonly locale: string | null;
  readonly created_at: number;
}

/** Who claims. */
export interface Claimant {
  readonly platform: Platform;
  readonly device: Device;
  readonly user_agent: string;
  /** Under each key that was in use in the match window. */
  readonly fingerprints: readonly Fingerprint[];
}

/**
 * Candidates that fit, the best first: same User-Agent, then same system version, then same language, then a time zone of
 * the language's region, then the newest.
 */
export function rankCandidates<Click extends Candidate>(candidates: readonly Click[], claimant: Claimant): Click[] {
  const platforms: readonly string[] = platformsFor(claimant);
  const possible = candidates.filter(({ platform }) => platforms.includes(platform));
  if (possible.length < 2) return possible;
  const scored = possible.map((candidate) => ({ candidate, score: score(candidate, claimant) }));
  scored.sort((one, other) => other.score - one.score || newestFirst(one.candidate, other.candidate));
  return scored.map(({ candidate }) => candidate);
}

/** How much was to choose from. */
export interface Ambiguity {
  readonly candidates: number;
  readonly links: number;
}

/** Null while all that fit lead to the same link: then it does not matter which of them is taken. */
export function ambiguityOf(
  candidates: readonly { readonly link_id: string; readonly params: string | null }[],
): Ambiguity | null {
  // Without a slug the parameters say where it leads.
  const links = new Set(candidates.map(({ link_id, params }) => (link_id === ROOT_LINK_ID ? params : link_id))).size;
  return links < 2 ? null : { candidates: candidates.length, links };
}

/**
 * Whose clicks may be the claimant's; always two, the same ones perhaps. Those of an unknown or desktop-looking client may be
 * anybody's: apps open links with libraries of their own.
 */
export function platformsFor({ platform, device, user_agent }: Claimant): readonly [Platform, Platform] {
  // A web page that claims runs in the browser of a phone.
  return ["web", platform === "web" ? describeAgent(device.user_agent ?? user_agent).platform : platform];
}

function score(candidate: Candidate, { device, fingerprints }: Claimant): number {
  const same_agent = candidate.ua_hash !== null && fingerprints.some(({ ua_hash }) => ua_hash === candidate.ua_hash);
  const same_system = sameVersion(candidate.os_version, device.os_version);
  const { locale } = candidate;
  return (same_agent ? 8 : 0) + (same_system ? 4 : 0) + (locale === null ? 0 : placeScore(locale, device));
}

/** The language of the browser, as far as device and region fit it. Its address says nothing more: all have the same. */
function placeScore(locale: string, device: Device): number {
  const same_zone = device.timezone !== null && isZoneOf(locale, device.timezone);
  return (locale === device.locale ? 2 : 0) + (same_zone ? 1 : 0);
}

/** `17.4` is `17.4.1`: clients name as many parts as they like. */
function sameVersion(one: string | null, other: string | null): boolean {
  if (one === null || other === null) return false;
  return `${one}.`.startsWith(`${other}.`) || `${other}.`.startsWith(`${one}.`);
}

function newestFirst(one: Candidate, other: Candidate): number {
  if (one.created_at !== other.created_at) return other.created_at - one.created_at;
  return one.cid < other.cid ? 1 : -1;
}
