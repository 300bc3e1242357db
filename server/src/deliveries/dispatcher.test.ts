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
        rows.map(({ position }) => ({
          position,
          id: position,
          body: "{}",
          bytes: 2,
          target_id: null,
          erased_at: null,
        })),
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

test("of a canceled replay nothing begins: neither what waits in memory nor what is still on its way", async () => {
  const clock = createManualClock();
  const late = Promise.withResolvers<object>();
  const released: [position: string, due_in: number][] = [];
  const row = { app_id: "app_1", event: "link.click", attempt: 1, failures: 0, trigger: "replay", replay_id: "rpl_1" };
  const first = [
    { ...row, position: "begun" },
    { ...row, position: "waiting" },
    { ...row, position: "of another", replay_id: "rpl_2" },
    { ...row, position: "asked for", trigger: "manual" },
    { ...row, position: "fresh", trigger: "auto", replay_id: null },
  ];
  const claims = [{ claimed: first, next_due_at: null }, late.promise, { claimed: [], next_due_at: null }];
  const canceled = new Set<string>();
  const answers: (() => void)[] = [];
  const sent: string[] = [];
  const destination = {
    ...{ id: "dst_1", app_id: "app_1", state: "active", ordering: "none", max_in_flight: 1, rate_per_second: null },
    build: ({ event_id }: { event_id: string }) => ({ url: event_id, method: "POST", headers: [], body: "" }),
    interpret: () => ({ kind: "accepted" }),
    mask: () => ({}),
    retry_schedule: [],
  };
  const options = {
    store: {
      findDue: async () => [],
      findKeyed: async () => [],
      claim: async () => claims.shift() ?? { claimed: [], next_due_at: null },
      readBodies: async (_: string, positions: readonly string[]) =>
        positions.map((position) => ({ position, id: position, body: "{}", target_id: null, erased_at: null })),
      canceledOf: async (ids: readonly string[]) => ids.filter((id) => canceled.has(id)),
      release: async (held: readonly { position: string }[], due_at: number) =>
        void released.push(...held.map(({ position }): [string, number] => [position, due_at - clock.at])),
      renew: async (held: readonly object[]) => held,
    },
    committer: { channel: () => async () => {} },
    destinations: { find: async () => destination, onChange() {} },
    egress: {
      send: ({ url }: { url: string }) => {
        sent.push(url);
        return new Promise((resolve) => void answers.push(() => resolve({ kind: "failed", message: "away" })));
      },
    },
    ...{ presence: ALONE, clock, random: () => 0.5, log() {}, exclusive: false },
  };
  // What it is asked for here is all that sending a few deliveries takes.
  const dispatcher = createDispatcher(options as unknown as DispatcherOptions);
  const answer = async () => {
    answers.shift()?.();
    await settle();
  };
  await dispatcher.start();
  dispatcher.wake("dst_1", clock.at);
  await settle();
  // What a person asked for waits behind nothing.
  assert.deepEqual([sent, dispatcher.counts().queued], [["asked for"], 4]);
  await answer();
  assert.deepEqual(sent.slice(1), ["begun"]);
  dispatcher.wake("dst_1", clock.at);
  await settle();
  assert.equal(claims.length, 1, "a claim is under way");
  dispatcher.forgetReplay("rpl_1");
  assert.deepEqual(released, [["waiting", LEASE_MS]], "due for nobody until it is taken back");
  late.resolve({
    claimed: [
      { ...row, position: "late" },
      { ...row, position: "a probe", trigger: "probe" },
      { ...row, position: "asked for late", trigger: "manual" },
    ],
    next_due_at: null,
  });
  await settle();
  assert.deepEqual(released.slice(1), [
    ["late", LEASE_MS],
    ["a probe", LEASE_MS],
  ]);
  // Of these it is never told: a poll finds the one, a claim the other.
  for (const replay_id of ["rpl_2", "rpl_3"]) canceled.add(replay_id);
  clock.pass(1_000);
  await settle();
  assert.deepEqual(released.slice(3), [["of another", LEASE_MS]]);
  for (let n = 0; n < 3; n++) await answer();
  assert.deepEqual(sent.slice(2), ["asked for late", "fresh"]);
  claims.unshift({ claimed: [{ ...row, position: "unheard", replay_id: "rpl_3" }], next_due_at: null });
  dispatcher.wake("dst_1", clock.at);
  await settle();
  assert.deepEqual([released.slice(4), sent.length], [[["unheard", LEASE_MS]], 4]);
  assert.deepEqual(dispatcher.counts(), { queued: 0, in_flight: 0, lanes: 1, unsettled: 0 });
});

/** What was begun before has been done. */
function settle(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}
