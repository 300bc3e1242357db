import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { composeSecret, prepareKeys, signBody, signMessage } from "./signing.ts";

interface Vector {
  name: string;
  secrets: string[];
  id?: string;
  timestamp?: string;
  body: string;
  body_encoding: "utf8" | "base64";
  body_repeat: number;
  header: string | null;
  valid: boolean;
}

const path = new URL("../../spec/vectors/signatures.json", import.meta.url);
const vectors = JSON.parse(readFileSync(path, "utf8")) as Record<"x_linkme_signature" | "standard_webhooks", Vector[]>; // our own file

function bodyOf(vector: Vector): Buffer {
  return Buffer.from(
    Buffer.from(vector.body, vector.body_encoding).toString("latin1").repeat(vector.body_repeat),
    "latin1",
  );
}

function keysOf(vector: Vector) {
  return vector.secrets.filter((secret) => secret !== "").map(prepareKeys);
}

for (const vector of vectors.x_linkme_signature) {
  test(`X-LinkMe-Signature, ${vector.name}: ${vector.valid ? "made" : "never made"}`, () => {
    const made = keysOf(vector).map((keys) => signBody(keys, bodyOf(vector)));
    assert.equal(made.includes(vector.header ?? ""), vector.valid);
  });
}

for (const vector of vectors.standard_webhooks) {
  test(`webhook-signature, ${vector.name}: ${vector.valid ? "made" : "never made"}`, () => {
    const made = keysOf(vector).map((keys) => signMessage(keys, `${vector.id}.${vector.timestamp}.`, bodyOf(vector)));
    const sent = vector.header?.split(" ") ?? [];
    assert.equal(
      made.some((signature) => sent.includes(signature)),
      vector.valid,
    );
  });
}

test("a body given as text is signed like its UTF-8 bytes", () => {
  const keys = prepareKeys(composeSecret(randomBytes(32)));
  const body = "Größe 👟\u2028";
  assert.equal(signBody(keys, body), signBody(keys, Buffer.from(body)));
  assert.equal(signMessage(keys, "a.1.", body), signMessage(keys, "a.1.", Buffer.from(body)));
});

test("a new secret is whsec_ and the base64 of its bytes", () => {
  assert.equal(composeSecret(new Uint8Array(32)), `whsec_${"A".repeat(43)}=`);
});

for (const secret of ["", "whsec_"]) {
  test(`the secret ${JSON.stringify(secret)} signs nothing`, () => {
    assert.throws(() => prepareKeys(secret), /must not be empty/);
  });
}
