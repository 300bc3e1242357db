import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { go } from "../../test/support/links.ts";
import { hostWithoutPort, isBareIp, prepareTarget } from "./target.ts";

describe("an address that is not safe is never a target", () => {
  const addresses = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>",
    "vbscript:x",
    "file:///etc/passwd",
    "blob:https://x",
    "about:blank",
    "//evil.example/",
    "/relative",
    "not an address",
    "",
    "https://",
  ];
  for (const address of addresses) {
    test(JSON.stringify(address), () => {
      const link = { ios_custom_url: address, ios_store_url: address, web_fallback_url: address };
      assert.equal(go({ link }, "ios"), "https://go.shop.example/d/hello");
      assert.equal(go({ link: { ...link, force_redirect_web: 1 } }, "web"), "https://go.shop.example/d/hello");
    });
  }

  test("what leaves is fit for a header, whatever was stored", () => {
    const stored = ["shop://größe/\u{1F45F}", 'https://größe.example/a b"<>', "shop://x\ud800"];
    for (const ios_custom_url of stored) {
      assert.match(go({ link: { ios_custom_url, deep_link_path: "\r\nset-cookie: x" } }, "ios"), /^[\u0021-\u007e]+$/);
    }
  });
});

describe("a Host header names a host, or nothing", () => {
  const cases: [string, string | null][] = [
    ["Go.Shop.Example", "go.shop.example"],
    ["go.shop.example:8443", "go.shop.example"],
    ["go.shop.example.", "go.shop.example"],
    ["localhost:3000", "localhost"],
    ["127.0.0.1:80", "127.0.0.1"],
    ["[::1]:8080", "[::1]"],
    ["[::1]", "[::1]"],
    ["", null],
    ["a b", null],
    ["go.shop.example/evil", null],
    ["user@go.shop.example", null],
    ["go.shop.example:port", null],
    ["x".repeat(300), null],
  ];
  for (const [header, host] of cases) {
    test(`${JSON.stringify(header).slice(0, 40)} → ${host}`, () => assert.equal(hostWithoutPort(header), host));
  }

  test("bare addresses are told from names", () => {
    for (const host of ["127.0.0.1", "10.1.2.3", "[::1]", "[2001:db8::1]"]) assert.ok(isBareIp(host));
    for (const host of ["localhost", "1.example", "[x]", "127.0.0"]) assert.ok(!isBareIp(host));
  });
});

test("store addresses are known by scheme, host and path", () => {
  const cases: [string, string][] = [
    ["https://apps.apple.com/nz/app/id1", "app_store"],
    ["https://itunes.apple.com/app/id1", "app_store"],
    ["itms-apps://apps.apple.com/app/id1", "app_store"],
    ["https://play.google.com/store/apps/details?id=a", "play"],
    ["market://details?id=a", "play"],
    ["https://play.google.com/books", "web"],
    ["https://apps.apple.com.evil.example/", "web"],
    ["http://example.com", "web"],
    ["shop://open", "custom"],
    ["intent://x#Intent;end", "custom"],
  ];
  for (const [address, kind] of cases) assert.equal(prepareTarget(address)?.kind, kind, address);
});
