import assert from "node:assert/strict";
import { test } from "node:test";
import type { Filter } from "#contract/filters.ts";
import { HOUR_MS, historyOf, input, outgoing, START, versionOf } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { openStops } from "../../test/support/stops.ts";
import { sql } from "../platform/sql.ts";
import { NONE_FAILED } from "./failed.ts";
import { failingOf, NO_FACTS } from "./health.ts";
import { NOT_TRIED } from "./last-tries.ts";
import {
  isCovered,
  nextStep,
  type PastSettings,
  positionBounds,
  rangesOf,
  type StopColumns,
  stopsOf,
} from "./missed.ts";
import { CHANGES_MAX, MISSED_SCAN_MAX } from "./missed-store.ts";

const MINUTE_MS = 60_000;
const WELL = { failing: failingOf(NO_FACTS), failed: NONE_FAILED, tried: NOT_TRIED };

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
    assert.deepEqual(again, { count: 7, is_exact: true, since, until: null }, "another stop hides nothing");
  });

  test("what is not recovered stays missed over any number of stops, and what is recovered is forgotten", async () => {
    const { clock, destinations, addEvents, missed, countOf, turnOffAndOn, recover } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    clock.at += MINUTE_MS;
    await turnOffAndOn(id, 5);
    const first = await missed(id);
    await turnOffAndOn(id);
    clock.at += MINUTE_MS;
    await addEvents(4);
    clock.at += MINUTE_MS;
    await turnOffAndOn(id);
    assert.deepEqual([await countOf(id), (await missed(id))?.since], [5, first?.since], "two empty ones");
    await destinations.disable(id, "The receiver answered 410 (gone)");
    await addEvents(2);
    clock.at += MINUTE_MS;
    await turnOffAndOn(id);
    assert.equal(await countOf(id), 7, "by hand after one by itself");
    await recover(id, 4);
    await turnOffAndOn(id, 1);
    assert.deepEqual([await countOf(id), (await missed(id))?.since], [4, first?.since], "a part is recovered");
    await recover(id);
    assert.equal(await missed(id), null, "all is recovered");
    clock.at += MINUTE_MS;
    await turnOffAndOn(id, 3);
    const last = await missed(id);
    assert.equal(last?.count, 3);
    assert.ok((last?.since ?? "") > (first?.until ?? ""), "the stops before are forgotten");
  });

  test("a stop is remembered while a replay of what it missed may still be canceled", async () => {
    const { db, clock, destinations, countOf, turnOffAndOn, recover, insertReplay } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await turnOffAndOn(id, 5);
    clock.at += 1;
    await insertReplay(id, id);
    await db.query(sql`update replays set state = 'running', finished_at = null`);
    await recover(id);
    await turnOffAndOn(id);
    await db.query(sql`update replays set state = 'canceled', finished_at = ${clock.at}`);
    await db.query(sql`delete from deliveries where destination_id = ${id}`);
    assert.equal(await countOf(id), 5);
  });

  test("a stop is remembered when its types are changed for a time, and when there is too much to look at", async () => {
    const { db, destinations, patch, countOf, turnOffAndOn, recover, insertReplay } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await turnOffAndOn(id, 5);
    await patch(id, { events: ["link.claim"] });
    await insertReplay(id, id, { types: '["link.claim"]' });
    await turnOffAndOn(id);
    assert.equal(await countOf(id), 0);
    await patch(id, { events: ["link.click"] });
    assert.equal(await countOf(id), 5);
    await turnOffAndOn(id, 1_500);
    await recover(id, 1_400);
    await turnOffAndOn(id);
    assert.equal(await countOf(id), 105);
    await recover(id, 10_000);
    await turnOffAndOn(id, 1);
    assert.equal(await countOf(id), 1, "forgotten or not, nothing of it is missing");
    assert.deepEqual(await db.query(sql`select count(*) as n from events`), [{ n: 1_506 }]);
  });

  test("more stops than the history is read for are one, and the count is still right", async () => {
    const { destinations, missed, turnOffAndOn } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    await turnOffAndOn(id, 5);
    const first = await missed(id);
    for (let stops = 0; stops < CHANGES_MAX / 2 + 5; stops++) await turnOffAndOn(id, stops % 20 === 0 ? 1 : 0);
    const { count, is_exact, since } = (await missed(id)) ?? {};
    assert.deepEqual([count, is_exact, since], [8, true, first?.since]);
    const stops = await destinations.openStops(id, null);
    assert.equal(stops.length, CHANGES_MAX / 2);
  });

  test("what it did not take before a change, or between two stops, is none of it", async () => {
    const { db, destinations, addEvents, patch, missed, turnOffAndOn } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const ranged = async () => {
      let events = 0;
      for (const range of rangesOf(await destinations.openStops(id, null), START + HOUR_MS)) {
        const [from_position, end_position] = positionBounds(range);
        const [found] = await db.query<{ count: number }>(sql`select count(*) as count from events
          where position >= ${from_position} and position < ${end_position}`);
        events += found?.count ?? 0;
      }
      return [(await missed(id))?.count, events];
    };
    await turnOffAndOn(id, 100);
    await turnOffAndOn(id, 3);
    assert.deepEqual(await ranged(), [103, 103]);
    await addEvents(20, { event: "link.claim" });
    await patch(id, { events: ["link.claim"] });
    await addEvents(2, { event: "link.claim" });
    await patch(id, { enabled: false });
    await addEvents(4, { event: "link.claim" });
    assert.deepEqual(await ranged(), [6, 109], "of those, two may have been kept back on their way");
    await addEvents(1);
    await patch(id, { events: ["link.claim", "link.click"] });
    assert.deepEqual(await ranged(), [108, 108], "it took something else before");
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
    const { db, clock, destinations, addEvents, patch, insertReplay } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input({ enabled: false }));
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
    await insertReplay(id, other);
    const elsewhere = (await destinations.getWebhook(id, null)).missed;
    assert.deepEqual(
      [elsewhere?.count, elsewhere?.is_exact],
      [MISSED_SCAN_MAX + 1, false],
      "it was sent to another one",
    );
    await db.query(sql`update replays set target_id = ${id} where id = 'rpl_1'`);
    const after = (await destinations.getWebhook(id, null)).missed;
    assert.equal(after, null);
    assert.equal((await destinations.getWebhook(other, null)).missed?.is_exact, false);
    await patch(id, { enabled: false });
    await addEvents(2);
    const next = (await destinations.getWebhook(id, null)).missed;
    assert.deepEqual([next?.count, next?.is_exact], [2, true], "what was replayed is forgotten");
  });

  test("a change of the filter raises the version and is on record with its cause", async () => {
    const { db, destinations, patch } = await openStops(engine);
    const { id } = await destinations.createWebhook("shop", input());
    const before = await versionOf(db);
    const filter: Filter = { path: "platform", equals: "ios" };
    for (const changes of [{ filter }, { filter, description: "x" }, { filter: null }]) await patch(id, changes);
    assert.equal(await versionOf(db), before + 3);
    const causes = ["created", "its filter was changed", "changed: description", "its filter was removed"];
    assert.deepEqual(
      (await historyOf(db, id)).map(({ cause }) => cause),
      causes,
    );
    const kept = await db.query(sql`select filter from destination_history where destination_id = ${id} order by at`);
    assert.deepEqual(
      kept.map((row) => row["filter"]),
      [null, JSON.stringify(filter), JSON.stringify(filter), null],
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
  const sender = { id: "rpl_1", state: "paused", destination_id: "dst_a", target_id: "dst_a", states: ["missing"] };
  const step = (
    state: "active" | "paused" | "disabled" | "off",
    of: typeof missed | null = null,
    { pending = 0, is_sent = false } = {},
  ) => {
    const known = { missed: of, sender: is_sent ? sender : null, open: [], pending };
    return nextStep({ id: "dst_a", state, state_changed_at: START }, known, WELL, START) ?? "";
  };
  assert.match(
    step("off"),
    /^It was turned off at 2026-01-31T09:30:00\.000Z\. Turn it on with PATCH \/api\/webhooks\/dst_a /,
  );
  assert.match(step("disabled"), /^Mend the receiver.*"recover": true/);
  for (const state of ["off", "disabled"] as const) {
    assert.match(step(state), /, else it goes on from now\.$/);
    const waits = "; either way what is pending, 2 deliveries, goes out then, each when it is due.";
    assert.ok(step(state, null, { pending: 2 }).endsWith(`, else it goes on from now${waits}`));
    assert.match(
      step(state, missed, { pending: 1, is_sent: true }),
      /\/resume; what is pending, 1 delivery, goes out when it is on, each when it is due; what it has missed since that was asked for is told then\.$/,
    );
  }
  assert.match(
    step("paused"),
    /goes on by itself after the first success\. PATCH .* resumes it at once: then what is due goes out, and each of the others not before the time that its reason tells, in GET /,
  );
  assert.match(step("active", missed), /^Send what it missed/);
  assert.equal(step("active", { ...missed, count: 0 }), "");
  assert.equal(step("active"), "");
});

const CLICK = '["link.click"]';
const ROW: StopColumns = {
  id: "dst_a",
  stopped_at: 100_000,
  restarted_at: 300_000,
  created_at: 1,
  events: CLICK,
  filter: null,
};
const entry = (at: number, state: PastSettings["state"], events = CLICK): PastSettings => ({
  at,
  state,
  events,
  filter: null,
});

const histories: [
  title: string,
  told: PastSettings[],
  stops: [since: number, until: number | null, on_since: number][],
][] = [
  ["of one stop", [entry(1, "active"), entry(100_000, "off"), entry(300_000, "active")], [[100_000, 300_000, 1]]],
  [
    "that changes from disabled to off, and pauses while it is on",
    [
      ...[entry(1, "paused"), entry(100_000, "disabled"), entry(110_000, "off"), entry(120_000, "active")],
      ...[entry(130_000, "paused"), entry(140_000, "disabled")],
    ],
    [
      [100_000, 120_000, 1],
      [140_000, null, 120_000],
    ],
  ],
  ["that was created off", [entry(100_000, "off")], [[100_000, null, 1]]],
  [
    "with a stop before that is recovered",
    [entry(80_000, "off"), entry(95_000, "active"), entry(100_000, "off")],
    [[100_000, null, 95_000]],
  ],
  [
    "that begins within a stop",
    [entry(150_000, "off"), entry(160_000, "active"), entry(170_000, "off")],
    [
      [100_000, 160_000, 100_000],
      [170_000, null, 160_000],
    ],
  ],
  ["that begins behind the stop", [entry(150_000, "active")], [[100_000, 150_000, 100_000]]],
  ["of which nothing is left", [], [[100_000, 300_000, 100_000]]],
  [
    "with another type before the stop",
    [entry(1, "active", "[]"), entry(99_000, "active"), entry(100_000, "off"), entry(300_000, "active")],
    [[100_000, 300_000, 99_000]],
  ],
];
for (const [title, told, stops] of histories) {
  test(`the stops of a history ${title}`, () => {
    assert.deepEqual(
      stopsOf(ROW, told).map(({ since, until, on_since }) => [since, until, on_since]),
      stops,
    );
  });
}

const covers: [title: string, replays: [since: number, until: number, created_at: number][], is_covered: boolean][] = [
  ["by none", [], false],
  ["by one of all of it", [[90, 210, 300]], true],
  ["by one of exactly it", [[100, 200, 200]], true],
  ["by one that was asked for while it lasted", [[90, 210, 199]], false],
  [
    "by parts, in any order",
    [
      [150, 250, 300],
      [100, 150, 300],
    ],
    true,
  ],
  [
    "by parts with a gap",
    [
      [100, 149, 300],
      [150, 250, 300],
    ],
    false,
  ],
  ["by one without its beginning", [[101, 300, 300]], false],
  ["by one without its end", [[50, 199, 300]], false],
];
for (const [title, replays, is_covered] of covers) {
  test(`a stop that is covered ${title} is ${is_covered ? "" : "not "}replayed`, () => {
    const ended = replays.map(([since, until, created_at]) => ({ since, until, created_at }));
    assert.equal(isCovered({ since: 100, until: 200, on_since: 0, on_until: null }, ended), is_covered);
    assert.equal(
      isCovered({ since: 100, until: null, on_since: 0, on_until: null }, ended),
      false,
      "nor is one that is not over",
    );
  });
}
