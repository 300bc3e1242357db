import assert from "node:assert/strict";
import { test } from "node:test";
import type { DestinationState } from "#contract/destinations.ts";
import type { EventType } from "#contract/events.ts";
import { DUE_FIRST } from "../deliveries/due.ts";
import { LEASE_MS } from "../deliveries/leases.ts";
import type { Destination } from "../destinations/destination.ts";
import { compileFilter } from "../destinations/filter.ts";
import type { EventRow } from "./event.ts";
import { fanOut } from "./fanout.ts";

const NOW = 1_700_000_000_000;

function destination(id: string, state: DestinationState, ...events: EventType[]): Destination {
  const settings = { retry_schedule: [], timeout_ms: 1_000, max_in_flight: 50, rate_per_second: null };
  return {
    ...{ id, app_id: "shop", type: "webhook", events: new Set(events), state, state_reason: null, created_at: 0 },
    ...{
      ...settings,
      era: 0,
      retry_on: "retriable",
      filter: null,
      ordering: "none",
      misconfigured: null,
      repair: null,
    },
    build: () => assert.fail("fan-out builds nothing"),
    judge: () => assert.fail("fan-out judges nothing"),
    target: "",
    show: () => assert.fail("fan-out shows nothing"),
    inspect: () => assert.fail("fan-out shows nothing"),
    hide: () => assert.fail("fan-out shows nothing"),
  };
}

function event(position: string, type: EventType = "link.click", target_id: string | null = null): EventRow {
  return {
    ...{ app_id: "shop", position, id: `id-${position}`, event: type, link_id: null, target_id },
    ...{ created_at: NOW, body: `{"data":{"p":"${position}"}}` },
  };
}

const all = () => Number.POSITIVE_INFINITY;
const none = () => 0;

const subscriptions: { state: DestinationState; types: EventType[]; target?: string; wanted: boolean }[] = [
  { state: "active", types: ["link.click"], wanted: true },
  { state: "paused", types: ["link.click"], wanted: true },
  { state: "active", types: ["link.claim", "link.app_open"], wanted: false },
  { state: "active", types: [], wanted: false },
  { state: "disabled", types: ["link.click"], wanted: false },
  { state: "off", types: ["link.click"], wanted: false },
  { state: "active", types: ["link.click"], target: "dst_other", wanted: false },
  { state: "off", types: ["link.claim"], target: "dst_a", wanted: true },
  { state: "disabled", types: [], target: "dst_a", wanted: true },
];
for (const { state, types, target, wanted } of subscriptions) {
  const what = target === undefined ? "a click" : `a test click for ${target}`;
  test(`${what} ${wanted ? "goes" : "does not go"} to dst_a, ${state}, set to ${types.join(" and ") || "nothing"}`, () => {
    const { deliveries } = fanOut(
      [event("p1", "link.click", target)],
      [destination("dst_a", state, ...types)],
      none,
      NOW,
    );
    assert.equal(deliveries.length, wanted ? 1 : 0);
  });
}

test("each wanted pair has one delivery, due at once and without a lease while there is no room", () => {
  const to = [destination("dst_a", "active", "link.click"), destination("dst_b", "active", "link.click", "link.claim")];
  const { deliveries, ready } = fanOut([event("p1"), event("p2", "link.claim")], to, none, NOW);
  assert.deepEqual(
    deliveries.map((one) => [one.destination_id, one.position, one.event, one.leased, one.attempt, one.due_at]),
    [
      ["dst_a", "p1", "link.click", 0, 0, NOW],
      ["dst_b", "p1", "link.click", 0, 0, NOW],
      ["dst_b", "p2", "link.claim", 0, 0, NOW],
    ],
  );
  assert.equal(ready.size, 0);
});

test("as many as there is room for are born with a lease, the first ones, and handed over with their bytes", () => {
  const a = destination("dst_a", "active", "link.click");
  const { deliveries, ready } = fanOut([event("p1"), event("p2"), event("p3")], [a], () => 2, NOW);
  assert.deepEqual(
    deliveries.map((one) => [one.position, one.leased, one.attempt, one.due_at]),
    [
      ["p1", 1, 1, NOW + LEASE_MS],
      ["p2", 1, 1, NOW + LEASE_MS],
      ["p3", 0, 0, NOW],
    ],
  );
  assert.deepEqual(
    ready.get(a)?.map((one) => [one.position, one.event_id, one.body, one.attempt, one.trigger, one.lease_until]),
    [
      ["p1", "id-p1", '{"data":{"p":"p1"}}', 1, "auto", NOW + LEASE_MS],
      ["p2", "id-p2", '{"data":{"p":"p2"}}', 1, "auto", NOW + LEASE_MS],
    ],
  );
});

test("room is asked of each destination on its own", () => {
  const [a, b] = [destination("dst_a", "active", "link.click"), destination("dst_b", "active", "link.click")];
  const { ready } = fanOut([event("p1")], [a, b], (one) => (one === b ? 5 : 0), NOW);
  assert.deepEqual([...ready.keys()], [b]);
});

test("a test event is due before everything else, so that it is sent also while its destination is off", () => {
  const to = [destination("dst_a", "off", "link.click"), destination("dst_b", "active", "link.click")];
  const waiting = fanOut([event("p1", "link.click", "dst_a")], to, none, NOW).deliveries;
  assert.deepEqual(
    waiting.map((one) => [one.destination_id, one.trigger, one.due_at]),
    [["dst_a", "test", DUE_FIRST]],
  );
  const leased = fanOut([event("p1", "link.click", "dst_a")], to, all, NOW).deliveries;
  assert.equal(leased[0]?.due_at, NOW + LEASE_MS);
});

test("what a filter refuses is settled at once, without a lease or room; what it lets through goes on as ever", () => {
  const refuses = (wanted: string) => compileFilter({ path: "data.p", equals: wanted });
  const a = { ...destination("dst_a", "active", "link.click"), filter: refuses("p1") };
  const b = { ...destination("dst_b", "paused", "link.click"), filter: refuses("p3") };
  const asked: [string, number][] = [];
  const reserve = (one: Destination, wanted: number) => {
    asked.push([one.id, wanted]);
    return wanted;
  };
  const events = [event("p1"), event("p2"), event("p4", "link.claim")];
  const { deliveries, skipped, ready } = fanOut(events, [a, b], reserve, NOW);
  assert.deepEqual(
    deliveries.map((one) => [one.destination_id, one.position, one.leased]),
    [["dst_a", "p1", 1]],
  );
  assert.deepEqual([...ready.keys()], [a]);
  assert.deepEqual(asked, [["dst_a", 1]]);
  assert.deepEqual(
    skipped.map((one) => [one.destination_id, one.position, one.reason]),
    [
      ["dst_a", "p2", 'Filtered: data.p is "p2", and the filter wants "p1".'],
      ["dst_b", "p1", 'Filtered: data.p is "p1", and the filter wants "p3".'],
      ["dst_b", "p2", 'Filtered: data.p is "p2", and the filter wants "p3".'],
    ],
  );
  for (const { state, attempt, leased, due_at, settled_at } of skipped) {
    assert.deepEqual([state, attempt, leased, due_at, settled_at], ["skipped", 0, 0, null, NOW]);
  }
});

test("a test event passes every filter", () => {
  const a = { ...destination("dst_a", "off"), filter: compileFilter({ path: "data.p", equals: "x" }) };
  const { deliveries, skipped } = fanOut([event("p1", "link.click", "dst_a")], [a], none, NOW);
  assert.deepEqual([deliveries.length, skipped.length], [1, 0]);
});

test("bodies are read once for all filters that ask for data, and not at all for the others", (t) => {
  const parse = t.mock.method(JSON, "parse");
  const filtered = (id: string, path: string) => {
    return { ...destination(id, "active", "link.click"), filter: compileFilter({ path, exists: true }) };
  };
  fanOut(
    [event("p1"), event("p2")],
    [destination("dst_a", "active", "link.click"), filtered("dst_b", "event")],
    none,
    NOW,
  );
  assert.equal(parse.mock.callCount(), 0);
  const two = [filtered("dst_c", "data.p"), filtered("dst_d", "platform")];
  fanOut([event("p1"), event("p2"), event("p3", "link.claim")], two, none, NOW);
  assert.equal(parse.mock.callCount(), 2);
});

test("nothing comes of no events, of no destinations and of none that wants any", () => {
  for (const [events, to] of [
    [[], [destination("dst_a", "active", "link.click")]],
    [[event("p1")], []],
    [[event("p1")], [destination("dst_a", "active", "link.claim")]],
  ] as const) {
    assert.deepEqual(fanOut(events, to, all, NOW), { deliveries: [], skipped: [], ready: new Map() });
  }
});
