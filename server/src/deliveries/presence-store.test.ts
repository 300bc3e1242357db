import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { createPresenceStore } from "./presence-store.ts";

const NOW = 1_800_000_000_000;

forEachEngine((engine) => {
  test("a dispatcher is in the list from its first word until it is removed", async () => {
    const store = createPresenceStore(await engine.open());
    assert.deepEqual(await store.announce({ id: "b", seen_at: NOW, limits: null }, true), [{ id: "b", seen_at: NOW }]);
    assert.deepEqual(await store.announce({ id: "a", seen_at: NOW - 5_000, limits: null }, true), [
      { id: "a", seen_at: NOW - 5_000 },
      { id: "b", seen_at: NOW },
    ]);
    await store.announce({ id: "a", seen_at: NOW + 3_000, limits: null }, true);
    await store.remove("b");
    await store.remove("unknown");
    assert.deepEqual(await store.listNodes(), [{ id: "a", seen_at: NOW + 3_000 }]);
  });

  test("one that has come back since it was looked at is not pruned", async () => {
    const store = createPresenceStore(await engine.open());
    await store.announce({ id: "back", seen_at: NOW + 60_000, limits: null }, true);
    await store.announce({ id: "gone", seen_at: NOW, limits: null }, true);
    for (const id of ["back", "gone"]) await store.prune({ id, seen_at: NOW });
    assert.deepEqual(await store.listNodes(), [{ id: "back", seen_at: NOW + 60_000 }]);
  });

  test("what one tells stays until it tells something new, and comes back with a row that was removed", async () => {
    const store = createPresenceStore(await engine.open());
    await store.announce({ id: "a", seen_at: NOW, limits: "[1]" }, true);
    await store.announce({ id: "a", seen_at: NOW + 1, limits: "not read" }, false);
    await store.announce({ id: "b", seen_at: NOW, limits: null }, true);
    assert.deepEqual(await store.listTold(), [
      { id: "a", seen_at: NOW + 1, limits: "[1]" },
      { id: "b", seen_at: NOW, limits: null },
    ]);
    await store.announce({ id: "a", seen_at: NOW + 2, limits: null }, true);
    await store.remove("b");
    await store.announce({ id: "b", seen_at: NOW, limits: "[2]" }, false);
    assert.deepEqual(
      (await store.listTold()).map(({ limits }) => limits),
      [null, "[2]"],
    );
  });
});
