// App events in each form that an SDK has sent, one case for each; what an SDK needs of the answer is its status alone.
import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "../../src/platform/sql.ts";
import { NATIVE_ANDROID, NATIVE_IOS, ofType, PIXEL, send, startShop } from "../support/sdk.ts";
import { writeLikeAndroid } from "../support/sdk-rows.ts";

const { api, app_id, link } = await startShop(null);
const CID = "0123456789abcdef0123456789abcdef";
const AT = 1_764_150_000;
const props = { price: 12.5, tags: ["a", "b"], nested: { deep: true } };
const text = JSON.stringify(props);

interface Case {
  name: string;
  agent: string;
  body: (type: string) => unknown;
  /** What is known of it, apart from its type. */
  kept: Record<string, unknown>;
}

const full = (type: string, platform: string) => ({
  type,
  cid: CID,
  linkId: link.id,
  platform,
  timestamp: AT,
  userId: "u1",
});
const whole = { cid: CID, link_id: link.id, user_id: "u1", timestamp: AT };

const CASES: Case[] = [
  {
    ...{ name: "Web up to 0.2.13, Flutter web", agent: PIXEL },
    body: (event) => ({ event, platform: "web", timestamp: AT, userId: "u1", props }),
    kept: { platform: "web", user_id: "u1", timestamp: AT, detail: text },
  },
  {
    ...{ name: "Web up to 0.2.13, only what it must send", agent: PIXEL },
    body: (event) => ({ event, platform: "web", timestamp: AT }),
    kept: { platform: "web", timestamp: AT },
  },
  {
    ...{ name: "iOS and React Native up to 0.2.3", agent: NATIVE_IOS },
    body: (event) => ({ event, platform: "ios", timestamp: AT, userId: "u1", props }),
    kept: { platform: "ios", user_id: "u1", timestamp: AT, detail: text },
  },
  {
    ...{ name: "Android up to 0.2.3, whose writer makes texts of lists", agent: NATIVE_ANDROID },
    body: (event) => writeLikeAndroid({ event, platform: "android", timestamp: AT, props: { tags: ["a", "b"] } }),
    kept: { platform: "android", timestamp: AT, detail: '{"tags":"[a, b]"}' },
  },
  {
    ...{ name: "iOS 0.2.4 to 0.2.13", agent: NATIVE_IOS },
    body: (type) => ({ type, platform: "ios", timestamp: AT, userId: "u1", detail: text }),
    kept: { platform: "ios", user_id: "u1", timestamp: AT, detail: text },
  },
  {
    ...{ name: "Android 0.2.4 to 0.2.13, whose writer escapes quotes", agent: NATIVE_ANDROID },
    body: (type) => writeLikeAndroid({ type, platform: "android", timestamp: AT, detail: '{"a":1}' }),
    kept: { platform: "android", timestamp: AT, detail: '{"a":1}' },
  },
  {
    ...{ name: "React Native from 0.2.4", agent: NATIVE_IOS },
    body: (type) => ({ ...full(type, "ios"), detail: text }),
    kept: { platform: "ios", ...whole, detail: text },
  },
  {
    ...{ name: "React Native from 0.2.4, detail that is no JSON", agent: NATIVE_ANDROID },
    body: (type) => ({ ...full(type, "android"), detail: "checkout" }),
    kept: { platform: "android", ...whole, detail: "checkout" },
  },
  {
    ...{ name: "Web from 0.2.14", agent: PIXEL },
    body: (type) => ({ ...full(type, "web"), detail: text }),
    kept: { platform: "web", ...whole, detail: text },
  },
  {
    ...{ name: "Android from 0.2.14", agent: NATIVE_ANDROID },
    body: (type) => ({ ...full(type, "android"), detail: text }),
    kept: { platform: "android", ...whole, detail: text },
  },
];

const report = (body: unknown, agent: string, headers: Record<string, string> = {}) =>
  send(api, "POST", "/api/app-events", body, { agent, headers: { "x-app-id": app_id, ...headers } });

for (const [index, { name, agent, body, kept }] of CASES.entries()) {
  test(`${name}: an open becomes an event, anything else is kept`, async () => {
    const opened = await report(body("open"), agent);
    assert.deepEqual([opened.status, opened.body], [204, ""]);
    assert.deepEqual((await ofType(api, app_id, "link.app_open")).at(-1), { type: "open", ...kept });
    const type = `purchase-${index}`;
    assert.equal((await report(body(type), agent)).status, 204);
    const { items } = (await api.call("GET", `/api/apps/${app_id}/app-events?type=${type}`)).body;
    assert.equal(items.length, 1);
    const { id: _id, created_at: _at, ...rest } = items[0];
    assert.deepEqual(rest, { type, ...kept });
    assert.equal((await ofType(api, app_id, "link.app_open")).length, index + 1, "one open each");
  });
}

test("what a device says of the coding of plain JSON is of no account", async () => {
  for (const coding of ["utf-8", "UTF8", "", "identity", "identity, identity"]) {
    const { status } = await report({ type: "coded", platform: "ios" }, NATIVE_IOS, { "content-encoding": coding });
    assert.equal(status, 204, coding);
  }
});

test("what Android's own writer leaves unescaped is no JSON, is refused, and is stored nowhere", async () => {
  const before = (await api.call("GET", `/api/apps/${app_id}/app-events`)).body.items.length;
  // A backslash before another letter, one before the end, and a line end.
  for (const detail of ["C:\\dir", "ends with \\", "two\nlines", "tab\there"]) {
    const answer = await report(writeLikeAndroid({ type: "error", platform: "android", detail }), NATIVE_ANDROID);
    assert.deepEqual([answer.status, answer.body.error], [400, "invalid_request"], JSON.stringify(detail));
  }
  assert.equal((await api.call("GET", `/api/apps/${app_id}/app-events`)).body.items.length, before);
});

test("where keys are demanded a key that may read is enough, and one that is missing, over or another app's is not", async () => {
  const own = await api.createApp({ require_api_key: true });
  const read = await api.createKey(own, { kind: "app" });
  const soon = new Date(Date.now() + 3_600_000).toISOString();
  const expiring = await api.createKey(own, { kind: "app", expires_at: soon });
  const over = await api.createKey(own, { kind: "app", expires_at: soon, label: "over" });
  await api.db.query(sql`update api_keys set expires_at = ${Date.now() - 1} where app_id = ${own} and label = 'over'`);
  const foreign = await api.createKey(app_id, { kind: "app" });
  const calls = [
    ["POST", "/api/app-events", { type: "open", platform: "web" }, 204],
    ["POST", "/api/deferred/claim", { platform: "web" }, 404],
    ["POST", "/api/install-referrer", { referrer: "utm_source=x" }, 404],
    ["POST", "/api/deeplink/resolve-url", { url: "https://foreign.example/" }, 404],
    ["GET", `/api/deeplink?cid=${CID}`, undefined, 404],
  ] as const;
  const ask = async (key: string | null) => {
    const headers = { "x-app-id": own, ...(key !== null && { "x-api-key": key }) };
    return Promise.all(
      calls.map(async ([method, url, body]) => (await send(api, method, url, body, { agent: PIXEL, headers })).status),
    );
  };
  const let_in = calls.map(([, , , status]) => status);
  assert.deepEqual(await ask(read), let_in);
  assert.deepEqual(await ask(expiring), let_in, "it has an hour left");
  for (const key of [null, "", "LKDEMO-1", over])
    assert.deepEqual(new Set(await ask(key)), new Set([401]), String(key));
  assert.deepEqual(new Set(await ask(foreign)), new Set([403]));
});
