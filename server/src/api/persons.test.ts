// What is stored of a person, shown and erased over HTTP on both engines: everything under any name that leads to them, in
// every table and at every webhook, and nothing of anybody else; whoever dies meanwhile.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PersonData } from "#contract/persons.ts";
import type { TestApi } from "../../test/support/api.ts";
import { behind } from "../../test/support/behind.ts";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { countsOf, finished, runnerOn, storedText } from "../../test/support/erasures.ts";
import { claim, click, eventsOf, send, startShop } from "../../test/support/sdk.ts";
import { createErasureStore } from "../persons/store.ts";
import type { Database } from "../platform/database.ts";
import { rows, sql } from "../platform/sql.ts";

/** What clicks add up to. */
const COUNTS = ["click_tallies", "click_hours", "click_days", "click_parts"];

async function previewed(api: TestApi, app_id: string, body: object) {
  const { status, body: preview } = await api.call("POST", `/api/apps/${app_id}/erasures`, { ...body, dry_run: true });
  assert.equal(status, 200, JSON.stringify(preview));
  return preview;
}

const LIMITS = { forget_before: 0, open_max: 2 };

interface Someone {
  name: string;
  client: string;
  device_id: string;
  ip: string;
}

const ADA: Someone = { name: "lovelace", client: "111111.222222", device_id: "ADADADAD-01", ip: "203.0.113.7" };
const GRACE: Someone = { name: "hopper", client: "333333.444444", device_id: "BBBBBBBB-02", ip: "203.0.113.8" };

const describe = ({ device_id }: Someone) => ({
  ...{ platform: "ios", id_type: "idfv", device_id, consent: { vendor: true } },
});

/** Clicks twice, claims one click, opens the app in several ways, and is told of by the app and by its backend. */
async function live(api: TestApi, app_id: string, who: Someone): Promise<{ cids: string[] }> {
  const headers = { "x-app-id": app_id };
  const caller = { ip: who.ip, headers };
  const cookie = `_ga=GA1.1.${who.client}`;
  const first = await click(api, app_id, "hello", { ip: who.ip, headers: { cookie } });
  const body = { platform: "ios", device: describe(who), user_id: who.name };
  assert.equal((await claim(api, app_id, body, caller)).body.cid, first);
  const second = await click(api, app_id, "hello", { ip: who.ip });
  for (const event of [
    { type: "open", platform: "ios", device: describe(who) },
    { type: "open", platform: "ios", cid: second, userId: who.name },
    { type: "purchase", platform: "ios", cid: first },
    { type: "purchase", platform: "ios", userId: who.name, detail: `of ${who.name}` },
    { type: "install", platform: "ios", device: describe(who) },
  ]) {
    assert.equal((await send(api, "POST", "/api/app-events", event, caller)).status, 204);
  }
  const ingested = { event: "link.app_open", data: { platform: "ios", user_id: who.name, note: `by ${who.name}` } };
  assert.equal((await api.call("POST", `/api/apps/${app_id}/events`, ingested)).status, 202);
  return { cids: [first, second] };
}

/** Of each: two clicks with two events each, a claim with its attempt, two opens, and one that a backend has told. */
const OF_ONE = { events: 9, clicks: 2, app_events: 3, identities: 2 };

async function startWorld(engine: Engine) {
  const { api, app_id } = await startShop(engine, { analytics_consent: true });
  const hook = { url: "https://1.1.1.1/in", events: ["link.click", "link.claim", "link.app_open"] };
  for (let n = 0; n < 2; n++) await api.call("POST", `/api/apps/${app_id}/webhooks`, hook);
  return { api, app_id };
}

const marksOf = (who: Someone, cids: string[]) => new RegExp([...cids, who.name, who.client, who.device_id].join("|"));

forEachEngine((engine) => {
  test("all that is stored of a person goes, at every webhook too, and nothing of anybody else", async () => {
    const { api, app_id } = await startWorld(engine);
    const ada = await live(api, app_id, ADA);
    const grace = await live(api, app_id, GRACE);
    // As receivers do that repeat what they were sent.
    const echo = sql`(select body from events as e where e.position = deliveries.position)`;
    await api.db.query(sql`update deliveries set reason = 'Filtered: ' || ${echo}, first_started_at = 1,
      first_duration_ms = 1, first_status_code = 500, first_response_truncated = 0, first_response_headers = '{}',
      first_response_snippet = ${echo}`);
    await api.db.query(sql`insert into attempts (destination_id, position, number, trigger, started_at, duration_ms,
        outcome, response_headers, response_snippet, response_truncated)
      select destination_id, position, 2, 'auto', 1, 1, 'refused', ${echo}, ${echo}, 0 from deliveries`);
    assert.match(await storedText(api, ["attempts"]), marksOf(ADA, ada.cids));
    const before = (await eventsOf(api, app_id)).filter(({ data }) =>
      JSON.stringify(data).match(marksOf(GRACE, grace.cids)),
    );
    const preview = await previewed(api, app_id, { user_id: "lovelace" });
    assert.deepEqual(preview, { ...OF_ONE, is_complete: true });
    assert.match(await storedText(api), marksOf(ADA, ada.cids), "a preview erases nothing");
    const numbers = await storedText(api, COUNTS);
    const erasure = await finished(api, app_id, { user_id: "lovelace" });
    assert.deepEqual([erasure.named_by, countsOf(erasure)], ["user_id", OF_ONE]);
    assert.doesNotMatch(await storedText(api), marksOf(ADA, ada.cids));
    const left = (await eventsOf(api, app_id)).filter(({ data }) => Object.keys(data).length > 0);
    assert.deepEqual(left, before);
    assert.equal(left.length, 9);
    assert.deepEqual(await previewed(api, app_id, { device_id: GRACE.device_id }), { ...OF_ONE, is_complete: true });
    const none = { events: 0, clicks: 0, app_events: 0, identities: 0 };
    assert.deepEqual(
      countsOf(await finished(api, app_id, { user_id: "lovelace" })),
      none,
      "again, there is nothing left",
    );
    assert.equal(await storedText(api, COUNTS), numbers, "numbers stay");
    assert.match(numbers, /lnk_/);
    const { body: list } = await api.call("GET", `/api/apps/${app_id}/erasures?limit=1`);
    assert.deepEqual([list.items.length, typeof list.next_cursor], [1, "string"]);
    const more = await api.call("GET", `/api/apps/${app_id}/erasures?cursor=${list.next_cursor}`);
    assert.deepEqual(more.body.items, [erasure]);
  });

  for (const [title, nameOf] of [
    ["a click that was claimed", ({ cids }: { cids: string[] }) => ({ cid: cids[0] })],
    ["a click that an open named", ({ cids }: { cids: string[] }) => ({ cid: cids[1]?.toUpperCase() })],
    ["the device", () => ({ device_id: ADA.device_id.toLowerCase() })],
  ] as const) {
    test(`a person is found by ${title}`, async () => {
      const { api, app_id } = await startWorld(engine);
      const ada = await live(api, app_id, ADA);
      const { body } = await api.call("POST", `/api/apps/${app_id}/persons`, nameOf(ada));
      const shown = PersonData.strict().parse(body);
      assert.deepEqual(
        [shown.clicks.map(({ cid }) => cid), shown.events.length, shown.app_events.length, shown.is_complete],
        [ada.cids, 9, 3, true],
      );
      assert.deepEqual([shown.clicks[0]?.user_id, shown.clicks[0]?.ga?.client_id], ["lovelace", ADA.client]);
      assert.deepEqual(new Set(shown.identities.map(({ user_id }) => user_id)), new Set(["lovelace"]));
      assert.deepEqual(countsOf(await finished(api, app_id, nameOf(ada))), OF_ONE);
      assert.doesNotMatch(await storedText(api), marksOf(ADA, ada.cids));
    });
  }

  test("on a device that two share, each is erased alone; an old click that an app goes on naming takes no other along", async () => {
    const { api, app_id } = await startWorld(engine);
    const ada = await live(api, app_id, ADA);
    const headers = { "x-app-id": app_id };
    const open = { type: "open", platform: "ios", device: describe(ADA), userId: "hopper", cid: ada.cids[0] };
    await send(api, "POST", "/api/app-events", open, { headers });
    await finished(api, app_id, { user_id: "lovelace" });
    const left = (await eventsOf(api, app_id)).filter(({ data }) => Object.keys(data).length > 0);
    assert.deepEqual(
      left.map(({ event, data }) => [event, data["user_id"]]),
      [["link.app_open", "hopper"]],
    );
    assert.doesNotMatch(await storedText(api, ["clicks", "identities", "app_events"]), marksOf(ADA, ada.cids));
    assert.equal((await finished(api, app_id, { device_id: ADA.device_id })).events, 1);
    await finished(api, app_id, { user_id: "hopper" });
    assert.doesNotMatch(await storedText(api), /hopper/);
  });

  test("whoever uses a device meanwhile that is being erased is somebody else", async () => {
    const { api, app_id } = await startWorld(engine);
    const ada = await live(api, app_id, ADA);
    const headers = { "x-app-id": app_id };
    const open = { type: "open", platform: "ios", device: describe(ADA), userId: "hopper" };
    await send(api, "POST", "/api/app-events", open, { headers });
    await api.call("POST", `/api/apps/${app_id}/events`, { event: "link.claim", data: { user_id: "hopper" } });
    const { body: erasure } = await api.call("POST", `/api/apps/${app_id}/erasures`, { device_id: ADA.device_id });
    // The second pass begins with the row of the device that this process has made after the first.
    const db = behind(api.db, /update erasures set passes/, () =>
      send(api, "POST", "/api/app-events", open, { headers }),
    );
    assert.equal(await runnerOn(db).runRound(), true);
    assert.equal((await api.call("GET", `/api/erasures/${erasure.id}`)).body.state, "done");
    const left = (await eventsOf(api, app_id)).map(({ event, data }) => [event, data["user_id"]]);
    assert.ok(
      left.some(([event, user]) => event === "link.claim" && user === "hopper"),
      JSON.stringify(left),
    );
    // What her device leads to; the other click leads to her alone.
    assert.doesNotMatch(await storedText(api, ["clicks"]), new RegExp(ada.cids[0] ?? "?"));
    assert.match(await storedText(api, ["clicks"]), new RegExp(ada.cids[1] ?? "?"));
  });

  test("a person with more clicks and devices than are looked at together goes whole", async () => {
    const { api, app_id } = await startWorld(engine);
    const ada = await live(api, app_id, ADA);
    const many = Array.from({ length: 30 }, (_, n) => [`${(n + 1).toString(16).padStart(32, "0")}`, app_id, "user"]);
    await api.db.query(sql`insert into clicks (cid, app_id, link_id, platform, dest_url, created_at, expires_at, user_id)
      select column1, column2, 'lnk_1', 'ios', '', 1, 1, 'lovelace' from (values ${rows(many, ["text", "text", "text"])}) as v`);
    await api.db.query(sql`insert into identities (app_id, kind, key, user_id, is_shared, seen_at)
      select column2, 'device', column1, 'lovelace', 0, 1 from (values ${rows(many, ["text", "text", "text"])}) as v`);
    await api.call("POST", `/api/apps/${app_id}/erasures`, { cid: ada.cids[0] });
    assert.equal(await runnerOn(api.db, 10).runRound(), true);
    const [erasure] = (await api.call("GET", `/api/apps/${app_id}/erasures`)).body.items;
    assert.deepEqual(countsOf(erasure), { ...OF_ONE, clicks: 32, identities: 32 });
    assert.equal(await storedText(api, ["clicks", "identities", "erasure_keys"]), "[[],[],[]]");
  });

  test("without consent a person is found by the click, and by the user whom app events name", async () => {
    const { api, app_id } = await startShop(engine);
    const headers = { "x-app-id": app_id };
    const cid = await click(api, app_id, "hello");
    await claim(api, app_id, { platform: "ios" });
    await send(api, "POST", "/api/app-events", { type: "open", cid }, { headers });
    await send(api, "POST", "/api/app-events", { type: "open", userId: "lovelace" }, { headers });
    await send(api, "POST", "/api/app-events", { type: "install", userId: "lovelace" }, { headers });
    const of_click = { events: 5, clicks: 1, app_events: 0, identities: 0 };
    assert.deepEqual(countsOf(await finished(api, app_id, { cid })), of_click);
    const of_user = { events: 1, clicks: 0, app_events: 1, identities: 0 };
    assert.deepEqual(countsOf(await finished(api, app_id, { user_id: "lovelace" })), of_user);
    assert.doesNotMatch(await storedText(api), new RegExp(`${cid}|lovelace`));
  });

  test("without consent a user leads to the clicks that their events named before anybody else's, however many", async () => {
    const { api, app_id } = await startShop(engine);
    const headers = { "x-app-id": app_id };
    const report = (type: string, cid: string, userId: string) =>
      send(api, "POST", "/api/app-events", { type, cid, userId }, { headers });
    const claimAs = async (user: string) => {
      const cid = await click(api, app_id, "hello");
      await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, { headers });
      for (const type of ["open", "purchase"]) await report(type, cid, user);
      return cid;
    };
    const [one, other] = [await claimAs("lovelace"), await claimAs("hopper")];
    // The app goes on naming the old click, whoever signs in.
    await report("open", one, "hopper");
    await report("install", one, "hopper");
    for (const [user, counts, cid] of [
      ["hopper", { events: 5, clicks: 1, app_events: 2, identities: 0 }, other],
      ["lovelace", { events: 4, clicks: 1, app_events: 1, identities: 0 }, one],
    ] as const) {
      assert.deepEqual(await previewed(api, app_id, { user_id: user }), { ...counts, is_complete: true });
      assert.deepEqual(countsOf(await finished(api, app_id, { user_id: user })), counts, user);
      assert.doesNotMatch(await storedText(api), new RegExp(`${cid}|${user}`));
    }
    const cids = Array.from({ length: 12 }, (_, n) => `${(n + 1).toString(16).padStart(32, "0")}`);
    await api.db.query(sql`insert into clicks (cid, app_id, link_id, platform, dest_url, created_at, expires_at)
      values ${rows(cids.map((cid) => [cid, app_id, "lnk_1", "ios", "", 1, 1]))}`);
    for (const [n, cid] of cids.entries()) await report(n % 2 === 0 ? "open" : "install", cid, "lovelace");
    await api.call("POST", `/api/apps/${app_id}/erasures`, { user_id: "lovelace" });
    assert.equal(await runnerOn(api.db, 4).runRound(), true);
    assert.equal(await storedText(api, ["clicks", "app_events", "erasure_keys"]), "[[],[],[]]");
  });

  test("without consent a click leads to the user whom an event named with it before anybody else, and to their other clicks", async () => {
    const { api, app_id } = await startShop(engine);
    const headers = { "x-app-id": app_id };
    const report = (type: string, cid: string | undefined, userId: string) =>
      send(api, "POST", "/api/app-events", { type, cid, userId }, { headers });
    const claimed = async () => {
      const cid = await click(api, app_id, "hello");
      await send(api, "GET", `/api/deeplink?cid=${cid}`, undefined, { headers });
      return cid;
    };
    const [one, other, hoppers] = [await claimed(), await claimed(), await claimed()];
    await report("install", one, "lovelace");
    await report("open", one, "hopper");
    await report("open", other, "lovelace");
    await report("purchase", undefined, "lovelace");
    await report("open", hoppers, "hopper");
    const counts = { events: 7, clicks: 2, app_events: 2, identities: 0 };
    assert.deepEqual(await previewed(api, app_id, { cid: one }), { ...counts, is_complete: true });
    assert.deepEqual(countsOf(await finished(api, app_id, { cid: one })), counts);
    assert.doesNotMatch(await storedText(api), new RegExp(`${other}|lovelace`));
    assert.doesNotMatch(await storedText(api, ["clicks", "app_events"]), new RegExp(one));
    const of_hopper = { events: 5, clicks: 1, app_events: 0, identities: 0 };
    assert.deepEqual(
      countsOf(await finished(api, app_id, { cid: hoppers })),
      of_hopper,
      "the open of the other click, too",
    );
    assert.doesNotMatch(await storedText(api), /hopper/);
  });

  test("a process that dies between any two steps costs nothing: another one goes on, and ends it", async () => {
    const { api, app_id } = await startWorld(engine);
    const ada = await live(api, app_id, ADA);
    // Others use her device: its row stays, and has to forget her click.
    await api.db.query(sql`update identities set is_shared = 1 where kind = 'device'`);
    const erasures = createErasureStore(api.db);
    const counts = { passes: 0, events: 0, clicks: 0, app_events: 0, identities: 0 };
    const at = { created_at: Date.now(), finished_at: null };
    await erasures.insert({ id: "era_1", app_id, kind: "user", value: "lovelace", ...counts, ...at }, [], LIMITS);
    let deaths = 0;
    for (let steps = 1; ; steps++) {
      const runner = runnerOn(dieAfter(api.db, steps));
      const is_done = await runner.runRound().then(
        () => true,
        () => false,
      );
      if (is_done) break;
      deaths++;
    }
    assert.ok(deaths > 5, `${deaths} deaths`);
    assert.equal((await erasures.find("era_1", app_id))?.value, null);
    assert.doesNotMatch(await storedText(api), marksOf(ADA, ada.cids));
    assert.equal(await storedText(api, ["erasure_keys"]), "[[]]");
  });

  test("asked for again while it is under way it is the same one, and only one process has it", async () => {
    const { api, app_id } = await startShop(engine);
    const erasures = createErasureStore(api.db);
    const counts = { passes: 0, events: 0, clicks: 0, app_events: 0, identities: 0 };
    const now = Date.now();
    const row = {
      id: "era_1",
      app_id,
      kind: "user",
      value: "lovelace",
      ...counts,
      created_at: now,
      finished_at: null,
    } as const;
    await erasures.insert(row, [], LIMITS);
    assert.equal((await erasures.take("one", now, 60_000))?.id, "era_1");
    assert.equal(await erasures.take("two", now, 60_000), null);
    const again = await api.call("POST", `/api/apps/${app_id}/erasures`, { user_id: "lovelace" });
    assert.deepEqual([again.status, again.body.id, again.body.state], [202, "era_1", "running"]);
    assert.equal(await erasures.renew("era_1", "two", now), false);
    assert.equal((await erasures.take("two", now + 60_000, 60_000))?.id, "era_1", "the first has died");
    assert.equal(await erasures.renew("era_1", "one", now), false);
    await erasures.insert({ ...row, id: "era_2", value: "hopper", created_at: now + 1 }, [], LIMITS);
    assert.equal((await erasures.take("two", now, 60_000))?.id, "era_2", "one that was tried comes behind the others");
    await assert.rejects(erasures.insert({ ...row, id: "era_3", value: "turing" }, [], LIMITS), { kind: "unmet" });
    await erasures.finish("era_2", now);
    await erasures.insert({ ...row, id: "era_3", value: "turing" }, [], { ...LIMITS, forget_before: now + 1 });
    assert.equal(await erasures.find("era_2", null), null, "what is done is forgotten when its time is over");
  });
});

test("a person is named once, in a form that can be", async () => {
  const { api, app_id } = await startShop(null);
  for (const path of ["erasures", "persons"]) {
    for (const [body, field] of [
      [{}, "body"],
      [{ user_id: "lovelace", cid: "0123456789abcdef" }, "body"],
      [{ user_id: "" }, "user_id"],
      [{ user_id: "x".repeat(257) }, "user_id"],
      [{ user_id: 7 }, "user_id"],
      [{ cid: "lovelace" }, "cid"],
      [{ device_id: "" }, "device_id"],
      [{ email: "a@example.com" }, "email"],
    ] as const) {
      const { status, body: refused } = await api.call("POST", `/api/apps/${app_id}/${path}`, body);
      assert.deepEqual([status, refused.details?.[0]?.path], [400, field], JSON.stringify([body, refused]));
    }
  }
});

/** A database that a process uses for so many calls, and never again. */
function dieAfter(db: Database, calls: number): Database {
  let left = calls;
  const live = () => {
    if (left-- <= 0) throw new Error("died");
  };
  return {
    ...db,
    async query(statement) {
      live();
      return db.query(statement);
    },
    async batch(statements) {
      live();
      return db.batch(statements);
    },
    async transaction(work, limits) {
      live();
      return db.transaction(work, limits);
    },
  };
}
