// Who claims a click while it is being erased, over HTTP on both engines: either the claim comes first, and goes with the click,
// or the token is unknown. Nothing of it stays behind.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestApi } from "../../test/support/api.ts";
import { behind } from "../../test/support/behind.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { finished, runnerOn, storedText } from "../../test/support/erasures.ts";
import { meanwhile } from "../../test/support/meanwhile.ts";
import { click, ofType, send, startShop } from "../../test/support/sdk.ts";
import type { Database } from "../platform/database.ts";
import { sql } from "../platform/sql.ts";

const DEVICE = { platform: "ios", id_type: "idfv", device_id: "ADADADAD-01", consent: { vendor: true } };

function claimAs(api: TestApi, app_id: string, cid: string, user_id: string) {
  const headers = { "x-app-id": app_id, "x-linkme-device": JSON.stringify(DEVICE) };
  return send(api, "GET", `/api/deeplink?cid=${cid}&user_id=${user_id}`, undefined, { headers });
}

forEachEngine((engine) => {
  test("a click that is claimed between any two steps of its erasure goes, and whoever claimed it begins anew", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const answers = new Set<number>();
    for (let steps = 1; ; steps++) {
      const cid = await click(api, app_id, "hello");
      let is_claimed = false;
      const db = after(api.db, steps, async () => {
        is_claimed = true;
        answers.add((await claimAs(api, app_id, cid, "lovelace")).status);
      });
      await finished(api, app_id, { cid }, db);
      assert.doesNotMatch(await storedText(api), new RegExp(cid), `claimed after ${steps} steps`);
      await finished(api, app_id, { user_id: "lovelace" });
      assert.doesNotMatch(await storedText(api), /lovelace/, `claimed after ${steps} steps`);
      assert.equal(await storedText(api, ["identities"]), "[[]]", `claimed after ${steps} steps`);
      if (!is_claimed) break;
    }
    assert.deepEqual(answers, new Set([200, 404]));
  });

  for (const [title, nameOf] of [
    ["the device", () => ({ device_id: DEVICE.device_id })],
    ["the click", (cid: string) => ({ cid })],
  ] as const) {
    test(`whoever comes to ${title} behind the answer, while the erasure waits, is somebody else`, async () => {
      const { api, app_id } = await startShop(engine, { analytics_consent: true });
      const call = (path: string, device: object, body?: object) =>
        send(api, body === undefined ? "GET" : "POST", path, body, {
          headers: { "x-app-id": app_id, "x-linkme-device": JSON.stringify(device) },
        });
      const phone = { ...DEVICE, device_id: "BBBBBBBB-02" };
      const hoppers = await click(api, app_id, "hello");
      assert.equal((await call(`/api/deeplink?cid=${hoppers}&user_id=hopper`, phone)).status, 200);
      await call("/api/app-events", phone, { type: "purchase", userId: "hopper", device: phone });
      const before = await api.call("POST", `/api/apps/${app_id}/persons`, { user_id: "hopper" });
      const cid = await click(api, app_id, "hello");
      const is_device = title === "the device";
      if (is_device) assert.equal((await call(`/api/deeplink?cid=${cid}`, DEVICE)).status, 200);
      const asked = await api.call("POST", `/api/apps/${app_id}/erasures`, nameOf(cid));
      assert.equal(asked.status, 202);
      if (!is_device) assert.equal((await call(`/api/deeplink?cid=${cid}&user_id=hopper`, phone)).status, 200);
      const open = { type: "open", userId: "hopper", device: is_device ? DEVICE : phone, cid };
      assert.equal((await call("/api/app-events", open.device, open)).status, 204);
      assert.equal(await runnerOn(api.db).runRound(), true);
      assert.equal((await api.call("GET", `/api/erasures/${asked.body.id}`)).body.state, "done");
      assert.doesNotMatch(await storedText(api), new RegExp(cid));
      const after = await api.call("POST", `/api/apps/${app_id}/persons`, { user_id: "hopper" });
      for (const what of ["clicks", "events", "app_events"]) {
        assert.deepEqual(after.body[what], before.body[what], what);
      }
      const seen = (identities: { kind: string; first_cid: string }[]) =>
        identities.map(({ kind, first_cid }) => [kind, first_cid]);
      assert.deepEqual(seen(after.body.identities), seen(before.body.identities));
    });
  }

  test("a user who is known when it is asked for goes, whoever has come to the device by the time that it begins", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const cid = await click(api, app_id, "hello");
    assert.equal((await claimAs(api, app_id, cid, "lovelace")).status, 200);
    await api.call("POST", `/api/apps/${app_id}/events`, { event: "link.claim", data: { user_id: "lovelace" } });
    await api.call("POST", `/api/apps/${app_id}/events`, { event: "link.claim", data: { user_id: "hopper" } });
    await api.call("POST", `/api/apps/${app_id}/erasures`, { device_id: DEVICE.device_id });
    const open = { type: "open", userId: "hopper", device: DEVICE };
    await send(api, "POST", "/api/app-events", open, { headers: { "x-app-id": app_id } });
    assert.equal(await runnerOn(api.db).runRound(), true);
    assert.doesNotMatch(await storedText(api), /lovelace/);
    assert.doesNotMatch(await storedText(api, ["clicks", "identities"]), new RegExp(cid));
    const told = await api.db.query<{ body: string }>(sql`select body from events`);
    assert.equal(told.filter(({ body }) => body.includes("hopper")).length, 2);
  });

  test("whoever opens a click of a device that is being erased is somebody else, and keeps what is theirs", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const headers = { "x-app-id": app_id };
    await api.call("POST", `/api/apps/${app_id}/events`, { event: "link.claim", data: { user_id: "hopper" } });
    const cid = await click(api, app_id, "hello");
    const claimed = await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, {
      headers: { ...headers, "x-linkme-device": JSON.stringify(DEVICE) },
    });
    assert.equal(claimed.status, 200);
    const open = { type: "open", platform: "ios", cid, userId: "hopper" };
    // The names of the person have been found, and nothing has been erased.
    const db = behind(api.db, /insert into erasure_keys/, async () => {
      assert.equal((await send(api, "POST", "/api/app-events", open, { headers })).status, 204);
    });
    await finished(api, app_id, { device_id: DEVICE.device_id }, db);
    assert.doesNotMatch(await storedText(api, ["clicks"]), new RegExp(cid));
    const told = await api.db.query<{ body: string }>(sql`select body from events where event = ${"link.claim"}`);
    assert.ok(
      told.some(({ body }) => body.includes("hopper")),
      JSON.stringify(told),
    );
  });

  for (const [title, before] of [
    ["has not been claimed", null],
    [
      "was claimed by nobody who was known",
      async (api: TestApi, app_id: string, cid: string) => {
        await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, { headers: { "x-app-id": app_id } });
      },
    ],
    ["was claimed by the same", (api: TestApi, app_id: string, cid: string) => claimAs(api, app_id, cid, "lovelace")],
  ] as const) {
    test(`a claim that has read a click which goes then ties nobody to it: it ${title}`, async () => {
      const { api, app_id } = await startShop(engine, { analytics_consent: true });
      const cid = await click(api, app_id, "hello");
      await before?.(api, app_id, cid);
      await api.db.query(sql`delete from identities`);
      const gone = sql`delete from clicks where cid = ${cid}`;
      await meanwhile(api.db, [() => claimAs(api, app_id, cid, "lovelace")], gone);
      assert.equal(await storedText(api, ["identities"]), "[[]]");
    });
  }

  test("an open that has read a click which goes then is kept, and ties nobody to it", async () => {
    const { api, app_id } = await startShop(engine, { analytics_consent: true });
    const cid = await click(api, app_id, "hello");
    const open = { type: "open", cid, userId: "lovelace" };
    const report = () => send(api, "POST", "/api/app-events", open, { headers: { "x-app-id": app_id } });
    await meanwhile(api.db, [report], sql`delete from clicks where cid = ${cid}`);
    assert.equal(await storedText(api, ["identities"]), "[[]]");
    const [told] = await ofType(api, app_id, "link.app_open");
    assert.deepEqual([told?.["user_id"], told?.["first_cid"]], ["lovelace", undefined]);
  });
});

/** Does something once, behind so many calls of a database. */
function after(db: Database, calls: number, work: () => Promise<unknown>): Database {
  let left = calls;
  async function counted<Result>(call: Promise<Result>): Promise<Result> {
    const result = await call;
    if (--left === 0) await work();
    return result;
  }
  return {
    ...db,
    query: (statement) => counted(db.query(statement)),
    batch: (statements) => counted(db.batch(statements)),
    transaction: (work_of, limits) => counted(db.transaction(work_of, limits)),
  };
}
