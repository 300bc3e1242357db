import assert from "node:assert/strict";
import { test } from "node:test";
import { shareOf } from "./share.ts";

const NODES = ["node-a", "node-b", "node-c"];
const webhook = (max_in_flight: number, rate_per_second: number | null = null, id = "dst_a") => ({
  ...{ id, max_in_flight, rate_per_second },
});
const sharesOf = (of: ReturnType<typeof webhook>, nodes = NODES) => nodes.map((node) => shareOf(of, nodes, node));
const sum = (list: readonly (number | null)[]) => list.reduce<number>((total, one) => total + (one ?? 0), 0);

test("the shares of any number of dispatchers add up to the limits, and differ by one at the most", () => {
  for (let count = 1; count <= 12; count++) {
    const nodes = Array.from({ length: count }, (_, n) => `node-${n}`);
    for (const max_in_flight of [1, 2, 3, 7, 50, 1_000]) {
      for (const rate of [null, 0.02, 1, 2.5, 10, 1_000]) {
        const shares = sharesOf(webhook(max_in_flight, rate), nodes);
        const senders = shares.filter((share) => share.max_in_flight > 0);
        const counts = senders.map((share) => share.max_in_flight);
        assert.equal(sum(counts), max_in_flight);
        assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
        if (rate === null) assert.ok(senders.every((share) => share.rate_per_second === null));
        else assert.ok(Math.abs(sum(senders.map((share) => share.rate_per_second)) - rate) < 1e-9);
      }
    }
  }
});

test("limits with fewer whole parts than there are dispatchers are shared by so many of them", () => {
  const cases = [
    { of: webhook(50), senders: 3 },
    { of: webhook(2), senders: 2 },
    { of: webhook(1), senders: 1 },
    { of: webhook(50, 10), senders: 3 },
    { of: webhook(50, 2.5), senders: 2 },
    { of: webhook(50, 1), senders: 1 },
    { of: webhook(50, 0.02), senders: 1 },
  ];
  for (const { of, senders } of cases) {
    assert.equal(sharesOf(of).filter((share) => share.max_in_flight > 0).length, senders, JSON.stringify(of));
  }
});

test("who gets what is left over differs between webhooks, and who goes changes it for its own alone", () => {
  const ids = Array.from({ length: 300 }, (_, n) => `dst_${n}`);
  const senderOf = (id: string, nodes: readonly string[]) =>
    nodes.find((node) => shareOf(webhook(1, null, id), nodes, node).max_in_flight === 1);
  const before = new Map(ids.map((id) => [id, senderOf(id, NODES)]));
  for (const node of NODES) {
    const count = [...before.values()].filter((sender) => sender === node).length;
    assert.ok(count > 60, `${node} sends to ${count} of 300`);
  }
  for (const [id, sender] of before) {
    if (sender !== "node-c") assert.equal(senderOf(id, ["node-a", "node-b"]), sender);
  }
});
