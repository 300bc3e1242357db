// What a dispatcher leaves to others, and takes up when its share is back. How much it sends is for lanes and the flows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLAIMED, openDispatcher } from "../../test/support/dispatchers.ts";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";

test("what others send is not claimed, is claimed when they have left, and goes back when they are there again", async () => {
  const clock = createManualClock();
  const log: string[] = [];
  const share = { max_in_flight: 0, rate_per_second: null, changed() {} };
  const rows = ["p1", "p2", "p3"].map((position) => ({ ...CLAIMED, position, trigger: "manual" }));
  const presence = {
    join: async () => void log.push("joins"),
    leave: async () => void log.push("leaves"),
    hear() {},
    onChange: (listener: () => void) => void Object.assign(share, { changed: listener }),
    shareOf: () => share,
    self: "a",
    nodes: () => ["a", "b"],
  };
  const claim = async () => {
    log.push("claims");
    return { claimed: log.filter((one) => one === "claims").length === 1 ? rows : [], next_due_at: null };
  };
  const { dispatcher, destination } = openDispatcher(clock, {
    destination: { max_in_flight: 1 },
    store: {
      findDue: async () => [{ destination_id: "dst_1", due_at: clock.at }],
      claim,
      release: async (held: readonly { position: string }[]) =>
        void log.push(`gives back ${held.map(({ position }) => position).join(" ")}`),
    },
    presence,
  });
  await dispatcher.start();
  dispatcher.wake("dst_1", clock.at);
  await yieldToEventLoop();
  assert.deepEqual(log, ["joins"]);
  assert.equal(dispatcher.reserve(destination, 5), 0);
  assert.equal(dispatcher.limitsOf("dst_1")?.concurrency_limit, 0);
  share.max_in_flight = 1;
  share.changed();
  clock.pass(1);
  await yieldToEventLoop();
  assert.deepEqual(log, ["joins", "claims"]);
  assert.equal(dispatcher.counts().in_flight, 1);
  share.max_in_flight = 0;
  share.changed();
  await yieldToEventLoop();
  assert.deepEqual(log.slice(2), ["gives back p2 p1"]);
  const stopping = dispatcher.stop(1_000);
  clock.pass(1_000);
  assert.equal(await stopping, false);
  assert.equal(log.at(-1), "leaves");
});
