// What the operator is told of destinations: changes of their state, with the change, and deliveries that are late.
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebhookCreate } from "#contract/destinations.ts";
import { openWorld, type World } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { FAILURE_RULES } from "../../test/support/failing.ts";
import type { Reading } from "../notices/conditions.ts";
import type { NoticeRow } from "../notices/notice.ts";
import { type Condition, createNoticeStore } from "../notices/store.ts";
import { sql } from "../platform/sql.ts";
import { createBacklogLook, TOLD_ONE_BY_ONE_MAX } from "./backlog.ts";
import { createBacklogStore } from "./backlog-store.ts";

const LATE_MS = 900_000;
const input = () =>
  WebhookCreate.parse({
    url: "https://hooks.example.com/in?token=hunter2",
    events: ["link.click"],
    headers: { "x-a": "hunter2" },
  });

function noticesOf({ db }: World): Promise<NoticeRow[]> {
  return db.query<NoticeRow>(sql`select * from notices order by id`);
}

async function fail({ db, clock }: World, id: string): Promise<void> {
  await db.query(sql`update destination_health set consecutive_failures = 20,
    failing_since = ${clock.at - FAILURE_RULES.pause_after_ms} where destination_id = ${id}`);
}

forEachEngine((engine) => {
  test("pause, resume, disable and a return by hand are told, once each, whoever saw them", async () => {
    const world = await openWorld(engine);
    const { destinations, another, clock } = world;
    const { id } = await destinations.createWebhook("shop", input());
    await fail(world, id);
    await Promise.all([destinations.review(id), another().review(id)]);
    await Promise.all([destinations.resume(id), another().resume(id)]);
    clock.at += 1;
    await Promise.all([destinations.disable(id, "The receiver answered 410 (gone)"), another().disable(id, "Gone")]);
    await destinations.patchWebhook(id, null, { enabled: true });
    await fail(world, id);
    await destinations.review(id);
    await destinations.patchWebhook(id, null, { enabled: true });
    const notices = await noticesOf(world);
    assert.deepEqual(
      notices.map(({ type }) => type),
      [
        ...["webhook.paused", "webhook.resumed", "webhook.disabled", "webhook.resumed"],
        ...["webhook.paused", "webhook.resumed"],
      ] as string[],
    );
    for (const notice of notices) {
      assert.deepEqual([notice.app_id, notice.destination_id], ["shop", id]);
      assert.equal(JSON.parse(notice.data).host, "hooks.example.com");
      assert.doesNotMatch(JSON.stringify(notice), /hunter2|whsec_/);
    }
    assert.match(notices[0]?.message ?? "", /is paused\. 20 attempts in a row have failed since /);
    assert.match(notices[1]?.message ?? "", /is active again: an attempt succeeded\./);
    assert.match(notices[3]?.message ?? "", /is active again: enabled\./);
  });

  test("what a person turns off, renames or signs anew is no notice", async () => {
    const world = await openWorld(engine);
    const { destinations } = world;
    const { id } = await destinations.createWebhook("shop", input());
    await destinations.patchWebhook(id, null, { description: "another" });
    await destinations.patchWebhook(id, null, { enabled: false });
    await destinations.patchWebhook(id, null, { enabled: true });
    await destinations.rotateSecret(id, null);
    await destinations.deleteWebhook(id, null);
    assert.deepEqual(await noticesOf(world), []);
  });

  const pending = { state: "pending", leased: 0, attempt: 0, failures: 0, trigger: "auto" };
  async function deliver(
    world: World,
    destination_id: string,
    facts: Partial<typeof pending> & { due_at: number; created_at: number },
  ) {
    const row = { ...pending, ...facts };
    await world.db.query(sql`insert into deliveries
      (destination_id, position, app_id, event, state, attempt, failures, leased, due_at, trigger, created_at) values (
      ${destination_id}, ${`p${Math.random()}`}, 'shop', 'link.click', ${row.state}, ${row.attempt}, ${row.failures},
      ${row.leased}, ${row.due_at}, ${row.trigger}, ${row.created_at})`);
  }

  test("late is what was due long ago or is held for want of its turn; not what waits by its schedule or by design", async () => {
    const world = await openWorld(engine);
    const { destinations, clock, db } = world;
    const t0 = clock.at;
    const create = async () => (await destinations.createWebhook("shop", input())).id;
    const cases: [late: boolean, facts: Parameters<typeof deliver>[2]][] = [
      [true, { due_at: t0, created_at: t0 }],
      [true, { due_at: t0 + LATE_MS + 30_000, created_at: t0, leased: 1, attempt: 1 }],
      [true, { due_at: t0, created_at: t0, failures: 3, attempt: 3 }],
      [false, { due_at: t0 + 60_000, created_at: t0 + 60_000 }],
      [false, { due_at: t0 + 2 * LATE_MS, created_at: t0, failures: 1, attempt: 1 }],
      [false, { due_at: t0 + LATE_MS + 30_000, created_at: t0, leased: 1, attempt: 2, failures: 1 }],
      [false, { due_at: t0 + LATE_MS + 30_000, created_at: t0, leased: 1, attempt: 1, trigger: "replay" }],
      [false, { due_at: t0, created_at: t0, state: "succeeded" }],
      // What a person has asked for this very moment is due before everything else.
      [false, { due_at: 0, created_at: t0, trigger: "manual" }],
    ];
    const expected: string[] = [];
    for (const [late, facts] of cases) {
      const id = await create();
      await deliver(world, id, facts);
      if (late) expected.push(id);
    }
    const off = await create();
    await deliver(world, off, { due_at: t0, created_at: t0 });
    await destinations.patchWebhook(off, null, { enabled: false });
    clock.at = t0 + LATE_MS;
    const store = createBacklogStore(db);
    const found = await store.findLate(clock.at, clock.at - LATE_MS, 50);
    assert.deepEqual(found.map(({ destination_id }) => destination_id).sort(), expected.sort());
    assert.ok(found.every(({ app_id, waiting_since }) => app_id === "shop" && waiting_since === t0));
    assert.equal((await store.findLate(clock.at, clock.at - LATE_MS, 2)).length, 2);
    // What was off has its turn from the moment on at which it is active again.
    await destinations.patchWebhook(off, null, { enabled: true });
    const isLate = async () =>
      (await store.findLate(clock.at, clock.at - LATE_MS, 50)).some(({ destination_id }) => destination_id === off);
    assert.equal(await isLate(), false);
    clock.at += LATE_MS;
    assert.equal(await isLate(), true);
  });

  test("each late webhook is told, up to a number; more are one notice, and all of it ends", async () => {
    const world = await openWorld(engine);
    const { destinations, clock, db } = world;
    const notices = createNoticeStore(db);
    const seen: [Condition, Reading][] = [];
    const report = async (condition: Condition, reading: Reading) => {
      seen.push([condition, reading]);
      if (reading.state === "holds") await notices.open(condition, clock.at, []);
      if (reading.state === "gone") await notices.close(condition, clock.at, () => []);
    };
    const conditions = { report, openSubjects: notices.openSubjects };
    const look = createBacklogLook({
      store: createBacklogStore(db),
      conditions,
      late_ms: LATE_MS,
      clock: { now: () => clock.at },
    });
    const [first, second] = [
      await destinations.createWebhook("shop", input()),
      await destinations.createWebhook("shop", input()),
    ];
    for (const { id } of [first, second]) await deliver(world, id, { due_at: clock.at, created_at: clock.at });
    const looked = async () => {
      seen.length = 0;
      await look();
      return seen.map(([{ subject }, { state }]) => `${subject} ${state}`).sort();
    };
    assert.deepEqual(await looked(), []);
    clock.at += LATE_MS;
    assert.deepEqual(await looked(), [`${first.id} holds`, `${second.id} holds`].sort());
    const [, reading] = seen[0] ?? assert.fail();
    assert.ok(reading.state === "holds" && /is due since 2026-/.test(reading.begin.message));
    await db.query(sql`delete from deliveries where destination_id = ${first.id}`);
    assert.deepEqual(await looked(), [`${first.id} gone`, `${second.id} holds`].sort());

    for (let n = 0; n < TOLD_ONE_BY_ONE_MAX; n++) {
      const { id } = await destinations.createWebhook("shop", input());
      await deliver(world, id, { due_at: clock.at, created_at: clock.at });
    }
    clock.at += LATE_MS;
    assert.deepEqual(await looked(), ["* holds"]);
    await db.query(sql`delete from deliveries`);
    assert.deepEqual(await looked(), ["* gone", `${second.id} gone`]);
    for (const [, one] of seen) if (one.state === "gone") assert.equal(one.end(clock.at).type, "backlog.recovered");
    assert.deepEqual(await looked(), []);
  });
});
