import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createAgentMemory, describeAgent, describeVisitor, firstLocale } from "./visitor.ts";

const IPHONE =
  "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";
const IPAD = "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148";
/** How an iPad that asks for desktop pages begins, and every Mac. */
const IPAD_AS_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)";
const PIXEL =
  "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36";
const MAC =
  "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36";

describe("a User-Agent says which platform a visitor is on", () => {
  const cases: [string, "ios" | "android" | "web", string | null][] = [
    [IPHONE, "ios", "17.4.1"],
    [IPAD, "ios", "16.6"],
    ["Mozilla/5.0 (iPod touch; CPU iPhone OS 15_8 like Mac OS X) AppleWebKit/605.1.15", "ios", "15.8"],
    [`${IPAD_AS_MAC} CriOS/126 Version/11.1.1 Safari/605.1.15`, "ios", null],
    [`${IPAD_AS_MAC} FxiOS/127.0 Safari/605.1.15`, "ios", null],
    [`${IPAD_AS_MAC} Version/17.0 EdgiOS/125.0.2535.60 Safari/605.1.15`, "ios", null],
    [`${IPAD_AS_MAC} Version/17.4 Safari/605.1.15`, "web", null],
    [`${IPAD_AS_MAC} NotCriOS/1 CriOS FxiOS`, "web", null],
    [PIXEL, "android", "14"],
    ["Mozilla/5.0 (Linux; Android 8.1.0; CUBOT X18 Plus) AppleWebKit/537.36", "android", "8.1.0"],
    ["Dalvik/2.1.0 (Linux; U; Android 13; SM-S901B Build/TP1A)", "android", "13"],
    ["Mozilla/5.0 (Android; Mobile; rv:14.0) Gecko/14.0 Firefox/14.0", "android", null],
    [MAC, "web", null],
    ["Shop/12 CFNetwork/1494.0.7 Darwin/23.4.0", "web", null],
    ["okhttp/4.12.0", "web", null],
    ["Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) like iPhone", "web", null],
    ["", "web", null],
    ["\uFFFF<script>", "web", null],
  ];
  for (const [user_agent, platform, os_version] of cases) {
    test(`${user_agent.slice(0, 60) || "none at all"} is ${platform} ${os_version ?? ""}`, () => {
      const agent = describeAgent(user_agent);
      assert.deepEqual([agent.platform, agent.crawler, agent.os_version], [platform, false, os_version]);
    });
  }
});

describe("crawlers and preview robots are told from visitors", () => {
  const crawlers = [
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) Chrome/126 Mobile Safari/537.36 (compatible; Googlebot/2.1)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Mozilla/5.0 (Macintosh) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
    "Twitterbot/1.0",
    "LinkedInBot/1.0 (compatible; Mozilla/5.0; Apache-HttpClient +http://www.linkedin.com)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Slack-ImgProxy (+https://api.slack.com/robots)",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "TelegramBot (like TwitterBot)",
    "WhatsApp/2.23.20.0 A",
    "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    "Mozilla/5.0 (compatible; YandexBot/3.0)",
    "Mozilla/5.0 (compatible; Baiduspider/2.0)",
    "Mozilla/5.0 (Windows NT 6.1) SkypeUriPreview Preview/0.5",
    "Mozilla/5.0 (compatible; AhrefsBot/7.0)",
    "http.rb/5.1.1 (Mastodon/4.2.0; +https://mastodon.example/)",
    "GoogleOther",
    "Mozilla/5.0 (compatible; Bluesky Cardyb/1.1; +mailto:support@bsky.app)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; MicrosoftPreview/2.0; +https://aka.ms/MicrosoftPreview) Chrome/126.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Yahoo Link Preview; https://help.yahoo.com/kb/mail/yahoo-link-preview-SLN23615.html)",
    "Mozilla/5.0 (Linux; Android 5.0) Mobile Safari/537.36 (compatible; TikTokSpider; ttspider-feedback@tiktok.com)",
    "Mozilla/5.0 (Linux; Android 5.0) Mobile Safari/537.36 (compatible; Bytespider;https://zhanzhang.toutiao.com/)",
    "Mozilla/5.0 (Windows NT 6.3; WOW64) Chrome/50.0 Safari/537.36; 360Spider",
    "Tumblr/14.0.835.186",
  ];
  const visitors = [
    IPHONE,
    PIXEL,
    MAC,
    "curl/8.9.1",
    "Wget/1.21",
    "python-requests/2.32",
    "node",
    "axios/1.7.2",
    "Go-http-client/2.0",
    "okhttp/4.12.0",
    "Shop/12 CFNetwork/1494.0.7 Darwin/23.4.0",
    "Dalvik/2.1.0 (Linux; U; Android 13; SM-S901B)",
    "Mozilla/5.0 (Linux; Android 9; CUBOT) AppleWebKit/537.36",
    `${IPHONE} [FBAN/FBIOS;FBAV/400.0]`,
    `${IPHONE} LinkedInApp`,
    `${IPHONE} [Pinterest/iOS]`,
    `${IPHONE} Tumblr/35.1`,
    `${IPHONE} Bluesky/1.99`,
    `${IPHONE} TikTok 34.1.0`,
    `${MAC} 360SE Spiderman/2 Preview/3`,
    `${MAC} HeadlessChrome/126.0`,
  ];
  for (const user_agent of crawlers) test(`crawler: ${user_agent}`, () => assert.ok(describeAgent(user_agent).crawler));
  for (const user_agent of visitors)
    test(`visitor: ${user_agent}`, () => assert.ok(!describeAgent(user_agent).crawler));
});

test("further words make crawlers, in any case, and take nothing from those that are known", () => {
  const readAgent = createAgentMemory(["ChatPreview/2", "acme link check"]);
  const of = (user_agent: string) => describeVisitor("GET", { "user-agent": user_agent }, readAgent).crawler;
  for (const crawler of [`${PIXEL} chatpreview/2.1`, "Acme Link Check", "Twitterbot/1.0"])
    assert.ok(of(crawler), crawler);
  for (const visitor of [PIXEL, "ChatPreview/1", "Acme Link", ""]) assert.ok(!of(visitor), visitor);
  assert.equal(readAgent(`${PIXEL} ChatPreview/2`).platform, "android");
});

describe("what is no visit of a person is not recorded", () => {
  const cases: [string, string, Record<string, string>, boolean][] = [
    ["a GET", "GET", {}, true],
    ["a HEAD", "HEAD", {}, false],
    ["a prefetch of Chrome", "GET", { "sec-purpose": "prefetch" }, false],
    ["a prerender of Chrome", "GET", { "sec-purpose": "prefetch;prerender" }, false],
    ["an older prefetch", "GET", { purpose: "prefetch" }, false],
    ["a preview of Safari", "GET", { "x-purpose": "preview" }, false],
    ["a prefetch of Firefox", "GET", { "x-moz": "prefetch" }, false],
    ["another purpose", "GET", { purpose: "navigate" }, true],
    ["one header that says less than another", "GET", { "sec-purpose": "navigate", purpose: "prefetch" }, false],
    ["an empty header before another", "GET", { "sec-purpose": "", "x-moz": "prefetch" }, false],
    [
      "other purposes in every header",
      "GET",
      { "sec-purpose": "x", purpose: "y", "x-purpose": "z", "x-moz": "" },
      true,
    ],
  ];
  for (const [name, method, headers, recordable] of cases) {
    test(`${name}: ${recordable ? "recorded" : "not recorded"}`, () => {
      assert.equal(describeVisitor(method, headers).recordable, recordable);
    });
  }
});

describe("the language is the first one that a header names", () => {
  const cases: [string, string | null][] = [
    ["en-NZ,en;q=0.9", "en-nz"],
    ["en_NZ", "en-nz"],
    ["de", "de"],
    ["zh-Hant-TW, zh;q=0.8", "zh-hant-tw"],
    ["*", null],
    ["", null],
    ["1-2-3", null],
    [`${"a".repeat(8)}${"-abcdefgh".repeat(9)}`, null],
  ];
  for (const [header, locale] of cases)
    test(`${header || "none"} → ${locale}`, () => assert.equal(firstLocale(header), locale));
});

describe("only the host of a referring page is kept", () => {
  const cases: [string | undefined, string | null][] = [
    ["https://News.Example.com/secret?token=1", "news.example.com"],
    ["http://example.com", "example.com"],
    ["https://example.com:8443/x", "example.com"],
    ["https://user:password@example.com/", "example.com"],
    ["https://example.com?x", "example.com"],
    ["android-app://com.google.android.gm/", null],
    ["https://exa mple.com/", null],
    ["https://<script>/", null],
    ["example.com", null],
    ["", null],
    [undefined, null],
    [`https://example.com/${"x".repeat(5_000)}`, null],
  ];
  for (const [referer, referrer] of cases) {
    test(`${String(referer).slice(0, 60)} → ${referrer}`, () => {
      assert.equal(describeVisitor("GET", { referer }).referrer, referrer);
    });
  }
});

test("a very long User-Agent is cut, and remembering agents changes nothing", () => {
  const long = `${IPHONE} ${"x".repeat(100_000)}`;
  assert.equal(describeVisitor("GET", { "user-agent": long }).user_agent.length, 512);
  const remember = createAgentMemory([], 2);
  for (const user_agent of [IPHONE, PIXEL, MAC, IPHONE, IPHONE]) {
    assert.deepEqual(remember(user_agent), describeAgent(user_agent));
  }
});
