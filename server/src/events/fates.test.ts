import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventType, FatesQuery } from "#contract/events.ts";
import { input, openWorld, START } from "../../test/support/destinations.ts";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { createDeliveryStore } from "../deliveries/store.ts";
import { createCommitter } from "../platform/committer.ts";
import { createIds } from "../platform/ids.ts";
import { sql } from "../platform/sql.ts";
import { createEventLog } from "./append.ts";
import { createEvents } from "./events.ts";
import { createFates } from "./fates.ts";
import { createFatesStore } from "./fates-store.ts";
import { createEventStore } from "./store.ts";

const PAIRS_MAX = 12;

async function openFates(engine: Engine) {
  const world = await openWorld(engine);
  const { db, clock, destinations } = world;
  await db.query(sql`delete from events`);
  const now = () => clock.at;
  const ids = createIds({ now, random: (bytes) => void crypto.getRandomValues(bytes) });
  const dispatcher = { reserve: () => 0, release: () => {}, accept: () => {}, wake: () => {} };
  const event_log = createEventLog({ committer: createCommitter(db), destinations, dispatcher, now });
  const store = createEventStore(db);
  const events = createEvents({
    ...{ event_log, store, deliveries: createDeliveryStore(db), destinations, ids, now },
    lookUpHolds: async () => () => null,
  });
  const fates = createFates({ store: createFatesStore(db), history: store, destinations, pairs_max: PAIRS_MAX });
  const ingest = (...types: EventType[]) =>
    events.ingest(
      "shop",
      types.map((event) => ({ event, data: {} })),
    );

  /** All parts of a range, added up as a client would. */
  async function countAll(query: FatesQuery = {}) {
    const total = { events: 0, parts: 0, fates: new Map<string, Record<string, number>>() };
    let cursor: string | undefined;
    do {
      const part = await fates.countFates("shop", { ...query, cursor });
      total.events += part.events;
      total.parts++;
      for (const { destination_id, fates: counts } of part.items) {
        assert.equal(sumOf(counts), part.events, `${destination_id} in part ${total.parts}`);
        const known = total.fates.get(destination_id) ?? {};
        for (const [state, count] of Object.entries(counts)) known[state] = (known[state] ?? 0) + count;
        total.fates.set(destination_id, known);
      }
      cursor = part.next_cursor ?? undefined;
    } while (cursor !== undefined);
    return total;
  }

  /** The same from the fates of each event. */
  async function countOneByOne() {
    const counted = new Map<string, Record<string, number>>();
    const { items } = await events.listEvents("shop", {}, { limit: 1_000 });
    for (const { id } of items) {
      for (const { destination_id, state } of (await events.getEvent(id, "shop")).fates) {
        const known = counted.get(destination_id) ?? {};
        known[state] = (known[state] ?? 0) + 1;
        counted.set(destination_id, known);
      }
    }
    return counted;
  }

  return { ...world, events, fates, ingest, countAll, countOneByOne };
}

function sumOf(counts: Record<string, number>): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

function positive(counts: ReadonlyMap<string, Record<string, number>>) {
  const told = [...counts].map(([id, of]) => [id, Object.fromEntries(Object.entries(of).filter(([, n]) => n > 0))]);
  return Object.fromEntries(told);
}

forEachEngine((engine) => {
  test("a long range comes in parts that add up, to what the fates of each event say", async () => {
    const { clock, destinations, events, ingest, countAll, countOneByOne } = await openFates(engine);
    const all = await destinations.createWebhook("shop", input());
    await ingest("link.click", "link.claim", "link.click");
    clock.at += 1;
    const filter = { path: "event", equals: "link.app_open" };
    const late = await destinations.createWebhook("shop", input({ events: ["link.click", "link.app_open"], filter }));
    await ingest("link.click", "link.app_open");
    clock.at += 1_000;
    await destinations.patchWebhook(all.id, null, { enabled: false });
    await ingest("link.click", "link.click", "link.claim");
    await events.sendTest(late.id, null);
    clock.at += 1_000;
    await destinations.patchWebhook(all.id, null, { enabled: true, events: ["link.claim"] });
    await ingest("link.click", "link.claim");
    const { events: count, parts, fates } = await countAll();
    assert.deepEqual([count, parts], [11, 2]);
    assert.deepEqual(positive(fates), {
      [all.id]: { pending: 4, not_subscribed: 5, off: 2 },
      [late.id]: { not_yet_created: 3, pending: 2, skipped: 4, not_subscribed: 2 },
    });
    assert.deepEqual(positive(fates), positive(await countOneByOne()));
  });

  test("a range and its parts take every event once, however many share a millisecond", async () => {
    const { clock, destinations, ingest, countAll } = await openFates(engine);
    await destinations.createWebhook("shop", input());
    for (let second = 0; second < 4; second++) {
      await ingest(...Array<EventType>(13).fill("link.click"));
      clock.at += 1_000;
    }
    const at = (second: number) => new Date(START + second * 1_000).toISOString();
    for (const [query, expected] of [
      [{}, 52],
      [{ since: at(1) }, 39],
      [{ until: at(1) }, 13],
      [{ since: at(1), until: at(3) }, 26],
      [{ since: at(9) }, 0],
    ] as const) {
      assert.equal((await countAll(query)).events, expected, JSON.stringify(query));
    }
  });

  test("an app without destinations has events and nobody to get them, and a foreign cursor is refused", async () => {
    const { fates, ingest } = await openFates(engine);
    await ingest("link.click");
    assert.deepEqual(await fates.countFates("shop", {}), { events: 1, items: [], next_cursor: null });
    await assert.rejects(fates.countFates("shop", { cursor: "???" }), { code: "invalid_request" });
    const backwards = { since: "2026-02-01T00:00:00Z", until: "2026-01-01T00:00:00Z" };
    await assert.rejects(fates.countFates("shop", backwards), { code: "invalid_request" });
  });

  test("events that are stored while a webhook is made, changed and turned off, in one millisecond, have a true fate", async () => {
    const { destinations, ingest, countAll, countOneByOne } = await openFates(engine);
    // The clock stands still: every event and every change has the same date.
    await ingest("link.click");
    const { id } = await destinations.createWebhook("shop", input());
    await ingest("link.click", "link.claim");
    const { fates } = await countAll();
    assert.deepEqual(positive(fates), { [id]: { not_yet_created: 1, pending: 1, not_subscribed: 1 } });
    await destinations.patchWebhook(id, null, { enabled: false });
    await ingest("link.click");
    const after = positive((await countAll()).fates)[id];
    assert.equal(sumOf(after), 4);
    assert.equal(after.pending, 1);
    assert.equal(after.missed, undefined, "each has a reason");
    assert.deepEqual(positive(await countOneByOne()), { [id]: after });
  });
});
