import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import {
  insertApp,
  insertClick,
  insertDestination,
  insertReport,
  openRetentionWorld,
  type RetentionWorld,
  START,
} from "../../test/support/retention.ts";
import { settlementOf } from "../../test/support/settlements.ts";
import { changesIn } from "../deliveries/changes.ts";
import { DAY_MS } from "../deliveries/expiry.ts";
import { settle } from "../deliveries/settle-store.ts";
import { createDeliveryStore } from "../deliveries/store.ts";
import type { Database } from "../platform/database.ts";
import { createJournalStore } from "../platform/journal-store.ts";
import { sql } from "../platform/sql.ts";
import { STEP_ROWS_MAX } from "./plan.ts";
import { LAP_MS } from "./retention.ts";

const EVENT_LIMIT = START - 395 * DAY_MS;
const RECORD_LIMIT = START - 30 * DAY_MS;

const rowOf = async ({ db, destination_id }: RetentionWorld, position: string) => {
  const [row] = await db.query<Record<string, unknown>>(
    sql`select * from deliveries where destination_id = ${destination_id} and position = ${position}`,
  );
  return row;
};
const stateOf = async (world: RetentionWorld, position: string) => (await rowOf(world, position))?.["state"];

forEachEngine((engine) => {
  test("records go when their delivery ended 30 days ago, to the millisecond; the delivery stays what it is", async () => {
    const world = await openRetentionWorld(engine);
    const old = await world.add(RECORD_LIMIT, { state: "failed", attempts: 3 });
    const young = await world.add(RECORD_LIMIT + 1, { state: "failed", attempts: 3 });
    const at_once = await world.add(RECORD_LIMIT, { has_first: true });
    const before = await rowOf(world, old);
    await world.finish();
    assert.deepEqual(await rowOf(world, old), { ...before, expired_attempt: 3 });
    assert.equal(await world.count("attempts"), 3);
    assert.equal((await rowOf(world, at_once))?.["first_response_snippet"], null);
    assert.equal((await world.detail(young)).attempts.length, 3);
    assert.equal(await world.count("deliveries"), 3);
    assert.equal(await world.count("events"), 3);
  });

  test("what is pending, or was tried or ended later, keeps its records, and loses them when it has expired too", async () => {
    const world = await openRetentionWorld(engine);
    const at = RECORD_LIMIT - 40 * DAY_MS;
    const pending = await world.add(at, { state: "pending", attempts: 2 });
    const settled = await world.add(at, { state: "failed", attempts: 2, settled_at: START - DAY_MS });
    const retried = await world.add(at, { state: "failed", attempts: 2, attempted_at: START - DAY_MS });
    await world.finish();
    for (const position of [pending, settled, retried]) {
      const { attempts, expired, request } = await world.detail(position);
      assert.deepEqual([attempts.length, expired, request.body], [2, null, `{"id":"${position}"}`]);
    }
    world.clock.at += LAP_MS;
    await world.finish();
    world.clock.at += 30 * DAY_MS;
    await world.finish();
    await world.finish();
    assert.equal(await world.count("attempts"), 2, "of the pending one");
    assert.equal((await world.detail(pending)).attempts.length, 2);
  });

  test("the API says what has expired and when, whether it has been removed yet or not", async () => {
    const world = await openRetentionWorld(engine);
    const position = await world.add(RECORD_LIMIT, { state: "failed", attempts: 2 });
    const before = await world.detail(position);
    await world.finish();
    const after = await world.detail(position);
    assert.deepEqual(after, before);
    assert.deepEqual([after.attempts, after.attempt_count, after.state], [[], 2, "failed"]);
    assert.deepEqual(after.request, { url: "https://example.com/in", headers: {}, body: "" });
    assert.equal(after.expired?.at, new Date(START).toISOString());
    assert.match(after.expired?.reason ?? "", /keeps it for 30 days after a delivery has ended/);
    const { id } = await world.deliveries.retryDelivery(after.id, null);
    const again = await world.deliveries.getDelivery(id, null);
    assert.deepEqual([again.state, again.attempts, again.expired], ["pending", [], null], "none was interrupted");
    assert.equal(again.request.body, `{"id":"${position}"}`, "it is sent again with its own bytes");
  });

  test("records that went under a shorter limit are not taken for interrupted attempts", async () => {
    const world = await openRetentionWorld(engine);
    const position = await world.add(RECORD_LIMIT, { state: "failed", attempts: 2 });
    await world.finish();
    world.kept.delivery_retention_days = null;
    const { attempts, expired } = await world.detail(position);
    assert.deepEqual([attempts, expired?.at], [[], null]);
    assert.match(expired?.reason ?? "", /limit was shorter before/);
  });

  test("an event goes after 395 days with its deliveries, attempts and clicks, to the millisecond", async () => {
    const world = await openRetentionWorld(engine);
    const old = await world.add(EVENT_LIMIT, { attempts: 1 });
    const young = await world.add(EVENT_LIMIT + 1, { attempts: 1, attempted_at: START });
    const bare = await world.add(EVENT_LIMIT, { is_delivered: false });
    await insertClick(world.db, "shop", EVENT_LIMIT);
    const kept = await insertClick(world.db, "shop", EVENT_LIMIT + 1);
    await insertReport(world.db, "shop", EVENT_LIMIT);
    const reported = await insertReport(world.db, "shop", EVENT_LIMIT + 1);
    await world.db.query(sql`insert into identities (app_id, kind, key, is_shared, seen_at)
      values ('shop', 'device', 'a b', 0, ${EVENT_LIMIT}), ('shop', 'user', 'a b', 0, ${EVENT_LIMIT + 1})`);
    await world.finish();
    assert.deepEqual(await world.db.query(sql`select kind, key from identities`), [{ kind: "user", key: "a b" }]);
    assert.deepEqual(await world.db.query(sql`select id from app_events`), [{ id: reported }]);
    for (const position of [old, bare]) {
      const left = await world.db.query(sql`select position from events where position = ${position}
        union all select position from deliveries where position = ${position}
        union all select position from attempts where position = ${position}`);
      assert.deepEqual(left, []);
    }
    assert.equal((await world.detail(young)).attempts.length, 1);
    assert.deepEqual(await world.db.query(sql`select cid from clicks`), [{ cid: kept }]);
    assert.deepEqual(world.logged.at(-1), {
      ...{ event: "retention.removed", events: 2, deliveries: 1, records: 1, clicks: 1, app_events: 1, identities: 1 },
    });
  });

  test("a pending delivery is ended and can be seen for a day before its event goes", async () => {
    const world = await openRetentionWorld(engine);
    const position = await world.add(EVENT_LIMIT, { state: "pending", attempts: 1 });
    await world.finish();
    const { state, reason, next_attempt_at, settled_at } = await world.detail(position);
    assert.deepEqual([state, reason], ["failed", "The event expired before it could be delivered."]);
    assert.deepEqual([next_attempt_at, settled_at], [null, new Date(START).toISOString()]);
    const ended = world.logged.filter(({ event }) => event === "deliveries.expired");
    assert.deepEqual(ended, [{ event: "deliveries.expired", destination_id: world.destination_id, count: 1 }]);
    // A page would wait for transactions of other suites that are under way.
    const { rows } = await createJournalStore(world.db).glimpse(world.destination_id, { tx: 0, part: "" });
    const told = rows.flatMap((row) => changesIn(row, { id: world.destination_id, app_id: "shop" }));
    assert.deepEqual(told, [{ position, kind: "expired", number: null }], "streams show it");
    world.clock.at += LAP_MS;
    await world.finish();
    await world.finish();
    assert.equal(await world.count("events"), 0);
    assert.equal(await world.count("deliveries"), 0);
  });

  test("what somebody is sending, or a person or a replay asked for, holds its event, and not for ever", async () => {
    const world = await openRetentionWorld(engine);
    const flying = await world.add(EVENT_LIMIT, { state: "pending", attempt: 1, leased: 1, due_at: START + 1 });
    const asked = { state: "pending", trigger: "manual", resume_state: "succeeded", settled_at: EVENT_LIMIT } as const;
    const by_hand = await world.add(EVENT_LIMIT, asked);
    const replayed = await world.add(EVENT_LIMIT, { state: "pending", trigger: "replay", replay_id: "rpl_1" });
    const uncounted = await world.add(EVENT_LIMIT, { state: "succeeded", replay_id: "rpl_1" });
    await world.finish();
    for (const position of [flying, by_hand, replayed]) assert.equal(await stateOf(world, position), "pending");
    assert.equal(await stateOf(world, uncounted), "succeeded");
    world.clock.at += 7 * DAY_MS + LAP_MS;
    await world.finish();
    await world.finish();
    assert.equal(await stateOf(world, flying), "failed");
    assert.equal(await stateOf(world, replayed), "failed");
    assert.equal(await stateOf(world, by_hand), "succeeded", "what had become of it stays true");
    assert.equal(await stateOf(world, uncounted), undefined);
    world.clock.at += 2 * LAP_MS;
    await world.finish();
    await world.finish();
    assert.equal(await world.count("events"), 0);
  });

  test("each app has limits of its own, and null keeps for ever", async () => {
    const world = await openRetentionWorld(engine, { event_retention_days: null, delivery_retention_days: null });
    const { db } = world;
    await insertApp(db, "blog", { event_retention_days: 10, delivery_retention_days: 5 });
    const blog = { app_id: "blog", destination_id: await insertDestination(db, "blog", "dst_b") };
    const ever = await world.add(START - 5_000 * DAY_MS, { attempts: 1 });
    const short = await world.add(START - 5 * DAY_MS, { attempts: 1 }, blog);
    const gone = await world.add(START - 10 * DAY_MS, { attempts: 1 }, blog);
    await insertClick(db, "shop", START - 5_000 * DAY_MS);
    const unclaimed = await insertClick(db, "blog", START - 29 * DAY_MS);
    const expired = await insertClick(db, "blog", START - 30 * DAY_MS);
    await world.finish();
    assert.equal((await world.detail(ever)).attempts.length, 1);
    assert.deepEqual(await db.query(sql`select position from attempts`), [{ position: ever }]);
    const left = await db.query<{ position: string }>(sql`select position from deliveries order by position`);
    assert.deepEqual(
      left.map(({ position }) => position),
      [ever, short],
    );
    assert.ok(!left.some(({ position }) => position === gone));
    const cids = (await db.query<{ cid: string }>(sql`select cid from clicks`)).map(({ cid }) => cid);
    assert.ok(cids.length === 2 && cids.includes(unclaimed), "a token that can be claimed stays");
    assert.ok(!cids.includes(expired));
  });

  test("no step removes more rows than it may, and a process that dies between two loses nothing", async () => {
    const world = await openRetentionWorld(engine);
    for (let n = 0; n < 260; n++) {
      await world.add(EVENT_LIMIT - n, n % 4 === 0 ? { has_first: true } : { state: "failed", attempts: 3 });
    }
    const commits: number[] = [];
    for (let life = 0; life < 12; life++) {
      // Each process makes two commits that remove something, and dies at the third.
      const mortal = dieAfter(world.db, 2, (removed) => void commits.push(removed));
      world.clock.at += 200_000;
      await world.openProcess(`life ${life}`, mortal).runRound().catch(ignoreDeath);
    }
    await world.finish();
    assert.deepEqual([await world.count("events"), await world.count("deliveries")], [0, 0]);
    assert.equal(await world.count("attempts"), 0);
    assert.ok(commits.length > 3, `${commits.length} commits`);
    assert.ok(
      commits.every((removed) => removed <= 2 * STEP_ROWS_MAX),
      commits.join(),
    );
  });

  test("between two steps others have the database: what is due is claimed and settled meanwhile", async () => {
    const world = await openRetentionWorld(engine);
    for (let n = 0; n < 200; n++) await world.add(EVENT_LIMIT - n, { state: "failed", attempts: 5 });
    for (let n = 0; n < 20; n++) await world.add(START - n, { state: "pending" });
    const store = createDeliveryStore(world.db);
    const sent: string[] = [];
    const sendOne = async () => {
      const lease = { now: START, lease_until: START + 1_000, limit: 1, asked_only: false };
      const { claimed } = await store.claim(world.destination_id, lease);
      const key = { destination_id: world.destination_id, position: claimed[0]?.position ?? "" };
      await world.db.batch(settle([settlementOf(key, 1, { state: "succeeded", failures: 0, due_at: null })]));
      sent.push(key.position);
    };
    const busy = world.openProcess(
      "one",
      world.db,
      () => 0,
      (_, callback) => {
        void sendOne().then(callback);
        return () => {};
      },
    );
    await busy.finish();
    assert.ok(sent.length > 3, `${sent.length} rests`);
    for (const position of sent) assert.equal(await stateOf(world, position), "succeeded");
    assert.equal(await world.count("deliveries"), 20);
  });

  test("one process at a time does it; another one takes over when the first has died", async () => {
    const world = await openRetentionWorld(engine);
    await world.runRound();
    await world.add(RECORD_LIMIT, { attempts: 1 });
    const other = world.openProcess("two");
    await other.finish();
    assert.equal(await world.count("attempts"), 1, "the first one has the lease");
    world.clock.at += 120_000;
    await other.finish();
    assert.equal(await world.count("attempts"), 0);
  });

  test("two processes that do it all the same at once remove the same, and nothing else", async () => {
    const world = await openRetentionWorld(engine);
    for (let n = 0; n < 120; n++) await world.add(EVENT_LIMIT - n, { attempts: 1 });
    for (let n = 0; n < 20; n++) await world.add(RECORD_LIMIT + 1 + n, { attempts: 1 });
    // Each believes to have the lease.
    const always = { ...world.db, query: leased(world.db) };
    const [one, two] = [world.openProcess("one", always), world.openProcess("two", always)];
    await Promise.all([one.runRound(), two.runRound()]);
    await world.finish();
    assert.deepEqual([await world.count("events"), await world.count("deliveries")], [20, 20]);
    assert.equal(await world.count("attempts"), 20);
  });

  test("a delivery that is asked for while a step is under way keeps what it has", async () => {
    const world = await openRetentionWorld(engine);
    const position = await world.add(RECORD_LIMIT, { state: "failed", attempts: 2 });
    const { id } = await world.detail(position);
    let is_first = true;
    const late: Database = {
      ...world.db,
      async batch(statements) {
        // What removes something says how many rows it expects.
        const is_removal = statements.some(({ expect }) => expect !== undefined);
        if (is_first && is_removal) await world.deliveries.retryDelivery(id, null);
        is_first &&= !is_removal;
        return world.db.batch(statements);
      },
    };
    await world.openProcess("one", late).runRound();
    assert.ok(!is_first);
    assert.equal((await world.detail(position)).attempts.length, 2);
  });

  test("a delivery whose event was erased says so, and goes when the event would have gone", async () => {
    const world = await openRetentionWorld(engine);
    const erased = await world.add(START - 2 * DAY_MS, { attempts: 1 });
    const old = await world.add(EVENT_LIMIT, { attempts: 1 });
    await world.db.query(sql`delete from events`);
    const { expired, request, attempts } = await world.detail(erased);
    assert.deepEqual([expired?.at, request.body, attempts.length], [null, "", 1]);
    assert.match(expired?.reason ?? "", /was erased/);
    const gone = (await world.detail(old)).expired;
    assert.deepEqual([gone?.at], [new Date(START).toISOString()]);
    assert.match(gone?.reason ?? "", /keeps events for 395 days/);
    await world.finish();
    assert.deepEqual(await world.db.query(sql`select position from deliveries`), [{ position: erased }]);
  });

  test("what a destination was set to stays as long as the events it explains; counts and replays have a limit too", async () => {
    const world = await openRetentionWorld(engine);
    const { db, destination_id: id } = world;
    // The one that explains nothing is later than the last that does.
    const days = [500, 450, 404, 403, 400, 10];
    for (const day of days) {
      await db.query(sql`insert into destination_history (destination_id, at, state, events, cause, explains)
        values (${id}, ${START - day * DAY_MS}, 'active', '[]', 'made up', ${day === 403 ? 0 : 1})`);
    }
    for (const day of [91, 89]) {
      await db.query(sql`insert into destination_hours (destination_id, hour, succeeded, latency_class, attempts)
        values (${id}, ${START - day * DAY_MS}, 1, 1, 1)`);
    }
    for (const [day, finished] of [
      [500, 499],
      [500, 10],
      [500, null],
    ] as const) {
      const began = START - day * DAY_MS;
      const replay_id = `rpl_${began.toString(16).padStart(12, "0")}${finished}`;
      await db.query(sql`insert into replays (id, destination_id, app_id, state, since, until, states, missing_events,
          total, created, succeeded, failed, at_position, end_position, walked, paced_at, resumed_at, revision,
          created_at, finished_at)
        values (${replay_id}, ${id}, 'shop', 'done', 0, 0, '[]', '[]', 0, 0, 0, 0, '', '', 1, 0, 0, 0, ${began},
          ${finished === null ? null : START - finished * DAY_MS})`);
    }
    await world.finish();
    const history = await db.query<{ at: number }>(sql`select at from destination_history order by at`);
    assert.deepEqual(
      history.map(({ at }) => (START - at) / DAY_MS),
      [404, 403, 400, 10],
    );
    assert.equal(await world.count("destination_hours"), 1);
    assert.equal(await world.count("replays"), 2);
  });

  test("a stop ends the rest at once and gives the lease back", async () => {
    const world = await openRetentionWorld(engine);
    for (let n = 0; n < 10; n++) await world.add(RECORD_LIMIT - n, { attempts: 1 });
    const timers: (() => void)[] = [];
    const started = Promise.withResolvers<void>();
    const one = world.openProcess(
      "three",
      world.db,
      () => 0,
      (rest_ms, callback) => {
        timers.push(callback);
        // The first timer is the round's, every later one a rest that would never end.
        if (timers.length === 1) queueMicrotask(callback);
        else started.resolve();
        return () => assert.ok(rest_ms > 0);
      },
    );
    one.start();
    await started.promise;
    await one.stop();
    assert.equal(timers.length, 2, "nothing was begun after the stop");
    assert.equal(await world.count("retention_lease"), 0);
  });

  test("a database that answers slowly gets smaller steps and longer rests", async () => {
    const world = await openRetentionWorld(engine);
    let at = 0;
    const slow = world.openProcess("slow", world.db, () => (at += 100));
    await slow.runRound();
    assert.ok(world.rests.length > 2);
    const [first = 0, second = 0] = world.rests;
    assert.ok(first >= 900 && second > first, world.rests.join());
  });
});

function ignoreDeath(error: unknown): void {
  assert.match(String(error), /died/);
}

/** A database that a process uses for so many commits that remove something, and never again. */
function dieAfter(db: Database, commits: number, note: (removed: number) => void): Database {
  let left = commits;
  return {
    ...db,
    async batch(statements) {
      if (statements.length > 1 && left-- <= 0) throw new Error("died");
      const results = await db.batch(statements);
      note(statements.reduce((sum, { expect }) => sum + (expect ?? 0), 0));
      return results;
    },
  };
}

function leased(db: Database): Database["query"] {
  return (statement) => {
    if (statement.parts[0]?.startsWith("insert into retention_lease"))
      return Promise.resolve([{ name: "" }] as never[]);
    return db.query(statement);
  };
}
