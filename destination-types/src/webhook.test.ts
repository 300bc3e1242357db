import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { Webhook as Verifier } from "standardwebhooks";
import { MASK } from "#contract/destinations.ts";
import { mapSecrets, type Outgoing, type SigningSecrets } from "./definition.ts";
import { composeSecret } from "./signing.ts";
import { type WebhookConfig, webhook } from "./webhook.ts";

const [FIRST, SECOND, THIRD] = [1, 2, 3].map((n) => composeSecret(Buffer.alloc(32, n))) as [string, string, string];
const config: WebhookConfig = { url: "https://hooks.example.com/in?a=1", signing: true, headers: {} };

function outgoing(changes: Partial<Outgoing> = {}): Outgoing {
  const body = '{"id":"019c1363-4b5c-71f1-84b7-8073442bd4c8","event":"link.click","data":{"note":"Größe 👟"}}';
  const event_id = "019c1363-4b5c-71f1-84b7-8073442bd4c8";
  return { event_id, delivery_id: "dlv_1", body, attempt: 3, at: Date.now(), ...changes };
}

function build(changes: Partial<WebhookConfig>, secrets: SigningSecrets, delivery = outgoing()) {
  const prepared = webhook.prepare({ ...config, ...changes }, { version: "1.2.3", secrets });
  return webhook.buildRequest(delivery, prepared);
}

function pairs(headers: string[]): [string, string][] {
  return headers.flatMap((name, index) =>
    index % 2 === 0 ? [[name, headers[index + 1] ?? ""] as [string, string]] : [],
  );
}

const record = (headers: string[]) => Object.fromEntries(pairs(headers));
const bodySignature = (secret: string, body: string) =>
  `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;

test("a request carries exactly the documented headers", () => {
  const delivery = outgoing({ at: 1_769_851_801_999 });
  const request = build({}, { current: FIRST }, delivery);
  const headers = record(request.headers);
  assert.match(headers["webhook-signature"] ?? "", /^v1,[A-Za-z0-9+/]{43}=$/);
  delete headers["webhook-signature"];
  assert.deepEqual(headers, {
    "content-type": "application/json",
    "user-agent": "LinkMe-Webhooks/1.2.3",
    "webhook-id": delivery.event_id,
    "webhook-timestamp": "1769851801",
    "X-LinkMe-Signature": bodySignature(FIRST, delivery.body),
    "X-LinkMe-Delivery": "dlv_1",
    "X-LinkMe-Attempt": "3",
  });
  assert.equal(request.headers.length, 16);
  assert.deepEqual([request.method, request.url, request.body], ["POST", config.url, delivery.body]);
});

test("the published Standard Webhooks library verifies a request as it is", () => {
  const request = build({}, { current: FIRST });
  assert.deepEqual(new Verifier(FIRST).verify(request.body, record(request.headers)), JSON.parse(request.body));
  assert.throws(() => new Verifier(SECOND).verify(request.body, record(request.headers)));
  assert.throws(() => new Verifier(FIRST).verify(`${request.body} `, record(request.headers)));
});

test("the same input gives the same bytes", () => {
  const delivery = outgoing();
  assert.deepEqual(build({}, { current: FIRST }, delivery), build({}, { current: FIRST }, delivery));
});

test("a later attempt changes its time and number, never the body or X-LinkMe-Signature", () => {
  const first = record(build({}, { current: FIRST }, outgoing({ attempt: 1, at: 1_000 })).headers);
  const later = record(build({}, { current: FIRST }, outgoing({ attempt: 2, at: 9_000 })).headers);
  assert.equal(first["X-LinkMe-Signature"], later["X-LinkMe-Signature"]);
  assert.notEqual(first["webhook-signature"], later["webhook-signature"]);
  assert.deepEqual([first["webhook-timestamp"], later["webhook-timestamp"]], ["1", "9"]);
});

test("with signing off no signature is sent; id and timestamp stay", () => {
  const names = pairs(build({ signing: false }, { current: FIRST, next: SECOND }).headers).map(([name]) => name);
  assert.deepEqual(names, [
    "content-type",
    "user-agent",
    "webhook-id",
    "webhook-timestamp",
    "X-LinkMe-Delivery",
    "X-LinkMe-Attempt",
  ]);
});

test("a staged secret signs webhook-signature only", () => {
  const request = build({}, { current: FIRST, next: SECOND });
  const headers = record(request.headers);
  for (const secret of [FIRST, SECOND]) new Verifier(secret).verify(request.body, headers);
  assert.equal(headers["webhook-signature"]?.split(" ").length, 2);
  assert.equal(headers["X-LinkMe-Signature"], bodySignature(FIRST, request.body));
  assert.equal(headers["X-LinkMe-Signature-Previous"], undefined);
});

test("a replaced secret goes on signing until its time is over", () => {
  const at = Date.now();
  const secrets = { current: SECOND, next: THIRD, replaced: [{ secret: FIRST, valid_until: at + 1 }] };
  const during = build({}, secrets, outgoing({ at }));
  const headers = record(during.headers);
  for (const secret of [FIRST, SECOND, THIRD]) new Verifier(secret).verify(during.body, headers);
  assert.equal(headers["X-LinkMe-Signature"], bodySignature(SECOND, during.body));
  assert.equal(headers["X-LinkMe-Signature-Previous"], bodySignature(FIRST, during.body));

  const after = build({}, secrets, outgoing({ at: at + 1 }));
  assert.throws(() => new Verifier(FIRST).verify(after.body, record(after.headers)));
  assert.equal(record(after.headers)["X-LinkMe-Signature-Previous"], undefined);
});

test("of several replaced secrets each signs webhook-signature until its own time, and the last valid one the header beside", () => {
  const at = Date.now();
  const replaced = [
    { secret: SECOND, valid_until: at + 1 },
    { secret: FIRST, valid_until: at + 2 },
  ];
  const state = (offset: number) => {
    const { body, headers: made } = build({}, { current: THIRD, replaced }, outgoing({ at: at + offset }));
    const headers = record(made);
    const signatures = headers["webhook-signature"]?.split(" ") ?? [];
    const signs = (secret: string) =>
      signatures.includes(new Verifier(secret).sign(headers["webhook-id"] ?? "", new Date(at + offset), body));
    return {
      count: signatures.length,
      signs: [FIRST, SECOND, THIRD].map(signs),
      previous: [FIRST, SECOND].map((one) => bodySignature(one, body) === headers["X-LinkMe-Signature-Previous"]),
    };
  };
  assert.deepEqual(state(0), { count: 3, signs: [true, true, true], previous: [false, true] });
  assert.deepEqual(state(1), { count: 2, signs: [true, false, true], previous: [true, false] });
  assert.deepEqual(state(2), { count: 1, signs: [false, false, true], previous: [false, false] });
});

test("X-LinkMe-Signature is there once, and so is the one beside, whatever is staged and was replaced", () => {
  const valid_until = Number.MAX_SAFE_INTEGER;
  const replaced = [THIRD, FIRST].map((secret) => ({ secret, valid_until }));
  const names = pairs(build({}, { current: FIRST, next: SECOND, replaced }).headers).map(([name]) =>
    name.toLowerCase(),
  );
  assert.equal(names.filter((name) => name === "x-linkme-signature").length, 1);
  assert.equal(new Set(names).size, names.length);
});

test("custom headers are sent as they are, and masked when shown", () => {
  const custom = { Authorization: "Bearer abc", "X-Tenant": "42", __proto__x: "1" };
  const prepared = webhook.prepare({ ...config, headers: custom }, { version: "1", secrets: { current: FIRST } });
  const request = webhook.buildRequest(outgoing(), prepared);
  assert.equal(record(request.headers)["Authorization"], "Bearer abc");
  const shown = webhook.show(request, prepared).headers;
  assert.deepEqual([shown["Authorization"], shown["X-Tenant"]], [MASK, MASK]);
  assert.equal(shown["X-LinkMe-Signature"], record(request.headers)["X-LinkMe-Signature"]);
  assert.ok(!JSON.stringify(shown).includes("abc"));
});

test("one request never changes the next", () => {
  const prepared = webhook.prepare(config, { version: "1", secrets: { current: FIRST } });
  const delivery = outgoing();
  const first = webhook.buildRequest(delivery, prepared);
  first.headers.push("x", "y");
  assert.equal(webhook.buildRequest(delivery, prepared).headers.length, first.headers.length - 2);
});

test("only the values of headers are secrets of a webhook's config", () => {
  const plain = { ...config, headers: { a: "1", b: "2" } };
  const changed = mapSecrets(webhook.config, plain, (text) => `sealed ${text}`);
  assert.deepEqual(changed, { ...config, headers: { a: "sealed 1", b: "sealed 2" } });
  assert.deepEqual(plain.headers, { a: "1", b: "2" });
});

for (const bad of [{}, { ...config, headers: { a: 1 } }, { ...config, url: null }, { ...config, extra: 1 }]) {
  test(`a stored config like ${JSON.stringify(bad)} is refused`, () => {
    assert.equal(webhook.config.safeParse(bad).success, false);
  });
}
