import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { describe, test } from "node:test";
import { runInNewContext } from "node:vm";
import { CID, PLAY, prepare, STORE } from "../../test/support/links.ts";
import { intentAddress, openPage, pasteboardPage } from "./app-pages.ts";

const LINK = prepare({ link: { og_title: "<b>" }, app: { ios_enable_pasteboard: true } });

describe("the page before the App Store", () => {
  const { html, headers } = pasteboardPage(LINK, `${STORE}?a=1&b=2`, CID);

  test("is one plain link that works without script, and a script that its policy names", () => {
    assert.equal(html.match(/<a /g)?.length, 1);
    assert.match(html, /<a href="https:\/\/apps\.apple\.com\/app\/id1234567890\?a=1&amp;b=2"/);
    assert.ok(html.includes("<h1>&lt;b&gt;</h1>"));
    const policy = headers["content-security-policy"] ?? "";
    assert.ok(policy.startsWith("default-src 'none'; "));
    assert.ok(policy.includes(`script-src 'sha256-${hash("sha256", scriptOf(html), "base64")}'`), policy);
    assert.ok(!policy.includes("unsafe"));
    assert.deepEqual([headers["cache-control"], headers["referrer-policy"]], ["no-store", "no-referrer"]);
  });

  const allowed = async () => {};
  const refused = () => Promise.reject(new Error("needs a tap"));
  const cases: [string, (() => Promise<void>) | null, boolean, { copied: number; gone: boolean }][] = [
    ["goes on when the text could be copied without a tap", allowed, false, { copied: 1, gone: true }],
    ["goes on at once where there is no clipboard", null, false, { copied: 0, gone: true }],
    ["waits for a tap where one is needed", refused, false, { copied: 1, gone: false }],
    ["goes on after a tap, copied or not", refused, true, { copied: 2, gone: true }],
  ];
  for (const [name, write, is_tapped, expected] of cases) {
    test(name, async () => {
      const run = runScript(html, write);
      await settle();
      if (is_tapped) run.tap();
      await settle();
      assert.deepEqual({ copied: run.copied.length, gone: run.gone.length > 0 }, expected);
      for (const text of run.copied) assert.equal(text, `linkme:cid=${CID}`);
      for (const address of run.gone) assert.equal(address, `${STORE}?a=1&b=2`);
    });
  }
});

describe("the page in the browser of an app", () => {
  const beside = { store: STORE, web: "https://w.example/" };

  test("opens the app by a tap, and names the store and the web", () => {
    const { html } = openPage(LINK, `shop://open?a=1&cid=${CID}`, beside, { ios: true, cid: CID });
    const hrefs = [...html.matchAll(/href="([^"]*)"/g)].map(([, href]) => href);
    assert.deepEqual(hrefs, [`shop://open?a=1&amp;cid=${CID}`, STORE, "https://w.example/"]);
    assert.equal(html.match(/data-copy/g)?.length, 2, "on the link to the store, and in the script");
    assert.doesNotMatch(html, /<a [^>]*data-auto/);
    assert.match(html, /If nothing opens/);
  });

  for (const [name, app, ios, cid] of [
    ["where the app does not ask for it", { ios_enable_pasteboard: false }, true, CID],
    ["on Android", { ios_enable_pasteboard: true }, false, CID],
    ["for a click that could not be stored", { ios_enable_pasteboard: true }, true, null],
  ] as const) {
    test(`copies nothing ${name}`, () => {
      const { html, headers } = openPage(prepare({ app }), "shop://open", beside, { ios, cid });
      assert.doesNotMatch(html, /<script|data-copy/);
      assert.doesNotMatch(headers["content-security-policy"] ?? "", /script-src/);
    });
  }

  const fallback = `${PLAY}&referrer=a%3Db`;
  const addresses: [string, string | null, string | null, string][] = [
    ["shop://open?a=1", "com.shop", null, "intent://open?a=1#Intent;scheme=shop;package=com.shop;end"],
    ["Shop:open", null, null, "intent:open#Intent;scheme=shop;end"],
    [
      "shop://open",
      "com.shop",
      fallback,
      `intent://open#Intent;scheme=shop;package=com.shop;S.browser_fallback_url=${encodeURIComponent(fallback)};end`,
    ],
    ["intent://x#Intent;scheme=y;end", "com.shop", fallback, "intent://x#Intent;scheme=y;end"],
  ];
  for (const [address, package_name, otherwise, expected] of addresses) {
    test(`on Android ${address} is asked for as ${expected.slice(0, 50)}`, () => {
      assert.equal(intentAddress(address, { package_name, fallback: otherwise }), expected);
    });
  }
});

function scriptOf(html: string): string {
  return /<script>([\s\S]*)<\/script>/.exec(html)?.[1] ?? "";
}

/** Runs the page's script on its one link, with a clipboard that does what it is told. */
function runScript(html: string, write: (() => Promise<void>) | null) {
  const copied: string[] = [];
  const gone: string[] = [];
  const listeners: ((event: { preventDefault(): void }) => void)[] = [];
  const href = (/href="([^"]*)"/.exec(html)?.[1] ?? "").replaceAll("&amp;", "&");
  const copy = /<a [^>]*data-copy="([^"]*)"/.exec(html)?.[1];
  const link = {
    href,
    dataset: { copy, ...(/<a [^>]*data-auto/.test(html) ? { auto: "" } : {}) },
    addEventListener: (_: string, listener: (typeof listeners)[number]) => listeners.push(listener),
  };
  const writeText = (text: string) => {
    copied.push(text);
    return write?.() ?? Promise.resolve();
  };
  runInNewContext(scriptOf(html), {
    document: { querySelectorAll: () => [link] },
    navigator: write === null ? {} : { clipboard: { writeText } },
    location: { assign: (address: string) => gone.push(address) },
    // Nothing here is late.
    setTimeout: () => 0,
  });
  const tap = () => {
    for (const listener of listeners) listener({ preventDefault() {} });
  };
  return { copied, gone, tap };
}

/** Until every promise of the script is settled: a macrotask comes after all of them. */
function settle(): Promise<void> {
  return new Promise((done) => setImmediate(done));
}
