// Follows docs/guide/migrate-from-linkme.md as a reader would: the app is made with the block of the guide, and its script
// brings the links from a stand-in for LinkMe, which tells of them what LinkMe's list tells.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import { type ServerProcess, startServer } from "../support/server-process.ts";

const GUIDE = readFileSync(join(import.meta.dirname, "../../../docs/guide/migrate-from-linkme.md"), "utf8");
const APP_ID = "a1b2c3d4";
const OLD_KEY = "lk_live_read_1";

const BLANK = {
  ...{ app_id: APP_ID, domain_id: "dom_1", deep_link_path: null, deep_link_params: null, ios_custom_url: null },
  ...{ android_custom_url: null, web_fallback_url: null, og_title: null, og_description: null, og_image_url: null },
  ...{ utm: null, utm_override: null, allow_param_passthrough: 0, force_redirect_web: 0, internal: 0, enabled: 1 },
  ...{ click_count: 7, clicks: 7, installs: 1, last_click_at: null, hostname: "a1b2c3d4.li-nk.me" },
};
const FULL = {
  ...{
    ...BLANK,
    id: "l1",
    slug: "full",
    deep_link_path: "/größe/42",
    deep_link_params: '{"id":"42","note":"a \\"b\\""}',
  },
  ...{ ios_custom_url: "shop://a", android_custom_url: "shop://b", web_fallback_url: "https://shop.example" },
  ...{ og_title: "T", og_description: "D", og_image_url: "https://shop.example/i.png" },
  ...{ utm: '{"utm_source":"mail","tags":"a"}', utm_override: '{"utm_source":true,"utm_medium":false}' },
  ...{ allow_param_passthrough: 1, force_redirect_web: 1, internal: 1 },
};
const LINKS: object[] = [
  FULL,
  { ...BLANK, id: "l2", slug: "off", enabled: 0 },
  { ...BLANK, id: "l3", slug: "sparse", og_title: "", utm: "{}", internal: undefined },
];

let old_url = "";
let is_busy = true;
const linkme = createServer((request, response) => {
  const is_right = request.headers.authorization === `Bearer ${OLD_KEY}`;
  if (request.url !== `/api/apps/${APP_ID}/links` || !is_right) {
    response.writeHead(403).end('{"error":"forbidden"}');
  } else if (is_busy) {
    is_busy = false;
    response.writeHead(429, { "retry-after": "0" }).end('{"error":"rate_limited"}');
  } else response.end(JSON.stringify(LINKS));
});
let folder = "";
let server: ServerProcess;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "linkme-move-"));
  linkme.listen(0, "127.0.0.1");
  await once(linkme, "listening");
  old_url = `http://127.0.0.1:${(linkme.address() as AddressInfo).port}`;
  writeFileSync(join(folder, "move-links.mjs"), /^```js\n([\s\S]*?)^```$/m.exec(GUIDE)?.[1] ?? "");
  server = await startServer();
});

after(async () => {
  await server?.stop();
  linkme.close();
  rmSync(folder, { recursive: true, force: true });
});

const asOperator = () => ({ authorization: `Bearer ${server.admin_token}` });

/** Makes a server key of an app, as the guide says. */
async function createKey(app_id: string): Promise<string> {
  const path = `/api/apps/${app_id}/keys`;
  return (await server.request<{ key: string }>("POST", path, { kind: "server" }, asOperator())).body.key;
}

async function move(env: Record<string, string>) {
  const all = { ...process.env, OLD_URL: old_url, OLD_KEY, NEW_URL: server.url, APP_ID, ...env };
  const child = spawn(process.execPath, ["move-links.mjs"], { cwd: folder, env: all, timeout: 60_000 });
  const ended = once(child, "close");
  const [out, err] = await Promise.all([text(child.stdout), text(child.stderr)]);
  const [code] = await ended;
  return { code, counts: out === "" ? null : JSON.parse(out), err };
}

test("the guide's app has what its script brings, whole, and a second run makes nothing twice", async () => {
  const block = /api\/apps -H .* -d '(\{[\s\S]*?\})'/.exec(GUIDE)?.[1] ?? "";
  const { status, body: app } = await server.request<object>("POST", "/api/apps", JSON.parse(block), asOperator());
  assert.equal(status, 201, JSON.stringify(app));
  assert.deepEqual({ ...app, ...JSON.parse(block) }, app, "each setting of the block is taken");
  const files = ["apple-app-site-association", "assetlinks.json"];
  for (const file of files) assert.equal((await server.request("GET", `/.well-known/${file}`)).status, 200, file);

  // Another app of this server has a slug that the app has at LinkMe, too.
  await server.request("POST", "/api/apps", { id: "other", name: "Other" }, asOperator());
  await server.request("POST", "/api/links", { app_id: "other", slug: "off" }, asOperator());
  const NEW_KEY = await createKey(APP_ID);
  const first = await move({ NEW_KEY });
  assert.deepEqual([first.code, first.counts], [1, { made: 2, there: 0, failed: 1 }], first.err);
  assert.match(first.err, /^off: another app of this server has this slug; free: off-2, off-3, off-4$/m);
  await server.request("POST", `/api/apps/${APP_ID}/domains`, { hostname: "go.shop.test" }, asOperator());
  for (const [path, status] of [
    ["/off", 404],
    ["/full", 302],
  ] as const) {
    assert.equal((await server.request("GET", path, undefined, { host: "go.shop.test" })).status, status, path);
  }

  const as_told = { NEW_KEY, RENAME: '{"off":"off-2"}' };
  const second = await move(as_told);
  assert.deepEqual([second.code, second.counts, second.err], [0, { made: 1, there: 2, failed: 0 }, ""]);
  const third = await move(as_told);
  assert.deepEqual([third.code, third.counts], [0, { made: 0, there: 3, failed: 0 }]);

  const key = { authorization: `Bearer ${NEW_KEY}` };
  const read = async (slug: string) =>
    (await server.request<Record<string, unknown>>("GET", `/api/links/${slug}`, undefined, key)).body;
  const full = await read("full");
  const { id: _id, domain_id, click_count, clicks, installs, last_click_at, hostname, ...kept } = FULL;
  assert.deepEqual({ ...full, ...kept }, full, "word for word, as LinkMe told it");
  assert.deepEqual([(await read("off-2"))["enabled"], (await read("sparse"))["internal"]], [0, 0]);
  const headers = { "x-app-id": APP_ID };
  const url = `${server.url}/full`;
  const opened = await server.request<{ params: object }>("POST", "/api/deeplink/resolve-url", { url }, headers);
  assert.deepEqual(opened.body.params, { id: "42", note: 'a "b"' }, "the app gets its parameters");
});

test("a link that is refused, or is there and is another one, is told by name, and the others are brought", async () => {
  const NEW_KEY = await createKey(APP_ID);
  const key = { authorization: `Bearer ${NEW_KEY}` };
  await server.request("PATCH", "/api/links/full", { deep_link_params: null, og_title: "Mine" }, key);
  LINKS.push({ ...BLANK, id: "l4", slug: "wrong slug" }, { ...BLANK, id: "l5", slug: "last" });
  const { code, counts, err } = await move({ NEW_KEY, RENAME: '{"off":"off-2"}' });
  assert.deepEqual([code, counts], [1, { made: 1, there: 2, failed: 2 }], err);
  assert.match(err, /^full: it is not as it was: og_title, deep_link_params$/m);
  assert.match(err, /^wrong slug: 400 .*"path":"slug"/m);
});

test("without a right key nothing is made, and the answer is told", async () => {
  const { code, counts, err } = await move({ NEW_KEY: "sk_none", OLD_KEY: "none" });
  assert.deepEqual([code, counts], [1, null]);
  assert.match(err, /The links cannot be read: 403 \{"error":"forbidden"\}/);
});
