import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { input, openWorld } from "../../test/support/destinations.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { createSealer, SEAL_KEY_BYTES, SealError } from "../platform/sealing.ts";
import { sql } from "../platform/sql.ts";
import { checkSealKey } from "./seal-check-store.ts";

/** The statement of docs/guide/operate.md for who has lost the key. */
const ACCEPT_NEXT = sql`insert into seal_check (id, sealed) values (1, null)
  on conflict (id) do update set sealed = null`;

forEachEngine((engine) => {
  /** A world whose webhooks are sealed with `key`. The database is shared by the tests of this file. */
  async function openChecked() {
    const world = await openWorld(engine);
    await world.db.query(sql`delete from seal_check`);
    return { ...world, key: randomBytes(SEAL_KEY_BYTES) };
  }
  const check = (db: Parameters<typeof checkSealKey>[0], key: Uint8Array) => checkSealKey(db, createSealer(key));
  const other = randomBytes(SEAL_KEY_BYTES);

  test("the first key on a database is the one that fits it from then on", async () => {
    const { db, key } = await openChecked();
    await check(db, key);
    await check(db, key);
    await assert.rejects(check(db, other), SealError);
    await check(db, key);
  });

  test("of several first starts at once with different keys one wins, and the others are refused", async () => {
    const { db } = await openChecked();
    const keys = Array.from({ length: 6 }, () => randomBytes(SEAL_KEY_BYTES));
    const ends = await Promise.allSettled(keys.map((key) => check(db, key)));
    assert.deepEqual(ends.map(({ status }) => status).sort(), ["fulfilled", ...Array(5).fill("rejected")]);
    for (const [index, end] of ends.entries()) {
      if (end.status === "rejected") assert.ok(end.reason instanceof SealError, String(end.reason));
      else await check(db, keys[index] ?? other);
    }
  });

  test("a database from before the check is tried by its webhooks, and a key that opens none writes nothing", async () => {
    const { db, key, another } = await openChecked();
    await another(key).createWebhook("shop", input());
    await assert.rejects(check(db, other), SealError);
    assert.deepEqual(await db.query(sql`select * from seal_check`), []);
    await check(db, key);
    await assert.rejects(check(db, other), SealError);
  });

  test("one secret that opens is enough, for others may be of a key that was lost long ago", async () => {
    const { db, key, another } = await openChecked();
    for (const one of [other, key, other]) await another(one).createWebhook("shop", input());
    await check(db, key);
  });

  test("a damaged secret tells nothing about the key", async () => {
    const { db, key, another } = await openChecked();
    const { id } = await another(key).createWebhook("shop", input());
    await db.query(sql`update destinations set secrets = '{"current":"v1.damaged"}' where id = ${id}`);
    await check(db, key);
  });

  test("who has lost the key lets the next one in, and then only that one", async () => {
    const { db, key, another } = await openChecked();
    const { id } = await another(key).createWebhook("shop", input());
    for (const before of ["without a check", "with one"]) {
      if (before === "with one") await check(db, other);
      await db.query(ACCEPT_NEXT);
      await check(db, other);
      await assert.rejects(check(db, key), SealError, before);
    }
    const replaced = another(other);
    assert.match((await replaced.getWebhook(id, null)).state_reason ?? "", /another key/);
    await replaced.revokeSecret(id, null);
    assert.equal((await replaced.getWebhook(id, null)).state_reason, null);
  });
});
