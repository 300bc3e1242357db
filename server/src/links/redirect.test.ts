import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { prepare } from "../../test/support/links.ts";
import { unavailable } from "../errors.ts";
import { composeEvent } from "../events/event.ts";
import { DatabaseError } from "../platform/database.ts";
import { createIds } from "../platform/ids.ts";
import type { Click } from "./click.ts";
import { createFingerprints } from "./fingerprint.ts";
import type { PreparedLink } from "./link.ts";
import type { Recorded } from "./recorder.ts";
import { createRedirect } from "./redirect.ts";

const ids = createIds();
const NOW = Date.UTC(2026, 0, 31, 9, 30);
const LINK = prepare({ link: { ios_custom_url: "shop://open", web_fallback_url: "https://w.example/" } });
const IPHONE = { "user-agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X)" };

function redirecting(
  recorded: Recorded,
  resolve: () => PreparedLink | null | Promise<PreparedLink | null> = () => LINK,
) {
  const clicks: Click[] = [];
  const redirect = createRedirect({
    resolve,
    resolveRoot: async () => null,
    addressOf: async ({ slug }) => `https://go.shop.example/${slug}`,
    record: async (click) => {
      clicks.push(click);
      return recorded;
    },
    compose: (event) => composeEvent(event, ids, NOW),
    fingerprints: createFingerprints(Buffer.alloc(32, 1)),
    cid: ids.cid,
    now: () => NOW,
  });
  const opening = { origin: "https://go.shop.example", slug: "hello", query: "", ip: "203.0.113.7" };
  return { clicks, open: (method = "GET", headers = IPHONE) => redirect.open({ ...opening, method, headers }) };
}

describe("an address carries a token only when its click is durable", () => {
  for (const recorded of ["committed", "spooled"] as const) {
    test(`${recorded}: with the token`, async () => {
      const { open, clicks } = redirecting(recorded);
      const answer = await open();
      assert.deepEqual(answer, { kind: "redirect", location: `shop://open?cid=${clicks[0]?.row.cid}` });
      assert.deepEqual(answer, { kind: "redirect", location: clicks[0]?.row.dest_url });
    });
  }

  test("unrecorded: without", async () => {
    const { open } = redirecting("unrecorded");
    assert.deepEqual(await open(), { kind: "redirect", location: "shop://open" });
  });

  test("HEAD records nothing and shows no token", async () => {
    const { open, clicks } = redirecting("committed");
    assert.deepEqual(await open("HEAD"), { kind: "redirect", location: "shop://open" });
    assert.deepEqual(clicks, []);
  });
});

describe("a link that has ended", () => {
  const ios_custom_url = "shop://open";
  const at = (link: object) => prepare({ link: { ios_custom_url, ...link } });
  const cases: [string, PreparedLink, string | number][] = [
    ["still leads on a moment before", at({ expires_at: NOW + 1 }), "shop://open"],
    ["says so", at({ expires_at: NOW }), 410],
    [
      "sends on without a click",
      at({ expires_at: NOW - 1, expired_url: "https://over.example/" }),
      "https://over.example/",
    ],
    ["has taken its clicks", at({ click_limit: 5, click_count: 5 }), 410],
    ["has one click left", at({ click_limit: 5, click_count: 4 }), "shop://open"],
    ["never sends to an unsafe address", at({ expires_at: NOW, expired_url: "javascript:alert(1)" }), 410],
  ];
  for (const [name, link, expected] of cases) {
    test(name, async () => {
      const { open, clicks } = redirecting("committed", () => link);
      const answer = await open();
      const got =
        answer.kind === "redirect" ? answer.location.replace(/\?cid=.*/, "") : answer.kind === "page" && answer.status;
      assert.equal(got, expected);
      assert.equal(clicks.length, expected === "shop://open" ? 1 : 0);
    });
  }

  test("counts the clicks that its row does not know of yet", async () => {
    const link = at({ click_limit: 3, click_count: 1 });
    const { open, clicks } = redirecting("committed", () => link);
    for (let count = 0; count < 5; count++) await open();
    await open("HEAD");
    assert.equal(clicks.length, 2);
  });
});

test("a click that cannot be stored shows no token on the pages either", async () => {
  const store = { ios_store_url: "https://apps.apple.com/app/id1" };
  const link = prepare({ link: store, app: { ios_enable_pasteboard: true } });
  const answer = await redirecting("unrecorded", () => link).open();
  assert.deepEqual(answer, { kind: "redirect", location: store.ios_store_url });
  const instagram = { "user-agent": `${IPHONE["user-agent"]} Mobile/15E148 Instagram 331.0` };
  const page = await redirecting("unrecorded").open("GET", instagram);
  assert.ok(page.kind === "page" && page.page.html.includes('href="shop://open"') && !page.page.html.includes("cid"));
});

test("of a visitor only keyed hashes are kept, and a token lives for thirty days", async () => {
  const { open, clicks } = redirecting("committed");
  await open();
  const text = JSON.stringify(clicks);
  assert.ok(!text.includes("203.0.113.7") && !text.includes("Mozilla"));
  assert.match(clicks[0]?.row.ip_hash ?? "", /^[\w-]{22}$/);
  assert.equal(clicks[0]?.row.expires_at, NOW + 30 * 24 * 3_600_000);
});

test("a link that cannot be looked up is a page that asks to come back; a bug is not hidden", async () => {
  for (const error of [new DatabaseError("unavailable", "down"), unavailable("too many look-ups", 1)]) {
    const answer = await redirecting("committed", () => Promise.reject(error)).open();
    assert.ok(answer.kind === "page" && answer.status === 503 && answer.page.headers["retry-after"] !== undefined);
  }
  await assert.rejects(redirecting("committed", () => Promise.reject(new DatabaseError("bug", "x"))).open());
});
