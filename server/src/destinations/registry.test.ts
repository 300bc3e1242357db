import assert from "node:assert/strict";
import { test } from "node:test";
import type { Destination, DestinationRow } from "./destination.ts";
import { createRegistry, VERSION_CHECK_MS } from "./registry.ts";

type Apps = Record<string, { version: number; ids: string[] }>;

/** A registry over tables that are plain data. Reads answer when `gate` lets them. */
function createWorld(apps: Apps, capacity?: number) {
  const world = {
    apps,
    at: 1_000,
    loads: 0,
    checks: 0,
    prepared: 0,
    notified: [] as string[],
    gate: Promise.resolve(),
    version_gate: Promise.resolve(),
  };
  const row = (app_id: string, id: string) => ({ id, app_id, updated_at: apps[app_id]?.version }) as DestinationRow; // what the registry reads
  const registry = createRegistry({
    ...(capacity === undefined ? {} : { capacity }),
    now: () => world.at,
    changed: (id) => void world.notified.push(id),
    prepare: ({ id, app_id }) => {
      world.prepared++;
      const [state, events] = [id === "stopped" ? "off" : "active", new Set(["link.click", `link.${id}`])];
      const filter = id === "b" ? { conditions: 7 } : null;
      return { id, app_id, state, events, filter } as unknown as Destination; // what these tests look at
    },
    store: {
      async loadApp(app_id) {
        world.loads++;
        const app = apps[app_id];
        const found = app === undefined ? null : { version: app.version, rows: app.ids.map((id) => row(app_id, id)) };
        await world.gate;
        return found;
      },
      async versionOf(app_id) {
        world.checks++;
        const version = apps[app_id]?.version ?? null;
        await world.version_gate;
        return version;
      },
      async appOf(id) {
        return Object.keys(apps).find((app_id) => apps[app_id]?.ids.includes(id)) ?? null;
      },
    },
  });
  const idsOf = async (app_id: string) => (await registry.ofApp(app_id)).destinations.map(({ id }) => id);
  const foundId = async (id: string) => (await registry.find(id))?.id ?? null;
  return { world, registry, idsOf, foundId };
}

const shop = () => ({ shop: { version: 1, ids: ["a", "b"] } }) as Apps;

test("an app is loaded once, however often it is asked for", async () => {
  const { world, registry, idsOf, foundId } = createWorld(shop());
  assert.deepEqual(await Promise.all([idsOf("shop"), idsOf("shop"), foundId("a")]), [["a", "b"], ["a", "b"], "a"]);
  assert.deepEqual(await idsOf("shop"), ["a", "b"]);
  assert.equal((await registry.ofApp("shop")).version, 1);
  assert.deepEqual([world.loads, world.checks], [1, 0]);
});

test("it is known how many take an event of a type, and what their filters ask", async () => {
  const { registry } = createWorld({ shop: { version: 1, ids: ["a", "b", "stopped"] } });
  const { takers, conditions } = await registry.ofApp("shop");
  assert.deepEqual(Object.fromEntries(takers), { "link.click": 2, "link.a": 1, "link.b": 1 });
  assert.equal(conditions, 7);
});

test("an unknown app has no destinations and a version that no guard can meet", async () => {
  const { registry } = createWorld(shop());
  assert.deepEqual((await registry.ofApp("nowhere")).destinations, []);
  assert.ok((await registry.ofApp("nowhere")).version < 0);
});

test("an unknown destination is not found", async () => {
  assert.equal(await createWorld(shop()).foundId("z"), null);
});

test("ofApp keeps what it has until it is refreshed, for its callers check the version", async () => {
  const { world, registry, idsOf } = createWorld(shop());
  await idsOf("shop");
  world.apps["shop"] = { version: 2, ids: ["c"] };
  world.at += 10 * VERSION_CHECK_MS;
  assert.deepEqual(await idsOf("shop"), ["a", "b"]);
  await registry.refresh("shop");
  assert.deepEqual(await idsOf("shop"), ["c"]);
});

test("find sees a change of another process within a second, and asks no more often", async () => {
  const { world, foundId } = createWorld(shop());
  await foundId("a");
  world.apps["shop"] = { version: 2, ids: ["b"] };
  world.at += VERSION_CHECK_MS - 1;
  assert.equal(await foundId("a"), "a");
  assert.equal(world.checks, 0);
  world.at += 1;
  assert.deepEqual(await Promise.all([foundId("a"), foundId("b")]), [null, "b"]);
  assert.deepEqual([world.checks, world.loads], [1, 2]);
  await foundId("b");
  assert.equal(world.checks, 1);
});

test("an unchanged version costs one small question a second", async () => {
  const { world, foundId } = createWorld(shop());
  await foundId("a");
  for (let second = 0; second < 3; second++) {
    world.at += VERSION_CHECK_MS;
    await Promise.all(["a", "b", "a", "b"].map(foundId));
  }
  assert.deepEqual([world.checks, world.loads], [3, 1]);
});

test("a clock that is set back does not make a change invisible", async () => {
  const { world, foundId } = createWorld(shop());
  await foundId("a");
  world.apps["shop"] = { version: 2, ids: [] };
  world.at -= 3_600_000;
  assert.equal(await foundId("a"), null);
});

test("a deleted app has no destinations any more", async () => {
  const { world, foundId } = createWorld(shop());
  await foundId("a");
  delete world.apps["shop"];
  world.at += VERSION_CHECK_MS;
  assert.equal(await foundId("a"), null);
});

test("a refresh during a load reads again: the load may have missed the change", async () => {
  const { world, registry, idsOf } = createWorld(shop());
  let open = () => {};
  world.gate = new Promise((resolve) => {
    open = resolve;
  });
  const early = idsOf("shop");
  world.apps["shop"] = { version: 2, ids: ["c"] };
  const refreshed = Promise.all([registry.refresh("shop"), registry.refresh("shop"), registry.refresh("shop")]);
  open();
  assert.deepEqual(await early, ["a", "b"]);
  await refreshed;
  assert.deepEqual(await idsOf("shop"), ["c"]);
  assert.equal(world.loads, 2);
});

test("a refresh that fails leaves nothing to read that could be out of date, and the next load tells what has changed", async () => {
  const { world, registry, idsOf } = createWorld(shop());
  await idsOf("shop");
  world.notified.length = 0;
  world.apps["shop"] = { version: 2, ids: ["b", "c"] };
  world.gate = Promise.reject(new Error("no database"));
  await assert.rejects(registry.refresh("shop"), /no database/);
  await assert.rejects(registry.find("b"), /no database/);
  assert.deepEqual([registry.peek("shop"), world.notified], [undefined, []]);
  world.gate = Promise.resolve();
  assert.deepEqual(await idsOf("shop"), ["b", "c"]);
  assert.deepEqual(world.notified.sort(), ["a", "b", "c"], "b too, whose row has changed");
});

test("who holds a destination of an app that had made way hears of it when the app is read again", async () => {
  const apps: Apps = { x: { version: 1, ids: ["x1"] }, y: { version: 1, ids: ["y1"] } };
  const { world, idsOf, foundId } = createWorld(apps, 2);
  for (const app of ["x", "y"]) await idsOf(app);
  world.notified.length = 0;
  apps["x"] = { version: 2, ids: ["x1"] };
  assert.equal(await foundId("x1"), "x1");
  assert.deepEqual(world.notified, ["x1"]);
});

test("an answer about the version that was overtaken by a change serves nothing old", async () => {
  for (const is_readable of [true, false]) {
    const { world, registry } = createWorld(shop());
    const old = await registry.find("a");
    world.at += VERSION_CHECK_MS;
    const version = Promise.withResolvers<void>();
    world.version_gate = version.promise;
    const finding = registry.find("a");
    world.apps["shop"] = { version: 2, ids: ["a", "b"] };
    if (!is_readable) world.gate = Promise.reject(new Error("no database"));
    await registry.refresh("shop").catch(() => {});
    world.gate = Promise.resolve();
    version.resolve();
    const found = await finding;
    assert.ok(found !== null && found !== old, "an answer of before the change");
  }
});

test("nor does one about an app that made way meanwhile, whether the change could be read or not", async () => {
  for (const is_readable of [true, false]) {
    const apps: Apps = { x: { version: 1, ids: ["x1"] }, y: { version: 1, ids: ["y1"] } };
    const { world, registry, idsOf } = createWorld(apps, 2);
    const old = await registry.find("x1");
    world.at += VERSION_CHECK_MS;
    const version = Promise.withResolvers<void>();
    world.version_gate = version.promise;
    const finding = registry.find("x1");
    await idsOf("y");
    apps["x"] = { version: 2, ids: ["x1"] };
    if (!is_readable) world.gate = Promise.reject(new Error("no database"));
    await registry.refresh("x").catch(() => {});
    world.gate = Promise.resolve();
    if (is_readable) await registry.refresh("y");
    version.resolve();
    const found = await finding;
    assert.ok(found !== null && found !== old, "an answer of before the change");
  }
});

test("a failed load is not remembered", async () => {
  const { world, idsOf } = createWorld(shop());
  world.gate = Promise.reject(new Error("no database"));
  await assert.rejects(idsOf("shop"), /no database/);
  world.gate = Promise.resolve();
  assert.deepEqual(await idsOf("shop"), ["a", "b"]);
});

test("what did not change stays the same object, and listeners hear of what did", async () => {
  const { world, registry } = createWorld(shop());
  const before = (await registry.ofApp("shop")).destinations;
  world.notified.length = 0;
  await registry.refresh("shop");
  assert.equal((await registry.ofApp("shop")).destinations[0], before[0]);
  assert.deepEqual([world.prepared, world.notified], [2, []]);
  world.apps["shop"] = { version: 2, ids: ["b", "c"] };
  await registry.refresh("shop");
  assert.deepEqual(world.notified.sort(), ["a", "b", "c"]);
});

test("the cache never holds more than its room; the app used longest ago makes way", async () => {
  const apps = Object.fromEntries(["x", "y", "z"].map((app) => [app, { version: 1, ids: [`${app}1`, `${app}2`] }]));
  const { world, idsOf } = createWorld(apps, 6);
  for (const app of ["x", "y", "x", "z"]) {
    world.at += 1_000;
    await idsOf(app);
  }
  assert.equal(world.loads, 3);
  await idsOf("x");
  assert.equal(world.loads, 3);
  await idsOf("y");
  assert.equal(world.loads, 4);
});

test("an app larger than the whole cache is kept while it is the newest", async () => {
  const { world, idsOf } = createWorld({ big: { version: 1, ids: ["1", "2", "3"] } }, 2);
  await idsOf("big");
  await idsOf("big");
  assert.equal(world.loads, 1);
});
