// Keyed hashes of addresses and User-Agents: all that is kept of a visitor, and only for the match window.
// The key changes with the UTC day and is derived from the server's seal key, so that no raw address can be found again
// by trying them all without it. Called by redirect.ts for clicks and by claims/ to look them up.
import { createHmac } from "node:crypto";
import { isIP } from "node:net";
import { type HmacKey, hmac, prepareHmac } from "#destination-types/hmac.ts";
import { type BoundedMap, createBoundedMap } from "../platform/bounded-map.ts";

export interface Fingerprint {
  readonly ip_hash: string | null;
  readonly ua_hash: string | null;
}

export interface Fingerprints {
  /** Under the key of the day of `at_ms`. */
  of(ip: string, user_agent: string, at_ms: number): Fingerprint;
  /** Under every key that was in use from `since_ms` to `now_ms`: at most two, for a window of a day. */
  between(ip: string, user_agent: string, since_ms: number, now_ms: number): Fingerprint[];
}

const DAY_MS = 24 * 3600 * 1000;
const DAYS_KEPT = 3;
const AGENT_HASHES_MAX = 2_000;
/** 128 bits in base64url: far beyond accidental collisions, and half the bytes of a full digest in the index. */
const HASH_CHARS = 22;
const PURPOSE = "linkme click fingerprint";

/** What is used from one midnight, UTC, to the next. */
interface Day {
  readonly key: HmacKey;
  /** Hashes by User-Agent: most clicks carry one of few, while addresses differ. */
  readonly agents: BoundedMap<string>;
}

/** @param secret the server's seal key */
export function createFingerprints(secret: Buffer): Fingerprints {
  const days = createBoundedMap<Day>(DAYS_KEPT);

  function find(day: number): Day {
    let found = days.get(String(day));
    if (found === undefined) {
      const key = prepareHmac(createHmac("sha256", secret).update(`${PURPOSE} ${day}`).digest());
      found = { key, agents: createBoundedMap(AGENT_HASHES_MAX) };
      days.set(String(day), found);
    }
    return found;
  }

  function ofDay(ip: string, user_agent: string, day: number): Fingerprint {
    const used = find(day);
    const network = networkOf(ip);
    return {
      ip_hash: network === null ? null : hash(used.key, `ip ${network}`),
      ua_hash: user_agent === "" ? null : agentHash(used, user_agent),
    };
  }

  function agentHash({ key, agents }: Day, user_agent: string): string {
    let made = agents.get(user_agent);
    if (made === undefined) {
      made = hash(key, `ua ${user_agent}`);
      agents.set(user_agent, made);
    }
    return made;
  }

  return {
    of: (ip, user_agent, at_ms) => ofDay(ip, user_agent, dayOf(at_ms)),
    between(ip, user_agent, since_ms, now_ms) {
      const found: Fingerprint[] = [];
      const first = Math.max(dayOf(since_ms), dayOf(now_ms) - 1);
      for (let day = dayOf(now_ms); day >= first; day--) found.push(ofDay(ip, user_agent, day));
      return found;
    },
  };
}

/**
 * The part of an address that stands for a visitor: all of an IPv4 address, the /64 of an IPv6 one, because devices
 * change the rest every day. Null for what is no address.
 * @example networkOf("2001:db8:0:1:aaaa::1") // "2001:db8:0:1"
 */
export function networkOf(ip: string): string | null {
  const version = isIP(ip);
  if (version === 4) return ip;
  if (version === 0) return null;
  const bare = ip.split("%", 1)[0] ?? "";
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1];
  if (mapped !== undefined) return mapped;
  const [head = "", tail] = bare.toLowerCase().split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  // A dotted end stands for two groups.
  const length = left.length + right.length + (bare.includes(".") ? 1 : 0);
  const zeros = tail === undefined ? [] : new Array<string>(8 - length).fill("0");
  return [...left, ...zeros, ...right]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":");
}

function dayOf(at_ms: number): number {
  return Math.floor(at_ms / DAY_MS);
}

function hash(key: HmacKey, text: string): string {
  return hmac(key, "", text, "base64url").slice(0, HASH_CHARS);
}
