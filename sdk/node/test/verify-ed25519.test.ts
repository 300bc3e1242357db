// The check of asymmetric signatures against the shared vectors, and against the ways in which receivers call it wrongly.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { type LinkMeHeaders, LinkMeUsageError, verifyLinkMeWebhookEd25519 } from "../src/index.ts";

type Vector = {
  name: string;
  public_keys: string[];
  id: string;
  timestamp: string;
  body: string;
  body_encoding: "utf8" | "base64";
  body_repeat: number;
  header: string | null;
  valid: boolean;
  why: string;
  raises?: true;
};

// The file is compared with its generator, whose type this is, in another suite.
const vectors = JSON.parse(readFileSync(new URL("../../../spec/vectors/signatures.json", import.meta.url), "utf8"))
  .ed25519 as Vector[];
const [GOOD] = vectors;
assert.ok(GOOD !== undefined);
const KEY = GOOD.public_keys[0] ?? "";
const NOW = Number(GOOD.timestamp) * 1000;

function headersOf(vector: Pick<Vector, "id" | "timestamp" | "header">): Record<string, string> {
  const { id, timestamp, header } = vector;
  const headers = { "webhook-id": id, "webhook-timestamp": timestamp };
  return header === null ? headers : { ...headers, "webhook-signature": header };
}

/** Calls the check as untyped code can. */
const verifyLoosely = (rawBody: unknown, headers: unknown, keys: unknown) =>
  // The casts are the point: plain JavaScript callers have no types to stop them.
  verifyLinkMeWebhookEd25519(rawBody as string, headers as LinkMeHeaders, keys as string, { now: NOW });

for (const vector of vectors) {
  const once = Buffer.from(vector.body, vector.body_encoding);
  const bytes = Buffer.concat(Array.from({ length: vector.body_repeat }, () => once));
  test(`vector "${vector.name}": ${vector.why}`, () => {
    const headers = headersOf(vector);
    if (vector.raises) {
      assert.throws(
        () => verifyLoosely(bytes, headers, vector.public_keys),
        (error: unknown) => {
          assert.ok(error instanceof LinkMeUsageError && ["key_missing", "key_invalid"].includes(error.code));
          return true;
        },
      );
      return;
    }
    assert.equal(verifyLoosely(bytes, headers, vector.public_keys), vector.valid);
    assert.equal(verifyLoosely(bytes, new Headers(headers), vector.public_keys), vector.valid);
    if (vector.body_encoding === "utf8") {
      assert.equal(verifyLoosely(vector.body.repeat(vector.body_repeat), headers, vector.public_keys), vector.valid);
    }
  });
}

test("a time beyond the tolerance is refused in both directions", () => {
  const at = (seconds: number, toleranceSeconds?: number) =>
    verifyLinkMeWebhookEd25519(GOOD.body, headersOf(GOOD), KEY, {
      now: NOW + seconds * 1000,
      ...(toleranceSeconds !== undefined && { toleranceSeconds }),
    });
  assert.deepEqual([at(-301), at(-300), at(300), at(301)], [false, true, true, false]);
  assert.deepEqual([at(4, 4), at(5, 4), at(0, Number.NaN)], [true, false, false]);
  assert.equal(verifyLinkMeWebhookEd25519(GOOD.body, headersOf(GOOD), KEY), false, "long ago by the clock");
});

test("a header that is missing, malformed or twice there is no signature", () => {
  for (const name of Object.keys(headersOf(GOOD))) {
    for (const value of [undefined, null, "", [headersOf(GOOD)[name]], 7, "1e3", "-1", " "]) {
      assert.equal(verifyLoosely(GOOD.body, { ...headersOf(GOOD), [name]: value }, KEY), false, `${name} ${value}`);
    }
  }
});

test("no single changed character of a good signature is accepted", () => {
  const header = GOOD.header ?? "";
  for (let index = 0; index < header.length; index += 1) {
    const changed = header.slice(0, index) + (header[index] === "A" ? "B" : "A") + header.slice(index + 1);
    assert.equal(verifyLoosely(GOOD.body, { ...headersOf(GOOD), "webhook-signature": changed }, KEY), false, changed);
  }
});

test("of very many signatures only the first are tried", () => {
  const behind = `${"v1a,x ".repeat(16)}${GOOD.header}`;
  assert.equal(verifyLoosely(GOOD.body, { ...headersOf(GOOD), "webhook-signature": behind }, KEY), false);
});

for (const keys of [undefined, null, "", [], [KEY, ""], [KEY, undefined], [[KEY]], Buffer.from(KEY), { key: KEY }]) {
  test(`the key ${JSON.stringify(keys)} is refused, and never skips the check`, () => {
    assert.throws(() => verifyLoosely(GOOD.body, headersOf(GOOD), keys), {
      name: "LinkMeUsageError",
      code: "key_missing",
    });
  });
}

test("a parsed body is a TypeError that says what to do", () => {
  assert.throws(() => verifyLoosely({ id: "1" }, headersOf(GOOD), KEY), { code: "raw_body_parsed" });
});
