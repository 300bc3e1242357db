import assert from "node:assert/strict";
import { test } from "node:test";
import { sql } from "../../server/src/platform/sql.ts";
import { forEachEngine } from "../../server/test/support/engines.ts";
import { fill, positionOf, timeOf } from "./history.ts";

const ATTEMPTS = 1_500;

forEachEngine((engine) => {
  test("The history is filled with events, deliveries and attempts that the API finds by their ids", async () => {
    const db = await engine.open();
    const place = { app_id: "shop", webhook_id: "dst_1", end: Date.UTC(2027, 0, 31), attempts: ATTEMPTS };
    await fill(db, place, () => {});
    const positions = Array.from({ length: ATTEMPTS }, (_, n) => positionOf(timeOf(place, n), n));
    for (const found of [
      await db.query<{ position: string }>(sql`select position from events order by position`),
      await db.query<{ position: string }>(
        sql`select position from deliveries where destination_id = 'dst_1' order by position`,
      ),
    ]) {
      assert.deepEqual(
        found.map(({ position }) => position),
        positions,
      );
    }
    const made = await db.query(
      sql`select outcome, count(*) as n from attempt_history group by outcome order by outcome`,
    );
    assert.deepEqual(made, [
      { outcome: "accepted", n: (ATTEMPTS * 4) / 5 },
      { outcome: "refused", n: ATTEMPTS / 5 },
    ]);
    const [event] = await db.query<{ body: string }>(
      sql`select body from events where position = ${positions[0] ?? ""}`,
    );
    assert.equal(JSON.parse(event?.body ?? "").id, positions[0]);
  });
});
