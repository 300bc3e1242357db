// Describes who opened a link, from the request's headers alone: platform, robot or person, language, referring host.
// Pure; called by redirect.ts on the hot path and by claims/ for the caller's own description.
// What a client's HTTP library calls itself (CFNetwork, Dalvik, okhttp, curl) is a visitor, never a crawler.
import type { Platform } from "#contract/events.ts";
import { createBoundedMap } from "../platform/bounded-map.ts";
import { type AgentNames, IOS, readNames } from "./agent-names.ts";

export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** What a User-Agent says, the part that can be remembered for the next request with the same one. */
export interface Agent extends AgentNames {
  readonly platform: Platform;
  /** Reads pages for a preview or an index: gets a page with the link's title, and leaves no click. */
  readonly crawler: boolean;
  readonly os_version: string | null;
}

export interface Visitor extends Agent {
  readonly user_agent: string;
  /** False for HEAD and for speculative loads: the answer is the same, but nothing is stored. */
  readonly recordable: boolean;
  /** The first language of `Accept-Language`, lower case, like `en-nz`. */
  readonly locale: string | null;
  /** Host of the referring page; never its path. */
  readonly referrer: string | null;
}

const AGENTS_MAX = 2_000;
const USER_AGENT_MAX_CHARS = 512;
const LOCALE_MAX_CHARS = 35;
const HEADER_MAX_CHARS = 2_048;

const CRAWLER = new RegExp(
  [
    // "bot" at the end of a word, except for the phones of the brand Cubot.
    "(?<!cu)bot\\b",
    "(?:crawler|spider)\\b",
    "facebookexternalhit",
    "facebookcatalog",
    "meta-external",
    "^whatsapp/",
    "skypeuripreview",
    "snap url preview",
    "bingpreview",
    "microsoftpreview",
    "slack-imgproxy",
    "pinterest/0",
    "embedly",
    "iframely",
    "vkshare",
    "(?:quora|yahoo) link preview",
    "bluesky cardyb",
    // Its robot; its app names itself behind the browser.
    "^tumblr/",
    "google-(?:inspectiontool|read-aloud|pagerenderer|safety)",
    "googleother",
    "(?:apis|adsbot|mediapartners|feedfetcher)-google",
    "google-?web-?preview",
    "chrome-lighthouse",
    "yahoo! slurp",
    "ia_archiver",
    "mastodon/",
    "flipboardproxy",
    "w3c_validator",
    "nuzzel",
    "outbrain",
    "xing-contenttabreceiver",
  ].join("|"),
  "i",
);
const IOS_VERSION = /\bOS (\d{1,3}(?:_\d{1,3}){0,2})/;
const ANDROID = /\bAndroid\b/;
const ANDROID_VERSION = /\bAndroid (\d{1,3}(?:\.\d{1,3}){0,2})/;
/** Names both other systems in its User-Agent. */
const WINDOWS_PHONE = /Windows Phone/;
/** Whichever says so: a proxy may have added one of them. */
const PURPOSE_HEADERS = ["sec-purpose", "purpose", "x-purpose", "x-moz"];
const PREFETCH = /\b(?:prefetch|prerender|preview)\b/i;
const LOCALE = /^[a-z]{1,8}(?:[-_][a-z0-9]{1,8})*/i;
const REFERRER_HOST = /^https?:\/\/(?:[^/?#@]*@)?([a-z0-9.-]{1,253})(?::\d*)?(?:[/?#]|$)/i;

export function describeVisitor(
  method: string,
  headers: Headers,
  readAgent: (user_agent: string) => Agent = describeAgent,
): Visitor {
  const user_agent = text(headers["user-agent"]).slice(0, USER_AGENT_MAX_CHARS);
  const agent = readAgent(user_agent);
  return {
    platform: agent.platform,
    crawler: agent.crawler,
    os_version: agent.os_version,
    os: agent.os,
    browser: agent.browser,
    in_app: agent.in_app,
    user_agent,
    recordable: method === "GET" && !isSpeculative(headers),
    locale: firstLocale(text(headers["accept-language"])),
    referrer: referrerHost(text(headers["referer"])),
  };
}

/** @example describeAgent("Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) …").os_version // "17.4" */
export function describeAgent(user_agent: string): Agent {
  const crawler = CRAWLER.test(user_agent);
  return { ...systemOf(user_agent), crawler, ...readNames(user_agent) };
}

function systemOf(user_agent: string): Pick<Agent, "platform" | "os_version"> {
  if (WINDOWS_PHONE.test(user_agent)) return { platform: "web", os_version: null };
  if (IOS.test(user_agent)) {
    return { platform: "ios", os_version: IOS_VERSION.exec(user_agent)?.[1]?.replaceAll("_", ".") ?? null };
  }
  if (ANDROID.test(user_agent)) {
    return { platform: "android", os_version: ANDROID_VERSION.exec(user_agent)?.[1] ?? null };
  }
  return { platform: "web", os_version: null };
}

/** `en_NZ`, `en-NZ,en;q=0.9` and `en-nz` are all `en-nz`. */
export function firstLocale(languages: string): string | null {
  const found = LOCALE.exec(languages)?.[0];
  if (found === undefined || found.length > LOCALE_MAX_CHARS) return null;
  return found.toLowerCase().replaceAll("_", "-");
}

/** A browser that loads what it thinks will be needed; if the visitor does come, it asks again. */
function isSpeculative(headers: Headers): boolean {
  for (const name of PURPOSE_HEADERS) {
    const purpose = headers[name];
    if (purpose !== undefined && PREFETCH.test(text(purpose))) return true;
  }
  return false;
}

function referrerHost(referrer: string): string | null {
  if (referrer === "" || referrer.length > HEADER_MAX_CHARS) return null;
  return REFERRER_HOST.exec(referrer)?.[1]?.toLowerCase() ?? null;
}

function text(header: string | string[] | undefined): string {
  return typeof header === "string" ? header : (header?.[0] ?? "");
}

/**
 * Remembers what User-Agents said: most requests carry one of few.
 * @param crawlers words that make a crawler of whoever sends them, in any case
 */
export function createAgentMemory(crawlers: readonly string[] = [], limit = AGENTS_MAX): (user_agent: string) => Agent {
  const known = createBoundedMap<Agent>(limit);
  const words = crawlers.map((word) => word.toLowerCase());
  const describe = (user_agent: string): Agent => {
    const agent = describeAgent(user_agent);
    const lower = user_agent.toLowerCase();
    return words.some((word) => lower.includes(word)) ? { ...agent, crawler: true } : agent;
  };
  return (user_agent) => {
    let agent = known.get(user_agent);
    if (agent === undefined) {
      agent = describe(user_agent);
      known.set(user_agent, agent);
    }
    return agent;
  };
}
