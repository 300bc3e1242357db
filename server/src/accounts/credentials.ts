// API keys as texts: how they are made, hashed, hinted at and told apart. Pure but for the random bytes it is given.
// Only the hash is stored; 32 random bytes need no salt and no slow hash.
import { hash, timingSafeEqual } from "node:crypto";
import type { KeyKind } from "#contract/apps.ts";

export const KEY_RANDOM_BYTES = 32;
const PREFIX: Record<KeyKind, string> = { app: "ak_", server: "sk_" };
/** 32 bytes in base64url, after the prefix. */
const KEY_CHARS = 46;
const HINT_HEAD_CHARS = 7;
const HINT_TAIL_CHARS = 4;

/** What the hot path knows of a key. */
export interface ApiKey {
  id: string;
  app_id: string;
  kind: KeyKind;
  /** What a person knows it by. */
  label: string;
  key_hint: string;
  can_read: boolean;
  can_write: boolean;
  expires_at: number | null;
  /** The key that the operator has made, from which this one comes over however many; its own where that is itself. */
  origin_id: string;
}

export function composeKey(kind: KeyKind, random: Uint8Array): string {
  return PREFIX[kind] + Buffer.from(random).toString("base64url");
}

export function fitsKind(key: string, kind: KeyKind): boolean {
  return key.startsWith(PREFIX[kind]);
}

/** Enough to recognise a key in a list: `sk_4hTq…x2Ab`. */
export function hintOf(key: string): string {
  return `${key.slice(0, HINT_HEAD_CHARS)}…${key.slice(-HINT_TAIL_CHARS)}`;
}

export function hashOf(key: string): string {
  return hash("sha256", key, "hex");
}

/** False for texts that no key can be, so that they never reach the database. */
export function looksLikeKey(text: string): boolean {
  return text.length === KEY_CHARS && (text.startsWith("sk_") || text.startsWith("ak_"));
}

/** Compares through a hash, so that the time it takes tells nothing about the secret, its length included. */
export function createTokenCheck(secret: string): (text: string) => boolean {
  const expected = hash("sha256", secret, "buffer");
  return (text) => timingSafeEqual(hash("sha256", text, "buffer"), expected);
}

export function isLive(key: ApiKey, now: number): boolean {
  return key.expires_at === null || now < key.expires_at;
}
