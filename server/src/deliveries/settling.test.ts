import assert from "node:assert/strict";
import { test } from "node:test";
import { settlementOf } from "../../test/support/settlements.ts";
import { createCommitter } from "../platform/committer.ts";
import { DatabaseError } from "../platform/database.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import type { Leased } from "./leases.ts";
import type { Settlement } from "./settle-store.ts";
import { createSettling, UNSETTLED_MAX } from "./settling.ts";

const failure = (key: Leased) => settlementOf(key, 1, { state: "pending", failures: 1, due_at: 1 });
const claim = (position: string): Leased => ({
  ...{ destination_id: "dst_a", position, attempt: 1, lease_until: 1, previous: null, next: null },
});

function openSettling(answer: () => Promise<void>) {
  const timers: { delay_ms: number; callback: () => void }[] = [];
  const seen = { recorded: [] as string[], logged: [] as unknown[], changes: 0 };
  const settling = createSettling({
    // The one channel that settling makes: its items are settlements and have no result.
    committer: { channel: () => answer as never },
    clock: { after: (delay_ms, callback) => timers.push({ delay_ms, callback }) },
    log: (event, { error: _, ...ids }) => void seen.logged.push({ event, ...ids }),
    recorded: (one: Settlement) => void seen.recorded.push(one.key.position),
    changed: () => void seen.changes++,
  });
  return { settling, timers, seen };
}

test("an attempt counts from its start until it is recorded", async () => {
  const { settling, seen } = openSettling(async () => {});
  const one = claim("p1");
  settling.begin(one);
  assert.deepEqual([settling.count(), [...settling.leased()]], [1, [one]]);
  settling.record(one, failure(one));
  assert.equal(settling.count(), 1);
  await yieldToEventLoop();
  assert.deepEqual([settling.count(), seen.recorded, seen.changes], [0, ["p1"], 1]);
});

test("during an outage a result is kept, its lease too, and nothing is claimed until it is recorded", async () => {
  let is_out = true;
  const { settling, timers, seen } = openSettling(async () => {
    if (is_out) throw new DatabaseError("unavailable", "down");
  });
  const one = claim("p1");
  settling.record(one, failure(one));
  await yieldToEventLoop();
  assert.deepEqual([settling.isBehind(), settling.count(), seen.recorded], [true, 1, []]);
  assert.deepEqual(seen.logged.splice(0), [{ event: "deliveries.not_recorded" }]);
  timers.shift()?.callback();
  await yieldToEventLoop();
  assert.equal(settling.isBehind(), true);
  is_out = false;
  timers.shift()?.callback();
  await yieldToEventLoop();
  assert.deepEqual([settling.isBehind(), settling.count(), seen.recorded], [false, 0, ["p1"]]);
  assert.deepEqual([timers, seen.logged], [[], []]);
});

test("a group that is refused for one delivery is composed again, every record apart", async () => {
  const composed: boolean[][] = [];
  const committer = createCommitter({
    engine: "sqlite",
    async batch(statements) {
      const expects = statements.some(({ expect }) => expect !== undefined);
      composed.push(statements.map(({ expect }) => expect !== undefined));
      if (expects) throw new DatabaseError("unmet", "one is canceled", { statement: 0 });
      return statements.map(() => []);
    },
  });
  const recorded: string[] = [];
  const settling = createSettling({
    ...{ committer, clock: { after: assert.fail }, log: assert.fail, changed: () => {} },
    recorded: ({ key }) => void recorded.push(key.position),
  });
  for (const one of [claim("p1"), claim("p2")]) {
    settling.record(one, settlementOf(one, 1, { state: "succeeded", failures: 0, due_at: null }));
  }
  await committer.idle();
  assert.deepEqual(recorded, ["p1", "p2"]);
  assert.deepEqual(composed, [
    [false, false, true, false],
    [false, false, false, false, false],
  ]);
});

for (const kind of ["bug", "unique", "unmet"] as const) {
  test(`a result that the database refuses as "${kind}" is logged and left to its lease`, async () => {
    const { settling, timers, seen } = openSettling(() => Promise.reject(new DatabaseError(kind, "no")));
    settling.record(claim("p1"), failure(claim("p1")));
    await yieldToEventLoop();
    assert.deepEqual([settling.count(), settling.isBehind(), timers], [0, false, []]);
    const named = { event: "delivery.unrecorded", delivery_id: "dlv_p1_a", destination_id: "dst_a" };
    assert.deepEqual([seen.logged, seen.recorded], [[named], []]);
  });
}

test("it is full at its bound and has room again after one", async () => {
  const { settling } = openSettling(async () => {});
  const claims = Array.from({ length: UNSETTLED_MAX }, (_, index) => claim(`p${index}`));
  for (const one of claims) settling.begin(one);
  assert.equal(settling.isFull(), true);
  settling.abandon(claims[0] ?? assert.fail(), new Error("a bug"));
  assert.equal(settling.isFull(), false);
});
