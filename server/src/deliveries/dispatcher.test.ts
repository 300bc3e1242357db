// What the dispatcher says while its database is away. What it sends, and when, is for the simulation and the flows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { DatabaseError } from "../platform/database.ts";
import { createDispatcher, type DispatcherOptions } from "./dispatcher.ts";
import { LEASE_MS } from "./leases.ts";
import { ALONE } from "./presence.ts";

test("a database that is away for minutes is one line a minute, though it is asked every second", async () => {
  const clock = createManualClock();
  const lines: [event: string, failures: unknown][] = [];
  let asked = 0;
  const away = async () => {
    asked++;
    throw new DatabaseError("unavailable", "away");
  };
  const options = {
    store: { findDue: away },
    committer: { channel: () => away },
    destinations: { onChange() {} },
    clock,
    presence: ALONE,
    random: () => 0.5,
    log: (event: string, { failures }: Record<string, unknown>) => void lines.push([event, failures]),
    exclusive: false,
  };
  // Little else is asked of them, for nothing is found to be sent; the look for strays fails by another event.
  const dispatcher = createDispatcher(options as unknown as DispatcherOptions);
  await dispatcher.start();
  for (let second = 0; second < 125; second++) {
    clock.pass(1_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await dispatcher.stop(0);
  assert.ok(asked > 100, `${asked} polls`);
  const polls = lines.filter(([event]) => event === "deliveries.not_polled");
  assert.deepEqual(
    polls.map(([, failures]) => failures),
    [1, 60, 60],
  );
});

test("what was claimed anew while a claim of it was on its way is not sent as the attempt of that claim", async () => {
  const clock = createManualClock();
  const claim = Promise.withResolvers<object>();
  const row = { position: "p1", app_id: "app_1", event: "link.click", attempt: 1, failures: 0, trigger: "auto" };
  const rows = [row, { ...row, position: "p2" }];
  let claims = 0;
  const limits = { max_in_flight: 50, rate_per_second: null };
  const built = { url: "http://127.0.0.1/", method: "POST", headers: [], body: "" };
  const destination = {
    id: "dst_1",
    app_id: "app_1",
    state: "active",
    ordering: "none",
    ...limits,
    build: () => built,
  };
  const options = {
    store: {
      findDue: async () => [{ destination_id: "dst_1", due_at: clock.at }],
      findKeyed: async () => [],
      claim: async () => (claims++ === 0 ? claim.promise : { claimed: [], next_due_at: null }),
      readBodies: async () =>
        rows.map(({ position }) => ({ position, id: position, body: "{}", bytes: 2, target_id: null })),
      renew: async (held: readonly object[]) => held,
    },
    committer: { channel: () => async () => {} },
    destinations: { find: async () => destination, onChange() {} },
    egress: { send: () => new Promise(() => {}) },
    presence: ALONE,
    clock,
    random: () => 0.5,
    log() {},
    exclusive: false,
  };
  // What it is asked for here is all that sending two deliveries takes.
  const dispatcher = createDispatcher(options as unknown as DispatcherOptions);
  await dispatcher.start();
  assert.equal(claims, 1);
  dispatcher.forget("dst_1", "p1", 1);
  claim.resolve({ claimed: rows, next_due_at: null });
  await waitUntil(() => dispatcher.counts().in_flight > 0, "the claim to arrive");
  assert.deepEqual(dispatcher.counts(), { queued: 0, in_flight: 1, lanes: 1, unsettled: 1 });
});

test("what was stored and is sent while the clock was set back is not claimed again when it is put right", async () => {
  const HOUR_MS = 3_600_000;
  const clock = createManualClock();
  const asked: string[] = [];
  const built = { url: "http://127.0.0.1/", method: "POST", headers: [], body: "" };
  const destination = {
    ...{ id: "dst_1", app_id: "app_1", state: "active", ordering: "none", max_in_flight: 50, rate_per_second: null },
    build: () => built,
  };
  const options = {
    store: {
      findDue: async () => [],
      findKeyed: async () => [],
      async claim() {
        asked.push("claim");
        return { claimed: [], next_due_at: null };
      },
      renew: async (held: readonly { position: string }[]) => {
        asked.push(...held.map(({ position }) => `renew ${position}`));
        return held;
      },
    },
    committer: { channel: () => async () => {} },
    destinations: { find: async () => destination, onChange() {} },
    egress: { send: () => new Promise(() => {}) },
    clock,
    presence: ALONE,
    random: () => 0.5,
    log() {},
    exclusive: false,
  };
  // What it is asked for here is all that sending one delivery and looking for others takes.
  const dispatcher = createDispatcher(options as unknown as DispatcherOptions);
  await dispatcher.start();
  clock.at -= HOUR_MS;
  const ready = { destination_id: "dst_1", position: "p1", attempt: 1, body: "{}", trigger: "auto" };
  const fresh = { ...ready, lease_until: clock.at + LEASE_MS, previous: null, next: null };
  // Nothing more of either is read until the answer is there.
  dispatcher.accept(destination as never, [fresh as never], dispatcher.reserve(destination as never, 1));
  assert.equal(dispatcher.counts().in_flight, 1);
  clock.at += HOUR_MS;
  dispatcher.wake("dst_1", clock.at);
  await waitUntil(() => asked.includes("claim"), "a claim");
  assert.equal(asked[0], "renew p1");
});
