// What the event log hands to the dispatcher after a commit. Items that share a transaction can be taken apart when one of
// them is refused; each must then hand over its own deliveries, and only what was stored.
import assert from "node:assert/strict";
import { test } from "node:test";
import { WebhookCreate } from "#contract/destinations.ts";
import { input, openWorld, refused, URL_OK } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import type { Ready } from "../deliveries/attempt.ts";
import { createDeliveryStore } from "../deliveries/store.ts";
import type { Destination } from "../destinations/destination.ts";
import { createCommitter } from "../platform/committer.ts";
import { createIds } from "../platform/ids.ts";
import { expectRows, type Statement, sql } from "../platform/sql.ts";
import { createEventLog } from "./append.ts";
import { composeEvent, type EventRow } from "./event.ts";
import { createEvents } from "./events.ts";
import { createEventStore, type EventStore } from "./store.ts";

interface Item {
  event: EventRow;
  is_refused: boolean;
}

forEachEngine((engine) => {
  test("when one of several items is refused, every other one hands over its own deliveries once", async () => {
    const { db, destinations } = await openWorld(engine);
    await db.query(sql`delete from events`);
    await destinations.createWebhook("shop", WebhookCreate.parse({ url: URL_OK, events: ["link.click"] }));
    const handed_over: Ready[] = [];
    let reserved = 0;
    const event_log = createEventLog({
      committer: createCommitter(db),
      destinations,
      dispatcher: {
        reserve(_, wanted) {
          reserved += wanted;
          return wanted;
        },
        release(_, count) {
          reserved -= count;
        },
        accept(_, ready, count) {
          reserved -= count;
          handed_over.push(...ready);
        },
        wake: () => {},
      },
      now: Date.now,
    });
    const submit = event_log.channel<Item>(
      ({ event }) => [event],
      (items) => ({
        statements: items.map(({ is_refused }) => expectRows(is_refused ? 1 : 0, sql`select 1 as one where 1 = 0`)),
      }),
    );
    const given = createIds().uuid();
    const items = [false, true, false, false, true].map((is_refused, n) => ({ event: eventOf(n), is_refused }));
    items.push({ event: eventOf(5, given), is_refused: false }, { event: eventOf(6), is_refused: true });

    const settled = await Promise.allSettled(items.map(submit));

    const wanted = items.filter(({ is_refused }) => !is_refused).map(({ event }) => event);
    assert.deepEqual(
      settled.map(({ status }) => status === "rejected"),
      items.map(({ is_refused }) => is_refused),
    );
    assert.deepEqual(
      handed_over.map(({ event_id, body }) => [event_id, body]),
      wanted.map(({ id, body }) => [id, body]),
    );
    assert.equal(reserved, 0, "no room is kept for what was refused or handed over");
    const stored = await db.query(sql`select position from deliveries where leased = 1 order by position`);
    assert.deepEqual(stored, wanted.map(({ position }) => ({ position })).sort(byPosition));
    const answer = settled[5]?.status === "fulfilled" ? settled[5].value : undefined;
    assert.deepEqual(answer, new Set([wanted.at(-1)?.position]), "the given id is told to be new");
  });

  test("events of an app whose webhooks keep changing are stored all the same, those of one that is gone find no app", async () => {
    const { db, destinations } = await openWorld(engine);
    const restless = {
      ...destinations,
      async refresh(app_id: string) {
        await destinations.refresh(app_id);
        await db.query(sql`update apps set destinations_version = destinations_version + 1 where id = ${app_id}`);
      },
    };
    const event_log = createEventLog({
      committer: createCommitter(db),
      destinations: restless,
      dispatcher: { reserve: () => 0, release: () => {}, accept: () => {}, wake: () => {} },
      now: Date.now,
    });
    const [store, deliveries] = [createEventStore(db), createDeliveryStore(db)];
    const events = createEvents({
      ...{ event_log, store, deliveries, destinations, ids: createIds(), now: Date.now },
      lookUpHolds: async () => () => null,
    });
    const click = { event: "link.click" as const, data: {} };
    const { id } = await destinations.createWebhook("shop", input());
    await restless.refresh("shop");
    const { accepted } = await events.ingest("shop", [click]);
    const test_event = await events.sendTest(id, "shop");
    const stored = await db.query<{ position: string }>(
      sql`select position from deliveries where destination_id = ${id} order by position`,
    );
    assert.deepEqual(
      stored.map(({ position }) => position),
      [...accepted, test_event.event_id].sort(),
    );
    await db.query(sql`delete from apps where id = 'shop'`);
    await refused(events.ingest("shop", [click]), "not_found");
  });

  test("nobody is woken for an event that a paused destination gets, but for a test", async () => {
    const { db, destinations, clock } = await openWorld(engine);
    const hook = await destinations.createWebhook("shop", WebhookCreate.parse({ url: URL_OK, events: ["link.click"] }));
    const woken: [id: string, is_asked: boolean][] = [];
    const nothing = { reserve: () => 0, release: () => {}, accept: () => {} };
    const event_log = createEventLog({
      ...{ committer: createCommitter(db), destinations, now: () => clock.at },
      dispatcher: { ...nothing, wake: (id, _, asked_at) => void woken.push([id, asked_at === clock.at]) },
    });
    const submit = event_log.channel<EventRow>((event) => [event]);
    await submit(eventOf(1));
    assert.deepEqual(woken.splice(0), [[hook.id, false]]);
    await db.query(sql`update destinations set state = 'paused' where id = ${hook.id}`);
    await db.query(sql`update apps set destinations_version = destinations_version + 1 where id = 'shop'`);
    await submit(eventOf(2));
    assert.deepEqual(woken, []);
    await submit({ ...eventOf(3), target_id: hook.id });
    assert.deepEqual(woken, [[hook.id, true]]);
  });
});

test("a call of which filters refuse very much is stored like any other", async () => {
  const hook = { state: "active", events: new Set(["link.click"]), filter: { refusal: () => "Filtered." } };
  // What is left out is not asked of a destination whose filter refuses everything.
  const destinations = Array.from({ length: 300 }, (_, n) => ({ ...hook, id: `dst_${n}` }) as unknown as Destination);
  let statements: readonly Statement[] = [];
  const event_log = createEventLog({
    committer: {
      channel: ({ compose }) => {
        return async (item) => {
          statements = compose([item]);
          return undefined as never;
        };
      },
    },
    destinations: {
      peek: () => ({ version: 1, destinations, conditions: 300, takers: new Map() }),
      refresh: async () => {},
      runLocked: async () => [],
    },
    dispatcher: { reserve: () => 0, release: () => {}, accept: () => {}, wake: () => {} },
    now: Date.now,
  });
  const submit = event_log.channel<readonly EventRow[]>((events) => events);
  await submit(Array.from({ length: 500 }, (_, n) => eventOf(n)));
  const stored = statements.flatMap(({ values }) => values).map((value) => Object(value).list?.length);
  assert.ok(stored.includes(500 * 300), String(stored));
});

test("events of an app with very many webhooks, or conditions, are stored a few at a time, whoever brings them", async () => {
  const none = { conditions: 0, takers: new Map<string, number>() };
  const costs: Record<string, typeof none> = {
    shop: { ...none, conditions: 50_000 },
    blog: { ...none, takers: new Map([["link.click", 1_000]]) },
    news: { ...none, takers: new Map([["link.claim", 1_000]]) },
  };
  const transactions: number[] = [];
  const event_log = createEventLog({
    committer: createCommitter({
      engine: "sqlite",
      async batch(statements) {
        const lists = statements.flatMap(({ values }) => values).map((value) => Object(value).list?.length ?? 0);
        transactions.push(Math.max(...lists));
        return statements.map(() => []);
      },
    }),
    destinations: {
      peek: (app_id) => ({ ...{ version: 1, destinations: [] }, ...(costs[app_id] ?? none) }),
      refresh: async () => {},
      runLocked: async () => [],
    },
    dispatcher: { reserve: () => 0, release: () => {}, accept: () => {}, wake: () => {} },
    now: Date.now,
  });
  const submit = event_log.channel<EventRow>((event) => [event]);
  await Promise.all(Array.from({ length: 20 }, (_, n) => submit(eventOf(n))));
  assert.deepEqual(
    transactions.splice(0),
    [5, 5, 5, 5],
    "no more than 200,000 conditions, and what the last of them asks",
  );
  const sizesOf = async (app_id: string) => {
    await Promise.all(Array.from({ length: 50 }, (_, n) => submit({ ...eventOf(n), app_id })));
    return transactions.splice(0);
  };
  assert.deepEqual(await sizesOf("blog"), [21, 21, 8], "some 20,000 deliveries");
  assert.deepEqual(await sizesOf("news"), [50], "webhooks that do not take them cost nothing");
  assert.deepEqual(await sizesOf("other"), [50]);
});

test("a call that would make too many deliveries is refused, with how many events it may have", async () => {
  const takers = new Map([
    ["link.click", 300],
    ["link.claim", 10],
  ]);
  const never = () => assert.fail("nothing is stored");
  const events = createEvents({
    event_log: { channel: () => never },
    store: {} as EventStore,
    deliveries: { ofEvent: never, lastAttempts: never, find: never, probeAt: never, hasBehind: never },
    destinations: { find: never, ofApp: async () => ({ version: 1, destinations: [], conditions: 0, takers }) },
    lookUpHolds: never,
    ids: createIds(),
    now: Date.now,
  });
  const call = (clicks: number, claims: number) => {
    const click = { event: "link.click" as const, data: {} };
    const claim = { event: "link.claim" as const, data: {} };
    return events.ingest("shop", [...Array(clicks).fill(click), ...Array(claims).fill(claim)]);
  };
  const message = "at most 166 events a call: up to 300 webhooks of this app take each of them";
  await assert.rejects(call(166, 21), { code: "too_large", message: `events: ${message}` });
  await assert.rejects(call(166, 20), { code: "ERR_ASSERTION" }, "50,000 deliveries are stored");
  await assert.rejects(call(0, 500), { code: "ERR_ASSERTION" });
});

function eventOf(n: number, id?: string): EventRow {
  return composeEvent({ app_id: "shop", event: "link.click", data: { n }, id }, createIds(), Date.now());
}

function byPosition(a: { position: string }, b: { position: string }): number {
  return a.position < b.position ? -1 : 1;
}
