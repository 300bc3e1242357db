// Holds the committed vectors to their generator, and the Standard Webhooks ones to the reference implementation.
import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { ENVELOPE_MAX_BYTES } from "#contract/events.ts";
import { generateSpec, signatureVectors } from "./generate-spec.ts";
import { bodyBytes } from "./vector-bodies.ts";

const vectors = signatureVectors();

test("the committed files are what the generator makes", () => {
  for (const [path, text] of Object.entries(generateSpec())) {
    const committed = readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
    assert.ok(committed === text, `${path} is out of date: run \`npm run generate\``);
  }
});

test("the text of a vector file says the same as its value", () => {
  assert.deepEqual(JSON.parse(generateSpec()["spec/vectors/signatures.json"] ?? ""), vectors);
});

for (const [group, entries] of [
  ["x_linkme_signature", vectors.x_linkme_signature],
  ["standard_webhooks", vectors.standard_webhooks],
  ["ed25519", vectors.ed25519],
] as const) {
  test(`${group}: names are unique, and there are at least as many bad vectors as good ones`, () => {
    assert.equal(new Set(entries.map(({ name }) => name)).size, entries.length);
    const good = entries.filter(({ valid }) => valid).length;
    assert.ok(good > 0 && entries.length - good >= good);
  });

  test(`${group}: every body has a size that an envelope can have`, () => {
    for (const entry of entries) assert.ok(bodyBytes(entry).length <= ENVELOPE_MAX_BYTES, entry.name);
  });
}

for (const vector of vectors.standard_webhooks) {
  test(`Standard Webhooks' own library agrees on "${vector.name}"`, () => {
    const sentAt = new Date(Number(vector.timestamp) * 1000);
    const expected = vector.secrets.map((secret) => new Webhook(secret).sign(vector.id, sentAt, bodyBytes(vector)));
    const given = (vector.header ?? "").split(" ");
    assert.equal(
      expected.some((signature) => given.includes(signature)),
      vector.valid,
    );
  });
}

for (const vector of vectors.ed25519.filter(({ raises }) => raises !== true)) {
  test(`Ed25519 itself agrees on "${vector.name}"`, () => {
    const message = Buffer.concat([Buffer.from(`${vector.id}.${vector.timestamp}.`), bodyBytes(vector)]);
    const keys = vector.public_keys.map((key) => {
      const x = Buffer.from(key.slice("whpk_".length), "base64").toString("base64url");
      return createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    });
    const signatures = [...(vector.header ?? "").matchAll(/(?:^| )v1a,([A-Za-z0-9+/]{86}==)(?= |$)/g)].map(
      ([, base64]) => Buffer.from(base64 ?? "", "base64"),
    );
    const fits = keys.some((key) => signatures.some((signature) => verify(null, message, key, signature)));
    assert.equal(fits, vector.valid);
  });
}
