// What the text of a setting may be, and the value that it stands for. Pure; the table that says which setting is which is config.ts.
import { isIP } from "node:net";
import { z } from "zod";
import { RETENTION_MAX_DAYS } from "#contract/apps.ts";
import { RETRY_DELAY_MAX_SECONDS, RETRY_SCHEDULE_MAX_ITEMS } from "#contract/destinations.ts";
import { parseCidrs } from "./platform/addresses.ts";
import { HOSTS_MAX, splitHosts } from "./platform/postgres-hosts.ts";
import { wholeNumber } from "./setting.ts";

const ROLES = ["edge", "api", "dispatcher"] as const;
type Role = (typeof ROLES)[number];
const SEAL_KEY_BYTES = 32;
export const TOKEN_MAX_CHARS = 500;
export const CRAWLERS_MAX = 100;
/** A shorter word stands in the User-Agents of people by chance. */
export const CRAWLER_MIN_CHARS = 3;
export const CRAWLER_MAX_CHARS = 100;
/** A word in one of these would make a crawler of nearly everybody, and no click would be left. */
const BROWSERS_OF_PEOPLE = [
  "mozilla/5.0 (iphone; cpu iphone os 18_5 like mac os x) applewebkit/605.1.15 (khtml, like gecko) version/18.5 mobile/15e148 safari/604.1",
  "mozilla/5.0 (linux; android 15; mobile) applewebkit/537.36 (khtml, like gecko) chrome/137.0.0.0 mobile safari/537.36",
  "mozilla/5.0 (macintosh; intel mac os x 10_15_7) applewebkit/605.1.15 (khtml, like gecko) version/18.5 safari/605.1.15",
  "mozilla/5.0 (windows nt 10.0; win64; x64; rv:139.0) gecko/20100101 firefox/139.0",
];

export const text = z.string();
export const portNumber = text
  .regex(/^\d{1,5}$/)
  .transform(Number)
  .refine((port) => port <= 65_535);
export const hostName = text.refine(isHostName);
export const databaseUrl = text.refine(isDatabaseUrl);
export const bearer = text.regex(/^[\u0021-\u007e]+$/).max(TOKEN_MAX_CHARS);
export const origin = text.refine(isOrigin).transform((url) => new URL(url).origin);
export const sealKey = text.transform(decodeSealKey).refine((key) => key !== null);
export const networks = text.transform(readNetworks).refine((cidrs) => cidrs !== null);
export const roles = text.transform(readRoles).refine((list) => list !== null);
export const connections = wholeNumber(2, 1_000);
export const failures = wholeNumber(1, 1_000_000);
export const seconds = wholeNumber(1, 31_536_000);
export const amount = wholeNumber(1, 1_000_000_000);
export const days = z.union([z.literal("forever").transform(() => null), wholeNumber(1, RETENTION_MAX_DAYS)]);
export const crawlers = text.transform(readCrawlers).refine((list) => list !== null);
export const delays = text.transform(readDelays).refine((list) => list !== null);

/** Labels with dots between them, the last no number: what looks like an IPv4 address has to be one (WHATWG URL, "ends in a number"). */
function isHostName(host: string): boolean {
  if (isIP(host) !== 0) return true;
  const labels = host.replace(/\.$/, "").split(".");
  const is_number = /^(?:\d+|0x[0-9a-f]*)$/i.test(labels.at(-1) ?? "");
  return !is_number && labels.every((label) => /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/i.test(label));
}

function isDatabaseUrl(url: string): boolean {
  if (/^postgres(ql)?:\/\/./.test(url)) {
    const hosts = splitHosts(url);
    return hosts.length <= HOSTS_MAX && hosts.every((host) => URL.canParse(host));
  }
  if (!/^file:[^?#]+$/.test(url) || /:memory:|[/\\]$/.test(url)) return false;
  return !url.startsWith("file://") || url.startsWith("file:///");
}

function isOrigin(url: string): boolean {
  const parsed = /^https?:\/\//i.test(url) ? URL.parse(url) : null;
  return (
    parsed !== null && parsed.pathname === "/" && parsed.search === "" && parsed.hash === "" && parsed.username === ""
  );
}

function decodeSealKey(base64: string): Buffer | null {
  const key = Buffer.from(base64, "base64");
  const bare = (one: string) => one.replace(/=+$/, "");
  return key.length === SEAL_KEY_BYTES && bare(key.toString("base64")) === bare(base64) ? key : null;
}

function readNetworks(list: string): string[] | null {
  const read = parseCidrs(list);
  return "cidrs" in read ? read.cidrs : null;
}

function readRoles(list: string): Role[] | null {
  const names = list.split(",").map((name) => name.trim());
  if (names.some((name) => !(ROLES as readonly string[]).includes(name))) return null;
  return ROLES.filter((role) => names.includes(role));
}

function readCrawlers(list: string): string[] | null {
  if (list === "") return [];
  const words = list.split(",").map((word) => word.trim());
  const isGood = (word: string) =>
    word.length >= CRAWLER_MIN_CHARS &&
    word.length <= CRAWLER_MAX_CHARS &&
    /^[\u0020-\u007e]+$/.test(word) &&
    !BROWSERS_OF_PEOPLE.some((browser) => browser.includes(word.toLowerCase()));
  return words.length <= CRAWLERS_MAX && words.every(isGood) ? words : null;
}

function readDelays(list: string): number[] | null {
  if (list === "none") return [];
  const texts = list.split(",").map((delay) => delay.trim());
  const numbers = texts.map(Number);
  const are_good =
    texts.every((delay) => /^\d{1,6}$/.test(delay)) && numbers.every((delay) => delay <= RETRY_DELAY_MAX_SECONDS);
  return are_good && numbers.length <= RETRY_SCHEDULE_MAX_ITEMS ? numbers : null;
}
