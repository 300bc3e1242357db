import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventType } from "#contract/events.ts";
import { input, openWorld, START } from "../../test/support/destinations.ts";
import { type Engine, forEachEngine } from "../../test/support/engines.ts";
import { createIds } from "../platform/ids.ts";
import { rows, sql } from "../platform/sql.ts";
import type { DestinationRow } from "./destination.ts";
import { compileFilter } from "./filter.ts";
import { createMissedStore } from "./missed-store.ts";
import { PASSING_BYTES_MAX } from "./passing-store.ts";

/** As large as an event may be, nearly. */
const BODY_BYTES = 250_000;
const FILTER = { path: "platform", equals: "ios" } as const;

async function openLarge(engine: Engine) {
  const { db, clock, destinations } = await openWorld(engine);
  await db.query(sql`delete from events`);
  const { items } = await destinations.listWebhooks("shop", { limit: 100 });
  for (const one of items) await destinations.deleteWebhook(one.id, null);
  const ids = createIds({ now: () => clock.at, random: (bytes) => void bytes.fill(7) });
  const { id } = await destinations.createWebhook("shop", input({ enabled: false, filter: FILTER }));
  async function addEvents(count: number, bytes = BODY_BYTES, { event = "link.click" as EventType } = {}) {
    const body = JSON.stringify({ data: { platform: "ios", text: "x".repeat(bytes - 43) } });
    for (let added = 0; added < count; added++) {
      const position = ids.uuid();
      await db.query(sql`insert into events (app_id, position, id, event, created_at, body)
        values ${rows([["shop", position, position, event, clock.at, body]])}`);
    }
    clock.at += 1_000;
  }
  const missed = async () => (await destinations.getWebhook(id, null)).missed;
  /** What a look reads, counted. */
  async function openLook() {
    const read = { bytes: 0, most: 0, now: 0, looks: 0 };
    const store = createMissedStore({
      async query<Result>(statement: Parameters<typeof db.query>[0]) {
        if (statement.parts.join("").includes("is_missing")) read.looks++;
        const found = await db.query<Result>(statement);
        const bodies = found.flatMap((row) => (row as { body?: string }).body ?? []);
        const bytes = bodies.join("").length;
        read.bytes += bytes;
        read.most = Math.max(read.most, bytes);
        return found;
      },
    });
    const [row] = await db.query<DestinationRow>(sql`select * from destinations where id = ${id}`);
    assert.ok(row !== undefined);
    const filter = compileFilter(FILTER);
    const destination = { id, app_id: "shop", events: new Set(["link.click"] as const), filter };
    const look = () => store.missedOf([{ row, destination }], clock.at).then((found) => found.get(id)?.missed);
    return { read, look };
  }
  return { clock, destinations, addEvents, missed, openLook };
}

forEachEngine((engine) => {
  test("of large events that a filter reads so many are counted as the bytes allow, a few in memory at a time", async () => {
    const { addEvents, missed, openLook } = await openLarge(engine);
    const all = Math.floor(PASSING_BYTES_MAX / BODY_BYTES);
    await addEvents(all);
    const since = new Date(START).toISOString();
    assert.deepEqual(await missed(), { count: all, is_exact: true, since, until: null });
    await addEvents(10);
    assert.deepEqual(await missed(), { count: all, is_exact: false, since, until: null });
    const { read, look } = await openLook();
    assert.deepEqual((await look())?.count, all);
    assert.ok(read.bytes <= PASSING_BYTES_MAX && read.most <= 2 * BODY_BYTES, JSON.stringify(read));
  });

  test("looks at the same webhook at the same time are two at the most: the first, and one that all others share", async () => {
    const { addEvents, openLook } = await openLarge(engine);
    await addEvents(20, 1_000);
    const { read, look } = await openLook();
    const counts = await Promise.all(Array.from({ length: 30 }, look));
    assert.deepEqual(new Set(counts.map((missed) => missed?.count)), new Set([20]));
    assert.equal(read.looks, 2);
    await addEvents(1, 1_000);
    assert.equal((await look())?.count, 21, "one that begins later sees what came meanwhile");
  });

  test("what is larger than a look may read is counted alone, and webhooks of one answer share what it reads", async () => {
    const { destinations, addEvents, missed } = await openLarge(engine);
    await addEvents(1, PASSING_BYTES_MAX + 1);
    assert.deepEqual([(await missed())?.count, (await missed())?.is_exact], [1, true]);
    await addEvents(1, 1_000);
    assert.deepEqual([(await missed())?.count, (await missed())?.is_exact], [1, false]);
    await addEvents(9, 1_000, { event: "link.claim" });
    const other = await destinations.createWebhook("shop", input({ enabled: false, filter: FILTER }));
    await addEvents(10);
    assert.equal((await destinations.getWebhook(other.id, null)).missed?.is_exact, true);
    const { items } = await destinations.listWebhooks("shop", { limit: 10 });
    const shared = items.find(({ id }) => id === other.id)?.missed;
    assert.deepEqual([shared?.count, shared?.is_exact], [Math.floor(PASSING_BYTES_MAX / 2 / BODY_BYTES), false]);
  });
});
