// What every dedupe store has to do, as tests: given to each of them by its own test file.
import assert from "node:assert/strict";
import { test } from "node:test";
import type { DedupeStore } from "../../src/receiver/index.ts";

export interface DedupeUnderTest {
  /** A store that shares what it remembers with those opened before, as one of another process would. */
  open(): DedupeStore;
  /** Lets so much time pass for the store. */
  pass(span_ms: number): Promise<void> | void;
}

const LEASE_MS = 60_000;
const TTL_MS = 7 * 24 * 60 * 60 * 1000;
const CONCURRENT = 20;

/** Registers the tests. `prepare` is called by each of them. */
export function testDedupeStore(name: string, prepare: () => Promise<DedupeUnderTest> | DedupeUnderTest): void {
  test(`${name}: of many that begin at once, in two processes, one does`, async () => {
    const { open } = await prepare();
    const stores = [open(), open()];
    const begun = Array.from({ length: CONCURRENT }, (_, index) =>
      stores[index % 2]!.begin("many:1:handler", LEASE_MS),
    );
    const answers = (await Promise.all(begun)).sort();
    assert.deepEqual(answers, ["fresh", ...Array.from({ length: CONCURRENT - 1 }, () => "in_progress")]);
  });

  test(`${name}: what is done stays so for its time, in every process`, async () => {
    const { open, pass } = await prepare();
    const [one, other] = [open(), open()];
    assert.equal(await one.begin("a", LEASE_MS), "fresh");
    await one.done("a", TTL_MS);
    assert.deepEqual([await one.begin("a", LEASE_MS), await other.begin("a", LEASE_MS)], ["done", "done"]);
    await pass(LEASE_MS);
    assert.equal(await other.begin("a", LEASE_MS), "done", "the lease is over, the mark is not");
    assert.equal(await other.begin("b", LEASE_MS), "fresh", "another key");
    await pass(TTL_MS);
    assert.equal(await other.begin("a", LEASE_MS), "fresh", "after its time");
  });

  test(`${name}: a lease runs out, and can be given back`, async () => {
    const { open, pass } = await prepare();
    const [dead, next] = [open(), open()];
    assert.equal(await dead.begin("a", LEASE_MS), "fresh");
    assert.equal(await next.begin("a", LEASE_MS), "in_progress");
    await pass(LEASE_MS);
    assert.equal(await next.begin("a", LEASE_MS), "fresh");
    await next.release("a");
    assert.equal(await dead.begin("a", LEASE_MS), "fresh");
  });

  test(`${name}: neither a mark nor a lease of somebody else is given back`, async () => {
    const { open, pass } = await prepare();
    const [slow, next] = [open(), open()];
    await slow.begin("a", LEASE_MS);
    await pass(LEASE_MS);
    assert.equal(await next.begin("a", LEASE_MS), "fresh");
    await slow.release("a");
    assert.equal(await slow.begin("a", LEASE_MS), "in_progress", "the lease of the next one");
    await next.done("a", TTL_MS);
    await next.release("a");
    await slow.release("a");
    assert.equal(await slow.begin("a", LEASE_MS), "done");
    await slow.release("never begun");
    assert.equal(await slow.begin("never begun", LEASE_MS), "fresh");
  });

  test(`${name}: who is late may mark as done what somebody else has begun`, async () => {
    const { open, pass } = await prepare();
    const [slow, next] = [open(), open()];
    await slow.begin("a", LEASE_MS);
    await pass(LEASE_MS);
    await next.begin("a", LEASE_MS);
    await slow.done("a", TTL_MS);
    assert.equal(await next.begin("a", LEASE_MS), "done");
  });

  test(`${name}: a key may be as long and as odd as ids may be`, async () => {
    const { open } = await prepare();
    const store = open();
    const key = `shop:${encodeURIComponent("/ü👟:".repeat(50).slice(0, 255))}:forward.${"n".repeat(64)}`;
    assert.equal(await store.begin(key, LEASE_MS), "fresh");
    await store.done(key, TTL_MS);
    assert.equal(await store.begin(key, LEASE_MS), "done");
  });
}
