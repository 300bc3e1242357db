// What an attempt that ends late still finds: its delivery may have been removed, with its webhook or its event, or a person may
// have corrected the webhook.
import assert from "node:assert/strict";
import { test } from "node:test";
import { NOW, openWith } from "../../test/support/deliveries.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { settlementOf } from "../../test/support/settlements.ts";
import { isSomebodyBlocked, waitUntil } from "../../test/support/wait.ts";
import { createAccounts } from "../accounts/accounts.ts";
import { recordRemoval } from "../accounts/store.ts";
import { createIds, SYSTEM_IDS } from "../platform/ids.ts";
import { sql } from "../platform/sql.ts";
import { type Settlement, settle } from "./settle-store.ts";

const LEASED = { attempt: 2, leased: 1, due_at: NOW + 45_000 } as const;
const ANSWER = { response_headers: '{"x-echo":"ada"}', response_snippet: "ada" };

function failureOf(key: Settlement["key"], answer: object): Settlement {
  const made = settlementOf(key, 2, { state: "pending", failures: 1, due_at: NOW });
  return { ...made, counts: false, record: { ...made.record, ...answer } };
}

forEachEngine((engine) => {
  test("an attempt is recorded only while its delivery is there, for else nothing would ever remove it", async () => {
    const { db, key } = await openWith(engine, LEASED);
    const gone = { ...key, destination_id: "dst_removed" };
    for (const answer of [ANSWER, {}]) {
      for (const set_apart of [false, true]) {
        const late = failureOf(gone, answer);
        const succeeded = settlementOf(gone, 1, { state: "succeeded", failures: 0, due_at: null });
        await db.batch(settle([{ ...late, set_apart }]));
        await db.batch(settle([{ ...succeeded, record: { ...succeeded.record, ...answer }, set_apart: true }]));
      }
    }
    await db.batch(settle([failureOf(gone, ANSWER), failureOf(key, ANSWER)]));
    const kept = await db.query(sql`select destination_id, response_snippet from attempts
      where destination_id in (${key.destination_id}, 'dst_removed')`);
    assert.deepEqual(kept, [{ destination_id: key.destination_id, response_snippet: "ada" }]);
  });

  for (const set_apart of [false, true]) {
    const what = set_apart ? "an attempt that may be on record already and" : "an attempt that";
    test(`${what} was made by settings of before is no part of the run of failures, nor does it end one`, async () => {
      const { db, key } = await openWith(engine, LEASED);
      let number = 0;
      /** As many attempts in one group: `ok` or `no`, the era of each, and when it ended. */
      const record = async (...ends: [end: "ok" | "no", era: number | undefined, at: number][]) => {
        const settlements = ends.map(([end, era, at]) => {
          const state = end === "ok" ? ("succeeded" as const) : ("pending" as const);
          const made = settlementOf(key, ++number, { state, failures: 1, due_at: NOW });
          const record = { ...made.record, started_at: at - made.record.duration_ms };
          return { ...made, record, set_apart, ...(era !== undefined && { era }) };
        });
        await db.batch(settle(settlements));
        // What comes again, for nobody heard of its commit, counts once.
        if (set_apart) await db.batch(settle(settlements));
        const [health] = await db.query<Record<string, number | null>>(
          sql`select * from destination_health where destination_id = ${key.destination_id}`,
        );
        assert.ok(health !== undefined);
        const { era, last_success_at, last_failure_at, consecutive_failures, failing_since } = health;
        return [era, last_success_at, last_failure_at, consecutive_failures, failing_since];
      };
      assert.deepEqual(await record(["no", 0, 11], ["no", 0, 12]), [0, null, 12, 2, 11]);
      assert.deepEqual(await record(["no", 1, 14], ["no", 0, 13]), [1, null, 14, 1, 14], "it begins anew");
      assert.deepEqual(await record(["no", 0, 15], ["no", 0, 16]), [1, null, 16, 1, 14]);
      assert.deepEqual(await record(["no", undefined, 17]), [1, null, 17, 1, 14]);
      assert.deepEqual(await record(["no", 0, 18], ["no", 1, 19], ["no", 0, 20]), [1, null, 20, 2, 14]);
      assert.deepEqual(await record(["ok", 0, 21]), [1, 21, 20, 2, 14], "when it succeeded last is told");
      assert.deepEqual(await record(["ok", 0, 22], ["no", 1, 23]), [1, 21, 23, 3, 14]);
      assert.deepEqual(await record(["ok", 1, 24], ["no", 0, 25]), [1, 24, 25, 0, null]);
      assert.deepEqual(await record(["no", 1, 26]), [1, 24, 26, 1, 26]);
      assert.deepEqual(await record(["ok", 3, 27]), [3, 27, 26, 0, null]);
      assert.deepEqual(await record(["no", 2, 28]), [3, 27, 28, 0, null]);
    });
  }

  if (engine.name !== "postgres") return;
  test("what is recorded in the moment in which its webhook is removed goes with it", async () => {
    const { db, key } = await openWith(engine, LEASED);
    await db.query(recordRemoval("destination", key.destination_id, NOW));
    const accounts = createAccounts({ db, ids: createIds(SYSTEM_IDS), source: SYSTEM_IDS });
    const [record, ...others] = settle([failureOf(key, ANSWER)]);
    assert.match(record?.parts.join("?") ?? "", /insert into attempts/);
    let removing: Promise<void> | undefined;
    await db.transaction(async (within) => {
      if (record !== undefined) await within(record);
      removing = accounts.finishRemovals();
      await waitUntil(() => isSomebodyBlocked(db), "the removal to wait");
      for (const one of others) await within(one);
    });
    await removing;
    const of_key = sql`where destination_id = ${key.destination_id}`;
    const left = [sql`select 1 as one from deliveries ${of_key}`, sql`select 1 as one from attempts ${of_key}`];
    assert.deepEqual(await Promise.all(left.map((one) => db.query(one))), [[], []]);
  });

  test("what is counted in the moment in which its webhook is removed goes with it", async () => {
    const { db, key } = await openWith(engine, LEASED);
    const { destination_id } = key;
    await db.query(
      sql`insert into destination_health (destination_id, consecutive_failures) values (${destination_id}, 0)`,
    );
    await db.query(recordRemoval("destination", destination_id, NOW));
    const accounts = createAccounts({ db, ids: createIds(SYSTEM_IDS), source: SYSTEM_IDS });
    const [health, ...others] = settle([{ ...failureOf(key, {}), counts: true }]);
    assert.match(health?.parts.join("?") ?? "", /insert into destination_health/);
    let removing: Promise<void> | undefined;
    await db.transaction(async (within) => {
      if (health !== undefined) await within(health);
      removing = accounts.finishRemovals();
      await waitUntil(() => isSomebodyBlocked(db), "the removal to wait");
      for (const one of others) await within(one);
    });
    await removing;
    const left = await db.query(sql`select hour from destination_hours where destination_id = ${destination_id}
      union all select consecutive_failures as hour from destination_health where destination_id = ${destination_id}`);
    assert.deepEqual(left, []);
  });
});
