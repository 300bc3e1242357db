// What a dispatcher leaves to others, and takes up when its share is back. How much it sends is for lanes and the flows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { createDispatcher, type DispatcherOptions } from "./dispatcher.ts";

test("what others send is not claimed, is claimed when they have left, and goes back when they are there again", async () => {
  const clock = createManualClock();
  const log: string[] = [];
  const share = { max_in_flight: 0, rate_per_second: null, changed() {} };
  const row = { app_id: "app_1", event: "link.click", attempt: 1, failures: 0, trigger: "manual" };
  const rows = ["p1", "p2", "p3"].map((position) => ({ ...row, position }));
  const destination = {
    ...{ id: "dst_1", app_id: "app_1", state: "active", ordering: "none", max_in_flight: 1, rate_per_second: null },
    build: () => ({ url: "http://127.0.0.1/", method: "POST", headers: [], body: "" }),
  };
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
  const options = {
    store: {
      findDue: async () => [{ destination_id: "dst_1", due_at: clock.at }],
      findKeyed: async () => [],
      claim,
      readBodies: async () =>
        rows.map(({ position }) => ({
          position,
          id: position,
          body: "{}",
          bytes: 2,
          target_id: null,
          erased_at: null,
        })),
      renew: async (held: readonly object[]) => held,
      release: async (held: readonly { position: string }[]) =>
        void log.push(`gives back ${held.map(({ position }) => position).join(" ")}`),
    },
    committer: { channel: () => async () => {} },
    destinations: { find: async () => destination, onChange() {} },
    egress: { send: () => new Promise(() => {}) },
    ...{ presence, clock, random: () => 0.5, log() {}, exclusive: false },
  };
  // What it is asked for here is all that sending a few deliveries takes.
  const dispatcher = createDispatcher(options as unknown as DispatcherOptions);
  await dispatcher.start();
  dispatcher.wake("dst_1", clock.at);
  await settle();
  assert.deepEqual(log, ["joins"]);
  assert.equal(dispatcher.reserve(destination as unknown as Parameters<typeof dispatcher.reserve>[0], 5), 0);
  assert.equal(dispatcher.limitsOf("dst_1")?.concurrency_limit, 0);
  share.max_in_flight = 1;
  share.changed();
  clock.pass(1);
  await settle();
  assert.deepEqual(log, ["joins", "claims"]);
  assert.equal(dispatcher.counts().in_flight, 1);
  share.max_in_flight = 0;
  share.changed();
  await settle();
  assert.deepEqual(log.slice(2), ["gives back p2 p1"]);
  const stopping = dispatcher.stop(1_000);
  clock.pass(1_000);
  assert.equal(await stopping, false);
  assert.equal(log.at(-1), "leaves");
});

/** What was begun before has been done. */
function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
