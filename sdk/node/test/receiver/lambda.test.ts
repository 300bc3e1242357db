// The adapter for Lambda, with events as API Gateway, function URLs and load balancers make them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { signTestPayload } from "../../src/receiver/index.ts";
import { type LambdaHttpEvent, toLambdaHandler } from "../../src/receiver/lambda.ts";
import { CLICK, NOW, openReceiver, SECRET } from "../support/receiver.ts";

const { body, headers } = await signTestPayload({ ...CLICK, app_id: "größe" }, { secret: SECRET, at: NOW });
/** As form 1.0 keeps them. */
const cased = Object.fromEntries(
  Object.entries(headers).map(([name, value]) => [name.replace(/(^|-)[a-z]/g, (start) => start.toUpperCase()), value]),
);
const lists = Object.fromEntries(Object.entries(cased).map(([name, value]) => [name, [value]]));
const base64 = Buffer.from(body).toString("base64");

const rest = { httpMethod: "POST", headers: cased, multiValueHeaders: lists, requestContext: { stage: "prod" } };
const http = { requestContext: { http: { method: "POST" } }, headers };

const events: [what: string, event: LambdaHttpEvent, status: number][] = [
  ["a REST API", { ...rest, body, isBase64Encoded: false }, 200],
  ["a REST API with binary media types", { ...rest, body: base64, isBase64Encoded: true }, 200],
  ["an HTTP API", { ...http, body, isBase64Encoded: false }, 200],
  ["a function URL, whose bodies are in base64", { ...http, body: base64, isBase64Encoded: true }, 200],
  ["a load balancer", { httpMethod: "POST", headers, body, isBase64Encoded: false }, 200],
  ["a load balancer with lists of headers", { httpMethod: "POST", multiValueHeaders: lists, body }, 200],
  ["base64 that is not called so", { ...http, body: base64, isBase64Encoded: false }, 401],
  ["text that is called base64", { ...http, body, isBase64Encoded: true }, 401],
  ["another body", { ...http, body: `${body} ` }, 401],
  ["no body", { ...http, body: null }, 401],
  [
    "a signature that is there twice",
    { ...rest, multiValueHeaders: { ...lists, "X-Linkme-Signature": ["a", "b"] }, body },
    401,
  ],
  ["another method in form 1.0", { ...rest, httpMethod: "GET", body: null }, 405],
  ["another method in form 2.0", { ...http, requestContext: { http: { method: "PUT" } }, body }, 405],
  ["no headers", { httpMethod: "POST", headers: null, body }, 415],
];
for (const [what, event, status] of events) {
  test(`${what} is answered ${status}`, async () => {
    const { receiver } = openReceiver();
    const seen: string[] = [];
    receiver.on("link.click", ({ app_id }) => seen.push(app_id));
    const answer = await toLambdaHandler(receiver)(event);
    assert.deepEqual(
      [answer.statusCode, answer.isBase64Encoded, seen],
      [status, false, status === 200 ? ["größe"] : []],
    );
    assert.equal(answer.headers["content-type"], "application/json");
    assert.ok(JSON.parse(answer.body));
  });
}

test("a body that something in front has parsed is answered 500, and onError is told what to change", async () => {
  const { receiver, told } = openReceiver();
  // The cast is the point: middleware does this against the type.
  const event = { ...http, body: JSON.parse(body) } as LambdaHttpEvent;
  assert.equal((await toLambdaHandler(receiver)(event)).statusCode, 500);
  assert.match(String(told[0]?.error), /event\.body as a text and event\.isBase64Encoded: use a proxy integration/);
});

test("an event of a queue is no request, and onError is told so", async () => {
  const { receiver, told } = openReceiver();
  // The cast is the point: a function can be bound to anything.
  const event = { Records: [{ body }] } as LambdaHttpEvent;
  assert.equal((await toLambdaHandler(receiver)(event)).statusCode, 500);
  assert.match(String(told[0]?.error), /no HTTP method/);
});
