import assert from "node:assert/strict";
import { test } from "node:test";
import { AppCreate, KeyCreate } from "#contract/apps.ts";
import type { ErrorCode } from "#contract/errors.ts";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { meanwhile } from "../../test/support/meanwhile.ts";
import { isSomebodyBlocked, waitUntil } from "../../test/support/wait.ts";
import { AppError } from "../errors.ts";
import { createIds, type IdSource, SYSTEM_IDS, uuidFloor } from "../platform/ids.ts";
import { list, rows, type SqlValue, sql } from "../platform/sql.ts";
import { createAccounts } from "./accounts.ts";
import { insertApp, REMOVAL_STEP_ROWS, recordRemoval } from "./store.ts";

const START = Date.UTC(2026, 0, 31, 9, 30);

async function setup(engine: Engine) {
  const db = await engine.open();
  const clock = { now: START };
  const source: IdSource = { ...SYSTEM_IDS, now: () => clock.now };
  const open = () => createAccounts({ db, ids: createIds(source), source });
  return { db, clock, accounts: open(), open };
}

const app = (input: object = {}) => AppCreate.parse({ name: "Shop", ...input });
const key = (input: object = {}) => KeyCreate.parse({ kind: "server", ...input });
const refused = (code: ErrorCode) => (error: unknown) => error instanceof AppError && error.code === code;

forEachEngine((engine) => {
  test("an app is created with defaults, changed field by field, and deleted", async () => {
    const { accounts, clock } = await setup(engine);
    const made = await accounts.createApp(app({ id: "shop", android_sha256: [], require_api_key: true }));
    assert.equal(made.id, "shop");
    assert.equal(made.require_api_key, true);
    assert.equal(made.match_window_seconds, 3600);
    assert.deepEqual([made.event_retention_days, made.delivery_retention_days], [395, 30]);
    assert.equal(made.created_at, "2026-01-31T09:30:00.000Z");
    clock.now += 5;
    const changed = await accounts.patchApp("shop", { web_fallback_url: "https://shop.example" });
    const updated_at = "2026-01-31T09:30:00.005Z";
    assert.deepEqual(changed, { ...made, web_fallback_url: "https://shop.example", updated_at });
    assert.deepEqual(await accounts.getApp("shop"), changed);
    assert.deepEqual(await accounts.findApp("shop"), changed);
    await accounts.deleteApp("shop");
    assert.equal(await accounts.findApp("shop"), null);
    for (const call of [
      () => accounts.getApp("shop"),
      () => accounts.patchApp("shop", { name: "x" }),
      () => accounts.deleteApp("shop"),
      () => accounts.createKey("shop", key(), null),
      () => accounts.createDomain("shop", "go.example.com"),
    ]) {
      await assert.rejects(call, refused("not_found"));
    }
  });

  test("of two who delete an app at once one finds it gone", async () => {
    const { accounts, db } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    await db.query(destinationOf("shop", "dst_1"));
    const results = await meanwhile(db, [() => accounts.deleteApp("shop"), () => accounts.deleteApp("shop")]);
    const refusals = results.filter((one) => one.status === "rejected");
    assert.equal(refusals.length, 1);
    assert.ok(refused("not_found")(refusals[0]?.reason), String(refusals[0]?.reason));
  });

  test("what is made of an app that is deleted at this moment finds it gone", async () => {
    const { accounts, db } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    const calls = [
      () => accounts.createKey("shop", key(), null),
      () => accounts.createDomain("shop", "go.example.com"),
    ];
    const removed = sql`delete from apps where id = 'shop'`;
    for (const one of await meanwhile(db, calls, removed)) {
      assert.ok(one.status === "rejected" && refused("not_found")(one.reason), one.status);
    }
  });

  test("two changes of different fields at the same moment both hold", async () => {
    const { accounts } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    await Promise.all([
      accounts.patchApp("shop", { name: "New" }),
      accounts.patchApp("shop", { ios_bundle_id: "a.b" }),
    ]);
    const { name, ios_bundle_id } = await accounts.getApp("shop");
    assert.deepEqual([name, ios_bundle_id], ["New", "a.b"]);
  });

  test("an id or a host that is taken is a conflict", async () => {
    const { accounts } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    await accounts.createApp(app({ id: "other" }));
    await accounts.createDomain("shop", "go.example.com");
    await assert.rejects(accounts.createApp(app({ id: "shop" })), refused("conflict"));
    await assert.rejects(accounts.createDomain("other", "go.example.com"), refused("conflict"));
  });

  test("lists are newest first and their pages meet without a gap, also where times are equal", async () => {
    const { accounts, clock } = await setup(engine);
    const made: string[] = [];
    for (let index = 0; index < 7; index++) {
      if (index % 3 === 0) clock.now += 1;
      made.push((await accounts.createApp(app())).id);
    }
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await accounts.listApps(null, { limit: 3, cursor });
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    assert.deepEqual(seen.toSorted(), made.toSorted());
    assert.deepEqual(seen, seen.toSorted().toReversed());
    assert.deepEqual(
      (await accounts.listApps(made[2] ?? "", { limit: 3 })).items.map(({ id }) => id),
      [made[2]],
    );
  });

  test("a key is shown once, found by its text, and gone at once when deleted", async () => {
    const { accounts, db } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    const made = await accounts.createKey("shop", key({ label: "ci" }), null);
    assert.match(made.key, /^sk_[A-Za-z0-9_-]{43}$/);
    const { key: text, ...shown } = made;
    assert.deepEqual((await accounts.listKeys("shop", { limit: 10 })).items, [shown]);
    const stored = await db.query(sql`select * from api_keys`);
    assert.ok(!JSON.stringify(stored).includes(text), "the key itself is nowhere in the table");
    assert.equal((await accounts.findKey(text))?.app_id, "shop");
    assert.equal(accounts.peekKey(text)?.id, made.id);
    await assert.rejects(accounts.deleteKey(made.id, "other"), refused("not_found"));
    await accounts.deleteKey(made.id, "shop");
    assert.equal(accounts.peekKey(text), undefined);
    assert.equal(await accounts.findKey(text), null);
    await assert.rejects(accounts.deleteKey(made.id, null), refused("not_found"));
  });

  test("an app key reads by default, a server key reads and writes", async () => {
    const { accounts } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    for (const [input, prefix, can_read, can_write] of [
      [{ kind: "app" }, "ak_", true, false],
      [{ kind: "app", can_write: true }, "ak_", true, true],
      [{ kind: "server" }, "sk_", true, true],
      [{ kind: "server", can_write: false }, "sk_", true, false],
    ] as const) {
      const made = await accounts.createKey("shop", key(input), null);
      assert.deepEqual([made.key.slice(0, 3), made.can_read, made.can_write], [prefix, can_read, can_write]);
    }
  });

  test("a key that may neither read nor write is refused", async () => {
    const { accounts } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    for (const input of [
      { kind: "app", can_read: false },
      { kind: "server", can_read: false, can_write: false },
    ]) {
      await assert.rejects(accounts.createKey("shop", key(input), null), refused("invalid_request"));
    }
    assert.deepEqual((await accounts.listKeys("shop", { limit: 10 })).items, []);
  });

  test("a key ends at its time, also while it is remembered", async () => {
    const { accounts, clock } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    const expires_at = new Date(START + 500).toISOString();
    const { key: text } = await accounts.createKey("shop", key({ expires_at }), null);
    assert.ok(await accounts.findKey(text));
    clock.now += 500;
    assert.equal(accounts.peekKey(text), null);
    assert.equal(await accounts.findKey(text), null);
    await assert.rejects(accounts.createKey("shop", key({ expires_at }), null), refused("invalid_request"));
  });

  test("a key that another process deleted stops within a second", async () => {
    const { accounts, clock, open } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    const made = await accounts.createKey("shop", key(), null);
    const other = open();
    assert.ok(await other.findKey(made.key));
    await accounts.deleteKey(made.id, null);
    clock.now += 1_000;
    assert.equal(await other.findKey(made.key), null);
  });

  test("a server key creates keys with no more rights and no later end than its own", async () => {
    const { accounts } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    const soon = new Date(START + 1_000).toISOString();
    const later = new Date(START + 2_000).toISOString();
    const by = {
      id: "key_1",
      app_id: "shop",
      kind: "server",
      label: "",
      key_hint: "sk_1…2",
      can_read: false,
      can_write: true,
    } as const;
    const ending = { ...by, can_read: true, expires_at: START + 1_000 };
    await accounts.createKey("shop", key({ can_read: false }), { ...by, expires_at: null });
    await accounts.createKey("shop", key({ expires_at: soon }), ending);
    await assert.rejects(accounts.createKey("shop", key(), { ...by, expires_at: null }), refused("forbidden"));
    await assert.rejects(accounts.createKey("shop", key(), ending), refused("forbidden"));
    await assert.rejects(accounts.createKey("shop", key({ expires_at: later }), ending), refused("forbidden"));
  });

  test("what a deleted app leaves is removed in steps, and other apps keep theirs, a new one of the same id included", async () => {
    const { accounts, db, clock } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
    const count = REMOVAL_STEP_ROWS + 5;
    await db.query(destinationOf("shop", "dst_1"));
    await db.query(destinationOf("shop", "dst_2"));
    await db.batch(hotRows("shop", "dst_1", START - count, count));
    await accounts.createApp(app({ id: "other" }));
    await db.query(destinationOf("other", "dst_9"));
    await db.batch(hotRows("other", "dst_9", START - 2 * count, 2));
    await accounts.deleteApp("shop");
    clock.now += 1;
    // As when it was deleted between the look for removals and the insert.
    const columns = { android_sha256: "[]", require_api_key: 0, match_window_seconds: 1, ios_enable_pasteboard: 0 };
    const empty = { ios_bundle_id: null, ios_team_id: null, ios_store_url: null, android_package: null };
    const rest = { android_store_url: null, web_fallback_url: null, created_at: 1, updated_at: 1 };
    const days = { event_retention_days: null, delivery_retention_days: null };
    const edge = { emit_open_on_resolve: 0, match_install_referrer: 0, app_events_need_write: 0 };
    const early = insertApp(db, { id: "shop", name: "Early", ...columns, ...empty, ...rest, ...days, ...edge });
    await assert.rejects(early, { kind: "unmet" });
    await accounts.createApp(app({ id: "shop" }));
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
    const { accounts, db, clock } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
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
    const { accounts, db, clock, open } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
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
    const { accounts, db, clock, open } = await setup(engine);
    const appEvent = sql`insert into app_events (app_id, id, type, platform, created_at)
      values ('shop', ${uuidFloor(START + 10)}, 'install', 'ios', 0)`;
    const late = [...hotRows("shop", "dst_1", START + 10, 2), appEvent];
    const left = () =>
      db.query(sql`select 1 as one from events union all select 1 from clicks
      union all select 1 from app_events union all select 1 from deliveries`);
    await accounts.createApp(app({ id: "shop" }));
    await accounts.deleteApp("shop");
    await db.batch(late);
    clock.now += 20;
    await accounts.finishRemovals();
    await open().finishRemovals();
    assert.deepEqual(await left(), [], "found, though it is younger than the removal");
    await db.batch(late.filter((_, index) => index !== 1));
    await accounts.createApp(app({ id: "shop" }));
    assert.deepEqual(await left(), [], "the new app finds nothing");
    await db.query(destinationOf("shop", "dst_2"));
    await db.batch(hotRows("shop", "dst_2", clock.now, 2));
    await open().finishRemovals();
    assert.equal((await left()).length, 6, "what is its own stays");
  });

  if (engine.name !== "postgres") return;
  test("what a replay hands out in the moment in which its webhook is removed is left with no name of it", async () => {
    const { accounts, db, clock } = await setup(engine);
    await accounts.createApp(app({ id: "shop" }));
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

function destinationOf(app_id: string, id: string) {
  return sql`insert into destinations (id, app_id, type, config, secrets, events, description, enabled, state,
      state_changed_at, retry_schedule, timeout_ms, max_in_flight, retry_on, created_at, updated_at)
    values (${id}, ${app_id}, 'webhook', '{}', '{}', '[]', '', 1, 'active', 0, '[]', 1000, 1, 'retriable', 0, 0)`;
}

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
