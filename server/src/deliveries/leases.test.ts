import assert from "node:assert/strict";
import { test } from "node:test";
import { createLeases, isLeased, LEASE_MS, type Leased } from "./leases.ts";

const START = 1_700_000_000_000;

const claim = (position: string, lease_until = START + LEASE_MS): Leased => ({
  ...{ destination_id: "dst_a", position, attempt: 1, lease_until, previous: null, next: null },
});

function openLeases(leased: Leased[], renew: (leased: readonly Leased[]) => Promise<Leased[]>) {
  const clock = { at: START };
  const lost: string[] = [];
  const logged: string[] = [];
  const leases = createLeases({
    store: {
      renew: (wanted) => renew(leased.filter((one) => wanted.some((other) => other.position === one.position))),
      release: () => Promise.reject(new Error("out of reach")),
    },
    now: () => clock.at,
    log: (event) => void logged.push(event),
    leased: () => leased,
    lost: (one) => void lost.push(one.position),
  });
  return { clock, lost, logged, leases };
}

test("leases are renewed when they are about to end, and not before", async () => {
  const leased = [claim("p1"), claim("p2", START + 2 * LEASE_MS)];
  const asked: string[][] = [];
  const { clock, leases, lost } = openLeases(leased, async (wanted) => {
    asked.push(wanted.map((one) => one.position));
    return [...wanted];
  });
  await leases.keep();
  clock.at += 19_999;
  await leases.keep();
  assert.deepEqual(asked, []);
  clock.at += 10_000;
  await leases.keep();
  assert.deepEqual(asked, [["p1"]]);
  assert.equal(leased[0]?.lease_until, clock.at + LEASE_MS);
  assert.deepEqual(lost, []);
});

test("a clock that jumps past the end of a lease renews it before anything else is done", async () => {
  const leased = [claim("p1")];
  const { clock, leases } = openLeases(leased, async (wanted) => [...wanted]);
  clock.at += 10 * LEASE_MS;
  await leases.keep();
  assert.equal(leased[0]?.lease_until, clock.at + LEASE_MS);
});

test("a clock that is set back and put right again hides no lease that ends", async () => {
  const leased: Leased[] = [];
  const { clock, leases } = openLeases(leased, async (wanted) => [...wanted]);
  await leases.keep();
  clock.at -= LEASE_MS;
  await leases.keep();
  leased.push(claim("p1", clock.at + LEASE_MS));
  clock.at += LEASE_MS + 1;
  await leases.keep();
  assert.equal(leased[0]?.lease_until, clock.at + LEASE_MS);
});

test("a clock that is set back and put right again between two looks hides no lease that was taken meanwhile", async () => {
  const leased: Leased[] = [];
  const { clock, leases } = openLeases(leased, async (wanted) => [...wanted]);
  await leases.keep();
  clock.at -= LEASE_MS;
  const one = claim("p1", clock.at + LEASE_MS);
  leased.push(one);
  leases.took(one.lease_until);
  clock.at += LEASE_MS + 1;
  await leases.keep();
  assert.equal(one.lease_until, clock.at + LEASE_MS);
});

test("everyone who asks while a renewal is under way waits for it", async () => {
  const { promise, resolve } = Promise.withResolvers<Leased[]>();
  const { clock, leases } = openLeases([claim("p1")], () => promise);
  clock.at += LEASE_MS;
  let done = 0;
  const both = [leases.keep(), leases.keep()].map((one) => one.then(() => done++));
  await Promise.resolve();
  assert.equal(done, 0);
  resolve([]);
  await Promise.all(both);
  assert.equal(done, 2);
});

test("a lease that somebody else has taken is lost, and keeps its end", async () => {
  const leased = [claim("p1"), claim("p2")];
  const { clock, leases, lost } = openLeases(leased, async (wanted) => wanted.slice(1));
  clock.at += 30_000;
  await leases.keep();
  assert.deepEqual(lost, ["p1"]);
  assert.equal(leased[0]?.lease_until, START + LEASE_MS);
});

test("an outage loses nothing: the next call tries again", async () => {
  const leased = [claim("p1")];
  let calls = 0;
  const { clock, leases, lost, logged } = openLeases(leased, async (wanted) => {
    if (++calls === 1) throw new Error("out of reach");
    return [...wanted];
  });
  clock.at += 30_000;
  await leases.keep();
  assert.deepEqual([lost, logged], [[], ["deliveries.not_renewed"]]);
  await leases.keep();
  assert.equal(leased[0]?.lease_until, clock.at + LEASE_MS);
});

test("what cannot be given back is logged and left to its lease", async () => {
  const { leases, logged } = openLeases([], async () => []);
  await leases.giveBack([]);
  assert.deepEqual(logged, []);
  await leases.giveBack([claim("p1")]);
  assert.deepEqual(logged, ["deliveries.not_released"]);
});

for (const [left_ms, leased] of [
  [LEASE_MS, true],
  [5_000, true],
  [4_999, false],
  [0, false],
  [-1, false],
] as const) {
  test(`with ${left_ms} ms left a lease is ${leased ? "" : "not "}good for sending`, () => {
    assert.equal(isLeased({ lease_until: START + left_ms }, START), leased);
  });
}
