// With an app's consent, over HTTP and on both engines: what a click keeps of Google Analytics, and who is tied to what.
// Without it, that nothing of the kind is read.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { claim, click, ofType, send, startShop } from "../../test/support/sdk.ts";
import { sql } from "../platform/sql.ts";

const GA = "GA1.1.1390821944.1652345678";
const SESSION = "GS2.1.s1747323152$o28$g0$t1747323152$j60$l0$h69286059";
const COOKIES = { cookie: `theme=dark; _ga=${GA}; _ga_ABC123=${SESSION}; _ga_x=1` };
const KEPT = { client_id: "1390821944.1652345678", cookies: { _ga: GA, _ga_ABC123: SESSION } };

forEachEngine((engine) => {
  test("a click keeps the cookies of Google Analytics with the app's consent, and its token's event has them too", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const with_ga = await click(api, app_id, "hello", { headers: COOKIES });
    const without = await click(api, app_id, "hello", { headers: { cookie: "theme=dark" } });
    for (const type of ["link.click", "link.token_created"] as const) {
      assert.deepEqual(
        (await ofType(api, app_id, type)).map(({ cid, ga }) => [cid, ga]),
        [
          [with_ga, KEPT],
          [without, undefined],
        ],
        type,
      );
    }
    const stored = await api.db.query<{ ga: string | null }>(sql`select ga from clicks order by cid`);
    assert.deepEqual(
      stored.map(({ ga }) => ga && JSON.parse(ga)),
      [KEPT, null],
    );
  });

  test("with consent a click tells of the browser what a vendor of analytics cannot see; without it nothing", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const phone = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36";
    const tablet = "Mozilla/5.0 (Linux; Android 13; SM-X200) AppleWebKit/537.36 Chrome/126.0 Safari/537.36";
    const ipad = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari/604.1";
    const desktop = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0 Safari/537.36";
    const visit = (agent: string) => click(api, app_id, "hello", { agent, headers: { "accept-language": "de-CH,fr" } });
    for (const agent of [phone, tablet, ipad, desktop]) await visit(agent);
    for (const type of ["link.click", "link.token_created"] as const) {
      const told = (await ofType(api, app_id, type)).map(({ os, os_version, language, device_category }) => {
        return [os, os_version, language, device_category];
      });
      assert.deepEqual(told, [
        ["Android", "14", "de-ch", "mobile"],
        ["Android", "13", "de-ch", "tablet"],
        ["iOS", "17.5", "de-ch", "tablet"],
        ["Windows", undefined, "de-ch", "desktop"],
      ]);
    }
    const other = await startShop(engine);
    await click(other.api, other.app_id, "hello", { agent: phone });
    const [silent] = await ofType(other.api, other.app_id, "link.click");
    for (const name of ["os", "os_version", "language", "device_category", "country"]) {
      assert.equal(silent !== undefined && name in silent, false, name);
    }
  });

  test("without it nothing of them is read, and the setting holds from the next click on", async () => {
    const { api, app_id } = await startShop(engine);
    assert.equal((await api.call("GET", `/api/apps/${app_id}`)).body.analytics_consent, false);
    await click(api, app_id, "hello", { headers: COOKIES });
    const [event] = await ofType(api, app_id, "link.click");
    assert.equal(event !== undefined && "ga" in event, false);
    assert.deepEqual(await api.db.query(sql`select ga from clicks`), [{ ga: null }]);
    const patched = await api.call("PATCH", `/api/apps/${app_id}`, { analytics_consent: true });
    assert.deepEqual([patched.status, patched.body.analytics_consent], [200, true]);
  });

  const DEVICE = {
    ...{ platform: "ios", id_type: "idfv", device_id: "A1B2C3D4-0000-4000-8000-00000000000A" },
    consent: { vendor: true },
  };
  const as = (app_id: string) => ({ headers: { "x-app-id": app_id } });

  test("the first click of a device is told by its claim, by every open and with what the app reports, and so is its user", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const first = await click(api, app_id, "hello", { headers: COOKIES });
    const claimed = await claim(api, app_id, { platform: "ios", device: DEVICE, user_id: "ada" });
    assert.equal(claimed.body.cid, first);
    const second = await click(api, app_id, "hello");
    const headers = { ...as(app_id).headers, "x-linkme-device": JSON.stringify(DEVICE) };
    assert.equal((await send(api, "GET", `/api/deeplink?cid=${second}`, undefined, { headers })).status, 200);
    const claims = await ofType(api, app_id, "link.claim");
    assert.deepEqual(
      claims.map(({ cid, first_cid, user_id, ga }) => [cid, first_cid, user_id, ga]),
      [
        [first, first, "ada", KEPT],
        [second, first, "ada", undefined],
      ],
    );
    for (const body of [
      { type: "open", platform: "ios", device: DEVICE },
      { event: "open", platform: "ios", userId: "ada" },
      { type: "open", platform: "ios", cid: second },
      { type: "open", platform: "ios", cid: first, userId: "ada" },
    ]) {
      assert.equal((await send(api, "POST", "/api/app-events", body, as(app_id))).status, 204);
    }
    const opens = await ofType(api, app_id, "link.app_open");
    assert.equal(opens.length, 4);
    for (const { first_cid, user_id, ga } of opens) assert.deepEqual([first_cid, user_id, ga], [first, "ada", KEPT]);
    await send(api, "POST", "/api/app-events", { type: "purchase", device: DEVICE }, as(app_id));
    const { items } = (await api.call("GET", `/api/apps/${app_id}/app-events`)).body;
    assert.deepEqual([items[0].type, items[0].first_cid, items[0].user_id], ["purchase", first, "ada"]);
    assert.doesNotMatch(await storedText(api), /a1b2c3d4-0000/i, "the id of the device itself is nowhere");
  });

  test("a user is known on a second device, and nobody is told of a device that several share", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const first = await click(api, app_id, "hello", { headers: COOKIES });
    const [other, third] = ["bbbbbbbb", "cccccccc"].map((device_id) => ({ ...DEVICE, device_id }));
    await claim(api, app_id, { platform: "ios", device: DEVICE, user_id: 7 });
    const open = (device: object | undefined, user_id?: string) =>
      send(api, "POST", "/api/app-events", { type: "open", platform: "ios", device, user_id }, as(app_id));
    await open(other, "7");
    await open(other);
    await open(DEVICE, "grace");
    await open(DEVICE);
    await open(third, "grace");
    const opens = await ofType(api, app_id, "link.app_open");
    assert.deepEqual(
      opens.map(({ first_cid, user_id, ga }) => [first_cid, user_id, ga]),
      [
        [first, "7", KEPT],
        [first, "7", KEPT],
        [first, "grace", undefined],
        [first, undefined, undefined],
        [first, "grace", undefined],
      ],
    );
  });

  test("of many claims and opens at the same moment by one device, all tell of the same first click", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const cids: string[] = [];
    for (let n = 0; n < 6; n++) cids.push(await click(api, app_id, "hello"));
    const headers = { ...as(app_id).headers, "x-linkme-device": JSON.stringify(DEVICE) };
    const answers = await Promise.all(
      cids.map((cid) => send(api, "GET", `/api/deeplink?cid=${cid}&user_id=ada`, undefined, { headers })),
    );
    assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
    const claims = await ofType(api, app_id, "link.claim");
    assert.equal(claims.length, 6);
    const stored = await api.db.query<{ first_cid: string }>(sql`select kind, key, first_cid from identities`);
    assert.equal(stored.length, 2);
    assert.equal(new Set([...claims, ...stored].map(({ first_cid }) => first_cid)).size, 1);
  });

  test("an address that the system opened ties the user to the device, and a claim that is repeated does", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const cid = await click(api, app_id, "hello");
    await send(api, "POST", "/api/install-referrer", { referrer: `cid=${cid}` }, as(app_id));
    const again = { referrer: `cid=${cid}`, userId: "ada" };
    assert.equal((await send(api, "POST", "/api/install-referrer", again, as(app_id))).body.duplicate, true);
    const body = { url: "http://links.test/hello", device: DEVICE, user_id: "ada" };
    assert.equal((await send(api, "POST", "/api/deeplink/resolve-url", body, as(app_id))).status, 200);
    await send(api, "POST", "/api/app-events", { type: "open", device: DEVICE }, as(app_id));
    const [open] = await ofType(api, app_id, "link.app_open");
    assert.deepEqual([open?.["first_cid"], open?.["user_id"]], [cid, "ada"]);
  });

  test("without consent of the app or of the device's owner nothing is tied, and opens say what the app said", async () => {
    const { api, app_id } = await startShop(engine);
    const cid = await click(api, app_id, "hello", { headers: COOKIES });
    await claim(api, app_id, { platform: "ios", device: DEVICE, user_id: "ada" });
    await send(api, "POST", "/api/app-events", { type: "open", cid, device: DEVICE }, as(app_id));
    await send(api, "POST", "/api/app-events", { type: "open", cid, userId: "ada" }, as(app_id));
    const told = (data: Record<string, unknown>[]) =>
      data.map(({ user_id, first_cid, ga }) => JSON.stringify({ user_id, first_cid, ga }));
    assert.deepEqual(told(await ofType(api, app_id, "link.claim")), ["{}"]);
    assert.deepEqual(told(await ofType(api, app_id, "link.app_open")), ["{}", '{"user_id":"ada"}']);
    const empty = { user_id: null, device: null, ga: null };
    assert.deepEqual(await api.db.query(sql`select user_id, device, ga from clicks`), [empty]);
    await api.call("PATCH", `/api/apps/${app_id}`, { analytics_consent: true });
    for (const device of [
      { ...DEVICE, consent: {} },
      { ...DEVICE, id_type: "idfa" },
      { ...DEVICE, device_id: "00000000-0000-0000-0000-000000000000" },
    ]) {
      await send(api, "POST", "/api/app-events", { type: "install", cid, device }, as(app_id));
    }
    assert.deepEqual(await api.db.query(sql`select * from identities`), []);
    assert.deepEqual(await api.db.query(sql`select user_id, device, ga from clicks`), [empty]);
  });

  test("a user's name that is too long, or none, is refused by its field", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const long = "x".repeat(257);
    for (const [method, url, body] of [
      ["GET", `/api/deeplink?cid=${"0".repeat(32)}&user_id=${long}`, undefined],
      ["POST", "/api/deeplink/resolve-url", { url: "http://links.test/hello", user_id: long }],
      ["POST", "/api/deferred/claim", { user_id: { id: 1 } }],
      ["POST", "/api/install-referrer", { referrer: "cid=1", user_id: [] }],
      ["POST", "/api/app-events", { type: "open", user_id: true }],
    ] as const) {
      const { status, body: refused } = await send(api, method, url, body, as(app_id));
      assert.deepEqual([status, refused.details?.[0]?.path], [400, "user_id"], url);
      assert.match(refused.details[0].message, /256/);
    }
  });
});

async function storedText({ db }: TestApi): Promise<string> {
  const tables = ["events", "clicks", "identities", "app_events"];
  const all = tables.map((one) => db.query({ kind: "statement", parts: [`select * from ${one}`], values: [] }));
  return JSON.stringify(await Promise.all(all));
}
