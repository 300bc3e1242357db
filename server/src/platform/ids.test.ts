import assert from "node:assert/strict";
import { test } from "node:test";
import { createIds, uuidFloor, uuidTime } from "./ids.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function idsAt(times: number[]) {
  let seed = 1;
  const random = (bytes: Uint8Array) => {
    for (let index = 0; index < bytes.length; index++) {
      seed = (seed * 48271) % 2147483647;
      bytes[index] = seed & 0xff;
    }
  };
  return createIds({ now: () => times.shift() ?? 5_000, random });
}

test("a uuid is version 7, carries its time, and is larger than the one before", () => {
  const ids = idsAt(Array.from({ length: 5_000 }, () => 1_700_000_000_000));
  let last = "";
  for (let count = 0; count < 5_000; count++) {
    const id = ids.uuid();
    assert.match(id, UUID_V7);
    assert.ok(id > last, `${id} after ${last}`);
    last = id;
  }
  assert.equal(
    Number.parseInt(idsAt([1_700_000_000_123]).uuid().replaceAll("-", "").slice(0, 12), 16),
    1_700_000_000_123,
  );
});

test("a clock that goes back makes no id smaller", () => {
  const ids = idsAt([2_000, 1_000, 2_001, 1_500]);
  const made = [ids.uuid(), ids.uuid(), ids.uuid(), ids.uuid()];
  assert.deepEqual(made.toSorted(), made);
});

test("a clock that was far ahead and is put right is followed at once", () => {
  const ids = idsAt([3_602_000, 2_000, 1_500, 2_001]);
  const made = [ids.uuid(), ids.uuid(), ids.uuid(), ids.uuid()];
  assert.deepEqual(
    made.map((id) => Number.parseInt(id.replace("-", "").slice(0, 12), 16)),
    [3_602_000, 2_000, 2_000, 2_001],
  );
  assert.deepEqual(made.slice(1).toSorted(), made.slice(1));
});

test("a token is 32 hex digits, a prefixed id says what it names", () => {
  const ids = createIds();
  assert.match(ids.cid(), /^[0-9a-f]{32}$/);
  assert.match(ids.prefixed("lnk"), /^lnk_[0-9a-f]{32}$/);
  const many = new Set(Array.from({ length: 10_000 }, () => ids.cid()));
  assert.equal(many.size, 10_000);
});

test("the floor of a time lies below every id of that millisecond and above the one before", () => {
  const at = 1_700_000_000_000;
  assert.ok(uuidFloor(at) < idsAt([at]).uuid());
  assert.ok(uuidFloor(at) > idsAt([at - 1]).uuid());
  assert.equal(uuidFloor(-5), "00000000-0000-0000-0000-000000000000");
  assert.equal(uuidTime(uuidFloor(at)), at);
  assert.equal(uuidTime(idsAt([at]).uuid()), at);
  assert.ok(Number.isNaN(uuidTime("p000001")));
});
