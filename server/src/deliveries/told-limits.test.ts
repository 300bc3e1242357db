import assert from "node:assert/strict";
import { test } from "node:test";
import type { Allowed, Reason } from "./limit-text.ts";
import { shareOf } from "./share.ts";
import { holdsOver, limitsOver, readTold, TOLD_MAX, type Told, writeTold } from "./told-limits.ts";

const NOW = 1_800_000_000_000;
const AT = { now: NOW, slots: { slots: 512, slow_slots: 51 } };
const WEBHOOK = { id: "dst_a", max_in_flight: 50, rate_per_second: null as number | null, timeout_ms: 20_000 };

function allowed(cap: number, because: Reason | null, more: Partial<Allowed> = {}): Allowed {
  return { cap, per_second: null, held_until: null, because, ...more };
}

function told(destination_id: string, cap: number, because: Reason | null = "silent"): Told {
  return { destination_id, allowed: allowed(cap, because), share: { max_in_flight: 50, rate_per_second: null } };
}

/** Dispatchers `a`, `b`, … and what each tells of the webhook. */
function over(all: readonly (Allowed | null)[], webhook = WEBHOOK, show: typeof holdsOver = limitsOver) {
  const tellers = all.map((one, n) => ({
    id: String.fromCharCode(97 + n),
    told: new Map(one === null ? [] : [[webhook.id, one] as const]),
  }));
  return show(webhook, tellers, AT);
}

test("what is told is read as it was, and what is not limited is not told", () => {
  const one = { ...told("dst_a", 7), allowed: allowed(7, "too_many", { per_second: 9.31, held_until: NOW + 1 }) };
  const text = writeTold([told("dst_full", 50, null), one]);
  assert.equal(text, `[["dst_a",7,9.31,${NOW + 1},"too_many"]]`);
  assert.deepEqual(readTold(text), new Map([["dst_a", one.allowed]]));
  assert.equal(writeTold([told("dst_full", 50, null)]), null);
  assert.deepEqual(readTold(null), new Map());
});

test("of very many webhooks those are told that are limited most, and never more than 8 KiB", () => {
  const many = Array.from({ length: 1_000 }, (_, n) => told(`dst_${n}`, 1 + ((n * 7) % 1_000)));
  const read = readTold(writeTold(many));
  assert.equal(read.size, TOLD_MAX);
  assert.deepEqual(
    [...read.values()].map(({ cap }) => cap),
    Array.from({ length: TOLD_MAX }, (_, n) => n + 1),
  );
  const long = writeTold(many.map((one) => ({ ...one, destination_id: one.destination_id.padEnd(200, "x") })));
  assert.ok(long !== null && long.length <= 8 * 1024 && long.length > 7 * 1024);
  assert.ok(readTold(long).size > 30);
});

test("without a word of it a webhook is sent what its settings say", () => {
  const shown = { concurrency_limit: 50, rate_limit_per_second: 2.5, held_until: null, limited_because: null };
  assert.deepEqual(over([null, null, allowed(16, null)], { ...WEBHOOK, rate_per_second: 2.5 }), shown);
});

test("requests at a time and a second add up, a hold is the latest, and the reason is of the one that is limited most", () => {
  const shown = over([
    allowed(4, "silent", { per_second: 4, held_until: NOW - 1 }),
    allowed(2, "too_many", { per_second: 3.21, held_until: NOW + 20_000 }),
    allowed(3, "too_many", { per_second: 5, held_until: NOW + 10_000 }),
  ]);
  assert.deepEqual(shown, {
    concurrency_limit: 9,
    rate_limit_per_second: 12.21,
    held_until: new Date(NOW + 20_000).toISOString(),
    limited_because:
      "The receiver asked for less (429 or Retry-After). This is so for 2 of 3 dispatchers that send to it.",
  });
});

test("a hold keeps what is due only where all that send to the webhook hold it, and until the first of them ends", () => {
  const held = (ms: number) => allowed(2, "too_many", { held_until: NOW + ms });
  const cases: [all: (Allowed | null)[], held_ms: number | null][] = [
    [[held(20_000), null], null],
    [[held(20_000), allowed(3, "too_many")], null],
    [[held(20_000), held(-1)], null],
    [[held(20_000), held(10_000)], 10_000],
    [[null, null], null],
  ];
  for (const [all, held_ms] of cases) {
    const expected = held_ms === null ? null : new Date(NOW + held_ms).toISOString();
    assert.deepEqual(over(all, WEBHOOK, holdsOver), { ...over(all), held_until: expected, own: null });
  }
});

test("the rate of the webhook and a want of room are told, and keep what is due only where all keep it back", () => {
  const free = allowed(25, null);
  const kept = (next_ms: number | null, full_ms: number | null): Allowed => ({
    ...{ ...free, cap: 1 },
    own: { next_at: next_ms === null ? null : NOW + next_ms, full_since: full_ms === null ? null : NOW - full_ms },
  });
  const told = writeTold([{ destination_id: "dst_a", allowed: kept(30_000, 2_000), share: WEBHOOK }]);
  assert.deepEqual(readTold(told).get("dst_a"), kept(30_000, 2_000));
  const own = (all: (Allowed | null)[], rate_per_second = 2) =>
    over(all, { ...WEBHOOK, rate_per_second }, holdsOver).own ?? null;
  const next = new Date(NOW + 20_000).toISOString();
  const rate = own([kept(20_000, null)], 0.02);
  assert.equal(
    rate?.reason,
    `The webhook's own rate_per_second of 0.02 lets one in 50 s go; the next one goes at about ${next}.`,
  );
  assert.match(rate?.step ?? "", /^Nothing, if that rate is wanted; PATCH \S+ \{"rate_per_second": null\} ends it/);
  const both = own([kept(30_000, null), kept(20_000, null)]);
  assert.equal(both?.reason, rate?.reason.replace("0.02 lets one in 50 s", "2 lets 2 a second"));
  assert.match(own([kept(100, null)])?.reason ?? "", / lets 2 a second go\.$/);
  assert.match(own([kept(-3_900, null)])?.reason ?? "", / lets 2 a second go\.$/, "told with the last beat");
  const full = own([kept(null, 3_000), kept(null, 2_000)]);
  const [since, until] = [NOW - 3_000, NOW + 17_000].map((at) => new Date(at).toISOString());
  assert.equal(
    full?.reason,
    `All 2 requests at a time that it may have are under way, the oldest since ${since}, until about ${until} at the latest (timeout_ms).`,
  );
  assert.match(full?.step ?? "", /^Let the receiver answer sooner: /);
  const one = over([kept(null, 3_000)], { ...WEBHOOK, max_in_flight: 1 }, holdsOver).own;
  assert.match(one?.reason ?? "", /^The one request at a time that it may have is under way since /);
  assert.match(one?.step ?? "", /PATCH \/api\/webhooks\/dst_a \{"max_in_flight": 2\}\.$/);
  for (const all of [
    [kept(30_000, null), null],
    [kept(null, 3_000), free],
    [kept(1, null), kept(null, 3_000)],
    // Told by one that has died since.
    [kept(-4_001, null)],
  ]) {
    assert.equal(own(all), null);
  }
});

test("where all have the same reason it stands alone", () => {
  const shown = over([allowed(4, "silent"), allowed(2, "silent")]);
  assert.equal(shown.concurrency_limit, 6);
  assert.equal(shown.limited_because, "The receiver did not answer in time, or could not be reached.");
});

test("one that tells nothing counts with its part of the settings, and without a rate there is none", () => {
  const shown = over([allowed(1, "resumed", { per_second: 10 }), null]);
  assert.deepEqual([shown.concurrency_limit, shown.rate_limit_per_second, shown.held_until], [26, null, null]);
  assert.match(shown.limited_because ?? "", /^It goes on after a stop.* This is so for 1 of 2 dispatchers/);
  const paced = over([allowed(1, "resumed", { per_second: 3 }), null], { ...WEBHOOK, rate_per_second: 10 });
  assert.deepEqual([paced.concurrency_limit, paced.rate_limit_per_second], [26, 8]);
});

test("those to whom the settings leave nothing do not count, and the sum is never more than the settings", () => {
  const single = { ...WEBHOOK, max_in_flight: 1 };
  const nodes = ["a", "b", "c"];
  const sender = nodes.findIndex((node) => shareOf(single, nodes, node).max_in_flight === 1);
  const says = nodes.map((_, n) => (n === sender ? allowed(1, "resumed", { per_second: 10 }) : null));
  const shown = over(says, single);
  assert.deepEqual([shown.concurrency_limit, shown.rate_limit_per_second], [1, 10]);
  assert.doesNotMatch(shown.limited_because ?? "", /This is so/);
  assert.equal(over([allowed(40, "slower"), allowed(40, "slower")]).concurrency_limit, 50);
});

test("one whose rate alone is limited comes before one that is not limited", () => {
  const shown = over([null, allowed(25, "too_many", { per_second: 20 })]);
  assert.match(shown.limited_because ?? "", /^The receiver asked for less.* 1 of 2/);
});
