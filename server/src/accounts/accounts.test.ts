import assert from "node:assert/strict";
import { test } from "node:test";
import { KeyCreate } from "#contract/apps.ts";
import type { ErrorCode } from "#contract/errors.ts";
import { appInput, destinationOf, openAccounts, START } from "../../test/support/accounts.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { meanwhile } from "../../test/support/meanwhile.ts";
import { AppError } from "../errors.ts";
import { sql } from "../platform/sql.ts";
import { KEYS_PER_APP_MAX } from "./accounts.ts";
import * as store from "./store.ts";

const key = (input: object = {}) => KeyCreate.parse({ kind: "server", ...input });
const refused = (code: ErrorCode) => (error: unknown) => error instanceof AppError && error.code === code;

forEachEngine((engine) => {
  test("an app is created with defaults, changed field by field, and deleted", async () => {
    const { accounts, clock } = await openAccounts(engine);
    const made = await accounts.createApp(appInput({ id: "shop", android_sha256: [], require_api_key: true }));
    assert.equal(made.id, "shop");
    assert.equal(made.require_api_key, true);
    assert.equal(made.match_window_seconds, 3600);
    assert.deepEqual([made.event_retention_days, made.delivery_retention_days], [395, 30]);
    assert.equal(made.created_at, "2026-01-31T09:30:00.000Z");
    clock.now += 5;
    const changed = await accounts.patchApp("shop", { web_fallback_url: "https://shop.example" });
    const updated_at = "2026-01-31T09:30:00.005Z";
    assert.deepEqual(changed, { ...made, web_fallback_url: "https://shop.example", updated_at });
    assert.deepEqual(await accounts.getApp("shop"), changed);
    assert.deepEqual(await accounts.findApp("shop"), changed);
    await accounts.deleteApp("shop");
    assert.equal(await accounts.findApp("shop"), null);
    for (const call of [
      () => accounts.getApp("shop"),
      () => accounts.patchApp("shop", { name: "x" }),
      () => accounts.deleteApp("shop"),
      () => accounts.createKey("shop", key(), null),
      () => accounts.createDomain("shop", "go.example.com"),
    ]) {
      await assert.rejects(call, refused("not_found"));
    }
  });

  test("an app has so many keys, and deleting one makes room", async () => {
    const { accounts } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    await accounts.createApp(appInput({ id: "other" }));
    const ids: string[] = [];
    while (ids.length < KEYS_PER_APP_MAX) ids.push((await accounts.createKey("shop", key(), null)).id);
    await assert.rejects(accounts.createKey("shop", key(), null), refused("conflict"));
    await accounts.createKey("other", key(), null);
    await accounts.deleteKey(ids[0] ?? "", null);
    await accounts.createKey("shop", key(), null);
    await assert.rejects(accounts.createKey("shop", key(), null), refused("conflict"));
  });

  test("however many are looked up together, there are few texts of statements to keep prepared", async () => {
    const { accounts, db } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    await accounts.createDomain("shop", "go.example.com");
    const { id } = await accounts.createKey("shop", key(), null);
    const [row] = await db.query<{ key_hash: string }>(sql`select key_hash from api_keys where id = ${id}`);
    const texts = new Set<string>();
    const seen: typeof db = {
      ...db,
      query(statement) {
        texts.add(statement.parts.join("?"));
        return db.query(statement);
      },
    };
    for (let others = 0; others < 20; others++) {
      const among = (known: string) => [known, ...Array.from({ length: others }, (_, n) => `none${n}`)];
      const found = [
        await store.selectAppsById(seen, among("shop")),
        await store.selectKeysByHash(seen, among(row?.key_hash ?? "")),
        await store.selectDomainsByHost(seen, among("go.example.com")),
      ];
      assert.deepEqual(
        found.map((rows) => rows.length),
        [1, 1, 1],
      );
    }
    assert.equal(texts.size, 3 * 6, "of 1, 2, 4, 8, 16 and 32 values");
  });

  test("of two who delete an app at once one finds it gone", async () => {
    const { accounts, db } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    await db.query(destinationOf("shop", "dst_1"));
    const results = await meanwhile(db, [() => accounts.deleteApp("shop"), () => accounts.deleteApp("shop")]);
    const refusals = results.filter((one) => one.status === "rejected");
    assert.equal(refusals.length, 1);
    assert.ok(refused("not_found")(refusals[0]?.reason), String(refusals[0]?.reason));
  });

  test("what is made of an app that is deleted at this moment finds it gone", async () => {
    const { accounts, db } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    const calls = [
      () => accounts.createKey("shop", key(), null),
      () => accounts.createDomain("shop", "go.example.com"),
    ];
    const removed = sql`delete from apps where id = 'shop'`;
    for (const one of await meanwhile(db, calls, removed)) {
      assert.ok(one.status === "rejected" && refused("not_found")(one.reason), one.status);
    }
  });

  test("two changes of different fields at the same moment both hold", async () => {
    const { accounts } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    await Promise.all([
      accounts.patchApp("shop", { name: "New" }),
      accounts.patchApp("shop", { ios_bundle_id: "a.b" }),
    ]);
    const { name, ios_bundle_id } = await accounts.getApp("shop");
    assert.deepEqual([name, ios_bundle_id], ["New", "a.b"]);
  });

  test("an id or a host that is taken is a conflict", async () => {
    const { accounts } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    await accounts.createApp(appInput({ id: "other" }));
    await accounts.createDomain("shop", "go.example.com");
    await assert.rejects(accounts.createApp(appInput({ id: "shop" })), refused("conflict"));
    await assert.rejects(accounts.createDomain("other", "go.example.com"), refused("conflict"));
  });

  test("lists are newest first and their pages meet without a gap, also where times are equal", async () => {
    const { accounts, clock } = await openAccounts(engine);
    const made: string[] = [];
    for (let index = 0; index < 7; index++) {
      if (index % 3 === 0) clock.now += 1;
      made.push((await accounts.createApp(appInput())).id);
    }
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await accounts.listApps(null, { limit: 3, cursor });
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.next_cursor ?? undefined;
    } while (cursor !== undefined);
    assert.deepEqual(seen.toSorted(), made.toSorted());
    assert.deepEqual(seen, seen.toSorted().toReversed());
    assert.deepEqual(
      (await accounts.listApps(made[2] ?? "", { limit: 3 })).items.map(({ id }) => id),
      [made[2]],
    );
  });

  test("a key is shown once, found by its text, and gone at once when deleted", async () => {
    const { accounts, db } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    const made = await accounts.createKey("shop", key({ label: "ci" }), null);
    assert.match(made.key, /^sk_[A-Za-z0-9_-]{43}$/);
    const { key: text, ...shown } = made;
    assert.deepEqual((await accounts.listKeys("shop", { limit: 10 })).items, [shown]);
    const stored = await db.query(sql`select * from api_keys`);
    assert.ok(!JSON.stringify(stored).includes(text), "the key itself is nowhere in the table");
    assert.equal((await accounts.findKey(text))?.app_id, "shop");
    assert.equal(accounts.peekKey(text)?.id, made.id);
    await assert.rejects(accounts.deleteKey(made.id, "other"), refused("not_found"));
    await accounts.deleteKey(made.id, "shop");
    assert.equal(accounts.peekKey(text), undefined);
    assert.equal(await accounts.findKey(text), null);
    await assert.rejects(accounts.deleteKey(made.id, null), refused("not_found"));
  });

  test("an app key reads by default, a server key reads and writes", async () => {
    const { accounts } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    for (const [input, prefix, can_read, can_write] of [
      [{ kind: "app" }, "ak_", true, false],
      [{ kind: "app", can_write: true }, "ak_", true, true],
      [{ kind: "server" }, "sk_", true, true],
      [{ kind: "server", can_write: false }, "sk_", true, false],
    ] as const) {
      const made = await accounts.createKey("shop", key(input), null);
      assert.deepEqual([made.key.slice(0, 3), made.can_read, made.can_write], [prefix, can_read, can_write]);
    }
  });

  test("a key that may neither read nor write is refused", async () => {
    const { accounts } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    for (const input of [
      { kind: "app", can_read: false },
      { kind: "server", can_read: false, can_write: false },
    ]) {
      await assert.rejects(accounts.createKey("shop", key(input), null), refused("invalid_request"));
    }
    assert.deepEqual((await accounts.listKeys("shop", { limit: 10 })).items, []);
  });

  test("a key ends at its time, also while it is remembered", async () => {
    const { accounts, clock } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    const expires_at = new Date(START + 500).toISOString();
    const { key: text } = await accounts.createKey("shop", key({ expires_at }), null);
    assert.ok(await accounts.findKey(text));
    clock.now += 500;
    assert.equal(accounts.peekKey(text), null);
    assert.equal(await accounts.findKey(text), null);
    await assert.rejects(accounts.createKey("shop", key({ expires_at }), null), refused("invalid_request"));
  });

  test("a key that another process deleted stops within a second", async () => {
    const { accounts, clock, open } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    const made = await accounts.createKey("shop", key(), null);
    const other = open();
    assert.ok(await other.findKey(made.key));
    await accounts.deleteKey(made.id, null);
    clock.now += 1_000;
    assert.equal(await other.findKey(made.key), null);
  });

  test("a server key creates keys with no more rights and no later end than its own", async () => {
    const { accounts } = await openAccounts(engine);
    await accounts.createApp(appInput({ id: "shop" }));
    const soon = new Date(START + 1_000).toISOString();
    const later = new Date(START + 2_000).toISOString();
    const by = {
      id: "key_1",
      app_id: "shop",
      kind: "server",
      label: "",
      key_hint: "sk_1…2",
      can_read: false,
      can_write: true,
      origin_id: "key_0",
    } as const;
    const ending = { ...by, can_read: true, expires_at: START + 1_000 };
    await accounts.createKey("shop", key({ can_read: false }), { ...by, expires_at: null });
    const made = await accounts.createKey("shop", key({ expires_at: soon }), ending);
    assert.equal(
      (await accounts.findKey(made.key))?.origin_id,
      "key_0",
      "it counts as the one that its maker comes from",
    );
    await assert.rejects(accounts.createKey("shop", key(), { ...by, expires_at: null }), refused("forbidden"));
    await assert.rejects(accounts.createKey("shop", key(), ending), refused("forbidden"));
    await assert.rejects(accounts.createKey("shop", key({ expires_at: later }), ending), refused("forbidden"));
  });
});
