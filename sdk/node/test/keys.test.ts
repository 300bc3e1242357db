// The choice of keys from the server's document, and the reader that follows it.
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { test } from "node:test";
import { createLinkMeKeyReader, selectLinkMeWebhookKeys } from "../src/index.ts";

const BODY = "{}";
const START = Date.UTC(2026, 0, 31, 9, 30);

interface Pair {
  public_key: string;
  headers(at: number): Record<string, string>;
}

function makePair(fill: number): Pair {
  const seed = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, fill)]);
  const key = createPrivateKey({ key: seed, format: "der", type: "pkcs8" });
  const { x } = createPublicKey(key).export({ format: "jwk" });
  return {
    public_key: `whpk_${Buffer.from(x ?? "", "base64url").toString("base64")}`,
    headers(at) {
      const timestamp = String(Math.floor(at / 1000));
      const signature = sign(null, Buffer.from(`e1.${timestamp}.${BODY}`), key).toString("base64");
      return { "webhook-id": "e1", "webhook-timestamp": timestamp, "webhook-signature": `v1a,${signature}` };
    },
  };
}

const [FIRST, SECOND] = [makePair(1), makePair(2)];

function entryOf({ public_key }: Pair, changes: object = {}) {
  return { kty: "OKP", crv: "Ed25519", webhook_id: "dst_a", public_key, valid_until: null, ...changes };
}

test("only the keys of the webhook that still sign are chosen", () => {
  const valid_until = new Date(START).toISOString();
  const keys = [
    entryOf(FIRST),
    entryOf(SECOND, { webhook_id: "dst_b" }),
    entryOf(SECOND, { valid_until }),
    ...[entryOf(SECOND, { kty: "RSA" }), entryOf(SECOND, { public_key: "whsec_AAAA" }), null, "none", []],
  ];
  assert.deepEqual(selectLinkMeWebhookKeys({ keys }, "dst_a", START), [FIRST.public_key]);
  assert.deepEqual(selectLinkMeWebhookKeys({ keys }, "dst_a", START - 1), [FIRST.public_key, SECOND.public_key]);
  assert.deepEqual(selectLinkMeWebhookKeys({ keys }, "dst_c", START), []);
});

for (const document of [undefined, null, [], {}, { keys: {} }, "keys"]) {
  test(`${JSON.stringify(document)} is no document of keys`, () => {
    assert.throws(() => selectLinkMeWebhookKeys(document, "dst_a"), { code: "key_document_invalid" });
  });
}

function openReader(pairs: Pair[]) {
  const world = { at: START, pairs, urls: [] as string[], is_down: false };
  const reader = createLinkMeKeyReader({
    server: "https://links.example.com/",
    webhookId: "dst_a",
    now: () => world.at,
    async fetch(url) {
      world.urls.push(url);
      if (world.is_down) throw new Error("connection refused");
      return { ok: true, status: 200, json: async () => ({ keys: world.pairs.map((pair) => entryOf(pair)) }) };
    },
  });
  return { world, reader, verify: (pair: Pair) => reader.verify(BODY, pair.headers(world.at)) };
}

test("the keys are read once, kept for their time, and read again after it", async () => {
  const { world, verify } = openReader([FIRST]);
  assert.deepEqual(await Promise.all([verify(FIRST), verify(FIRST)]), [true, true]);
  assert.deepEqual(world.urls, ["https://links.example.com/.well-known/linkme-webhooks-keys.json?webhook_id=dst_a"]);
  world.at += 299_000;
  assert.equal(await verify(FIRST), true);
  assert.equal(world.urls.length, 1);
  world.at += 1_000;
  assert.equal(await verify(FIRST), true);
  assert.equal(world.urls.length, 2);
});

test("a key that is new is found at once, and strangers cannot have the document read at will", async () => {
  const { world, verify } = openReader([FIRST]);
  assert.equal(await verify(FIRST), true);
  world.pairs = [SECOND];
  world.at += 1_999;
  assert.equal(await verify(SECOND), false);
  assert.equal(world.urls.length, 1);
  world.at += 1;
  assert.equal(await verify(SECOND), true);
  assert.equal(await verify(FIRST), false);
  assert.equal(await verify(FIRST), false);
  assert.equal(world.urls.length, 2);
});

test("a server that is down leaves the keys that are known in use, and without any it is an error", async () => {
  const { world, verify } = openReader([FIRST]);
  world.is_down = true;
  await assert.rejects(verify(FIRST), { code: "key_document_unavailable", message: /dst_a.*connection refused/ });
  world.is_down = false;
  assert.equal(await verify(FIRST), true);
  world.is_down = true;
  world.at += 400_000;
  assert.equal(await verify(FIRST), true);
  assert.equal(await verify(SECOND), false);
});

test("a webhook without keys verifies nothing", async () => {
  const { world, verify } = openReader([]);
  assert.equal(await verify(FIRST), false);
  assert.equal(await verify(FIRST), false);
  assert.equal(world.urls.length, 1);
});

test("an answer that is no document is an error that says so", async () => {
  const answers = [
    { ok: false, status: 502, json: async () => ({}) },
    { ok: true, status: 200, json: async () => [] },
  ];
  for (const answer of answers) {
    const reader = createLinkMeKeyReader({
      server: "https://a.example",
      webhookId: "dst_a",
      fetch: async () => answer,
    });
    await assert.rejects(reader.keys(), { code: "key_document_unavailable", message: /502|JSON object/ });
  }
});
