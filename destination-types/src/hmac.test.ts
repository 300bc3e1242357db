import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { test } from "node:test";
import { hmac, prepareHmac } from "./hmac.ts";

const KEY_LENGTHS = [1, 32, 50, 63, 64, 65, 200];
const bodies: (string | Uint8Array)[] = [
  "",
  "a",
  "Größe 👟\u2028",
  // A lone surrogate has no UTF-8 form; both write U+FFFD.
  "\ud800",
  "x".repeat(256 * 1024),
  new Uint8Array(0),
  new Uint8Array([0, 255, 128, 195, 40]),
  randomBytes(5_000),
];

/** Where the shared space for short messages ends, for texts of one and of three bytes a character. */
const SPACE_BYTES = 16 * 1024;
for (const bytes of [SPACE_BYTES, SPACE_BYTES / 3]) {
  for (const more of [-66, -65, -64, -63, -22, -21, -1, 0, 1]) {
    bodies.push("y".repeat(Math.round(bytes) + more), "€".repeat(Math.round(bytes) + more));
  }
}

for (const length of KEY_LENGTHS) {
  test(`a key of ${length} bytes signs like createHmac, whatever the body and however often`, () => {
    const bytes = randomBytes(length);
    const key = prepareHmac(bytes);
    for (const prefix of ["", "019c1363-95eb-7000-8197-52ec64a7690b.1790000000."]) {
      for (const body of bodies) {
        for (const encoding of ["hex", "base64", "base64url"] as const) {
          const expected = createHmac("sha256", bytes).update(prefix).update(body).digest(encoding);
          assert.equal(hmac(key, prefix, body, encoding), expected);
          assert.equal(hmac(key, prefix, body, encoding), expected, "a second time");
        }
      }
    }
  });
}
