// The dedupe store in Redis, over both clients, against a server of the test's own that has the semantics of its commands.
import assert from "node:assert/strict";
import { test } from "node:test";
import { redisDedupe } from "../../src/receiver/dedupe-redis.ts";
import { testDedupeStore } from "../support/dedupe-suite.ts";
import { openFakeRedis } from "../support/fake-redis.ts";
import { CLICK, openReceiver } from "../support/receiver.ts";

testDedupeStore("Redis by ioredis", () => {
  const redis = openFakeRedis();
  return { open: () => redisDedupe({ client: redis.ioredis() }), pass: redis.pass };
});

testDedupeStore("Redis by node-redis", () => {
  const redis = openFakeRedis();
  return { open: () => redisDedupe({ client: redis.nodeRedis(), prefix: "p:" }), pass: redis.pass };
});

test("two prefixes are two stores", async () => {
  const client = openFakeRedis().nodeRedis();
  const [one, other] = [redisDedupe({ client, prefix: "a:" }), redisDedupe({ client, prefix: "b:" })];
  assert.deepEqual([await one.begin("k", 1), await other.begin("k", 1)], ["fresh", "fresh"]);
});

test("a key that runs out between two looks is taken, and one that does so all the time counts as in progress", async () => {
  const answers: unknown[] = [null, null, "OK"];
  const client = { sendCommand: async () => answers.shift() ?? null };
  const store = redisDedupe({ client });
  assert.equal(await store.begin("k", 1), "fresh");
  assert.equal(await store.begin("k", 1), "in_progress");
});

test("spans that are no whole milliseconds are rounded up, as Redis refuses them", async () => {
  const client = openFakeRedis().nodeRedis();
  const store = redisDedupe({ client });
  assert.equal(await store.begin("k", 0.2), "fresh");
  await store.done("k", 1.5);
  assert.equal(await store.begin("k", 1), "done");
});

test("two receivers that share a store handle an event once", async () => {
  const redis = openFakeRedis();
  let calls = 0;
  const receivers = [redis.ioredis(), redis.nodeRedis()].map((client) => {
    const opened = openReceiver({ dedupe: redisDedupe({ client }) });
    opened.receiver.on("link.click", () => {
      calls += 1;
    });
    return opened;
  });
  // The one that comes second finds the event in progress or done.
  for (const { status } of await Promise.all(receivers.map(({ send }) => send(CLICK)))) {
    assert.ok(status === 200 || status === 503, String(status));
  }
  assert.equal(calls, 1);
  for (const { send } of receivers) assert.equal((await send(CLICK)).outcome.kind, "duplicate");
});
