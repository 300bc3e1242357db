// Slugs: made when a caller gives none, and proposed when the one that was given is taken. Pure; called by writing.ts.
import { RESERVED_SLUGS } from "#contract/links.ts";
import type { IdSource } from "../platform/ids.ts";

const SLUG_CHARS = 8;
const SLUG_MAX_CHARS = 64;
const SUFFIX_CHARS = 4;
/** Thirty-two signs without l and o, 0 and 1, which people confuse. */
const ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";
const LINK_ID_PATTERN = /^lnk_[0-9a-f]{32}$/;
const COUNTED = [2, 3, 4, 5];
const RANDOM = 3;
export const SUGGESTIONS_MAX = 3;

/** Neither an address of the server nor the text of a link id, which would shadow that link. */
export function isFreeText(slug: string): boolean {
  return !LINK_ID_PATTERN.test(slug) && !(RESERVED_SLUGS as readonly string[]).includes(slug.toLowerCase());
}

export function randomSlug(source: IdSource): string {
  return randomText(source, SLUG_CHARS);
}

/** What could be taken in its place, the likeliest first: numbered ones, then such as are free nearly always. */
export function slugsLike(slug: string, source: IdSource): string[] {
  const endings = [...COUNTED.map(String), ...Array.from({ length: RANDOM }, () => randomText(source, SUFFIX_CHARS))];
  const candidates = endings.map((ending) => `${slug.slice(0, SLUG_MAX_CHARS - ending.length - 1)}-${ending}`);
  return [...new Set(candidates)].filter((one) => one !== slug && isFreeText(one));
}

function randomText(source: IdSource, length: number): string {
  const bytes = new Uint8Array(length);
  source.random(bytes);
  return Array.from(bytes, (byte) => ALPHABET[byte % ALPHABET.length]).join("");
}
