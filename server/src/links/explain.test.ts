import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Given, PLAY, prepare, STORE } from "../../test/support/links.ts";
import { explainVisit, explanationPage } from "./explain.ts";
import type { LinkRow } from "./link.ts";
import { describeVisitor } from "./visitor.ts";

const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Version/17.4 Mobile/15E148 Safari/604.1";
const INSTAGRAM = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Mobile/15E148 Instagram 331.0.4 (iPhone)";

function explain(given: Given, { agent = IPHONE, query = "", end = null as Ended, purpose = "" } = {}) {
  const visitor = describeVisitor("GET", { "user-agent": agent, purpose });
  return explainVisit({ link: prepare(given), visitor, query, end });
}
type Ended = "expired" | "limit_reached" | null;

describe("each platform is told its rule, its address and the place of the token", () => {
  const link: Partial<LinkRow> = { ios_store_url: STORE, android_store_url: PLAY };
  const told = explain({
    link: { ...link, web_fallback_url: "https://w.example/" },
    app: { ios_enable_pasteboard: true },
  });

  test("iOS", () => {
    const { rule, answer, address, cid_in } = told.platforms.ios;
    assert.deepEqual([rule, answer, address, cid_in], ["ios_store_url", "pasteboard", STORE, "pasteboard"]);
    assert.deepEqual(told.visit, told.platforms.ios);
  });

  test("Android", () => {
    const { rule, answer, address, cid_in } = told.platforms.android;
    assert.deepEqual([rule, answer, cid_in], ["android_store_url", "redirect", "play_referrer"]);
    assert.match(address ?? "", /referrer=cid%3D\{cid\}%26/);
  });

  test("desktop, to a site that is not the app's", () => {
    const { rule, address, cid_in } = told.platforms.web;
    assert.deepEqual([rule, address, cid_in], ["web_fallback_url", "https://w.example/", "nowhere"]);
  });

  test("without any target the link's own page", () => {
    const { rule, address } = explain({}).platforms.web;
    assert.deepEqual([rule, address], [null, "https://go.shop.example/d/hello"]);
  });
});

test("of rules that are not reached it says nothing", () => {
  const link = { ios_custom_url: "shop://x", ios_store_url: STORE, web_fallback_url: "https://hidden.example/" };
  const { rules } = explain({ link }).visit;
  assert.deepEqual(
    rules.map(({ outcome }) => outcome),
    ["not_set", "taken", "not_reached", "not_reached", "not_reached"],
  );
  assert.deepEqual(rules, explain({ link: { ios_custom_url: "shop://x" } }).visit.rules);
  const secret = explain({ link: { ...link, custom_data: '{"code":"s3cret"}' } });
  assert.ok(!JSON.stringify(secret).includes("s3cret") && !JSON.stringify(secret).includes("id1234567890"));
});

test("the caller's own visit counts its app's browser, its parameters and whether it would be a click", () => {
  const link = { ios_custom_url: "shop://x", allow_param_passthrough: 1, utm: '{"utm_source":"mail"}' };
  const told = explain({ link }, { agent: INSTAGRAM, query: "utm_source=a&utm_medium=b&ref=7" });
  assert.deepEqual([told.visitor.in_app, told.visitor.recorded, told.visit.answer], ["Instagram", true, "open_page"]);
  assert.equal(told.platforms.ios.answer, "redirect");
  assert.deepEqual({ ...told.visit.utm }, { utm_source: "mail", utm_medium: "b" });
  assert.deepEqual({ ...told.visit.params }, { ref: "7" });
  assert.equal(told.visit.address, "shop://x?ref=7&cid={cid}");
  const crawler = explain({ link }, { agent: "Twitterbot/1.0" });
  assert.deepEqual([crawler.visitor.crawler, crawler.visitor.recorded], [true, false]);
});

describe("of a link that has ended it tells what visitors get, whoever they are, and not where it led", () => {
  const hidden = { ios_custom_url: "hidden://x", android_store_url: PLAY, web_fallback_url: "https://hidden.example/" };
  const link = { ...hidden, og_title: "hidden", utm: '{"utm_source":"hidden"}', deep_link_params: '{"a":"hidden"}' };
  const cases: [Ended, string | null, string, string | null][] = [
    ["expired", "https://over.example/", "redirect", "https://over.example/"],
    ["limit_reached", "https://over.example/", "redirect", "https://over.example/"],
    ["expired", null, "ended_page", null],
    ["expired", "javascript:alert(1)", "ended_page", null],
  ];
  for (const [end, expired_url, answer, address] of cases) {
    for (const agent of [IPHONE, "Twitterbot/1.0"]) {
      test(`${end}, ${expired_url ?? "no address"}, ${agent.slice(0, 11)}: ${answer}`, () => {
        const told = explain({ link: { ...link, expired_url } }, { agent, end });
        for (const visit of [told.visit, ...Object.values(told.platforms)]) {
          assert.deepEqual([visit.answer, visit.address, visit.cid_in], [answer, address, "nowhere"]);
          assert.deepEqual(new Set(visit.rules.map(({ outcome }) => outcome)), new Set(["not_reached"]));
        }
        assert.deepEqual([told.state, told.visitor.recorded, told.preview], [end, false, null]);
        const shown = JSON.stringify(told) + explanationPage(told).html;
        assert.ok(!shown.includes("hidden") && !shown.includes(PLAY), shown);
      });
    }
  }
});

test("a crawler is told of the preview that it gets, and what people get beside it", () => {
  const link = { ios_custom_url: "shop://x", og_title: "Spring" };
  const told = explain({ link }, { agent: "Twitterbot/1.0" });
  const { answer, address, rule, cid_in } = told.visit;
  assert.deepEqual([answer, address, rule, cid_in], ["preview", null, null, "nowhere"]);
  assert.deepEqual([told.preview?.title, told.platforms.ios.address], ["Spring", "shop://x?cid={cid}"]);
  assert.match(explanationPage(told).html, /<h2>You<\/h2>\n<dl>.*<dt>Answer<\/dt><dd>the preview<\/dd>/);
});

test("a browser that loads ahead is told of the redirect without a token that it gets", () => {
  const given = { link: { ios_store_url: STORE }, app: { ios_enable_pasteboard: true } };
  const { visit, visitor } = explain(given, { purpose: "prefetch" });
  assert.deepEqual(
    [visit.answer, visit.address, visit.cid_in, visitor.recorded],
    ["redirect", STORE, "nowhere", false],
  );
  const { visit: ahead } = explain({ link: { ios_custom_url: "shop://x" } }, { purpose: "prefetch" });
  assert.deepEqual([ahead.address, ahead.cid_in], ["shop://x", "nowhere"]);
});

test("the page escapes whatever a link or a query says", () => {
  const evil = '"><script>alert(1)</script>';
  const link = { og_title: evil, allow_param_passthrough: 1, web_fallback_url: "https://w.example/" };
  const { html } = explanationPage(explain({ link }, { query: `ref=${encodeURIComponent(evil)}` }));
  assert.doesNotMatch(html, /<script/);
  assert.ok(html.includes("ref=&quot;&gt;&lt;script&gt;"));
});
