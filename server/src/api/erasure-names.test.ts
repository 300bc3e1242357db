// Whom an erasure is of, over HTTP on both engines: settled when it is asked for, whatever becomes of clicks and devices until it
// begins, and never more than the name leads to.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestApi } from "../../test/support/api.ts";
import { behind } from "../../test/support/behind.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { countsOf, finished, runnerOn, storedText } from "../../test/support/erasures.ts";
import { click, send, startShop } from "../../test/support/sdk.ts";
import { createErasureStore } from "../persons/store.ts";
import { sql } from "../platform/sql.ts";

const SHARED = deviceOf("ADADADAD-01");
const PHONE = deviceOf("BBBBBBBB-02");

function deviceOf(device_id: string) {
  return { platform: "ios", id_type: "idfv", device_id, consent: { vendor: true } };
}

type Device = ReturnType<typeof deviceOf>;

async function claimOn(api: TestApi, app_id: string, device: Device, user_id?: string): Promise<string> {
  const cid = await click(api, app_id, "hello");
  const headers = { "x-app-id": app_id, "x-linkme-device": JSON.stringify(device) };
  const query = user_id === undefined ? "" : `&user_id=${user_id}`;
  const { status } = await send(api, "GET", `/api/deeplink?cid=${cid}${query}`, undefined, { headers });
  assert.equal(status, 200);
  return cid;
}

async function report(api: TestApi, app_id: string, event: object): Promise<void> {
  const { status } = await send(api, "POST", "/api/app-events", event, { headers: { "x-app-id": app_id } });
  assert.equal(status, 204);
}

async function ask(api: TestApi, app_id: string, name: object): Promise<string> {
  const { status, body } = await api.call("POST", `/api/apps/${app_id}/erasures`, name);
  assert.equal(status, 202);
  return body.id;
}

forEachEngine((engine) => {
  test("a device that several use leads to what is told of it, and to none of them", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const phone = await claimOn(api, app_id, PHONE, "lovelace");
    const first = await claimOn(api, app_id, SHARED, "lovelace");
    const second = await claimOn(api, app_id, SHARED, "hopper");
    await report(api, app_id, { type: "purchase", userId: "lovelace" });
    await finished(api, app_id, { device_id: SHARED.device_id });
    assert.doesNotMatch(await storedText(api, ["clicks"]), new RegExp(`${first}|${second}`));
    assert.match(await storedText(api, ["clicks"]), new RegExp(phone));
    assert.match(await storedText(api, ["app_events"]), /lovelace/);
    const [{ kind }] = await api.db
      .query<{ kind: string }>(sql`select kind from identities where kind = 'user' and key = 'lovelace'`)
      .then(([row]) => [row ?? assert.fail("she is known still")] as const);
    assert.equal(kind, "user");
  });

  test("where nobody is known all clicks of the device go, however many", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const cid = await claimOn(api, app_id, SHARED);
    for (let n = 0; n < 24; n++) await claimOn(api, app_id, SHARED);
    await report(api, app_id, { type: "purchase", device: SHARED });
    const id = await ask(api, app_id, { cid });
    assert.equal(await runnerOn(api.db, 10).runRound(), true);
    assert.equal((await api.call("GET", `/api/erasures/${id}`)).body.state, "done");
    assert.equal(await storedText(api, ["clicks", "app_events", "identities", "erasure_keys"]), "[[],[],[],[]]");
  });

  test("an erasure without names, of a version before they were stored, finds them when it begins", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const cid = await claimOn(api, app_id, PHONE, "lovelace");
    await report(api, app_id, { type: "purchase", userId: "lovelace" });
    const counts = { passes: 0, events: 0, clicks: 0, app_events: 0, identities: 0 };
    const row = { id: "era_1", app_id, kind: "cid", value: cid, ...counts, created_at: Date.now(), finished_at: null };
    await createErasureStore(api.db).insert({ ...row, kind: "cid" }, [], { forget_before: 0, open_max: 1 });
    assert.equal(await runnerOn(api.db).runRound(), true);
    assert.doesNotMatch(await storedText(api), /lovelace/);
  });

  for (const by of ["user_id", "cid"] as const) {
    test(`a click from before somebody signed in goes with them, whoever has come to the device since: by ${by}`, async () => {
      const { api, app_id } = await startShop(engine, { analytics_consent: true });
      const anonymous = await claimOn(api, app_id, SHARED);
      const signed_in = await claimOn(api, app_id, SHARED, "lovelace");
      await ask(api, app_id, by === "cid" ? { cid: signed_in } : { user_id: "lovelace" });
      await report(api, app_id, { type: "open", device: SHARED, userId: "hopper" });
      assert.equal(await runnerOn(api.db).runRound(), true);
      assert.doesNotMatch(await storedText(api, ["clicks"]), new RegExp(`${anonymous}|${signed_in}`));
      assert.match(await storedText(api, ["identities"]), /hopper/);
    });
  }

  test("the user is found behind more clicks than are looked at together", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    for (let n = 0; n < 4; n++) await claimOn(api, app_id, SHARED);
    await claimOn(api, app_id, SHARED, "lovelace");
    await report(api, app_id, { type: "purchase", userId: "lovelace" });
    // As many as fill what is looked at: their tokens stand before hers.
    const cids = Array.from({ length: 230 }, (_, n) => `${n.toString(16).padStart(32, "0")}`);
    const [{ device }] = await api.db
      .query<{ device: string }>(sql`select device from clicks limit 1`)
      .then(([row]) => [row ?? assert.fail("a click is stored")] as const);
    for (const cid of cids) {
      await api.db.query(sql`insert into clicks (cid, app_id, link_id, platform, dest_url, created_at, expires_at, device)
        values (${cid}, ${app_id}, 'lnk_1', 'ios', '', 1, 1, ${device})`);
    }
    await finished(api, app_id, { device_id: SHARED.device_id });
    assert.doesNotMatch(await storedText(api), /lovelace/);
    assert.equal(await storedText(api, ["clicks", "app_events", "identities"]), "[[],[],[]]");
  });

  test("a click that is claimed in the last pass by the same user leads to the device, too", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    await claimOn(api, app_id, SHARED, "lovelace");
    const headers = { "x-app-id": app_id, "x-linkme-device": JSON.stringify(PHONE) };
    let cid = "";
    const names_are_stored = /insert into erasure_keys/;
    const in_first_pass = behind(api.db, names_are_stored, async () => {
      cid = await click(api, app_id, "hello");
      await report(api, app_id, { type: "open", cid, userId: "lovelace" });
    });
    const in_second = async () => {
      await send(api, "GET", `/api/deeplink?cid=${cid}&user_id=lovelace`, undefined, { headers });
    };
    const db = behind(in_first_pass, names_are_stored, in_second, 2);
    await ask(api, app_id, { user_id: "lovelace" });
    assert.equal(await runnerOn(db).runRound(), true);
    assert.equal(await storedText(api, ["clicks", "identities"]), "[[],[]]");
  });

  test("asked for several times at once it is one", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const ids = await Promise.all([1, 2, 3, 4].map(() => ask(api, app_id, { user_id: "lovelace" })));
    // On PostgreSQL two calls of the same moment may not see each other; then there are two, and both end.
    if (api.db.engine === "sqlite") assert.equal(new Set(ids).size, 1);
    assert.deepEqual(countsOf(await finishedLast(api, app_id)), { events: 0, clicks: 0, app_events: 0, identities: 0 });
  });
});

async function finishedLast(api: TestApi, app_id: string) {
  while (await runnerOn(api.db).runRound()) {
    // Until none is left.
  }
  const { body } = await api.call("GET", `/api/apps/${app_id}/erasures`);
  assert.deepEqual([...new Set(body.items.map(({ state }: { state: string }) => state))], ["done"]);
  return body.items[0];
}
