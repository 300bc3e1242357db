import assert from "node:assert/strict";
import { test } from "node:test";
import { AppError } from "../errors.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { createLookup } from "./lookup.ts";

/** A table whose reads are answered when the test says so. */
function setup({ max_entries = 100, is_swept = false, chars_max = 100 } = {}) {
  const rows = new Map<string, string>();
  const reads: { keys: readonly string[]; answer(): void; fail(error: Error): void }[] = [];
  const clock = { now: 0 };
  const lookup = createLookup<string>({
    load: (keys) =>
      new Promise((resolve, reject) => {
        reads.push({ keys, answer: () => resolve(new Map(rows)), fail: reject });
      }),
    now: () => clock.now,
    ttl_ms: 1_000,
    max_entries,
    is_swept,
    isKept: (value) => value.length <= chars_max,
  });
  return { rows, reads, clock, lookup };
}

async function found(table: ReturnType<typeof setup>, key: string): Promise<string | null> {
  const value = table.lookup.find(key);
  await yieldToEventLoop();
  table.reads.at(-1)?.answer();
  return value;
}

test("hits and misses are remembered for the time to live, and read again after it", async () => {
  const table = setup();
  table.rows.set("a", "1");
  assert.equal(table.lookup.peek("a"), undefined);
  assert.equal(await found(table, "a"), "1");
  assert.equal(await found(table, "b"), null);
  table.rows.set("b", "2");
  table.clock.now = 999;
  assert.equal(table.lookup.peek("a"), "1");
  assert.equal(table.lookup.peek("b"), null);
  assert.equal(table.reads.length, 2);
  table.clock.now = 1_000;
  assert.equal(table.lookup.peek("a"), undefined);
  assert.equal(await found(table, "b"), "2");
});

test("of many keys that are asked for once each, a full cache keeps what it has until one is asked for again", async () => {
  const table = setup({ max_entries: 2, is_swept: true });
  for (const key of ["a", "b", "c"]) {
    table.rows.set(key, key);
    await found(table, key);
  }
  const known = () => ["a", "b", "c"].map((key) => table.lookup.peek(key));
  assert.deepEqual(known(), ["a", "b", undefined]);
  await found(table, "c");
  assert.deepEqual(known(), [undefined, "b", "c"], "in the place of the oldest");
  table.clock.now = 1_000;
  await found(table, "b");
  assert.deepEqual(known(), [undefined, "b", undefined], "what is known is read anew in its place");
});

test("what is too large is answered and not remembered, and makes nobody else leave", async () => {
  const table = setup({ max_entries: 1, chars_max: 3 });
  table.rows.set("a", "123");
  table.rows.set("b", "1234");
  assert.deepEqual([await found(table, "a"), await found(table, "b")], ["123", "1234"]);
  assert.deepEqual([table.lookup.peek("a"), table.lookup.peek("b")], ["123", undefined]);
  table.rows.set("a", "12345");
  table.clock.now = 1_000;
  assert.equal(await found(table, "a"), "12345");
  assert.equal(table.lookup.peek("a"), undefined);
});

test("what is asked for in one round of the event loop is one read, and what comes during it is the next", async () => {
  const table = setup();
  const first = [table.lookup.find("a"), table.lookup.find("b"), table.lookup.find("a")];
  await yieldToEventLoop();
  const second = [table.lookup.find("a"), table.lookup.find("c"), table.lookup.find("d")];
  await yieldToEventLoop();
  assert.deepEqual(
    table.reads.map((read) => read.keys),
    [["a", "b"]],
  );
  table.reads[0]?.answer();
  await Promise.all(first);
  await yieldToEventLoop();
  assert.deepEqual(table.reads[1]?.keys, ["c", "d"]);
  table.reads[1]?.answer();
  await Promise.all(second);
});

test("a key that is forgotten while it is being read is read again, and the late answer is not kept", async () => {
  const table = setup();
  table.rows.set("a", "old");
  const early = table.lookup.find("a");
  await yieldToEventLoop();
  table.lookup.forget("a");
  const late = table.lookup.find("a");
  table.reads[0]?.answer();
  assert.equal(await early, "old");
  table.rows.delete("a");
  await yieldToEventLoop();
  table.reads[1]?.answer();
  assert.equal(await late, null);
  assert.equal(table.lookup.peek("a"), null);
});

test("clear forgets everything, also what is being read", async () => {
  const table = setup();
  table.rows.set("a", "1");
  assert.equal(await found(table, "a"), "1");
  const pending = table.lookup.find("b");
  await yieldToEventLoop();
  table.lookup.clear();
  table.reads.at(-1)?.answer();
  await pending;
  assert.equal(table.lookup.peek("a"), undefined);
  assert.equal(table.lookup.peek("b"), undefined);
});

test("the oldest makes room also after everything, or one of many, was forgotten", async () => {
  const table = setup({ max_entries: 3 });
  const kept = (keys: string) => [...keys].filter((key) => table.lookup.peek(key) !== undefined).join("");
  for (const key of "abcd") await found(table, key);
  assert.equal(kept("abcd"), "bcd");
  table.lookup.clear();
  for (const key of "efgh") await found(table, key);
  assert.equal(kept("bcdefgh"), "fgh");
  table.lookup.forget("f");
  for (const key of "ijf") await found(table, key);
  assert.equal(kept("fghij"), "fij");
});

test("a read that fails fails for those who waited, and is tried again for the next", async () => {
  const table = setup();
  const failing = assert.rejects(table.lookup.find("a"), /gone/);
  await yieldToEventLoop();
  table.reads[0]?.fail(new Error("gone"));
  await failing;
  table.rows.set("a", "1");
  assert.equal(await found(table, "a"), "1");
});

test("the oldest entry makes room, and a flood of unknown keys is refused before it fills the memory", async () => {
  const table = setup({ max_entries: 2 });
  for (const key of ["a", "b", "c"]) await found(table, key);
  assert.equal(table.lookup.peek("a"), undefined);
  assert.equal(table.lookup.peek("c"), null);
  const flood = Array.from({ length: 10_600 }, (_, index) => table.lookup.find(`x${index}`));
  const outcomes = Promise.allSettled(flood);
  for (let round = 0; round < 30; round++) {
    await yieldToEventLoop();
    table.reads.at(-1)?.answer();
  }
  const refused = (await outcomes).filter((outcome) => outcome.status === "rejected");
  assert.equal(refused.length, 600);
  assert.ok(refused.every(({ reason }) => reason instanceof AppError && reason.code === "temporarily_unavailable"));
  assert.ok(table.reads.every((read) => read.keys.length <= 500));
});
