import assert from "node:assert/strict";
import { test } from "node:test";
import { readNames } from "./agent-names.ts";

const IOS = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const DROID =
  "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/AP1A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0";
const CHROME = "Chrome/126.0.0.0 Mobile Safari/537.36";
const MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const WIN = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)";

const cases: [string, string | null, string | null, string | null][] = [
  [`${IOS} Mobile/15E148 Instagram 331.0.4.29.95 (iPhone15,2; iOS 17_4; en_US)`, "iOS", null, "Instagram"],
  [`${DROID} ${CHROME} Instagram 331.0.0.37.90 Android (34/14; 420dpi)`, "Android", null, "Instagram"],
  [`${IOS} Mobile/15E148 [FBAN/FBIOS;FBAV/461.0.0.42.109;FBBV/593428183]`, "iOS", null, "Facebook"],
  [`${DROID} ${CHROME} [FB_IAB/FB4A;FBAV/461.0.0.49.72;]`, "Android", null, "Facebook"],
  [`${IOS} Mobile/15E148 [FBAN/MessengerLiteForiOS;FBAV/460.0]`, "iOS", null, "Messenger"],
  [`${IOS} Mobile/15E148 musical_ly_34.1.0 JsSdk/2.0 NetType/WIFI BytedanceWebview/d8a21c6`, "iOS", null, "TikTok"],
  [`${DROID} ${CHROME} trill_340102 JsSdk/1.0 ByteLocale/en ByteFullLocale/en`, "Android", null, "TikTok"],
  [`${IOS} Mobile/15E148 Safari Line/14.5.0`, "iOS", null, "LINE"],
  [`${DROID} ${CHROME} Line/14.5.1/IAB`, "Android", null, "LINE"],
  [`${IOS} Mobile/15E148 Gmail/6.0.240414`, "iOS", null, "Gmail"],
  [`${IOS} GSA/311.0.620534 Mobile/15E148 Safari/604.1`, "iOS", null, "Google"],
  [`${IOS} Mobile/15E148 Snapchat/12.80.0.45 (like Safari/604.1)`, "iOS", null, "Snapchat"],
  [`${IOS} Mobile/15E148 Twitter for iPhone/10.36`, "iOS", null, "X"],
  [`${IOS} Mobile/15E148 [LinkedInApp]/9.29.8962`, "iOS", null, "LinkedIn"],
  [`${IOS} Mobile/15E148 MicroMessenger/8.0.49 NetType/WIFI`, "iOS", null, "WeChat"],
  [`${DROID} ${CHROME}`, "Android", null, "WebView"],
  [`${IOS} Version/17.4 Mobile/15E148 Safari/604.1`, "iOS", "Safari", null],
  [`${IOS} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1`, "iOS", "Chrome", null],
  [`Mozilla/5.0 (Linux; Android 14; SM-S921B) SamsungBrowser/25.0 ${CHROME}`, "Android", "Samsung Internet", null],
  [`${WIN} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0`, "Windows", "Edge", null],
  [`${WIN} Chrome/126.0.0.0 Safari/537.36 OPR/111.0`, "Windows", "Opera", null],
  ["Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0", "macOS", "Firefox", null],
  // On an iPad that asks for desktop pages.
  [`${MAC} CriOS/126 Version/11.1.1 Safari/605.1.15`, "iOS", "Chrome", null],
  [`${MAC} FxiOS/127.0 Safari/605.1.15`, "iOS", "Firefox", null],
  [`${MAC} Version/17.0 EdgiOS/125.0.2535.60 Safari/605.1.15`, "iOS", "Edge", null],
  [`${MAC} Version/17.4 Safari/605.1.15`, "macOS", "Safari", null],
  ["Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) Chrome/126.0.0.0 Safari/537.36", "ChromeOS", "Chrome", null],
  ["Mozilla/5.0 (X11; Linux x86_64) Chrome/126.0.0.0 Safari/537.36", "Linux", "Chrome", null],
  // Words that only look like a sign.
  ["Mozilla/5.0 (X11; Linux x86_64) Underline/3 Chrome/126.0.0.0 Safari/537.36", "Linux", "Chrome", null],
  ["Mozilla/5.0 (X11; Linux x86_64) like Instagram Chrome/126.0.0.0", "Linux", "Chrome", null],
  ["okhttp/4.12.0", null, null, null],
  ["", null, null, null],
];
for (const [user_agent, os, browser, in_app] of cases) {
  test(`${user_agent.slice(-60) || "nothing"}: ${in_app ?? browser ?? "no name"}`, () => {
    assert.deepEqual(readNames(user_agent), { os, browser, in_app });
  });
}
