// What a receiver does with events that it believes, and what it answers in each case.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { parseLinkMeWebhookEnvelope } from "../../src/index.ts";
import { createReceiver, type ReceiverOptions, signTestPayload } from "../../src/receiver/index.ts";
import { CLICK, NOW, openReceiver, SECRET } from "../support/receiver.ts";

const SAMPLES_URL = new URL("../../../../spec/events/", import.meta.url);
const json = { "content-type": "application/json" };

test("each of the five events reaches its own handler, once", async () => {
  const { receiver, send } = openReceiver();
  const seen: string[] = [];
  receiver
    .on("link.click", (event) => seen.push(`${event.event} ${event.data.dest_url}`))
    .on("link.token_created", (event) => seen.push(`${event.event} ${event.data.methods.length}`))
    .on("link.claim", (event) => seen.push(`${event.event} ${event.data.claim_type}`))
    .on("link.app_open", (event) => seen.push(`${event.event} ${event.data.type}`))
    .on("link.deferred_claim_attempt", (event) => seen.push(`${event.event} ${event.data.reason}`));
  const samples = readdirSync(SAMPLES_URL).filter((name) => /^link\.[a-z_]+\.json$/.test(name));
  for (const name of samples) {
    const sample = readFileSync(new URL(name, SAMPLES_URL), "utf8");
    assert.deepEqual([(await send(sample)).status, (await send(sample)).outcome.kind], [200, "duplicate"], name);
  }
  assert.deepEqual(new Set(seen.map((line) => line.split(" ")[0])), new Set(samples.map((name) => name.slice(0, -5))));
  assert.equal(seen.length, 5);
});

const refusals: [
  what: string,
  request: { method?: string; headers?: object; body?: string },
  status: number,
  code: string,
][] = [
  ["another method", { method: "GET" }, 405, "method_not_allowed"],
  ["a form", { headers: { "content-type": "application/x-www-form-urlencoded" } }, 415, "content_type"],
  ["a type that only begins like JSON", { headers: { "content-type": "application/jsonp" } }, 415, "content_type"],
  ["no content type", { headers: { "content-type": undefined } }, 415, "content_type"],
  ["a body over the limit", { body: "x".repeat(1024 * 1024 + 1) }, 413, "body_too_large"],
  ["the promise of one", { headers: { "content-length": "1048577" } }, 413, "body_too_large"],
  ["no signature", { headers: { "x-linkme-signature": undefined } }, 401, "signature_missing"],
  ["another body", { body: "{}" }, 401, "signature_mismatch"],
];
for (const [what, changed, status, code] of refusals) {
  test(`${what} is answered ${status}, and nothing is done`, async () => {
    let calls = 0;
    const { receiver } = openReceiver();
    receiver.on("link.click", () => {
      calls += 1;
    });
    const signed = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
    const headers = { ...signed.headers, ...changed.headers };
    const { method = "POST", body = signed.body } = changed;
    const answer = await receiver.receive({ method, headers, body });
    assert.deepEqual([answer.status, JSON.parse(answer.body).error, calls], [status, code, 0]);
    assert.equal(answer.headers["allow"], status === 405 ? "POST" : undefined);
    assert.equal(answer.headers["content-type"], "application/json");
  });
}

test("a content type may have parameters, and a method be in lower case", async () => {
  const { receiver } = openReceiver();
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const typed = { ...headers, "content-type": "Application/JSON ; charset=utf-8" };
  assert.equal((await receiver.receive({ method: "post", headers: typed, body })).status, 200);
});

const bodies = ["", "{", "null", "[]", '"text"', "{}", '{"id":"1"}', '{"id":1,"event":"e"}', '{"id":"","event":"e"}'];
for (const body of [
  ...bodies,
  '{"id":"1","event":""}',
  '{"id":"1","event":"e","data":[]}',
  '{"id":"1","event":"e","ts":1}',
]) {
  test(`the signed body ${body || "of no bytes"} is answered 400, as the parser of envelopes refuses it`, async () => {
    const { send } = openReceiver();
    const answer = await send(body);
    assert.deepEqual([answer.status, JSON.parse(answer.body).error], [400, "envelope_invalid"]);
    assert.throws(() => parseLinkMeWebhookEnvelope(JSON.parse(body)));
  });
}

test("an envelope is what the parser of envelopes makes of it", async () => {
  for (const text of [
    JSON.stringify(CLICK),
    '{"id":"1","event":"e","more":1}',
    '{"id":"1","event":"e","data":{"__proto__":1}}',
  ]) {
    const { outcome } = await openReceiver().send(text);
    assert.ok("event" in outcome);
    assert.deepEqual(outcome.event, parseLinkMeWebhookEnvelope(JSON.parse(text)));
  }
});

test("an id that no store could keep is answered 400, and so is a body that is no UTF-8", async () => {
  const { send, receiver } = openReceiver();
  const statusOf = async (event: object) => (await send({ event: "e", ...event })).status;
  assert.deepEqual([await statusOf({ id: "x".repeat(255) }), await statusOf({ id: "x".repeat(256) })], [200, 400]);
  assert.deepEqual([await statusOf({ id: "👟".repeat(21) }), await statusOf({ id: "👟".repeat(22) })], [200, 400]);
  assert.equal(await statusOf({ id: "1", app_id: "x".repeat(256) }), 400);
  const latin = Buffer.from('{"id":"\xff","event":"e"}', "latin1");
  const key = await crypto.subtle.importKey("raw", Buffer.from(SECRET), { name: "HMAC", hash: "SHA-256" }, false, [
    "sign",
  ]);
  const hex = Buffer.from(await crypto.subtle.sign("HMAC", key, latin)).toString("hex");
  const headers = { ...json, "x-linkme-signature": `sha256=${hex}` };
  assert.equal((await receiver.receive({ method: "POST", headers, body: latin })).status, 400);
});

test("an id of half a character, which JSON can name, is an id like another", async () => {
  const { receiver, send } = openReceiver();
  receiver.onUnknown(() => {});
  const text = '{"id":"\\ud800","event":"e"}';
  assert.deepEqual([(await send(text)).status, (await send(text)).outcome.kind], [200, "duplicate"]);
});

test("an event of a type of the future is answered 200, counted, and given to onUnknown once", async () => {
  const { receiver, send, told } = openReceiver();
  const event = { id: "1", event: "link.shared", data: { by: "mail" } };
  assert.deepEqual([(await send(event)).status, (await send(event)).outcome.kind], [200, "unknown_event"]);
  const seen: unknown[] = [];
  receiver.onUnknown((given, why) => seen.push([given, why]));
  await send(event);
  assert.equal((await send(event)).outcome.kind, "duplicate");
  assert.deepEqual(seen, [[event, "type"]]);
  assert.equal(receiver.counts().unknown_event, 3);
  assert.deepEqual(told, []);
});

test("an event whose data is of another form never reaches a handler that is promised more", async () => {
  const { receiver, send, told } = openReceiver();
  receiver.on("link.click", () => assert.fail("it has no dest_url"));
  const made = { ...CLICK, data: { link_id: "lnk_1" } };
  assert.deepEqual([(await send(made)).outcome.kind, told.length], ["unknown_event", 1]);
  assert.match(String(told[0]?.error), /link\.click came with data of another form.*onUnknown/);
  const seen: unknown[] = [];
  receiver.onUnknown((event, why) => seen.push([event.data, why]));
  await send({ ...made, id: "2" });
  assert.deepEqual(seen, [[made.data, "data"]]);
});

test("an event for which nobody asked is answered 200 and ignored", async () => {
  const { receiver, send } = openReceiver();
  receiver.on("link.claim", () => assert.fail("it is a click"));
  assert.deepEqual([(await send()).status, (await send()).outcome.kind], [200, "ignored"]);
});

test("registering anything twice, or an event that there is not, throws", () => {
  const { receiver } = openReceiver();
  receiver.on("link.click", () => {}).onUnknown(() => {});
  for (const again of [
    () => receiver.on("link.click", () => {}),
    () => receiver.onUnknown(() => {}),
    () => receiver.onError(() => {}),
  ]) {
    assert.throws(again, { name: "LinkMeUsageError", code: "handler_twice" });
  }
  for (const name of ["link.clicked", "toString", ""]) {
    // The cast is the point: plain JavaScript callers have no types to stop them.
    assert.throws(() => receiver.on(name as "link.click", () => {}), { code: "receiver_option" }, name);
  }
});

const wrong: [what: string, options: object][] = [
  ["a tolerance of nothing", { tolerance: 0 }],
  ["an endless tolerance", { tolerance: Number.POSITIVE_INFINITY }],
  ["a tolerance in words", { tolerance: "5m" }],
  ["no lease", { lease_ms: -1 }],
  ["a limit that is no number", { max_body_bytes: Number.NaN }],
  ["a hand-off without a method", { handOff: {} }],
  ["a hand-off by a name", { handOff: "queue" }],
  ["two forwarders of a name", { forward: [forwarder("a"), forwarder("a")] }],
  ["a forwarder with a name for a path", { forward: [forwarder("a/b")] }],
  ["33 forwarders", { forward: Array.from({ length: 33 }, (_, index) => forwarder(`f${index}`)) }],
];
for (const [what, options] of wrong) {
  test(`${what} is refused when the receiver is made`, () => {
    assert.throws(() => createReceiver({ secrets: SECRET, ...options } as ReceiverOptions), {
      code: "receiver_option",
    });
  });
}

function forwarder(name: string) {
  return { name, forward: async () => ({ kind: "accepted" }) as const };
}

test("a Request of the Web is answered with a Response, and handle needs no receiver before its dot", async () => {
  const { receiver } = openReceiver();
  const { handle } = receiver;
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const ask = (init: RequestInit) => handle(new Request("http://receiver.test/", { method: "POST", headers, ...init }));
  const good = await ask({ body });
  assert.deepEqual(
    [good.status, good.headers.get("content-type"), await good.json()],
    [200, "application/json", { outcome: "ignored", id: CLICK.id }],
  );
  assert.deepEqual([(await ask({ body: `${body} ` })).status, (await ask({})).status], [401, 401]);
  assert.equal((await ask({ method: "GET", body: null })).status, 405);
});

test("a body of the Web is read to the limit and not beyond, and not for longer than it may take", async () => {
  const { receiver } = openReceiver({ max_body_bytes: 3, body_timeout_ms: 20 });
  let pulls = 0;
  const ask = async (pull: (controller: ReadableStreamDefaultController) => void) => {
    const body = new ReadableStream({ pull }, { highWaterMark: 0 });
    const request = new Request("http://receiver.test/", {
      method: "POST",
      headers: json,
      body,
      duplex: "half",
    } as RequestInit);
    return (await receiver.handle(request)).status;
  };
  const endless = ask((controller) => {
    pulls += 1;
    controller.enqueue(new Uint8Array(2));
  });
  assert.deepEqual([await endless, pulls], [413, 2]);
  assert.equal(await ask(() => new Promise(() => {})), 408);
  assert.equal(await ask((controller) => controller.error(new Error("cut"))), 400);
});

test("a Request whose body was read before is answered 500, and onError is told what to change", async () => {
  const { receiver, told } = openReceiver();
  const { body, headers } = await signTestPayload(CLICK, { secret: SECRET, at: NOW });
  const request = new Request("http://receiver.test/", { method: "POST", headers, body });
  await request.json();
  const response = await receiver.handle(request);
  assert.equal(response.status, 500);
  assert.match(await response.text(), /"error":"misconfigured"/);
  assert.match(String(told[0]?.error), /no request\.json\(\), text\(\) or formData\(\) before receiver\.handle\(\)/);
});

for (const [what, body] of [
  ["an object", { id: "1" }],
  ["an array", []],
  ["a Buffer that went through JSON", JSON.parse(JSON.stringify(Buffer.from("{}")))],
  ["an array of 16-bit numbers", new Uint16Array(2)],
  ["a number", 7],
] as const) {
  test(`a body that is ${what} is answered 500, and onError is told what to change`, async () => {
    const { receiver, told } = openReceiver();
    // The cast is the point: plain JavaScript callers have no types to stop them.
    const answer = await receiver.receive({ method: "POST", headers: json, body: body as unknown as string });
    assert.deepEqual([answer.status, answer.outcome.kind, told.length], [500, "misconfigured", 1]);
    assert.match(String(told[0]?.error), /parsed before.*signature is over the bytes.*raw request body/);
    assert.match(JSON.parse(answer.body).message, /misconfigured \(raw_body_parsed\)/);
  });
}
