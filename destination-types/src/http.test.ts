import assert from "node:assert/strict";
import { test } from "node:test";
import { MASK } from "#contract/destinations.ts";
import { type Receiver, startReceiver } from "../../server/test/support/receiver.ts";
import {
  CONTEXT,
  exchangeWith,
  outgoing,
  response,
  SAMPLES,
  sample,
  sent,
  testConformance,
  unsent,
} from "../../server/test/support/vendors/conform.ts";
import type { Exchange } from "./definition.ts";
import { HttpConfig, http } from "./http.ts";
import type { SourceEvent } from "./mapping/source.ts";

const RULES = { retry_on: "retriable" } as const;
const URL_OF_API = "https://api.example.com/v1";
const config = (changes: object = {}) => HttpConfig.parse({ url: URL_OF_API, secrets: { key: SECRET }, ...changes });
const SECRET = 'k"1/2+3%4&abcdef';

testConformance({
  definition: http,
  configs: {
    "http-default": config(),
    "http-form": config({
      url: `${URL_OF_API}/{{app_id}}/{{event_name}}?key={{secret.key}}&link={{ data.link_id }}`,
      method: "PUT",
      headers: { "Idempotency-Key": "{{id}}", Authorization: "Bearer abcdefgh {{secret.key}}" },
      format: "form",
      body: "when={{ts_seconds}}&note={{data.params.note}}&matched={{properties.linkme_matched}}&key={{secret.key}}",
    }),
    "http-json": config({
      body: '{"key":"{{secret.key}}","{{event}}":{"at":{{json ts_ms}},"text":"{{data}}","all":{{json data}},"first":"{{data.methods.0}}"}}',
      content_type: "application/cloudevents+json",
    }),
  },
  growing: "dest_url",
});

function build(event: SourceEvent, changes: object) {
  return http.buildRequest(outgoing(event), http.prepare(config(changes), CONTEXT));
}

const bodyOf = (event: SourceEvent, body: string, changes: object = {}) =>
  sent(build(event, { body, ...changes })).body;

/** Everything that breaks out of something. */
const HOSTILE = [
  'a"b\\c/d',
  "line\r\nX-Injected: 1\r\n\r\nbody",
  "tab\tnul\u0000del\u007f",
  "Größe “M” 👟",
  "half \ud83d pair",
  "{{secret.key}}",
  "</script>$1$&`%00%2e%2e",
  "a&b=c#d?e+f g",
  "\u2028\u2029",
  "__proto__",
];

for (const value of HOSTILE) {
  test(`${JSON.stringify(value)} stays what it is in JSON and forms, and ends no line of a header`, async (t) => {
    const event = sample("link.click", { value });
    const template = '{"text":"<{{data.value}}>","json":{{json data.value}},"{{data.value}}":1}';
    // Half a pair is nothing that UTF-8 could send.
    assert.deepEqual(JSON.parse(bodyOf(event, template)), { text: `<${value}>`, json: value, [value]: 1 });
    const form = bodyOf(event, "a={{data.value}}&b={{json data.value}}", { format: "form" });
    const fields = new URLSearchParams(form);
    const whole = value.toWellFormed();
    assert.deepEqual([fields.get("a"), JSON.parse(fields.get("b") ?? ""), fields.size], [whole, value, 2]);
    assert.equal(bodyOf(event, "<{{data.value}}>", { format: "text" }), `<${value}>`);

    const receiver = await startReceiver();
    t.after(receiver.close);
    const request = build(event, {
      url: `${receiver.url}/in/{{data.value}}/x?q={{data.value}}&r=1`,
      headers: { "X-Value": "<{{data.value}}>" },
    });
    assert.deepEqual(http.judge(await exchangeWith(sent(request)), RULES), { kind: "accepted" });
    assertArrivedAs(receiver, whole);
  });
}

function assertArrivedAs(receiver: Receiver, value: string): void {
  const [request] = receiver.received;
  assert.ok(request);
  const { path, headers } = request;
  const url = new URL(path, receiver.url);
  assert.equal(url.host, new URL(receiver.url).host);
  assert.deepEqual(url.pathname.split("/").map(decodeURIComponent), ["", "in", value, "x"]);
  assert.deepEqual(
    [...url.searchParams],
    [
      ["q", value],
      ["r", "1"],
    ],
  );
  assert.equal(decodeURIComponent(String(headers["x-value"])), `<${value}>`);
  assert.equal(headers["x-injected"], undefined);
}

test("a value decides neither the host nor another path", () => {
  const urlOf = (value: unknown, url: string) => build(sample("link.click", { value }), { url });
  for (const value of [".", "..", "", null, undefined]) {
    const outcome = unsent(urlOf(value, `${URL_OF_API}/{{data.value}}/events`));
    assert.ok(outcome.kind === "refused" && !outcome.retriable, String(value));
  }
  assert.equal(unsent(urlOf(".", `${URL_OF_API}/.{{data.value}}`)).kind, "refused");
  assert.equal(unsent(urlOf("e", `${URL_OF_API}/%2{{data.value}}`)).kind, "refused");
  assert.equal(unsent(urlOf("x".repeat(8_000), `${URL_OF_API}?q={{data.value}}`)).kind, "refused");
  for (const value of ["@evil.example", "/../..", "\\..\\", "//evil.example", ":80", "..."]) {
    const { url } = sent(urlOf(value, `https://api.example.com/{{data.value}}/events`));
    const read = new URL(url);
    assert.deepEqual(
      [read.host, read.pathname.split("/").length, read.pathname.endsWith("/events")],
      ["api.example.com", 3, true],
    );
  }
  assert.equal(sent(urlOf(undefined, `${URL_OF_API}?q={{data.value}}`)).url, `${URL_OF_API}?q=`);
});

test("what is filled in", () => {
  const event = sample("link.click", { list: [1, { a: "b" }], yes: false, none: null, deep: { x: { y: 2 } } });
  const at = Date.parse(event.ts);
  const cases: [string, string][] = [
    ["{{id}} {{event}} {{event_name}} {{app_id}}", `${event.id} link.click linkme_link_click shop`],
    ["{{ts}} {{ts_ms}} {{ts_seconds}}", `${event.ts} ${at} ${Math.floor(at / 1_000)}`],
    [
      "{{data.link_id}}|{{ data.link_id }}|{{json data.link_id}}",
      'lnk_h2v9x4tq7k3m|lnk_h2v9x4tq7k3m|"lnk_h2v9x4tq7k3m"',
    ],
    ["{{data.list}}|{{data.list.1.a}}|{{data.list.7}}|{{data.list.length}}", '[1,{"a":"b"}]|b||'],
    ["{{data.yes}}|{{data.none}}|{{json data.none}}|{{json data.absent}}", "false||null|null"],
    ["{{data.deep.x.y}}|{{data.deep.x.y.z}}|{{data.constructor}}|{{data.__proto__.x}}", "2|||"],
    ["{{properties.linkme_dest_host}}|{{properties.linkme_reason}}", "apps.apple.com|"],
    ["{{json envelope}}", JSON.stringify(event)],
    ["}} } {x} $1 $& {{secret.key}}", `}} } {x} $1 $& ${SECRET}`],
  ];
  for (const [template, expected] of cases)
    assert.equal(bodyOf(event, template, { format: "text" }), expected, template);
});

test("the default body is the event as webhooks have it", () => {
  for (const event of SAMPLES.values()) assert.equal(sent(build(event, {})).body, JSON.stringify(event));
});

const REFUSED: [string, object, string][] = [
  ["an unknown name", { body: "{{json user}}" }, "body"],
  ["an unknown property", { body: '"{{properties.linkme_user}}"' }, "body"],
  ["a member of a text", { body: '"{{id.length}}"' }, "body"],
  ["a secret that there is not", { url: `${URL_OF_API}/{{secret.other}}` }, "url"],
  ["all secrets", { body: "{{json secret}}" }, "body"],
  ["an unknown name in a header", { headers: { "X-A": "{{nobody}}" } }, "headers.X-A"],
  ["a place that does not end", { body: '{"a":"{{id"}' }, "body"],
  ["an empty place", { body: '"{{}}"' }, "body"],
  ["logic", { body: '"{{#if id}}x{{/if}}"' }, "body"],
  ["a helper", { body: '"{{upper id}}"' }, "body"],
  ["a text without quotes", { body: '{"a":{{id}}}' }, "body"],
  ["JSON within quotes", { body: '{"a":"{{json data}}"}' }, "body"],
  ["what is no JSON", { body: '{"a":1,}' }, "body"],
  ["nothing", { body: "" }, "body"],
  ["a place in the host", { url: "https://{{app_id}}.example.com/" }, "url"],
  ["a place at the end of the host", { url: "https://example.com{{data.x}}" }, "url"],
  ["a place as the port", { url: "https://example.com:{{data.x}}/" }, "url"],
  ["a place as the user", { url: "https://{{secret.key}}@example.com/" }, "url"],
  ["a place as the scheme", { url: "{{data.x}}://example.com/" }, "url"],
  ["nothing but a place", { url: "{{data.dest_url}}" }, "url"],
  ["dots in the path", { url: "https://example.com/a/../{{id}}" }, "url"],
  ["another scheme", { url: "ftp://example.com/{{id}}" }, "url"],
  ["a fragment", { url: "https://example.com/#{{id}}" }, "url"],
  ["a password in the URL", { url: "https://a:b@example.com/" }, "url"],
  ["a space in the URL", { url: "https://example.com/a b" }, "url"],
  ["letters that are to be encoded", { url: "https://example.com/ä" }, "url"],
  ["a line end in a header", { headers: { "X-A": "a\r\nB: c" } }, "headers.X-A"],
  ["a line end in the name of a header", { headers: { "X-A\r\nB": "c" } }, "headers.X-A\r\nB"],
  ["a header that the server sets", { headers: { Host: "x" } }, "headers.Host"],
  ["the content type as a header", { headers: { "Content-Type": "x" } }, "headers.Content-Type"],
  ["a header twice", { headers: { "x-a": "1", "X-A": "2" } }, "headers"],
  ["a line end in the content type", { content_type: "a/b\r\nX: y" }, "content_type"],
  ["another method", { method: "DELETE" }, "method"],
  ["a secret with a line end", { secrets: { key: "a\nb" } }, "secrets.key"],
  ["an odd name of a secret", { secrets: { "a.b": "xxxxxxxx" } }, "secrets.a.b"],
];

for (const [what, changes, path] of REFUSED) {
  test(`${what} is refused when it is saved, at ${JSON.stringify(path)}`, () => {
    const result = HttpConfig.safeParse({ url: URL_OF_API, secrets: { key: SECRET }, ...changes });
    assert.equal(result.success, false);
    assert.ok(
      result.error?.issues.some((issue) => issue.path.join(".") === path),
      JSON.stringify(result.error?.issues),
    );
  });
}

test("headers, and secrets wherever they stand, are masked when a request is shown", () => {
  const prepared = http.prepare(
    config({
      url: `${URL_OF_API}/{{secret.key}}?k={{secret.key}}`,
      headers: { Authorization: "Bearer abcdefgh", "X-Id": "{{id}}" },
      body: '{"k":"{{secret.key}}","id":"{{id}}"}',
    }),
    CONTEXT,
  );
  const event = sample("link.click");
  const shown = http.show(sent(http.buildRequest(outgoing(event), prepared)), prepared);
  assert.equal(shown.url, `${URL_OF_API}/${MASK}?k=${MASK}`);
  assert.deepEqual([shown.headers["Authorization"], shown.headers["X-Id"]], [MASK, MASK]);
  assert.equal(shown.headers["content-type"], "application/json");
  assert.deepEqual(JSON.parse(shown.body), { k: MASK, id: event.id });
});

test("what the template asks for and an event does not say is found before it is sent", () => {
  const prepared = http.prepare(
    config({ url: `${URL_OF_API}/{{data.slug}}`, body: '"{{data.utm}} {{data.slug}}"' }),
    CONTEXT,
  );
  const found = (name: string) =>
    http.inspect(outgoing(sample(name)), prepared).map(({ level, rule, path }) => [level, rule, path]);
  assert.deepEqual(found("link.click"), []);
  assert.deepEqual(found("link.click.minimal"), [
    ["warning", "PLACE_EMPTY", "data.slug"],
    ["warning", "PLACE_EMPTY", "data.utm"],
    ["error", "UNSENDABLE", ""],
  ]);
});

test("bots are sent and those who have refused are not, unless the settings say otherwise", () => {
  const bot = sample("link.click", { is_bot: true });
  const refusing = sample("link.click", { consent: { analytics_storage: "denied" } });
  sent(build(bot, {}));
  assert.equal(unsent(build(bot, { skip_bots: true })).kind, "skipped");
  assert.equal(unsent(build(refusing, {})).kind, "skipped");
  sent(build(refusing, { respect_consent: false }));
});

test("an end without an answer may have been a success, and one before the request cannot", () => {
  const failure = (code: string): Exchange => ({ kind: "failure", code, message: "So", started_at: 0, duration_ms: 1 });
  for (const code of ["timeout", "reset", "protocol"]) {
    const message = "So; it may have the event all the same";
    assert.deepEqual(http.judge(failure(code), RULES), { kind: "ambiguous", retriable: true, message });
  }
  for (const code of ["dns", "connect", "tls", "refused_address", "aborted"]) {
    assert.deepEqual(http.judge(failure(code), RULES), { kind: "unreachable", retriable: true, message: "So" });
  }
});

test("a request that the receiver takes and does not answer is ambiguous", async (t) => {
  const receiver = await startReceiver(() => "reset");
  t.after(receiver.close);
  const outcome = http.judge(await exchangeWith(sent(build(sample("link.click"), { url: receiver.url }))), RULES);
  assert.equal(receiver.received.length, 1);
  assert.ok(outcome.kind === "ambiguous" && outcome.retriable);
});

test("what each status means", () => {
  const cases = [
    [200, "accepted"],
    [204, "accepted"],
    [302, "refused"],
    [400, "refused"],
    [401, "misconfigured"],
    [403, "misconfigured"],
    [410, "refused"],
    [422, "refused"],
    [429, "refused later"],
    [503, "refused later"],
  ] as const;
  for (const [status, expected] of cases) {
    const outcome = http.judge(response(status, { error: "so it is" }, { "retry-after": "9" }), RULES);
    const is_later = outcome.kind === "refused" && outcome.retriable;
    assert.equal(is_later ? `${outcome.kind} later` : outcome.kind, expected, String(status));
    if (is_later) assert.equal(outcome.retry_after_ms, 9_000);
    if ("message" in outcome) assert.match(outcome.message, /so it is/);
  }
});

test("the method, the path and the body arrive as they are set", async (t) => {
  const receiver = await startReceiver();
  t.after(receiver.close);
  for (const method of ["POST", "PUT", "PATCH"]) {
    const request = build(sample("link.claim"), {
      url: `${receiver.url}/{{app_id}}`,
      method,
      body: '"{{data.user_id}}"',
    });
    assert.deepEqual(http.judge(await exchangeWith(sent(request)), RULES), { kind: "accepted" });
  }
  assert.deepEqual(
    receiver.received.map(({ method, path, body }) => [method, path, body.toString()]),
    ["POST", "PUT", "PATCH"].map((method) => [method, "/shop", '"user-8841"']),
  );
});
