// The signature check against the shared vectors, and against the ways in which receivers call it wrongly.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { LinkMeUsageError, verifyLinkMeWebhookSignature } from "../src/index.ts";

type Vector = {
  name: string;
  secrets: string[];
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
  .x_linkme_signature as Vector[];

const SECRET = "whsec_dGVzdA==";
const BODY = '{"id":"1","event":"link.click"}';
const HEADER = `sha256=${createHmac("sha256", SECRET).update(BODY).digest("hex")}`;

/** Calls the check as untyped code can. */
const verifyLoosely: (rawBody: unknown, header: unknown, secret: unknown) => boolean = (rawBody, header, secret) =>
  // The casts are the point: plain JavaScript callers have no types to stop them.
  verifyLinkMeWebhookSignature(rawBody as string, header as string, secret as string);

for (const vector of vectors) {
  const bytes = Buffer.concat(
    Array.from({ length: vector.body_repeat }, () => Buffer.from(vector.body, vector.body_encoding)),
  );
  test(`vector "${vector.name}": ${vector.why}`, () => {
    if (vector.raises) {
      assert.throws(() => verifyLinkMeWebhookSignature(bytes, vector.header, vector.secrets), {
        code: "secret_missing",
      });
      return;
    }
    assert.equal(verifyLinkMeWebhookSignature(bytes, vector.header, vector.secrets), vector.valid);
    const only = vector.secrets.length === 1 ? vector.secrets[0] : undefined;
    if (only !== undefined) assert.equal(verifyLinkMeWebhookSignature(bytes, vector.header, only), vector.valid);
    if (vector.body_encoding === "utf8") {
      const text = vector.body.repeat(vector.body_repeat);
      assert.equal(verifyLinkMeWebhookSignature(text, vector.header, vector.secrets), vector.valid);
    }
  });
}

test("a body that is not UTF-8 no longer verifies once it has been decoded to text", () => {
  const bytes = Buffer.from([0x7b, 0xff, 0x7d]);
  const header = `sha256=${createHmac("sha256", SECRET).update(bytes).digest("hex")}`;
  assert.equal(verifyLinkMeWebhookSignature(bytes, header, SECRET), true);
  assert.equal(verifyLinkMeWebhookSignature(bytes.toString("utf8"), header, SECRET), false);
});

const bodies: [name: string, body: unknown][] = [
  ["a string", BODY],
  ["a Buffer", Buffer.from(BODY)],
  ["a Uint8Array", new TextEncoder().encode(BODY)],
  ["a view into a larger buffer", Buffer.from(`..${BODY}..`).subarray(2, -2)],
  ["a Uint8Array of another realm", runInNewContext("Uint8Array.from(bytes)", { bytes: [...Buffer.from(BODY)] })],
];
for (const [name, body] of bodies) {
  test(`${name} is a raw body`, () => {
    assert.equal(verifyLoosely(body, HEADER, SECRET), true);
  });
}

const badBodies: [name: string, body: unknown, code: string, advice: RegExp][] = [
  ["a parsed object", JSON.parse(BODY), "raw_body_parsed", /raw request body.*express\.raw\(/],
  ["a parsed array", [], "raw_body_parsed", /raw request body.*express\.raw\(/],
  ["a Buffer that went through JSON", JSON.parse(JSON.stringify(Buffer.from(BODY))), "raw_body_parsed", /raw request/],
  ["undefined, as without any body parser", undefined, "raw_body_missing", /is undefined: .*express\.raw\(/],
  ["null", null, "raw_body_missing", /is null: /],
  ["a number", 7, "raw_body_type", /Buffer, a Uint8Array or a string/],
  ["a bare ArrayBuffer", new ArrayBuffer(2), "raw_body_type", /Buffer, a Uint8Array or a string/],
  ["an array of 16-bit numbers", new Uint16Array(2), "raw_body_type", /Buffer, a Uint8Array or a string/],
  ["a function", () => BODY, "raw_body_type", /Buffer, a Uint8Array or a string/],
];
for (const [name, body, code, advice] of badBodies) {
  test(`${name} as rawBody is a TypeError that says what to do, whatever the header is`, () => {
    for (const header of [HEADER, "", undefined]) {
      assert.throws(
        () => verifyLoosely(body, header, SECRET),
        (error: unknown) => {
          assert.ok(error instanceof TypeError && error instanceof LinkMeUsageError);
          assert.equal(error.code, code);
          assert.match(error.message, advice);
          assert.ok(!error.message.includes(SECRET) && !error.message.includes("link.click"));
          return true;
        },
      );
    }
  });
}

const badHeaders: [name: string, header: unknown][] = [
  ["undefined", undefined],
  ["null", null],
  ["an array of one good header", [HEADER]],
  ["an array of two", [HEADER, HEADER]],
  ["a Buffer", Buffer.from(HEADER)],
  ["a String object", new String(HEADER)],
  ["an object that prints as a good header", { toString: () => HEADER }],
  ["a number", 256],
  ["a megabyte of digits", `sha256=${"a".repeat(1024 * 1024)}`],
];
for (const [name, header] of badHeaders) {
  test(`a header that is ${name} is not a signature`, () => {
    assert.equal(verifyLoosely(BODY, header, SECRET), false);
  });
}

const badSecrets: [name: string, secret: unknown][] = [
  ["undefined, an environment variable that is not set", undefined],
  ["null", null],
  ["empty", ""],
  ["an empty array", []],
  ["an array with an empty one", [SECRET, ""]],
  ["an array with an unset one", [SECRET, undefined]],
  ["an array of arrays", [[SECRET]]],
  ["a Buffer", Buffer.from(SECRET)],
  ["an object", { secret: SECRET }],
];
for (const [name, secret] of badSecrets) {
  test(`a secret that is ${name} is refused, and never skips the check`, () => {
    assert.throws(() => verifyLoosely(BODY, HEADER, secret), { name: "LinkMeUsageError", code: "secret_missing" });
    assert.throws(() => verifyLoosely(BODY, undefined, secret), { code: "secret_missing" });
  });
}

test("no single changed digit of a good signature is accepted", () => {
  for (let index = "sha256=".length; index < HEADER.length; index += 1) {
    const digit = HEADER[index] === "0" ? "1" : "0";
    const changed = HEADER.slice(0, index) + digit + HEADER.slice(index + 1);
    assert.equal(verifyLinkMeWebhookSignature(BODY, changed, SECRET), false, changed);
  }
});

test("the list of secrets is read once and left alone", () => {
  const secrets = Object.freeze(["other", SECRET]);
  assert.equal(verifyLinkMeWebhookSignature(BODY, HEADER, secrets), true);
  let reads = 0;
  const counted = new Proxy(["other", SECRET], {
    get(target, key, receiver) {
      if (key === "0") reads += 1;
      return Reflect.get(target, key, receiver);
    },
  });
  assert.equal(verifyLinkMeWebhookSignature(BODY, HEADER, counted), true);
  assert.equal(reads, 1);
});
