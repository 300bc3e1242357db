// What a deleted app or webhook leaves behind goes, whatever comes of it while it is removed or afterwards.
import assert from "node:assert/strict";
import { test } from "node:test";
import { appInput, destinationOf, openAccounts, START } from "../../test/support/accounts.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { isSomebodyBlocked, waitUntil } from "../../test/support/wait.ts";
import { uuidFloor } from "../platform/ids.ts";
import { list, rows, type SqlValue, sql } from "../platform/sql.ts";
import { insertApp, REMOVAL_STEP_ROWS, recordRemoval } from "./store.ts";

forEachEngine((engine) => {
  test("what a deleted app leaves is removed in steps, and other apps keep theirs, a new one of the same id included", async () => {
    const { accounts, db, clock } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    const count = REMOVAL_STEP_ROWS + 5;
    await db.query(destinationOf("shop", "dst_1"));
    await db.query(destinationOf("shop", "dst_2"));
    await db.batch(hotRows("shop", "dst_1", START - count, count));
    await accounts.createApp(appInput({ id: "other" }));
    await db.query(destinationOf("other", "dst_9"));
    await db.batch(hotRows("other", "dst_9", START - 2 * count, 2));
    await accounts.deleteApp("shop");
    clock.now += 1;
    // As when it was deleted between the look for removals and the insert.
    const columns = { android_sha256: "[]", require_api_key: 0, match_window_seconds: 1, ios_enable_pasteboard: 0 };
    const empty = { ios_bundle_id: null, ios_team_id: null, ios_store_url: null, android_package: null };
    const rest = { android_store_url: null, web_fallback_url: null, created_at: 1, updated_at: 1 };
    const days = { event_retention_days: null, delivery_retention_days: null, analytics_consent: 0 };
    const edge = {
      emit_open_on_resolve: 0,
      match_install_referrer: 0,
      app_events_need_write: 0,
      cid_on_web_fallback: 0,
    };
    const early = insertApp(db, { id: "shop", name: "Early", ...columns, ...empty, ...rest, ...days, ...edge });
    await assert.rejects(early, { kind: "unmet" });
    await accounts.createApp(appInput({ id: "shop" }));
    for (const table of ["events", "clicks"]) {
      const left = await db.query({
        ...{ kind: "statement", parts: [`select 1 as one from ${table} where app_id = 'shop'`], values: [] },
      });
      assert.deepEqual(left, [], `the new app sees no old ${table}`);
    }
    await db.query(destinationOf("shop", "dst_3"));
    await db.batch(hotRows("shop", "dst_3", clock.now, 3));
    await Promise.all([accounts.finishRemovals(), accounts.finishRemovals()]);
    for (const [table, left] of [
      ["events", 5],
      ["clicks", 5],
      ["deliveries", 5],
      ["destination_health", 2],
      ["replays", 2],
      ["removals", 0],
      ["apps", 2],
    ] as const) {
      const [answer] = await db.query({ kind: "statement", parts: [`select count(*) as n from ${table}`], values: [] });
      assert.equal(Number(answer?.["n"]), left, table);
    }
    const owners = await db.query(
      sql`select distinct destination_id from deliveries where destination_id in (${list(["dst_1", "dst_3"])})`,
    );
    assert.deepEqual(owners, [{ destination_id: "dst_3" }]);
  });

  test("a replay that goes with its webhook leaves its name on no delivery of the one that it sent to", async () => {
    const { accounts, db, clock } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    const count = REMOVAL_STEP_ROWS + 5;
    await db.query(destinationOf("shop", "dst_2"));
    await db.batch([...hotRows("shop", "dst_1", START - 1, 1), ...hotRows("shop", "dst_2", START, count)]);
    await db.query(
      sql`update deliveries set replay_id = 'rpl_dst_1', replay_from = 'failed' where destination_id = 'dst_2'`,
    );
    await db.query(recordRemoval("destination", "dst_1", clock.now));
    await accounts.finishRemovals();
    const [left] = await db.query(sql`select count(*) as deliveries, count(replay_id) as named from deliveries`);
    assert.deepEqual(left, { deliveries: count, named: 0 }, "else every later replay of them would wait for it");
    assert.deepEqual(await db.query(sql`select id from replays`), [{ id: "rpl_dst_2" }]);
  });

  test("what has come of a webhook since its removal was done is found and goes, now and then and at each start", async () => {
    const { accounts, db, clock, open } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    await db.query(destinationOf("shop", "dst_2"));
    await db.batch([...hotRows("shop", "dst_1", START - 1, 1), ...hotRows("shop", "dst_2", START, 2)]);
    const hours = (
      id: string,
    ) => sql`insert into destination_hours (destination_id, hour, succeeded, latency_class, attempts)
      values (${id}, 0, 1, 1, 1)`;
    await db.batch([hours("dst_1"), hours("dst_2")]);
    const left = async () => {
      const of_table = async (table: string) => {
        const parts = [`select distinct destination_id as id from ${table} order by destination_id`];
        return (await db.query<{ id: string }>({ kind: "statement", parts, values: [] })).map(({ id }) => id);
      };
      return Promise.all(["deliveries", "destination_health", "destination_hours", "replays"].map(of_table));
    };
    const kept = [["dst_2"], ["dst_2"], ["dst_2"], ["dst_2"]];
    await accounts.finishRemovals();
    assert.deepEqual(await left(), kept);
    // An attempt that was under way ends, and one more delivery is made by whoever has not heard.
    const health = sql`insert into destination_health (destination_id, consecutive_failures) values ('dst_1', 1)`;
    await db.batch([health, hours("dst_1")]);
    await accounts.finishRemovals();
    assert.notDeepEqual(await left(), kept, "not looked for each time");
    await open().finishRemovals();
    assert.deepEqual(await left(), kept);
    await db.query(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased, trigger,
      created_at) values ('dst_1', 'p1', 'shop', 'link.click', 'pending', 0, 0, 0, 'manual', 0)`);
    clock.now += 10 * 60_000;
    await accounts.finishRemovals();
    assert.deepEqual(await left(), kept);
    // A replay that was asked for at the moment of the removal, and that its runner has ended since.
    await db.query(sql`update replays set id = 'rpl_late', destination_id = 'dst_1', finished_at = 1`);
    await open().finishRemovals();
    assert.deepEqual(await left(), [["dst_2"], ["dst_2"], ["dst_2"], []]);
  });

  test("what a transaction that had read an app stores after its removal goes as well, before a new app has its id", async () => {
    const { accounts, db, clock, open } = await openAccounts(engine);
    const appEvent = sql`insert into app_events (app_id, id, type, platform, created_at)
      values ('shop', ${uuidFloor(START + 10)}, 'install', 'ios', 0)`;
    const [events, deliveries, clicks] = hotRows("shop", "dst_1", START + 10, 2);
    assert(events !== undefined && deliveries !== undefined && clicks !== undefined);
    const left = () =>
      db.query(sql`select 1 as one from events union all select 1 from clicks
      union all select 1 from app_events union all select 1 from deliveries`);
    await accounts.createApp(appInput({ id: "shop" }));
    await accounts.deleteApp("shop");
    clock.now += 20;
    await accounts.finishRemovals();
    for (const late of [[events, deliveries, clicks, appEvent], [appEvent]]) {
      await db.batch(late);
      await open().finishRemovals();
      assert.deepEqual(await left(), [], "found, though it is younger than the removal");
    }
    for (const late of [[events, clicks], [appEvent]]) {
      await db.batch(late);
      await accounts.createApp(appInput({ id: "shop" }));
      assert.deepEqual(await left(), [], "the new app finds nothing");
      await accounts.deleteApp("shop");
      await accounts.finishRemovals();
    }
    await accounts.createApp(appInput({ id: "shop" }));
    await db.query(destinationOf("shop", "dst_2"));
    await db.batch(hotRows("shop", "dst_2", clock.now, 2));
    await open().finishRemovals();
    assert.equal((await left()).length, 6, "what is its own stays");
  });

  if (engine.name !== "postgres") return;
  test("what a replay hands out in the moment in which its webhook is removed is left with no name of it", async () => {
    const { accounts, db, clock } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    await db.query(destinationOf("shop", "dst_2"));
    await db.batch([...hotRows("shop", "dst_1", START - 1, 1), ...hotRows("shop", "dst_2", START, 2)]);
    await db.query(recordRemoval("destination", "dst_1", clock.now));
    let removing: Promise<void> | undefined;
    await db.transaction(async (within) => {
      // As a step of a replay begins and ends (replay-store.ts).
      await within(sql`update replays set revision = revision + 1 where id = 'rpl_dst_1' and finished_at is null`);
      removing = accounts.finishRemovals();
      await waitUntil(() => isSomebodyBlocked(db), "the removal to wait");
      await within(sql`update deliveries set replay_id = 'rpl_dst_1', replay_from = 'failed'
        where destination_id in ('dst_1', 'dst_2')`);
      await within(sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased, trigger,
        created_at, replay_id, replay_from)
        values ('dst_1', 'p1', 'shop', 'link.click', 'pending', 0, 0, 0, 'replay', 0, 'rpl_dst_1', 'missing')`);
    });
    await removing;
    const left = await db.query(sql`select destination_id, replay_id from deliveries`);
    const free = { destination_id: "dst_2", replay_id: null };
    assert.deepEqual(left, [free, free], "else every later replay of them would wait for it");
  });
});

/** Events, deliveries and clicks, one a millisecond from `from_ms` on. */
function hotRows(app_id: string, destination_id: string, from_ms: number, count: number) {
  const times = Array.from({ length: count }, (_, index) => from_ms + index);
  const position = (at: number) => `${uuidFloor(at).slice(0, -12)}00000000000a`;
  const cid = (at: number) => at.toString(16).padStart(12, "0").padEnd(32, "b");
  const event = (at: number): SqlValue[] => [app_id, position(at), position(at), "link.click", at, "{}"];
  const delivery = (at: number): SqlValue[] => [
    destination_id,
    position(at),
    app_id,
    "link.click",
    "pending",
    0,
    0,
    0,
    "auto",
    at,
  ];
  const click = (at: number): SqlValue[] => [cid(at), app_id, "lnk_1", "web", "https://x.example", at, at];
  return [
    sql`insert into events (app_id, position, id, event, created_at, body) values ${rows(times.map(event))}`,
    sql`insert into deliveries (destination_id, position, app_id, event, state, attempt, failures, leased, trigger, created_at)
      values ${rows(times.map(delivery))}`,
    sql`insert into clicks (cid, app_id, link_id, platform, dest_url, created_at, expires_at) values ${rows(times.map(click))}`,
    sql`insert into destination_health (destination_id, consecutive_failures) values (${destination_id}, 0)`,
    sql`insert into replays (id, destination_id, app_id, state, since, until, states, missing_events, total, created,
        succeeded, failed, at_position, end_position, walked, paced_at, resumed_at, revision, created_at)
      values (${`rpl_${destination_id}`}, ${destination_id}, ${app_id}, 'running', 0, 0, '[]', '[]', 0, 0, 0, 0, '', '', 0, 0, 0, 0, 0)`,
  ];
}
