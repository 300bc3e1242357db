// A page on another origin, in a real Chromium, makes the calls of LinkMe's web SDK: against the server's own host and against
// an app's domain. The browser decides what CORS lets through; the test sees its preflights, its console and whom it asked.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";

const LINK_HOST = "go.shop.example";
const PAGE_HOST = "www.shop.example";
const CLIENT = readFileSync(join(import.meta.dirname, "../support/web-client.js"), "utf8");
const HTML = `<!doctype html><title>Shop</title><link rel="icon" href="data:,"><script>${CLIENT}</script>`;
const LOCAL_ONLY = `MAP ${LINK_HOST} 127.0.0.1, MAP ${PAGE_HOST} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`;
const FLAGS = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
  ...["--disable-component-update", "--disable-sync", `--host-resolver-rules=${LOCAL_ONLY}`],
];

interface Answer {
  status: number;
  body: Record<string, unknown> | null;
}

let server: ServerProcess;
let site: Receiver;
let browser: BrowserContext;
let page: Page;
const profile = mkdtempSync(join(tmpdir(), "linkme-browser-"));
const app = { id: "", key: "" };
/** What the browser reported, of both tests. */
const seen = {
  hosts: new Set<string>(),
  preflights: new Set<string>(),
  refused: [] as string[],
  other: [] as string[],
};

before(async () => {
  const executablePath = process.env["CHROMIUM_PATH"];
  assert.ok(executablePath, "CHROMIUM_PATH is not set: `npm test` sets it, and installs Chromium where there is none.");
  const html = { headers: { "content-type": "text/html" }, body: HTML };
  const launching = chromium.launchPersistentContext(profile, { executablePath, headless: true, args: FLAGS });
  [server, site, browser] = await Promise.all([startServer(), startReceiver(() => html), launching]);
  await createShop();
  page = await browser.newPage();
  await watch();
});

after(async () => {
  await browser?.close();
  await Promise.all([server?.stop(), site?.close()]);
  rmSync(profile, { recursive: true, force: true });
});

const admin = async <Body>(method: string, path: string, body?: object): Promise<Body> => {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const answer = await server.request<Body>(method, path, body, headers);
  assert.ok(answer.status < 300, JSON.stringify(answer.body));
  return answer.body;
};

/** An app that demands keys, with a domain for its links and one for its pages, where its link leads on a desktop. */
async function createShop(): Promise<void> {
  app.id = (await admin<{ id: string }>("POST", "/api/apps", { name: "Shop", require_api_key: true })).id;
  const at = `/api/apps/${app.id}`;
  app.key = (await admin<{ key: string }>("POST", `${at}/keys`, { kind: "app" })).key;
  for (const hostname of [LINK_HOST, PAGE_HOST]) await admin("POST", `${at}/domains`, { hostname });
  const redirects = { web: pageUrl("/landing") };
  await admin("POST", `${at}/links`, { slug: "hello", deepLink: "/shoes/42", redirects, customData: { emoji: "👟" } });
}

const portOf = (url: string) => new URL(url).port;
const pageUrl = (path: string) => `http://${PAGE_HOST}:${portOf(site.url)}${path}`;
const linkUrl = (path: string) => `http://${LINK_HOST}:${portOf(server.url)}${path}`;

async function watch(): Promise<void> {
  page.on("request", (request) => seen.hosts.add(new URL(request.url()).host));
  page.on("pageerror", (error) => seen.other.push(String(error)));
  page.on("console", (message) => {
    const is_refusal = message.type() === "error" && message.text().includes("status of 404");
    if (is_refusal) seen.refused.push(new URL(message.location().url).pathname);
    else seen.other.push(message.text());
  });
  const protocol = await browser.newCDPSession(page);
  protocol.on("Network.requestWillBeSent", ({ request }) => {
    if (request.method === "OPTIONS") seen.preflights.add(request.url.replace(/\?.*/, ""));
  });
  await protocol.send("Network.enable");
}

/** Calls a method of the page's client, which talks to this server. */
function call(baseUrl: string, method: string, ...args: string[]): Promise<Answer> {
  const config = { baseUrl, appId: app.id, appKey: app.key };
  const source = `createClient(${JSON.stringify(config)}).${method}(...${JSON.stringify(args)})`;
  return page.evaluate<Answer>(source);
}

/** Opens the link in the page, and resolves with the token that came with its redirect. */
async function openLink(): Promise<string> {
  await page.goto(linkUrl("/hello"));
  const cid = new URL(page.url()).searchParams.get("cid") ?? "";
  assert.match(page.url(), /^http:\/\/www\.shop\.example:\d+\/landing\?cid=[0-9a-f]{32}$/);
  return cid;
}

for (const [what, base] of [
  ["the server's own host", () => server.url],
  ["a domain of the app", () => linkUrl("")],
] as const) {
  test(`the calls of the web SDK go through from another origin to ${what}`, async () => {
    const preflights = seen.preflights.size;
    const cid = await openLink();
    const first = await call(base(), "resolveFromUrl");
    assert.deepEqual([first.status, first.body?.["cid"], first.body?.["path"]], [200, cid, "/shoes/42"]);
    assert.deepEqual([first.body?.["custom"], first.body?.["duplicate"]], [{ emoji: "👟" }, false]);
    assert.equal(page.url(), pageUrl("/landing"), "the token is gone from the address bar");

    const other = await openLink();
    await page.goto(pageUrl(`/landing#cid=${other}`));
    assert.equal((await call(base(), "resolveFromUrl")).body?.["cid"], other, "a token in the fragment");
    await page.goto(pageUrl(`/landing#cid=${other}`));
    assert.equal((await call(base(), "resolveFromUrl")).body?.["duplicate"], true, "the same token again");

    const resolved = await call(base(), "resolveUrl", linkUrl("/hello"));
    assert.deepEqual([resolved.status, resolved.body?.["path"]], [200, "/shoes/42"]);
    const foreign = await call(base(), "resolveUrl", "https://elsewhere.example/hello");
    assert.deepEqual([foreign.status, foreign.body?.["error"]], [404, "domain_not_found"]);

    const unclaimed = await openLink();
    const deferred = await call(base(), "claimDeferred");
    assert.deepEqual([deferred.status, deferred.body?.["cid"]], [200, unclaimed]);
    const again = await call(base(), "claimDeferred");
    assert.deepEqual([again.status, again.body?.["error"]], [404, "no_match"]);

    assert.deepEqual(await call(base(), "track", "open", '{"plan":"pro"}'), { status: 204, body: null });
    assert.equal(seen.preflights.size - preflights, 4, "each endpoint was asked for leave");
  });
}

test("the console says nothing but the refusals, nobody else was asked, and the events are there", async () => {
  assert.deepEqual(seen.other, []);
  const refused = ["/api/deeplink/resolve-url", "/api/deferred/claim"];
  assert.deepEqual(seen.refused, [...refused, ...refused]);
  assert.deepEqual(
    [...seen.hosts].sort(),
    [new URL(server.url), new URL(linkUrl("")), new URL(pageUrl(""))].map((url) => url.host).sort(),
  );
  const { items } = await admin<{ items: { event: string }[] }>("GET", `/api/apps/${app.id}/events?limit=100`);
  const count = (type: string) => items.filter(({ event }) => event === type).length;
  assert.deepEqual(["link.click", "link.claim", "link.app_open"].map(count), [6, 6, 2]);
});
