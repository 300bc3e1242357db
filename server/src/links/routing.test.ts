import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Platform } from "#contract/events.ts";
import { BLANK, CID, type Given, go, PLAY, prepare, STORE } from "../../test/support/links.ts";
import type { LinkRow } from "./link.ts";
import { chooseStore, chooseTarget, chooseWay, type Way } from "./routing.ts";

describe("each platform has its order of targets", () => {
  const everything: Given = {
    link: {
      ios_custom_url: "shop-ios://open",
      android_custom_url: "shop-android://open",
      ios_store_url: STORE,
      android_store_url: PLAY,
      web_fallback_url: "https://www.shop.example/link",
      deep_link_path: "products/42",
    },
    app: {
      ios_store_url: "https://apps.apple.com/app/id1",
      android_store_url: "https://play.google.com/store/apps/details?id=app.level",
      web_fallback_url: "https://www.shop.example/app",
    },
  };
  const without = (...names: (keyof LinkRow)[]): Given => ({
    ...everything,
    link: { ...everything.link, ...Object.fromEntries(names.map((name) => [name, null])) },
  });
  const only = (link: Partial<LinkRow>): Given => ({ link });
  const cases: [string, Given, Platform, string][] = [
    ["iOS: the link's own scheme first", everything, "ios", `shop-ios://open?cid=${CID}`],
    ["iOS: then the link's store", without("ios_custom_url"), "ios", STORE],
    ["iOS: then the app's store", without("ios_custom_url", "ios_store_url"), "ios", "https://apps.apple.com/app/id1"],
    [
      "iOS: then the https deep link",
      only({ deep_link_path: "/products/42", web_fallback_url: "https://www.shop.example/" }),
      "ios",
      `https://go.shop.example/products/42?cid=${CID}`,
    ],
    [
      "iOS: then the web",
      only({ web_fallback_url: "https://www.shop.example/x" }),
      "ios",
      "https://www.shop.example/x",
    ],
    ["iOS: nothing at all leads to the link's page", {}, "ios", "https://go.shop.example/d/hello"],
    ["Android: the link's own scheme first", everything, "android", `shop-android://open?cid=${CID}`],
    [
      "Android: then the link's store",
      without("android_custom_url"),
      "android",
      `${PLAY}&referrer=cid%3D${CID}%26utm_source%3Dlinkme`,
    ],
    [
      "Android: then the app's store",
      without("android_custom_url", "android_store_url"),
      "android",
      `https://play.google.com/store/apps/details?id=app.level&referrer=cid%3D${CID}%26utm_source%3Dlinkme`,
    ],
    [
      "Android: then the https deep link",
      only({ deep_link_path: "a b/ü" }),
      "android",
      `https://go.shop.example/a%20b/%C3%BC?cid=${CID}`,
    ],
    ["desktop: the link's web address first", everything, "web", "https://www.shop.example/link"],
    ["desktop: then the app's", without("web_fallback_url"), "web", "https://www.shop.example/app"],
    ["desktop: then the link's page", only({ ios_store_url: STORE }), "web", "https://go.shop.example/d/hello"],
  ];
  for (const [name, given, platform, expected] of cases) {
    test(name, () => assert.equal(go(given, platform), expected));
  }

  test("force web sends every platform to the web, and does nothing without a web address", () => {
    const forced: Given = { ...everything, link: { ...everything.link, force_redirect_web: 1 } };
    for (const platform of ["ios", "android", "web"] as const) {
      const chosen = chooseTarget(prepare(forced), platform, "");
      assert.equal(chosen.before, "https://www.shop.example/link");
      assert.equal(chosen.force_web, true);
    }
    const nowhere = prepare({ link: { force_redirect_web: 1, ios_custom_url: "shop://x" } });
    assert.equal(chooseTarget(nowhere, "ios", "").before, "shop://x?cid=");
    assert.equal(chooseTarget(nowhere, "ios", "").force_web, false);
  });

  test("a path that names the link itself is no target: it would lead in a circle", () => {
    for (const deep_link_path of ["hello", "/hello", "hello?x=1", "//hello", BLANK.id]) {
      assert.equal(go({ link: { deep_link_path } }, "ios"), "https://go.shop.example/d/hello");
    }
  });
});

describe("UTM values are merged as LinkMe documents it", () => {
  const stored = '{"utm_source":"stored","utm_medium":"mail"}';
  const web = { web_fallback_url: "https://w.example/" };
  const cases: [string, Partial<LinkRow>, string, Record<string, string>][] = [
    [
      "without passthrough the stored ones alone",
      { utm: stored },
      "utm_source=in&utm_term=t",
      { utm_source: "stored", utm_medium: "mail" },
    ],
    [
      "with passthrough incoming ones fill what is missing",
      { utm: stored, allow_param_passthrough: 1 },
      "utm_source=in&utm_term=t",
      { utm_source: "stored", utm_medium: "mail", utm_term: "t" },
    ],
    [
      "a flagged key prefers the incoming one",
      { utm: stored, allow_param_passthrough: 1, utm_override: '{"utm_source":true,"utm_medium":false}' },
      "utm_source=in&utm_medium=in",
      { utm_source: "in", utm_medium: "mail" },
    ],
    [
      "a flagged key that is not given stays",
      { utm: stored, allow_param_passthrough: 1, utm_override: '{"utm_source":true}' },
      "utm_medium=in",
      { utm_source: "stored", utm_medium: "mail" },
    ],
    [
      "an empty incoming value is none",
      { utm: stored, allow_param_passthrough: 1, utm_override: '{"utm_source":true}' },
      "utm_source=",
      { utm_source: "stored", utm_medium: "mail" },
    ],
    [
      "a flag without passthrough changes nothing",
      { utm: stored, utm_override: '{"utm_source":true}' },
      "utm_source=in",
      { utm_source: "stored", utm_medium: "mail" },
    ],
    ["tags count as UTM", { allow_param_passthrough: 1 }, "tags=a%2Cb", { tags: "a,b" }],
    [
      "the first of two values counts",
      { allow_param_passthrough: 1 },
      "utm_source=a&utm_source=b",
      { utm_source: "a" },
    ],
    ["text that is no JSON counts as none", { utm: "utm_source=x" }, "", {}],
    ["an array counts as none", { utm: "[1]" }, "", {}],
  ];
  for (const [name, link, query, expected] of cases) {
    test(name, () => {
      const chosen = chooseTarget(prepare({ link: { ...web, ...link } }), "web", query);
      assert.deepEqual({ ...chosen.utm }, expected);
      const shown = new URL(chosen.withoutCid()).searchParams;
      assert.deepEqual(Object.fromEntries(shown), expected);
    });
  }
});

describe("parameters that are passed through", () => {
  const passing = { allow_param_passthrough: 1, web_fallback_url: "https://w.example/?lang=en#top" };
  const cases: [string, Partial<LinkRow>, Platform, string, string][] = [
    ["go to the web", passing, "web", "ref=7", "https://w.example/?lang=en&ref=7#top"],
    ["never change what the owner wrote", passing, "web", "lang=de&ref=7", "https://w.example/?lang=en&ref=7#top"],
    [
      "go nowhere without passthrough",
      { web_fallback_url: "https://w.example/" },
      "web",
      "ref=7",
      "https://w.example/",
    ],
    [
      "go to the app's scheme",
      { ios_custom_url: "shop://x", allow_param_passthrough: 1 },
      "ios",
      "ref=7",
      `shop://x?ref=7&cid=${CID}`,
    ],
    [
      "do not go to the App Store",
      { ios_store_url: STORE, allow_param_passthrough: 1 },
      "ios",
      "ref=7&utm_source=x",
      STORE,
    ],
    [
      "never include another click's token",
      passing,
      "web",
      "cid=deadbeefdeadbeef&ref=7",
      "https://w.example/?lang=en&ref=7#top",
    ],
    [
      "are encoded anew",
      passing,
      "web",
      "q=a%26b%3Dc+d%0d%0aSet-Cookie:x",
      "https://w.example/?lang=en&q=a%26b%3Dc%20d%0D%0ASet-Cookie%3Ax#top",
    ],
    ["leave out what is not UTF-8", passing, "web", "bad=%ff&ref=7&%E0%A4%A=1", "https://w.example/?lang=en&ref=7#top"],
    ["leave out NUL characters", passing, "web", "bad=%00&ref=7", "https://w.example/?lang=en&ref=7#top"],
    [
      "leave out values that are too long",
      passing,
      "web",
      `long=${"x".repeat(2_001)}&ref=7`,
      "https://w.example/?lang=en&ref=7#top",
    ],
    [
      "may be called like members of every object",
      passing,
      "web",
      "__proto__=1&constructor=2&toString=3",
      "https://w.example/?lang=en&constructor=2&toString=3#top",
    ],
  ];
  for (const [name, link, platform, query, expected] of cases) {
    test(name, () => assert.equal(go({ link }, platform, query), expected));
  }

  test("stand beside the link's own in the click, which win", () => {
    const link = { deep_link_params: '{"id":42,"on":true,"none":null,"tag":"a"}', allow_param_passthrough: 1 };
    const chosen = chooseTarget(prepare({ link }), "web", "tag=b&ref=7&constructor=x");
    assert.deepEqual(
      JSON.parse(JSON.stringify(chosen.params)),
      JSON.parse('{"tag":"a","ref":"7","constructor":"x","id":"42","on":"true"}'),
    );
  });

  test("are bounded", () => {
    const query = Array.from({ length: 500 }, (_, index) => `k${index}=1`).join("&");
    const chosen = chooseTarget(prepare({ link: passing }), "web", query);
    assert.equal(Object.keys(chosen.params).length, 50);
  });
});

describe("a visit is answered in the way that its browser and target need", () => {
  const pasteboard = { ios_enable_pasteboard: true };
  const custom = { link: { ios_custom_url: "shop://x", android_custom_url: "shop://x" } };
  const store = { link: { ios_store_url: STORE, android_store_url: PLAY }, app: pasteboard };
  const forced = { link: { force_redirect_web: 1, web_fallback_url: STORE }, app: pasteboard };
  const itms = { link: { ios_store_url: "https://itunes.apple.com/app/id1" }, app: pasteboard };
  const deep = { link: { deep_link_path: "a/b", web_fallback_url: "https://w.example/" } };
  const cases: [string, Given, Platform, string | null, Way][] = [
    ["an app's scheme in a browser", custom, "ios", null, "redirect"],
    ["an app's scheme inside of an app", custom, "ios", "LINE", "open_page"],
    ["the same on Android", custom, "android", "TikTok", "open_page"],
    ["a Universal Link inside of an app", deep, "ios", "Facebook", "open_page"],
    ["a Universal Link in a browser", deep, "ios", null, "redirect"],
    ["the web on a desktop inside of an app", deep, "web", "WeChat", "redirect"],
    ["the App Store", store, "ios", null, "pasteboard"],
    ["the App Store's older host", itms, "ios", null, "pasteboard"],
    ["the App Store inside of an app", store, "ios", "Instagram", "pasteboard"],
    ["the App Store without the app's setting", { link: store.link }, "ios", null, "redirect"],
    ["the App Store as forced web address", forced, "ios", null, "pasteboard"],
    ["the App Store for a desktop", forced, "web", null, "redirect"],
    ["Play", store, "android", "Instagram", "redirect"],
  ];
  for (const [name, given, platform, in_app, way] of cases) {
    test(`${name}: ${way}`, () => {
      const link = prepare(given);
      assert.equal(chooseWay(link, { platform, in_app }, chooseTarget(link, platform, "").kind), way);
    });
  }

  test("a store that is asked for by name is gone to whatever the rules say, and none is made up", () => {
    const link = prepare({ link: { ...custom.link, ios_store_url: STORE } });
    assert.equal(chooseStore(link, "ios", "")?.withoutCid(), STORE);
    assert.equal(chooseStore(link, "android", ""), null);
  });
});

test("visits without a query share one plan, and a query never changes it", () => {
  const link = prepare({ link: { ios_custom_url: "shop://x", allow_param_passthrough: 1 } });
  const first = chooseTarget(link, "ios", "");
  chooseTarget(link, "ios", "utm_source=a&b=c");
  assert.equal(chooseTarget(link, "ios", ""), first);
  assert.equal(first.before, "shop://x?cid=");
});
