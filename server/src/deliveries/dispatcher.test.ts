// What the dispatcher asks of its parts and what it says, step by step. How it does over time, among failures, is for the
// simulation and the flows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLAIMED, NOTHING_CLAIMED, openDispatcher } from "../../test/support/dispatchers.ts";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { DatabaseError } from "../platform/database.ts";
import type { Exchange } from "../platform/exchange.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { LEASE_MS } from "./leases.ts";

test("a database that is away for minutes is one line a minute, though it is asked every second", async () => {
  const clock = createManualClock();
  const lines: [event: string, failures: unknown][] = [];
  let asked = 0;
  const away = async () => {
    asked++;
    throw new DatabaseError("unavailable", "away");
  };
  const { dispatcher } = openDispatcher(clock, {
    store: { findDue: away },
    log: (event: string, { failures }: Record<string, unknown>) => void lines.push([event, failures]),
  });
  await dispatcher.start();
  for (let second = 0; second < 125; second++) {
    clock.pass(1_000);
    await yieldToEventLoop();
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
  const rows = ["p1", "p2"].map((position) => ({ ...CLAIMED, position }));
  let claims = 0;
  const { dispatcher } = openDispatcher(clock, {
    store: {
      findDue: async () => [{ destination_id: "dst_1", due_at: clock.at }],
      claim: async () => (claims++ === 0 ? claim.promise : NOTHING_CLAIMED),
    },
  });
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
  const { dispatcher, destination } = openDispatcher(clock, {
    store: {
      async claim() {
        asked.push("claim");
        return NOTHING_CLAIMED;
      },
      renew: async (held: readonly { position: string }[]) => {
        asked.push(...held.map(({ position }) => `renew ${position}`));
        return held;
      },
    },
  });
  await dispatcher.start();
  clock.at -= HOUR_MS;
  const ready = { destination_id: "dst_1", position: "p1", attempt: 1, body: "{}", trigger: "auto" };
  const fresh = { ...ready, lease_until: clock.at + LEASE_MS, previous: null, next: null };
  // Nothing more of it is read until the answer is there.
  dispatcher.accept(destination, [fresh as never], dispatcher.reserve(destination, 1));
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
  const row = { ...CLAIMED, trigger: "replay", replay_id: "rpl_1" };
  const first = [
    { ...row, position: "begun" },
    { ...row, position: "waiting" },
    { ...row, position: "of another", replay_id: "rpl_2" },
    { ...row, position: "asked for", trigger: "manual" },
    { ...row, position: "fresh", trigger: "auto", replay_id: null },
  ];
  const claims = [{ claimed: first, next_due_at: null }, late.promise, NOTHING_CLAIMED];
  const canceled = new Set<string>();
  const answers: (() => void)[] = [];
  const sent: string[] = [];
  const { dispatcher } = openDispatcher(clock, {
    destination: {
      max_in_flight: 1,
      build: ({ event_id }: { event_id: string }) => ({ url: event_id, method: "POST", headers: [], body: "" }),
      interpret: () => ({ kind: "accepted" }),
      retry_schedule: [],
    },
    store: {
      claim: async () => claims.shift() ?? NOTHING_CLAIMED,
      canceledOf: async (ids: readonly string[]) => ids.filter((id) => canceled.has(id)),
      release: async (held: readonly { position: string }[], due_at: number) =>
        void released.push(...held.map(({ position }): [string, number] => [position, due_at - clock.at])),
    },
    egress: {
      send: ({ url }: { url: string }) => {
        sent.push(url);
        return new Promise((resolve) => void answers.push(() => resolve({ kind: "failed", message: "away" })));
      },
    },
  });
  const answer = async () => {
    answers.shift()?.();
    await yieldToEventLoop();
  };
  await dispatcher.start();
  dispatcher.wake("dst_1", clock.at);
  await yieldToEventLoop();
  // What a person asked for waits behind nothing.
  assert.deepEqual([sent, dispatcher.counts().queued], [["asked for"], 4]);
  await answer();
  assert.deepEqual(sent.slice(1), ["begun"]);
  dispatcher.wake("dst_1", clock.at);
  await yieldToEventLoop();
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
  await yieldToEventLoop();
  assert.deepEqual(released.slice(1), [
    ["late", LEASE_MS],
    ["a probe", LEASE_MS],
  ]);
  // Of these it is never told: a poll finds the one, a claim the other.
  for (const replay_id of ["rpl_2", "rpl_3"]) canceled.add(replay_id);
  clock.pass(1_000);
  await yieldToEventLoop();
  assert.deepEqual(released.slice(3), [["of another", LEASE_MS]]);
  for (let n = 0; n < 3; n++) await answer();
  assert.deepEqual(sent.slice(2), ["asked for late", "fresh"]);
  claims.unshift({ claimed: [{ ...row, position: "unheard", replay_id: "rpl_3" }], next_due_at: null });
  dispatcher.wake("dst_1", clock.at);
  await yieldToEventLoop();
  assert.deepEqual([released.slice(4), sent.length], [[["unheard", LEASE_MS]], 4]);
  assert.deepEqual(dispatcher.counts(), { queued: 0, in_flight: 0, lanes: 1, unsettled: 0 });
});

test("a probe is taken when its webhook may be sent something, and not used up while it may not", async () => {
  const clock = createManualClock();
  const asked = { ...CLAIMED, position: "asked", trigger: "manual" };
  const claims = [[asked]];
  const may_send_at = clock.at + 50_000;
  const due_at = clock.at + 30_000;
  const probed: number[] = [];
  const released: string[] = [];
  const sent: string[] = [];
  const { dispatcher } = openDispatcher(clock, {
    destination: {
      ...{ state: "paused", rate_per_second: 0.02 },
      build: ({ event_id }: { event_id: string }) => ({ url: event_id, method: "POST", headers: [], body: "" }),
    },
    store: {
      findDue: async () => [{ destination_id: "dst_1", due_at: clock.at, asked_at: clock.at }],
      claim: async () => ({ claimed: claims.shift() ?? [], next_due_at: null }),
      claimProbe: async () =>
        clock.at < due_at || probed.push(clock.at) > 1 ? [] : [{ ...CLAIMED, position: "probe", trigger: "probe" }],
      release: async (held: readonly { position: string }[]) =>
        void released.push(...held.map(({ position }) => position)),
    },
    egress: {
      send: ({ url }: { url: string }) => {
        sent.push(url);
        return new Promise(() => {});
      },
    },
  });
  await dispatcher.start();
  for (let step = 0; step < 4 * 55; step++) {
    await yieldToEventLoop();
    clock.pass(250);
  }
  assert.deepEqual({ released, sent }, { released: [], sent: ["asked", "probe"] });
  assert.ok((probed[0] ?? 0) >= may_send_at - 2_000, "in time for its start, and no sooner");
});

for (const [what, destination] of Object.entries({
  "asks to be left alone": { rate_per_second: 0.01 },
  "is off": { state: "off" },
  "is paused and ordered": { state: "paused", ordering: "link" },
})) {
  test(`of a webhook that ${what} nothing is claimed until a person asks for it, however much waits and comes`, async () => {
    const clock = createManualClock();
    const begun_at = clock.at;
    let asked_at: number | null = null;
    const claims: number[] = [];
    const rows = "rate_per_second" in destination ? [[{ ...CLAIMED, position: "first" }]] : [];
    const { dispatcher } = openDispatcher(clock, {
      destination,
      store: {
        findDue: async () => [{ destination_id: "dst_1", due_at: begun_at, asked_at }],
        claim: async () => {
          claims.push(clock.at - begun_at);
          return { claimed: rows.shift() ?? [], next_due_at: begun_at };
        },
        claimProbe: async () => [],
      },
    });
    await dispatcher.start();
    async function pass(seconds: number): Promise<number[]> {
      for (let step = 0; step < 4 * seconds; step++) {
        await yieldToEventLoop();
        dispatcher.wake("dst_1", clock.at, Number.POSITIVE_INFINITY);
        clock.pass(250);
      }
      return claims.splice(0);
    }
    await pass(5);
    assert.deepEqual(await pass(60), []);
    dispatcher.wake("dst_1", clock.at);
    assert.equal((await pass(2)).length, 1, "at a hint that may be of what a person asked for");
    asked_at = clock.at + 10_000;
    assert.deepEqual(await pass(8), [], "what a person asked for comes later");
    const [found_at = 0] = await pass(4);
    assert.ok(Math.abs(begun_at + found_at - asked_at) <= 1_000, `${begun_at + found_at - asked_at} ms from its time`);
  });
}

test("what a stop leaves in flight is waited for once it is cut off, until it is on record, and no longer than is said", async () => {
  const clock = createManualClock();
  const told: string[] = [];
  const cut = Promise.withResolvers<Exchange>();
  const stored = Promise.withResolvers<void>();
  const { dispatcher } = openDispatcher(clock, {
    destination: { judge: () => ({ kind: "unreachable", retriable: true, message: "stopping" }), hide: String },
    egress: { send: () => cut.promise },
    committer: { channel: () => () => stored.promise },
    store: {
      findDue: async () => [{ destination_id: "dst_1", due_at: clock.at }],
      claim: async () => ({ claimed: [{ ...CLAIMED, position: "p1" }], next_due_at: null }),
    },
  });
  await dispatcher.start();
  await waitUntil(() => dispatcher.counts().in_flight === 1, "the request");
  const stopping = dispatcher.stop(1_000);
  clock.pass(1_000);
  assert.equal(await stopping, false);
  const late = dispatcher.waitForRecords(500).then(() => told.push("late"));
  clock.pass(499);
  await yieldToEventLoop();
  assert.equal(told.length, 0);
  clock.pass(1);
  await late;
  void dispatcher.waitForRecords(500).then(() => told.push("on record"));
  cut.resolve({ kind: "failure", code: "aborted", message: "stopping", started_at: 0, duration_ms: 1 } as Exchange);
  await yieldToEventLoop();
  assert.deepEqual(told, ["late"], "it is not stored yet");
  stored.resolve();
  await waitUntil(() => told.length === 2, "the end of waiting");
});
