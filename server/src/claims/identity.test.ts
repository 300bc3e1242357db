import assert from "node:assert/strict";
import { test } from "node:test";
import { createDeviceHash, type IdentityRow, type Known, NOBODY, ownerOf, personOf, stitch } from "./identity.ts";

const NOW = Date.UTC(2027, 0, 31);
const DAY_MS = 86_400_000;
const GA = '{"cookies":{"_ga":"GA1.1.1.2"}}';
const CLICK = { cid: "c9", user_id: null, device: null, ga: null };
const ON_DEVICE = { user_id: null, device: "d" };
const AS_ADA = { user_id: "ada", device: "d" };

const row = (changes: Partial<IdentityRow> = {}): IdentityRow => ({
  ...{ app_id: "shop", kind: "device", key: "d", first_cid: "c1", user_id: null, is_shared: 0, ga: null, seen_at: NOW },
  ...changes,
});
const known = (changes: Partial<Known> = {}): Known => ({ device: null, user: null, click: null, ...changes });
const user = row({ kind: "user", key: "ada", first_cid: "c5" });

for (const [title, person, found, told, stored] of [
  ["a device that says nothing else ties nothing", ON_DEVICE, {}, {}, []],
  ["a click is the first of a new device", ON_DEVICE, { click: CLICK }, { first_cid: "c9" }, ["device d c9 -"]],
  ["a known device keeps its first click", ON_DEVICE, { device: row(), click: CLICK }, { first_cid: "c1" }, []],
  [
    "the device comes before the user",
    AS_ADA,
    { device: row(), user },
    { first_cid: "c1", user_id: "ada" },
    ["device d c1 ada"],
  ],
  [
    "a user brings the first click to a new device",
    AS_ADA,
    { user },
    { first_cid: "c5", user_id: "ada" },
    ["device d c5 ada"],
  ],
  [
    "a new user of a known device begins with its first click",
    AS_ADA,
    { device: row({ user_id: "ada" }) },
    { first_cid: "c1", user_id: "ada" },
    ["user ada c1 -"],
  ],
  ["a user without any click is known on the device", AS_ADA, {}, { user_id: "ada" }, ["device d - ada"]],
  [
    "the last user of a device is told",
    ON_DEVICE,
    { device: row({ user_id: "ada" }) },
    { first_cid: "c1", user_id: "ada" },
    [],
  ],
  [
    "another user makes a device a shared one",
    AS_ADA,
    { device: row({ user_id: "grace", ga: GA }), user },
    { first_cid: "c1", user_id: "ada" },
    ["device d c1 ada shared"],
  ],
  [
    "nobody is told of a shared device",
    ON_DEVICE,
    { device: row({ user_id: "grace", is_shared: 1 }) },
    { first_cid: "c1" },
    [],
  ],
] as const) {
  test(title, () => {
    const stitched = stitch("shop", person, known(found), NOW);
    assert.deepEqual(stitched.told, told);
    const texts = stitched.rows.map(
      ({ kind, key, first_cid, user_id, is_shared }) =>
        `${kind} ${key} ${first_cid ?? "-"} ${user_id ?? "-"}${is_shared === 1 ? " shared" : ""}`,
    );
    assert.deepEqual(texts, stored);
  });
}

test("the cookies of the first click that had some are told", () => {
  const with_ga = { ...CLICK, ga: GA };
  assert.deepEqual(stitch("shop", ON_DEVICE, known({ click: with_ga }), NOW).told.ga, JSON.parse(GA));
  const device = row({ ga: '{"cookies":{"_ga":"GA1.1.9.9"}}' });
  assert.deepEqual(stitch("shop", ON_DEVICE, known({ device, click: with_ga }), NOW).told.ga?.cookies, {
    _ga: "GA1.1.9.9",
  });
});

test("what is known is written again once a day, so that it does not expire", () => {
  const rowsAt = (seen_at: number) => stitch("shop", ON_DEVICE, known({ device: row({ seen_at }) }), NOW).rows.length;
  assert.deepEqual([rowsAt(NOW), rowsAt(NOW - DAY_MS + 1), rowsAt(NOW - DAY_MS)], [0, 0, 1]);
});

test("a click learns whose it is, and keeps what it knows", () => {
  const marks = (click: Known["click"]) => stitch("shop", AS_ADA, known({ click }), NOW).marks_click;
  assert.equal(marks(CLICK), true);
  assert.equal(marks({ ...CLICK, user_id: "grace" }), true, "its device is not known yet");
  assert.equal(marks({ ...CLICK, user_id: "grace", device: "d" }), false);
  assert.equal(marks(null), false);
});

test("a caller that says nothing is whoever the click belongs to", () => {
  const click = { ...CLICK, user_id: "ada", device: "d" };
  assert.deepEqual(ownerOf(NOBODY, click), AS_ADA);
  assert.deepEqual(ownerOf({ user_id: "grace", device: null }, click), { user_id: "grace", device: null });
  assert.deepEqual(ownerOf(NOBODY, null), NOBODY);
});

test("a device is known by a hash of the server and the app, in whatever case its id comes, and with consent alone", () => {
  const hash = createDeviceHash(Buffer.alloc(32, 1));
  assert.match(hash("shop", "A1B2"), /^[\w-]{22}$/);
  assert.equal(hash("shop", "A1B2"), hash("shop", "a1b2"));
  const others = [hash("other", "a1b2"), hash("shop", "a1b3"), createDeviceHash(Buffer.alloc(32, 2))("shop", "a1b2")];
  assert.equal(new Set([...others, hash("shop", "a1b2")]).size, 4);
  const saying = { user_id: "ada", device: { id: "a1b2" } };
  assert.deepEqual(personOf({ id: "shop", analytics_consent: false }, saying, hash), NOBODY);
  const device = hash("shop", "a1b2");
  assert.deepEqual(personOf({ id: "shop", analytics_consent: true }, saying, hash), { user_id: "ada", device });
});
