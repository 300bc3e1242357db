import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createFingerprints, networkOf } from "./fingerprint.ts";

const DAY = 24 * 3600 * 1000;
const NOON = Date.UTC(2026, 0, 31, 12);
const AGENT = "Mozilla/5.0 (iPhone)";

describe("the part of an address that stands for a visitor", () => {
  const cases: [string, string | null][] = [
    ["203.0.113.7", "203.0.113.7"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["::FFFF:203.0.113.7", "203.0.113.7"],
    ["2001:db8:0:1:aaaa:bbbb:cccc:dddd", "2001:db8:0:1"],
    ["2001:db8:0:1::1", "2001:db8:0:1"],
    ["2001:0DB8:0000:0001::2", "2001:db8:0:1"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["::1", "0:0:0:0"],
    ["fe80::1%eth0", "fe80:0:0:0"],
    ["2001:db8:1:2:3:4:198.51.100.1", "2001:db8:1:2"],
    ["64:ff9b::198.51.100.1", "64:ff9b:0:0"],
    ["unknown", null],
    ["", null],
    ["203.0.113.7:1234", null],
    ["999.1.1.1", null],
  ];
  for (const [ip, network] of cases) {
    test(`${ip || "none"} → ${network}`, () => assert.equal(networkOf(ip), network));
  }
});

test("equal visitors have equal hashes, others do not, and nothing of the address shows", () => {
  const prints = createFingerprints(Buffer.alloc(32, 1));
  const one = prints.of("203.0.113.7", AGENT, NOON);
  assert.deepEqual(prints.of("::ffff:203.0.113.7", AGENT, NOON + 1), one);
  assert.notEqual(prints.of("203.0.113.8", AGENT, NOON).ip_hash, one.ip_hash);
  assert.notEqual(prints.of("203.0.113.7", `${AGENT}2`, NOON).ua_hash, one.ua_hash);
  assert.notEqual(one.ip_hash, one.ua_hash);
  assert.match(one.ip_hash ?? "", /^[\w-]{22}$/);
  assert.equal(createFingerprints(Buffer.alloc(32, 1)).of("203.0.113.7", AGENT, NOON).ip_hash, one.ip_hash);
  assert.notEqual(createFingerprints(Buffer.alloc(32, 2)).of("203.0.113.7", AGENT, NOON).ip_hash, one.ip_hash);
});

test("the same visitor has another hash on the next UTC day, and a claim looks under both", () => {
  const prints = createFingerprints(Buffer.alloc(32, 1));
  const before = prints.of("203.0.113.7", AGENT, NOON);
  const after = prints.of("203.0.113.7", AGENT, NOON + DAY);
  assert.notEqual(before.ip_hash, after.ip_hash);
  assert.deepEqual(prints.between("203.0.113.7", AGENT, NOON - 3600_000, NOON), [before]);
  assert.deepEqual(prints.between("203.0.113.7", AGENT, NOON, NOON + DAY), [after, before]);
});

test("no address and no User-Agent have no hash", () => {
  const prints = createFingerprints(Buffer.alloc(32, 1));
  assert.deepEqual(prints.of("not an address", "", NOON), { ip_hash: null, ua_hash: null });
});
