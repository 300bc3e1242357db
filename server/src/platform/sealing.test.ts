import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { createSealer, SEAL_KEY_BYTES, SealError, type Sealed } from "./sealing.ts";

const key = randomBytes(SEAL_KEY_BYTES);
const sealer = createSealer(key);

for (const plain of ["whsec_abc", "", "a\0b", "Größe 🔑", "x".repeat(100_000)]) {
  test(`${JSON.stringify(plain.slice(0, 12))} comes back as it was sealed`, () => {
    assert.equal(createSealer(key).open(sealer.seal(plain)), plain);
  });
}

test("a sealed value never shows the plain one, and two of the same differ", () => {
  const [one, two] = [sealer.seal("topsecret"), sealer.seal("topsecret")];
  assert.notEqual(one, two);
  assert.match(one, /^v1\.[0-9a-f]{8}\.[A-Za-z0-9_-]+$/);
  assert.ok(!Buffer.from(one.split(".")[2] ?? "", "base64url").includes("topsecret"));
});

test("another key is named as the cause, with the setting to change", () => {
  const other = createSealer(randomBytes(SEAL_KEY_BYTES));
  assert.throws(
    () => other.open(sealer.seal("topsecret")),
    (error: unknown) => {
      assert.ok(error instanceof SealError);
      assert.match(error.message, /sealed with another key .*LINKME_SEAL_KEY/);
      assert.ok(!error.message.includes("topsecret"));
      return true;
    },
  );
});

const whole = sealer.seal("topsecret");
const DAMAGED: Record<string, string> = {
  "an empty text": "",
  "a plain secret": "whsec_abc",
  "another version": whole.replace("v1.", "v2."),
  "a missing part": whole.slice(0, whole.lastIndexOf(".")),
  "a part too many": `${whole}.x`,
  "a value cut short": whole.slice(0, -4),
  "only a few bytes": whole.slice(0, 20),
  "a changed last character": whole.slice(0, -3) + (whole.at(-3) === "A" ? "B" : "A") + whole.slice(-2),
  "a changed nonce": whole.slice(0, 12) + (whole[12] === "A" ? "B" : "A") + whole.slice(13),
};
for (const [what, text] of Object.entries(DAMAGED)) {
  test(`${what} is refused as damaged`, () => {
    assert.throws(() => sealer.open(text as Sealed), /is damaged/); // a cast, as a damaged column would be
  });
}

for (const length of [0, 16, 31, 33, 64]) {
  test(`a key of ${length} bytes makes no sealer`, () => {
    assert.throws(() => createSealer(new Uint8Array(length)), /32 bytes/);
  });
}
