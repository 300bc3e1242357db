// What a dispatcher does with what it holds when it hears that a destination was changed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLAIMED, NOTHING_CLAIMED, openDispatcher } from "../../test/support/dispatchers.ts";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { DatabaseError } from "../platform/database.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";

test("what is held while a change cannot be read waits for it, and goes where the change says", async () => {
  const clock = createManualClock();
  const sent: string[] = [];
  const released: string[] = [];
  const builder = (host: string) => ({
    build: ({ event_id }: { event_id: string }) => ({
      url: `${host}/${event_id}`,
      method: "POST",
      headers: [],
      body: "",
    }),
  });
  const rows = ["p1", "p2", "p3"].map((position) => ({ ...CLAIMED, position }));
  const claims = [rows];
  let hear = (_: string) => {};
  let found: object | null = null;
  const { dispatcher, destination } = openDispatcher(clock, {
    destination: { max_in_flight: 1, ...builder("old") },
    destinations: {
      async find() {
        if (found === null) throw new DatabaseError("unavailable", "away");
        return found;
      },
      onChange: (listener: typeof hear) => {
        hear = listener;
      },
    },
    store: {
      findDue: async () => [{ destination_id: "dst_1", due_at: clock.at }],
      claim: async () => ({ ...NOTHING_CLAIMED, claimed: claims.shift() ?? [] }),
      release: async (held: readonly { position: string }[]) => void released.push(...held.map((one) => one.position)),
    },
    egress: {
      send: ({ url }: { url: string }) => {
        sent.push(url);
        return new Promise(() => {});
      },
    },
  });
  found = destination;
  await dispatcher.start();
  await yieldToEventLoop();
  assert.deepEqual([sent, dispatcher.counts().queued], [["old/p1"], 2]);
  found = null;
  hear("dst_1");
  for (let second = 0; second < 3; second++) {
    await yieldToEventLoop();
    clock.pass(1_000);
  }
  assert.deepEqual([sent, released, dispatcher.counts().queued], [["old/p1"], [], 2]);
  found = { ...destination, max_in_flight: 3, ...builder("new") };
  clock.pass(1_000);
  await yieldToEventLoop();
  assert.deepEqual([sent, released], [["old/p1", "new/p2", "new/p3"], []]);
});

test("a stop ends the wait for a change that cannot be read", async () => {
  const clock = createManualClock();
  let asked = 0;
  let hear = (_: string) => {};
  const { dispatcher } = openDispatcher(clock, {
    destinations: {
      async find() {
        asked++;
        throw new DatabaseError("unavailable", "away");
      },
      onChange: (listener: typeof hear) => {
        hear = listener;
      },
    },
  });
  await dispatcher.start();
  dispatcher.wake("dst_1", clock.at + 60_000);
  hear("dst_1");
  await yieldToEventLoop();
  hear("dst_1");
  await dispatcher.stop(0);
  await yieldToEventLoop();
  const before = asked;
  assert.ok(before > 1, `${before} questions`);
  clock.pass(5_000);
  await yieldToEventLoop();
  assert.equal(asked, before);
});
