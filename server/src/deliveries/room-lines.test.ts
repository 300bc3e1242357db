// The line itself, and whom the dispatcher serves while there is too little room for all.
import assert from "node:assert/strict";
import { test } from "node:test";
import { CLAIMED, openDispatcher } from "../../test/support/dispatchers.ts";
import { laneDestination, openLane } from "../../test/support/lanes.ts";
import { createManualClock } from "../../test/support/manual-clock.ts";
import { yieldToEventLoop } from "../platform/yield-to-event-loop.ts";
import { type ClaimingOptions, createClaiming } from "./claiming.ts";
import { createLanes } from "./lanes.ts";
import { createRoomLines } from "./room-lines.ts";

/** Of lanes that are slow. */
const ROOM_CHARS = 16 * 1024 * 1024;

test("who stands in line keeps its place, and goes to the end of another one when it waits for something else", () => {
  const lines = createRoomLines<ReturnType<typeof lane>>();
  const [one, two] = [lane({ slow: true }), lane({ slow: true })];
  for (const lane of [one, two, one]) lines.join(lane, "chars");
  assert.equal(lines.first(two, "chars"), one);
  assert.equal(lines.first(lane({}), "chars"), undefined);
  lines.join(one, "places");
  assert.deepEqual([lines.first(one, "chars"), lines.first(one, "places")], [two, one]);
  one.slow = false;
  assert.deepEqual([lines.first(two, "places"), lines.first(one, "places")], [undefined, one]);
  lines.leave(one);
  lines.leave(two);
  assert.equal(lines.isEmpty(), true);
});

test("those that keep up and those that are behind are served in turn, and who falls behind meanwhile is one of these", () => {
  const lines = createRoomLines<ReturnType<typeof lane>>();
  const behind = [lane({ is_behind: true }), lane({ is_behind: true })];
  const [quiet, late] = [lane({}), lane({})];
  for (const one of [...behind, late, quiet]) lines.join(one, "places");
  late.ends.is_behind = true;
  const served = behind.concat(quiet, late).map(() => {
    const first = lines.first(quiet, "places");
    if (first !== undefined) lines.leave(first);
    return first;
  });
  assert.deepEqual(
    served.map((one) => [...behind, quiet, late].indexOf(one ?? quiet)),
    [2, 0, 1, 3],
  );
  assert.equal(lines.isEmpty(), true);
});

test("while one waits for room, what is stored for others that need the same waits in the table", async () => {
  const { lanes, open, refillNow, isCrowded, destinations } = openClaiming();
  const [full, waiting, large] = [open("dst_full", 0), open("dst_waiting", 250_000), open("dst_large", 250_000)];
  const [small, fast] = [open("dst_small", 100), open("dst_fast", 250_000, false)];
  const crowded = () => [large, small, fast].map(isCrowded);
  lanes.reserve(full, 0, ROOM_CHARS);
  await refillNow(waiting);
  assert.deepEqual(crowded(), [true, false, false]);
  lanes.reserve(full, 0, -ROOM_CHARS);
  await refillNow(waiting);
  assert.deepEqual(crowded(), [false, false, false], "it has found room");
  lanes.reserve(full, 0, ROOM_CHARS);
  await refillNow(waiting);
  destinations.find = async () => assert.fail("the database is away");
  await refillNow(waiting);
  assert.deepEqual(crowded(), [false, false, false], "one whose claim fails holds up nobody");
});

for (const [how, due_at] of [
  ["and the first finds nothing more", null],
  ["and there is more of the first, which comes later", 10_000_000_000_000],
] as const) {
  test(`two that stand in line both go when there is room for both at once, ${how}`, async () => {
    const { lanes, open, refillNow, isCrowded, claims, store } = openClaiming();
    store.claim = async (id: string) => {
      claims.push(id);
      return { claimed: [], next_due_at: due_at };
    };
    const [full, first, second] = [open("dst_full", 0), open("dst_first", 250_000), open("dst_second", 250_000)];
    lanes.reserve(full, 0, ROOM_CHARS);
    await refillNow(first);
    await refillNow(second);
    assert.deepEqual([claims, isCrowded(full), isCrowded(second)], [[], false, true]);
    lanes.reserve(full, 0, -ROOM_CHARS);
    // Nobody looks for the second one: no timer fires here, and nothing is polled.
    await refillNow(first);
    assert.deepEqual(claims, ["dst_first", "dst_second"]);
    assert.equal(isCrowded(second), false, "nobody is left in line");
  });
}

test("receivers that are slow with large bodies are served in turn, though not all of them find room", async () => {
  const WEBHOOKS = 90;
  const EACH = 12;
  /** Slow, and not all at once. */
  const TAKES_MS = 3_000;
  const bytes = 250_000;
  const clock = createManualClock();
  const ids = Array.from({ length: WEBHOOKS }, (_, index) => `dst_${index}`);
  const waiting = new Map(ids.map((id) => [id, Array.from({ length: EACH }, (_, index) => `p${index}`)]));
  const started = new Map(ids.map((id) => [id, 0]));
  let sent = 0;
  let widest = 0;
  const { dispatcher } = openDispatcher(clock, {
    store: {
      findDue: async () =>
        ids.flatMap((id) => (waiting.get(id)?.length ? [{ destination_id: id, due_at: clock.at }] : [])),
      claim: async (id: string, { limit }: { limit: number }) => {
        const taken = (waiting.get(id) ?? []).splice(0, limit);
        const claimed = taken.map((position) => ({ ...CLAIMED, position }));
        return { claimed, next_due_at: waiting.get(id)?.length ? clock.at : null };
      },
      release: async (held: readonly { destination_id: string; position: string }[]) => {
        for (const { destination_id, position } of held) waiting.get(destination_id)?.unshift(position);
      },
      readBodies: async (_: string, positions: readonly string[]) =>
        positions.map((id) => ({ position: id, id, body: "x".repeat(bytes), bytes, target_id: null, erased_at: null })),
    },
    destinations: {
      find: async (id: string) => ({
        ...{ id, app_id: "app_1", state: "active", ordering: "none", max_in_flight: 1, rate_per_second: null },
        ...{ retry_schedule: [], timeout_ms: 10_000, misconfigured: null, hide: (text: string) => text },
        build: ({ body }: { body: string }) => ({ url: id, method: "POST", headers: [], body }),
        judge: () => ({ kind: "accepted" }),
      }),
      onChange() {},
    },
    egress: {
      send: ({ url }: { url: string }) => {
        started.set(url, (started.get(url) ?? 0) + 1);
        sent++;
        const counts = [...started.values()];
        widest = Math.max(widest, Math.max(...counts) - Math.min(...counts));
        const answer = { kind: "response", status: 200, headers: {}, snippet: "", truncated: false, duration_ms: 1 };
        return new Promise((resolve) => clock.after(TAKES_MS + ((sent * 37) % 100), () => resolve(answer)));
      },
    },
  });
  await dispatcher.start();
  for (let ticks = 0; sent < WEBHOOKS * EACH; ticks++) {
    assert.ok(ticks < 20_000, `${sent} of ${WEBHOOKS * EACH} sent`);
    clock.pass(20);
    for (let turns = 0; turns < 10; turns++) await yieldToEventLoop();
  }
  assert.ok(widest <= 3, `one has ${widest} more than another`);
});

test("lanes that became slow while they stood in line hold up nobody that is fast", async () => {
  const { put, pass, sent } = await openWaiting(
    Array.from({ length: 56 }, (_, index) => `hangs_${index}`),
    400,
  );
  await pass(3_000);
  put("fast", 200);
  await pass(2_000);
  assert.equal(sent.get("fast"), 200);
});

test("what is new of a webhook that keeps up waits for few of those that are far behind", async () => {
  const { put, pass, sent } = await openWaiting(
    Array.from({ length: 300 }, (_, index) => `far_behind_${index}`),
    1_000,
  );
  await pass(3_000);
  for (let round = 1; round <= 5; round++) {
    put("quiet", 1);
    await pass(1_000);
    assert.equal(sent.get("quiet"), round);
  }
});

/** What claims, of lanes that are opened here; nothing happens of its own accord. */
function openClaiming() {
  const lanes = createLanes();
  const claims: string[] = [];
  const destinations = { find: async (id: string) => laneDestination({ id }) };
  const store = {
    claim: async (id: string): Promise<{ claimed: never[]; next_due_at: number | null }> => {
      claims.push(id);
      return { claimed: [], next_due_at: null };
    },
    readBodies: async () => [],
  };
  const options = {
    ...{ lanes, clock: createManualClock(), isRunning: () => true, log() {}, take() {}, putBack() {} },
    ...{ store, destinations },
    ...{ leases: { keep: async () => {} }, settling: { isFull: () => false, isBehind: () => false } },
    ...{ timers: { schedule() {} }, work: (promise: Promise<void>) => promise },
  };
  // The rest of each part is never asked for.
  const { refill, isCrowded } = createClaiming(options as unknown as ClaimingOptions);
  const open = (id: string, body_bytes: number, slow = true) =>
    Object.assign(openLane(lanes, id), { body_bytes, slow });
  async function refillNow(lane: ReturnType<typeof open>): Promise<void> {
    lane.due_at = 0;
    refill(lane);
    await yieldToEventLoop();
  }
  return { lanes, open, refillNow, isCrowded, destinations, claims, store };
}

function lane({ slow = false, is_behind = false }) {
  return { slow, ends: { is_behind } };
}

/** Webhooks for each of which so many wait since long ago. Those of a name with "hangs" never answer, the others after 300 ms. */
async function openWaiting(ids: readonly string[], each: number) {
  const clock = createManualClock();
  const waiting = new Map(ids.map((id) => [id, { count: each, due_at: clock.at - 60_000 }]));
  const sent = new Map<string, number>();
  let last = 0;
  const { dispatcher } = openDispatcher(clock, {
    store: {
      findDue: async () =>
        [...waiting].flatMap(([id, { count, due_at }]) => (count > 0 ? [{ destination_id: id, due_at }] : [])),
      claim: async (id: string, { limit }: { limit: number }) => {
        const left = waiting.get(id) ?? { count: 0, due_at: clock.at };
        const count = Math.min(left.count, limit);
        left.count -= count;
        const claimed = Array.from({ length: count }, () => ({ ...CLAIMED, position: `${last++}` }));
        return { claimed, next_due_at: left.count > 0 ? left.due_at : null };
      },
      release: async (held: readonly { destination_id: string }[]) => {
        for (const { destination_id } of held) {
          const left = waiting.get(destination_id);
          if (left !== undefined) left.count++;
        }
      },
    },
    destinations: {
      find: async (id: string) => ({
        ...{ id, app_id: "app_1", state: "active", ordering: "none", max_in_flight: 50, rate_per_second: null },
        ...{ retry_schedule: [], timeout_ms: 30_000, misconfigured: null, hide: (text: string) => text },
        build: ({ body }: { body: string }) => ({ url: id, method: "POST", headers: [], body }),
        judge: () => ({ kind: "accepted" }),
      }),
      onChange() {},
    },
    egress: {
      send: ({ url }: { url: string }) => {
        sent.set(url, (sent.get(url) ?? 0) + 1);
        if (url.startsWith("hangs")) return new Promise(() => {});
        const answer = { kind: "response", status: 200, headers: {}, snippet: "", truncated: false, duration_ms: 1 };
        return new Promise((resolve) => clock.after(300, () => resolve(answer)));
      },
    },
  });
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 20) {
      clock.pass(20);
      for (let turns = 0; turns < 10; turns++) await yieldToEventLoop();
    }
  };
  const put = (id: string, count: number) => {
    waiting.set(id, { count, due_at: clock.at });
    dispatcher.wake(id, clock.at, Number.POSITIVE_INFINITY);
  };
  await dispatcher.start();
  return { put, pass, sent };
}
