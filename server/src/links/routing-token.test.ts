// Which addresses carry the token of a click, and in which place.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Platform } from "#contract/events.ts";
import { CID, type Given, go, PLAY, prepare, STORE } from "../../test/support/links.ts";
import { chooseBeside, chooseTarget } from "./routing.ts";

const OWN_REFERRER = `${PLAY}&referrer=utm_source%3Dold%26campaign%3Dspring`;

describe("the token goes where it helps and nowhere else", () => {
  const cases: [string, Given & { query?: string }, Platform, string][] = [
    ["a scheme of the app", { link: { ios_custom_url: "shop://x" } }, "ios", `shop://x?cid=${CID}`],
    ["a scheme with a query", { link: { ios_custom_url: "shop://x?a=1" } }, "ios", `shop://x?a=1&cid=${CID}`],
    ["a scheme with a fragment", { link: { ios_custom_url: "shop://x#top" } }, "ios", `shop://x?cid=${CID}#top`],
    [
      "an intent",
      { link: { android_custom_url: "intent://x/#Intent;scheme=shop;end" } },
      "android",
      `intent://x/?cid=${CID}#Intent;scheme=shop;end`,
    ],
    [
      "a stale token in the address is replaced",
      { link: { ios_custom_url: "shop://x?cid=old" } },
      "ios",
      `shop://x?cid=${CID}`,
    ],
    ["the App Store", { link: { ios_store_url: STORE } }, "ios", STORE],
    [
      "the App Store by its own scheme",
      { link: { ios_custom_url: "itms-apps://apps.apple.com/app/id1" } },
      "ios",
      "itms-apps://apps.apple.com/app/id1",
    ],
    [
      "Play by its own scheme",
      { link: { android_custom_url: "market://details?id=a" } },
      "android",
      `market://details?id=a&referrer=cid%3D${CID}%26utm_source%3Dlinkme`,
    ],
    [
      "Play with a referrer of its own keeps it, the source too",
      { link: { android_store_url: OWN_REFERRER } },
      "android",
      `${PLAY}&referrer=cid%3D${CID}%26utm_source%3Dold%26campaign%3Dspring`,
    ],
    [
      "a source of the link stands before that of a Play address",
      { link: { android_store_url: OWN_REFERRER, utm: '{"utm_source":"mail"}' } },
      "android",
      `${PLAY}&referrer=cid%3D${CID}%26utm_source%3Dmail%26campaign%3Dspring`,
    ],
    [
      "of a visit, too",
      { link: { android_store_url: OWN_REFERRER, allow_param_passthrough: 1 }, query: "utm_source=visit" },
      "android",
      `${PLAY}&referrer=cid%3D${CID}%26utm_source%3Dvisit%26campaign%3Dspring`,
    ],
    [
      "Play with a referrer that says no source, or an empty one",
      { link: { android_store_url: `${PLAY}&referrer=utm_source%3D%26campaign%3Dspring` } },
      "android",
      `${PLAY}&referrer=cid%3D${CID}%26utm_source%3Dlinkme%26campaign%3Dspring`,
    ],
    [
      "the merged UTM source stands in the Play referrer",
      { link: { android_store_url: PLAY, utm: '{"utm_source":"mail","utm_medium":"e mail"}' } },
      "android",
      `${PLAY}&referrer=cid%3D${CID}%26utm_source%3Dmail%26utm_medium%3De%2520mail`,
    ],
    [
      "a site that is not the app's",
      { link: { web_fallback_url: "https://other.example/" } },
      "web",
      "https://other.example/",
    ],
    [
      "a site on a host of the app",
      { link: { web_fallback_url: "https://www.shop.example/" }, own_hosts: ["www.shop.example"] },
      "web",
      `https://www.shop.example/?cid=${CID}`,
    ],
    [
      "a site on the host on which the link was opened",
      { link: { web_fallback_url: "https://go.shop.example/page" } },
      "web",
      `https://go.shop.example/page?cid=${CID}`,
    ],
    [
      "a host that merely ends alike",
      { link: { web_fallback_url: "https://evilgo.shop.example/" } },
      "web",
      "https://evilgo.shop.example/",
    ],
  ];
  for (const [name, given, platform, expected] of cases) {
    test(name, () => assert.equal(go(given, platform, given.query), expected));
  }

  describe("with cid_on_web_fallback", () => {
    const app = { cid_on_web_fallback: true };
    const elsewhere = "https://other.example/";
    const store_page = "https://store.example/app";
    const switched: [string, Given, Platform, string][] = [
      [
        "the link's web address anywhere",
        { app, link: { web_fallback_url: elsewhere } },
        "web",
        `${elsewhere}?cid=${CID}`,
      ],
      ["the app's", { app: { ...app, web_fallback_url: elsewhere } }, "web", `${elsewhere}?cid=${CID}`],
      ["the same for a phone", { app, link: { web_fallback_url: elsewhere } }, "ios", `${elsewhere}?cid=${CID}`],
      [
        "behind what the address says itself, in place of its own",
        { app, link: { web_fallback_url: "https://other.example/a?b=1&cid=old#top" } },
        "web",
        `https://other.example/a?b=1&cid=${CID}#top`,
      ],
      ["no other address elsewhere", { app, link: { ios_custom_url: elsewhere } }, "ios", elsewhere],
      ["no store's own page", { app, link: { ios_store_url: store_page } }, "ios", store_page],
      [
        "not even where it is written like the web address",
        { app, link: { ios_custom_url: elsewhere, web_fallback_url: elsewhere } },
        "ios",
        elsewhere,
      ],
      ["no App Store", { app, link: { web_fallback_url: STORE } }, "web", STORE],
    ];
    for (const [name, given, platform, expected] of switched) {
      test(name, () => assert.equal(go(given, platform), expected));
    }

    test("no address that the visitor names", () => {
      const link = { web_fallback_url: elsewhere, allow_param_passthrough: 1 };
      const query = "web_fallback_url=https%3A%2F%2Fevil.example%2F&cid=evil";
      const { host, searchParams } = new URL(go({ app, link }, "web", query));
      assert.deepEqual([host, searchParams.getAll("cid")], ["other.example", [CID]]);
    });

    test("the pages that lead there beside another address, too", () => {
      const link = prepare({ app, link: { ios_custom_url: "shop://x", web_fallback_url: elsewhere } });
      assert.equal(chooseBeside(link, "ios", "", CID).web, `${elsewhere}?cid=${CID}`);
      assert.equal(chooseBeside(link, "ios", "", null).web, elsewhere);
    });
  });

  test("a visit that is not recorded goes to the same place without a token", () => {
    const visits: [Given, Platform, string][] = [
      [{ link: { ios_custom_url: "shop://x?a=1" } }, "ios", "shop://x?a=1"],
      [{ link: { android_store_url: PLAY } }, "android", `${PLAY}&referrer=utm_source%3Dlinkme`],
      [{ link: { android_store_url: OWN_REFERRER } }, "android", OWN_REFERRER],
      [{ link: { ios_store_url: STORE } }, "ios", STORE],
      [{}, "web", "https://go.shop.example/d/hello"],
    ];
    for (const [given, platform, expected] of visits) {
      assert.equal(chooseTarget(prepare(given), platform, "").withoutCid(), expected);
    }
  });
});

test("nothing in a query moves the token to another place, or to a host that is not the link's own", () => {
  const query = `${"c1d0".repeat(8)}=${"c1d0".repeat(8)}&b=${"1".padStart(32, "c1d0")}&c=%63${"c1d0".repeat(8).slice(1)}`;
  for (const [link, at] of [
    [{ web_fallback_url: "https://elsewhere.example/" }, 0],
    [{ web_fallback_url: "https://go.shop.example/" }, 1],
    [{ ios_custom_url: "shop://open" }, 1],
  ] as const) {
    const location = new URL(go({ link: { ...link, allow_param_passthrough: 1 } }, "ios", query));
    assert.equal(location.href.split(CID).length - 1, at, location.href);
    assert.equal(location.searchParams.get("cid"), at === 1 ? CID : null);
  }
});
