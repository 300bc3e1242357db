// Dispatchers that know of each other over a real table of both engines, on a clock that the test moves.
import assert from "node:assert/strict";
import { test } from "node:test";
import { forEachEngine } from "../../test/support/engines.ts";
import { createManualClock, type ManualClock } from "../../test/support/manual-clock.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { BEAT_MS, createPresence, OLD_MS, PRUNED_AFTER, type Presence, SILENT_BEATS_MAX } from "./presence.ts";
import { createPresenceStore, type PresenceStore } from "./presence-store.ts";

const WEBHOOK = { id: "dst_a", max_in_flight: 6, rate_per_second: 12 };

forEachEngine((engine) => {
  test("who joins and who leaves is known at once, and each has its share of what the webhook allows", async () => {
    const { join, counts } = createCluster(createPresenceStore(await engine.open()));
    const [a, b] = [await join("a"), await join("b")];
    await counts([2, 2]);
    const c = await join("c");
    await counts([3, 3, 3]);
    for (const { presence } of [a, b, c]) {
      assert.deepEqual(presence.shareOf(WEBHOOK), { max_in_flight: 2, rate_per_second: 4 });
    }
    await b.presence.leave();
    await counts([2, 3, 2]);
    assert.deepEqual(a.presence.shareOf(WEBHOOK), { max_in_flight: 3, rate_per_second: 6 });
    assert.deepEqual(a.told, [2, 3, 2]);
  });

  test("without hints the next beat finds the same", async () => {
    const cluster = createCluster(createPresenceStore(await engine.open()));
    cluster.is_deaf = true;
    await cluster.join("a");
    const b = await cluster.join("b");
    await cluster.counts([1, 2]);
    await cluster.beat();
    await cluster.counts([2, 2]);
    await b.presence.leave();
    await cluster.beat();
    await cluster.counts([1, 2]);
  });

  test("one that ends without a word counts until its row has not changed for a while, and is removed later", async () => {
    const store = createPresenceStore(await engine.open());
    const cluster = createCluster(store);
    const [a] = [await cluster.join("a"), await cluster.join("b")];
    await cluster.counts([2, 2]);
    cluster.kill("b");
    for (let beats = 1; beats < SILENT_BEATS_MAX; beats++) await cluster.beat();
    assert.equal(a.presence.nodes().length, 2);
    await cluster.beat();
    assert.equal(a.presence.nodes().length, 1);
    assert.equal((await store.listNodes()).length, 2);
    for (let beats = 0; beats < PRUNED_AFTER - SILENT_BEATS_MAX; beats++) await cluster.beat();
    assert.deepEqual(
      (await store.listNodes()).map(({ id }) => id),
      ["a"],
    );
  });

  test("one that was suspended counts again as soon as it goes on", async () => {
    const cluster = createCluster(createPresenceStore(await engine.open()));
    const [a, b] = [await cluster.join("a"), await cluster.join("b")];
    b.is_dead = true;
    for (let beats = 0; beats <= SILENT_BEATS_MAX; beats++) await cluster.beat();
    assert.equal(a.presence.nodes().length, 1);
    b.is_dead = false;
    b.clock.at = cluster.now();
    b.clock.pass(0);
    await cluster.counts([2, 2]);
  });

  test("clocks that differ by an hour change nothing but the first look", async () => {
    const cluster = createCluster(createPresenceStore(await engine.open()));
    const a = await cluster.join("a", 0);
    const b = await cluster.join("b", 3_600_000);
    await cluster.counts([2, 1]);
    await cluster.beat();
    await cluster.counts([2, 2]);
    cluster.kill("b");
    for (let beats = 0; beats <= SILENT_BEATS_MAX; beats++) await cluster.beat();
    assert.equal(a.presence.nodes().length, 1);
    assert.equal(b.presence.nodes().length, 2);
  });

  test("what an earlier run left counts for nothing, unless it is from just now", async () => {
    const store = createPresenceStore(await engine.open());
    const cluster = createCluster(store);
    await store.announce({ id: "old", seen_at: cluster.now() - OLD_MS - 1, limits: null }, true);
    await store.announce({ id: "late", seen_at: cluster.now() - OLD_MS, limits: null }, true);
    const a = await cluster.join("a");
    assert.equal(a.presence.nodes().length, 2);
    for (let beats = 0; beats < SILENT_BEATS_MAX; beats++) await cluster.beat();
    assert.equal(a.presence.nodes().length, 1);
  });
});

test("while the database is away a dispatcher goes on with what it knew, and is announced anew when it is back", async () => {
  const rows = new Map<string, number>();
  const state = { is_away: false };
  const cluster = createCluster(createMemoryStore(rows, state));
  const [a] = [await cluster.join("a"), await cluster.join("b")];
  await cluster.counts([2, 2]);
  state.is_away = true;
  for (let beats = 0; beats < 4 * SILENT_BEATS_MAX; beats++) await cluster.beat();
  await cluster.counts([2, 2]);
  assert.equal(a.logged.filter((event) => event === "dispatchers.not_announced").length, 1);
  const hints = cluster.hints;
  state.is_away = false;
  await cluster.beat();
  await cluster.counts([2, 2]);
  assert.equal(cluster.hints, hints + 2);
});

test("a stop that the database does not answer ends all the same", async () => {
  const store: PresenceStore = createMemoryStore(new Map(), { is_away: false });
  const cluster = createCluster({ ...store, remove: () => new Promise(() => {}) });
  const { presence } = await cluster.join("a");
  const leaving = presence.leave();
  await yieldToEventLoop();
  await cluster.pass(1_000);
  await leaving;
  await cluster.beat();
  assert.equal(cluster.clock("a").pending(), 0);
});

test("one that never joined leaves without a word, and hears nothing", async () => {
  const never = () => assert.fail("nothing is asked");
  const nothing = { announce: never, listNodes: never, listTold: never, remove: never, prune: never };
  const clock = createManualClock();
  const presence = createPresence({ store: nothing, clock, id: "a", tell: assert.fail, log: assert.fail });
  presence.hear();
  await presence.leave();
  await presence.join();
  assert.equal(presence.shareOf(WEBHOOK), WEBHOOK);
});

test("what it tells goes with its beats, and is written when it is news or may be lost", async () => {
  const rows = new Map<string, number>();
  const state = { is_away: false };
  const real = createMemoryStore(rows, state);
  const written: [string | null, boolean][] = [];
  const store: PresenceStore = {
    ...real,
    announce(row, is_news) {
      written.push([row.limits, is_news]);
      return real.announce(row, is_news);
    },
  };
  const clock = createManualClock();
  const presence = createPresence({ store, clock, id: "a", tell() {}, log() {} });
  const told = { limits: null as string | null };
  await presence.join(() => told.limits);
  const beat = async () => {
    clock.pass(BEAT_MS);
    await yieldToEventLoop();
  };
  await beat();
  told.limits = "[1]";
  await beat();
  await beat();
  state.is_away = true;
  await beat();
  state.is_away = false;
  await beat();
  told.limits = null;
  await beat();
  await beat();
  assert.deepEqual(written.slice(0, 4), [
    [null, true],
    [null, false],
    ["[1]", true],
    ["[1]", false],
  ]);
  assert.deepEqual(written.slice(-2), [
    [null, true],
    [null, false],
  ]);
  const [lost, ...again] = written.slice(4, -2);
  assert.deepEqual(lost, ["[1]", false], "nobody answers this one");
  assert.deepEqual(again[0], ["[1]", true]);
});

function createCluster(real: PresenceStore) {
  interface Node {
    presence: Presence;
    clock: ManualClock;
    told: number[];
    logged: string[];
    is_dead: boolean;
  }
  const nodes = new Map<string, Node>();
  const start = createManualClock().now();
  /** What dispatchers wait for; the end of a stop has its own. */
  const asked = new Set<Promise<unknown>>();
  const store: PresenceStore = {
    announce: (node, is_news) => note(real.announce(node, is_news)),
    listNodes: () => note(real.listNodes()),
    listTold: real.listTold,
    prune: (node) => note(real.prune(node)),
    remove: real.remove,
  };
  let passed = 0;
  const cluster = {
    ...{ is_deaf: false, hints: 0, join, kill, beat, pass, counts },
    now: () => start + passed,
    clock: (id: string) => find(id).clock,
  };

  function find(id: string): Node {
    const node = nodes.get(id);
    assert.ok(node !== undefined);
    return node;
  }

  async function join(id: string, ahead_ms = 0): Promise<Node> {
    const clock = createManualClock(start + passed + ahead_ms);
    const node = { clock, told: [] as number[], logged: [] as string[], is_dead: false };
    const tell = () => {
      cluster.hints++;
      if (cluster.is_deaf) return;
      for (const [other, { presence }] of nodes) if (other !== id) presence.hear();
    };
    const log = (event: string) => void node.logged.push(event);
    const presence = createPresence({ store, clock, id, tell, log });
    presence.onChange(() => void node.told.push(presence.nodes().length));
    const joined = Object.assign(node, { presence });
    nodes.set(id, joined);
    await presence.join();
    return joined;
  }

  function kill(id: string): void {
    find(id).is_dead = true;
  }

  async function pass(ms: number): Promise<void> {
    passed += ms;
    for (const { clock, is_dead } of nodes.values()) {
      if (is_dead) continue;
      clock.pass(ms);
      // One after another: of two words said at once, either may be read before the other one is written.
      await looked();
    }
  }

  /** Time for one word of each. */
  function beat(): Promise<void> {
    return pass(BEAT_MS);
  }

  function note<Result>(asking: Promise<Result>): Promise<Result> {
    asked.add(asking);
    const forget = () => void asked.delete(asking);
    asking.then(forget, forget);
    return asking;
  }

  /** What was begun has been read and written, and what followed from that. */
  async function looked(): Promise<void> {
    for (await yieldToEventLoop(); asked.size > 0; await yieldToEventLoop()) await Promise.allSettled(asked);
  }

  async function counts(expected: number[]): Promise<void> {
    await looked();
    assert.deepEqual(
      [...nodes.values()].map(({ presence }) => presence.nodes().length),
      expected,
    );
  }

  return cluster;
}

function createMemoryStore(rows: Map<string, number>, state: { is_away: boolean }): PresenceStore {
  const list = () => [...rows].map(([id, seen_at]) => ({ id, seen_at }));
  const ask = async <Result>(work: () => Result) => {
    if (state.is_away) throw new Error("away");
    return work();
  };
  return {
    announce: ({ id, seen_at }) => ask(() => list.call(rows.set(id, seen_at))),
    listNodes: () => ask(list),
    listTold: () => ask(() => list().map((row) => ({ ...row, limits: null }))),
    remove: (id) => ask(() => void rows.delete(id)),
    prune: ({ id }) => ask(() => void rows.delete(id)),
  };
}
