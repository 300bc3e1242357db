import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventType } from "#contract/events.ts";
import type { Filter } from "#contract/filters.ts";
import { HOUR_MS, historyOf, input, openWorld, outgoing, START, versionOf } from "../../test/support/destinations.ts";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { createIds, uuidFloor } from "../platform/ids.ts";
import { rows, sql } from "../platform/sql.ts";
import { nextStep, rangeOf } from "./missed.ts";
import { MISSED_SCAN_MAX } from "./missed-store.ts";

const MINUTE_MS = 60_000;
const ROWS_AT_ONCE = 1_000;

async function openStops(engine: Engine) {
  const world = await openWorld(engine);
  const { db, clock, destinations } = world;
  await db.query(sql`delete from events`);
  await db.query(sql`delete from replays`);
  const ids = createIds({ now: () => clock.at, random: (bytes) => void bytes.fill(7) });
  /** Stores events of this moment that nothing fanned out; a second later nothing of the next ones is older. */
  async function addEvents(count: number, { event = "link.click" as EventType, target = "", platform = "ios" } = {}) {
    for (let left = count; left > 0; left -= ROWS_AT_ONCE) {
      const values = Array.from({ length: Math.min(left, ROWS_AT_ONCE) }, () => {
        const id = ids.uuid();
        return ["shop", id, id, event, null, target || null, clock.at, JSON.stringify({ id, data: { platform } })];
      });
      await db.query(
        sql`insert into events (app_id, position, id, event, link_id, target_id, created_at, body) values ${rows(values)}`,
      );
    }
    clock.at += 1_000;
  }
  const patch = async (id: string, changes: object) => {
    clock.at += 1_000;
    return destinations.patchWebhook(id, null, changes);
  };
  const missed = async (id: string) => (await destinations.getWebhook(id, null)).missed;
  return { ...world, addEvents, patch, missed };
}

forEachEngine((engine) => {
  test("missed are events of its types that no delivery is there of, from when it was stopped until it was turned on", async () => {
    const { clock, destinations, addEvents, patch, missed } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await addEvents(3);
    clock.at += MINUTE_MS;
    assert.equal(await missed(id), null);
    await patch(id, { enabled: false });
    const since = new Date(clock.at).toISOString();
    await addEvents(5);
    await addEvents(2, { event: "link.claim" });
    await addEvents(1, { target: "dst_other" });
    assert.deepEqual(await missed(id), { count: 5, is_exact: true, since, until: null });
    await patch(id, { description: "still off" });
    await patch(id, { events: ["link.click", "link.claim"] });
    assert.deepEqual(await missed(id), { count: 7, is_exact: true, since, until: null });
    await patch(id, { enabled: true });
    const until = new Date(clock.at).toISOString();
    clock.at += MINUTE_MS;
    await addEvents(4);
    assert.deepEqual(await missed(id), { count: 7, is_exact: true, since, until }, "the last stop is still told of");
    clock.at += MINUTE_MS;
    await destinations.disable(id, "The receiver answered 410 (gone)");
    const again = await missed(id);
    assert.deepEqual([again?.count, again?.until], [0, null], "another stop begins");
  });

  test("what an earlier stop kept back, and what it did not take before a change, is none of it", async () => {
    const { db, destinations, addEvents, patch, missed } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const ranged = async () => {
      const stop = await destinations.lastStop(id, null);
      assert.ok(stop !== null);
      const { since, until } = rangeOf(stop, START + HOUR_MS);
      const [found] = await db.query<{ count: number }>(sql`select count(*) as count from events
        where position >= ${uuidFloor(since)} and position < ${uuidFloor(until)}`);
      return [(await missed(id))?.count, found?.count];
    };
    await patch(id, { enabled: false });
    await addEvents(100);
    await patch(id, { enabled: true });
    await patch(id, { enabled: false });
    await addEvents(3);
    await patch(id, { enabled: true });
    assert.deepEqual(await ranged(), [3, 3], "of the last stop");
    await addEvents(20, { event: "link.claim" });
    await patch(id, { events: ["link.claim"] });
    await addEvents(2, { event: "link.claim" });
    await patch(id, { enabled: false });
    await addEvents(4, { event: "link.claim" });
    assert.deepEqual(await ranged(), [6, 6], "of those, two may have been kept back on their way");
    await addEvents(1);
    await patch(id, { events: ["link.claim", "link.click"] });
    assert.deepEqual(await ranged(), [5, 5], "it took something else before");
  });

  test("a filter counts those that pass", async () => {
    const { destinations, addEvents, patch, missed } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input({ enabled: false }));
    await addEvents(150);
    await addEvents(30, { platform: "web" });
    const counts = [];
    for (const filter of [
      { path: "platform", equals: "web" },
      { path: "event", equals: "link.claim" },
      { not: { path: "link_id", exists: true } },
      null,
    ] satisfies (Filter | null)[]) {
      await patch(id, { filter });
      counts.push((await missed(id))?.count);
    }
    assert.deepEqual(counts, [30, 0, 180, 180]);
  });

  test("of very many the first are counted, and it says so, until a replay of them all is done", async () => {
    const { db, clock, destinations, addEvents, patch } = await openStops(engine);
    const { id, app_id } = await destinations.createWebhook("shop", input({ enabled: false }));
    const { id: other } = await destinations.createWebhook("shop", input({ enabled: false }));
    await addEvents(MISSED_SCAN_MAX);
    const exact = (await destinations.getWebhook(id, null)).missed;
    assert.deepEqual([exact?.count, exact?.is_exact], [MISSED_SCAN_MAX, true]);
    await addEvents(1);
    const more = (await destinations.getWebhook(id, null)).missed;
    assert.deepEqual([more?.count, more?.is_exact], [MISSED_SCAN_MAX + 1, false]);
    const both = (await destinations.listWebhooks("shop", { limit: 10 })).items.map((one) => one.missed?.count);
    assert.deepEqual(both, [MISSED_SCAN_MAX / 2 + 1, MISSED_SCAN_MAX / 2 + 1], "a list looks at no more than one does");
    await patch(id, { enabled: true });
    clock.at += 1;
    await db.query(sql`insert into replays (id, destination_id, target_id, app_id, state, since, until, states,
        missing_events, total, created, succeeded, failed, at_position, end_position, walked, paced_at, resumed_at, revision,
        created_at)
      values ('rpl_1', ${id}, ${other}, ${app_id}, 'done', ${START}, ${clock.at}, '["missing"]', '["link.click"]', 0, 0, 0, 0,
        '', '', 1, 0, 0, 0, ${clock.at})`);
    const elsewhere = (await destinations.getWebhook(id, null)).missed;
    assert.deepEqual(
      [elsewhere?.count, elsewhere?.is_exact],
      [MISSED_SCAN_MAX + 1, false],
      "it was sent to another one",
    );
    await db.query(sql`update replays set target_id = ${id} where id = 'rpl_1'`);
    const after = (await destinations.getWebhook(id, null)).missed;
    assert.deepEqual([after?.count, after?.is_exact], [0, true]);
    assert.equal((await destinations.getWebhook(other, null)).missed?.is_exact, false);
  });

  test("a change of the filter raises the version and is on record with its cause", async () => {
    const { db, destinations, patch } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const before = await versionOf(db);
    const filter: Filter = { path: "platform", equals: "ios" };
    for (const changes of [{ filter }, { filter, description: "x" }, { filter: null }]) await patch(id, changes);
    assert.equal(await versionOf(db), before + 3);
    const causes = ["created", "its filter was changed", "its filter was removed"];
    assert.deepEqual(
      (await historyOf(db, id)).map(({ cause }) => cause),
      causes,
    );
    const kept = await db.query(sql`select filter from destination_history where destination_id = ${id} order by at`);
    assert.deepEqual(
      kept.map((row) => row["filter"]),
      [null, JSON.stringify(filter), null],
    );
  });

  test("a stored filter that cannot be read keeps the webhook from sending, and loses nothing", async () => {
    const { db, destinations } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input({ filter: { path: "platform", equals: "ios" } }));
    await db.query(sql`update destinations set filter = '{"path":"platform","newer":1}' where id = ${id}`);
    await destinations.refresh("shop");
    const destination = await destinations.find(id);
    assert.equal(destination?.filter, null);
    assert.match(destination?.misconfigured ?? "", /filter cannot be read/);
    assert.throws(() => destination?.build(outgoing));
    assert.match((await destinations.getWebhook(id, null)).state_reason ?? "", /set it again/);
  });
});

test("what to do names the call, in every state in which there is something to do", () => {
  const missed = { count: 3, is_exact: true, since: "2026-01-31T09:30:00.000Z", until: "2026-01-31T09:31:00.000Z" };
  const step = (state: "active" | "paused" | "disabled" | "off", of: typeof missed | null = null) =>
    nextStep({ id: "dst_a", state, state_changed_at: START }, of) ?? "";
  assert.match(
    step("off"),
    /^It was turned off at 2026-01-31T09:30:00\.000Z\. Turn it on with PATCH \/api\/webhooks\/dst_a /,
  );
  assert.match(step("disabled"), /^Mend the receiver.*"recover": true/);
  assert.match(step("paused"), /go on by themselves after the first success/);
  assert.match(step("active", missed), /^Send what it missed/);
  assert.equal(step("active", { ...missed, count: 0 }), "");
  assert.equal(step("active"), "");
});
