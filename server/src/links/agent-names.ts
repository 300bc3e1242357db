// What a User-Agent calls itself: operating system, browser, and the app whose built-in browser it is. Pure; called by
// visitor.ts, once for each User-Agent that is not remembered. For counting, and for the one decision of routing.ts that
// built-in browsers need: they open addresses of other apps when somebody taps, and seldom by a redirect.

/** In this order: an app's own sign before those of the parts it is built of. */
const IN_APP: readonly (readonly [string, RegExp])[] = [
  ["Instagram", /\bInstagram \d/],
  ["Threads", /\bBarcelona \d/],
  ["Messenger", /FBAN\/Messenger|FB_IAB\/(?:MESSENGER|Orca)/i],
  ["Facebook", /\bFB(?:AN|AV|_IAB|IOS)\b/],
  ["TikTok", /\b(?:musical_ly|trill|TikTok|BytedanceWebview|ByteLocale|ByteFullLocale)/i],
  ["LINE", /\bLine\/\d/],
  ["Gmail", /\bGmail\b/],
  ["Google", /\bGSA\/\d/],
  ["Snapchat", /\bSnapchat\/?\s?\d/],
  ["X", /\bTwitter for (?:iPhone|iPad)|\bTwitterAndroid\b/],
  ["LinkedIn", /\bLinkedInApp\b/],
  ["Pinterest", /\[Pinterest\/|\bPinterest for (?:iOS|Android)\b/],
  ["WeChat", /\bMicroMessenger\/\d/],
  ["KakaoTalk", /\bKAKAOTALK\b/],
  ["NAVER", /\bNAVER\(inapp\b/],
  ["Reddit", /\bReddit\/(?:Version|\d)/],
  ["Telegram", /\bTelegram-Android\/\d/],
  ["Viber", /\bViber\/\d/],
  // Android marks every WebView; which app it is in is not said.
  ["WebView", /\bAndroid\b.*; wv\)/],
];

/** Also an iPad that asks for desktop pages with one of the browsers that bear these names on iOS alone; Safari's says nothing. */
export const IOS = /\b(?:iPhone|iPad|iPod)\b|\bMacintosh\b.*\b(?:CriOS|FxiOS|EdgiOS)\/\d/;

const SYSTEMS: readonly (readonly [string, RegExp])[] = [
  ["Windows", /\bWindows\b/],
  ["iOS", IOS],
  ["Android", /\bAndroid\b/],
  ["ChromeOS", /\bCrOS\b/],
  // An iPad that asks for desktop pages with Safari says the same.
  ["macOS", /\bMacintosh\b/],
  ["Linux", /\bLinux\b/],
];

/** Those that are built on another one say its name too, so they stand before it. */
const BROWSERS: readonly (readonly [string, RegExp])[] = [
  ["Edge", /\bEdg(?:e|A|iOS)?\/\d/],
  ["Opera", /\b(?:OPR|OPiOS|OPT|Opera)\/\d/],
  ["Samsung Internet", /\bSamsungBrowser\/\d/],
  ["DuckDuckGo", /\b(?:DuckDuckGo|Ddg)\/\d/],
  ["Firefox", /\b(?:Firefox|FxiOS)\/\d/],
  ["Chrome", /\b(?:Chrome|CriOS|Chromium)\/\d/],
  ["Safari", /\bVersion\/[\d.]+.*\bSafari\/\d/],
];

export interface AgentNames {
  readonly os: string | null;
  /** Null in the browser of an app. */
  readonly browser: string | null;
  /** The app whose built-in browser this is. */
  readonly in_app: string | null;
}

/** @example readNames("… iPhone OS 17_4 … Instagram 331.0 …").in_app // "Instagram" */
export function readNames(user_agent: string): AgentNames {
  const in_app = nameIn(IN_APP, user_agent);
  return { os: nameIn(SYSTEMS, user_agent), browser: in_app === null ? nameIn(BROWSERS, user_agent) : null, in_app };
}

function nameIn(names: readonly (readonly [string, RegExp])[], user_agent: string): string | null {
  return names.find(([, pattern]) => pattern.test(user_agent))?.[0] ?? null;
}
