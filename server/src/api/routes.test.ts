// What holds for every route of the table, whatever it does: scope, tenants, conventions. Driven by the table, so that a
// route that is added is tested too, or fails here until it says how.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { ERROR_STATUS } from "#contract/errors.ts";
import { type Route, SCOPES } from "#contract/route.ts";
import { ROUTES, type RouteName } from "#contract/routes.ts";
import { type Answer, type CallOptions, openApi, type TestApi } from "../../test/support/api.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { BEFORE, bodiesOf, createTenant, pathOf, sendTo } from "../../test/support/tenants.ts";
import { startGoogle } from "../../test/support/vendors/google.ts";

const NAMES = Object.keys(ROUTES) as RouteName[];
const MANAGED = NAMES.filter((name) => !["public", "sdk"].includes(ROUTES[name].scope));
/** Checks send at once, so what they reach is a receiver of this test. */
const receiver = await startReceiver();
after(() => receiver.close());
const google = await startGoogle();
after(() => google.close());
const ENDPOINT = `${receiver.url}/webhooks`;

const api: TestApi = await openApi({ LINKME_EGRESS_ALLOW: "127.0.0.0/8" }, { google: google.addresses });
const mine = await createTenant(api, ENDPOINT);
const theirs = await createTenant(api, ENDPOINT);
const BODIES = bodiesOf(ENDPOINT);

function send(name: RouteName, url: string, options: CallOptions = {}, body: unknown = BODIES[name]) {
  return sendTo(api, name, url, { options, body });
}

function assertRefused(answer: Answer, code: keyof typeof ERROR_STATUS, what: string): void {
  assert.equal(answer.body.error, code, `${what}: ${JSON.stringify(answer.body)}`);
  assert.equal(answer.status, ERROR_STATUS[code], what);
  assert.equal(typeof answer.body.message, "string");
  assert.equal(answer.body.request_id, answer.headers["x-request-id"]);
}

test("every route of the table is served, and every address below /api stands in the table", () => {
  for (const { method, path } of Object.values(ROUTES)) {
    const url = path.replaceAll(/\{(\w+)\}/g, ":$1");
    assert.ok(api.server.app.hasRoute({ method, url }), `${method} ${path} has no handler`);
  }
  const served = listServed(api.server.app.printRoutes({ commonPrefix: false }));
  const known = new Set(Object.values(ROUTES).map(({ method, path }) => `${method} ${path}`));
  const strange = served.filter((one) => one.includes(" /api") && !/^(HEAD|OPTIONS) /.test(one) && !known.has(one));
  assert.deepEqual(strange, []);
  assert.ok(served.length > known.size);
});

/** "GET /api/apps/{app_id}" and so on, from the router's own drawing of its tree. */
function listServed(drawing: string): string[] {
  const parents: string[] = [];
  return drawing.split("\n").flatMap((line) => {
    const parts = /^([│ ]*)[├└]── (\S+)(?: \((.*)\))?$/.exec(line);
    if (parts === null) return [];
    const [, indent = "", segment = "", methods = ""] = parts;
    const depth = indent.length / 4;
    parents.length = depth;
    parents.push(segment);
    const path = parents.join("").replaceAll(/:(\w+)/g, "{$1}");
    return methods.split(", ").map((method) => `${method} ${path}`);
  });
}

test("every route names one of the scopes, and an id in its path has a schema", () => {
  for (const [name, route] of Object.entries(ROUTES) as [string, Route][]) {
    assert.ok(SCOPES.includes(route.scope), name);
    const names = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
    assert.deepEqual(Object.keys(route.params?.shape ?? {}), names, name);
  }
});

for (const name of MANAGED) {
  const route: Route = ROUTES[name];
  const is_write = route.scope !== "app_read";

  test(`${name} demands a token that is known`, async () => {
    const url = pathOf(name, mine);
    for (const [what, headers] of [
      ["no token", {}],
      ["an unknown server key", { authorization: `Bearer sk_${"a".repeat(43)}` }],
      ["an unknown token", { authorization: "Bearer nobody" }],
      ["an empty token", { authorization: "Bearer " }],
      ["two tokens", { authorization: "Bearer a b" }],
      ["another scheme", { authorization: "Basic YTpi" }],
      ["a key in another header", { "x-api-key": mine.key }],
    ] as const) {
      assertRefused(await send(name, url, { token: null, headers }), "unauthorized", what);
    }
    assertRefused(await send(name, url, { token: mine.app_key }), "forbidden", "an app key");
    const lacking = is_write ? mine.read_key : mine.write_key;
    assertRefused(await send(name, url, { token: lacking }), "forbidden", "a key without the right");
  });

  if (route.params !== undefined) {
    test(`${name} answers an id of another app like one that does not exist`, async () => {
      const unknown = route.path.includes("{app_id}") ? "app_none" : "none_1";
      const missing = await send(name, pathOf(name, mine, unknown), { token: mine.key });
      assertRefused(missing, "not_found", "an unknown id");
      const foreign = await send(name, pathOf(name, theirs), { token: mine.key });
      assertRefused(foreign, "not_found", "an id of another app");
      assert.equal(foreign.body.message, missing.body.message);
      if (route.scope === "admin") return;
      const lacking = is_write ? mine.read_key : mine.write_key;
      const told = new Set<string>();
      for (const path of [pathOf(name, theirs), pathOf(name, mine, unknown)]) {
        const answer = await send(name, path, { token: lacking });
        assertRefused(answer, "not_found", "to a key without the right, too");
        told.add(answer.body.message);
      }
      assert.equal(told.size, 1, [...told].join());
      for (const id of ["%00", "a%2Fb", "%F0%9F%94%97", "a".repeat(101), "'--", "%E0%A4%A"]) {
        for (const options of [{ token: mine.key }, {}]) {
          const answer = await send(name, pathOf(name, mine, id), options);
          assert.ok(answer.status === 404 || answer.status === 400, `${id}: ${answer.status}`);
        }
      }
    });
  }

  test(`${name} refuses query fields that it does not know, and repeated ones`, async (context) => {
    const declared = Object.keys(route.query.shape)[0];
    if (route.tag === "Links") return context.diagnostic("LinkMe's own endpoints ignore unknown fields");
    const answer = await send(name, `${pathOf(name, mine)}?surprise=1`);
    assertRefused(answer, "invalid_request", "an unknown field");
    assert.deepEqual(
      answer.body.details.map(({ path }: { path: string }) => path),
      ["surprise"],
    );
    assert.match(answer.body.details[0].message, /^unknown field: (accepted (is|are) \w|none is taken here$)/);
    if (declared === undefined) return;
    const twice = await send(name, `${pathOf(name, mine)}?${declared}=1&${declared}=2`);
    assert.equal(twice.body.details?.[0]?.path, declared);
  });
}

const LISTS = MANAGED.filter((name) => "limit" in (ROUTES[name] satisfies Route as Route).query.shape);
for (const name of LISTS) {
  // What is the operator's alone is asked with the operator's token, which is the default.
  const caller = ROUTES[name].scope === "admin" ? {} : { token: mine.key };
  test(`${name} refuses limits, cursors and filters that cannot be`, async () => {
    for (const [field, value] of [
      ["limit", "0"],
      ["limit", "101"],
      ["limit", "-1"],
      ["limit", "1.5"],
      ["limit", "abc"],
      ["limit", ""],
      ["cursor", ""],
      ["cursor", "abc"],
      ["cursor", "%00"],
      ["cursor", "a".repeat(600)],
      ["cursor", Buffer.from('["a","b","c"]').toString("base64url")],
      ["cursor", Buffer.from('[{"a":1}]').toString("base64url")],
      ...("since" in ROUTES[name].query.shape
        ? ([
            ["since", "yesterday"],
            ["until", "2026-13-01T00:00:00Z"],
            ["event", "link.clicked"],
          ] as const)
        : []),
      ...("state" in ROUTES[name].query.shape ? ([["state", "done"]] as const) : []),
    ] as const) {
      const answer = await send(name, `${pathOf(name, mine)}?${field}=${value}`, caller);
      assertRefused(answer, "invalid_request", `${field}=${value}`);
      assert.equal(answer.body.details[0].path, field);
    }
    for (const query of ["limit=1", "limit=100"]) {
      const answer = await send(name, `${pathOf(name, mine)}?${query}`, caller);
      assert.equal(answer.status, 200, JSON.stringify(answer.body));
    }
  });
}

// What takes CSV has tests of its own.
const WITH_BODY = NAMES.filter((name) => {
  const { body, takes_csv }: Route = ROUTES[name];
  return body !== undefined && takes_csv !== true;
});
for (const name of WITH_BODY) {
  const is_linkme = ["SDK", "Links"].includes(ROUTES[name].tag);

  test(`${name} refuses bodies that are not what it takes, and never with 500`, async () => {
    const url = pathOf(name, mine);
    for (const [what, body, headers, code] of [
      ["broken JSON", '{"a":', {}, "invalid_request"],
      ["a raw NUL", '{"a":"\u0000"}', {}, "invalid_request"],
      ["an escaped NUL", '{"name":"a\\u0000"}', {}, "invalid_request"],
      ["a lone surrogate", '{"name":"\\ud800"}', {}, "invalid_request"],
      ["a prototype key", '{"__proto__":{"x":1}}', {}, "invalid_request"],
      ["invalid UTF-8", Buffer.from([0x22, 0xff, 0x22]), {}, "invalid_request"],
      ["an array", "[]", {}, "invalid_request"],
      ["a text", '"x"', {}, "invalid_request"],
      ["a number", "1", {}, "invalid_request"],
      ["null", "null", {}, "invalid_request"],
      ["nesting without end", "[".repeat(100_000), {}, "invalid_request"],
      ["a form", "a=1", { "content-type": "application/x-www-form-urlencoded" }, "unsupported_media_type"],
      ["text", "{}", { "content-type": "text/plain" }, "unsupported_media_type"],
      ["no content type", "{}", { "content-type": "" }, "unsupported_media_type"],
      ["a compressed body", gzipSync("{}"), { "content-encoding": "gzip" }, "unsupported_media_type"],
      ["a body of two codings", gzipSync("{}"), { "content-encoding": "identity, BR" }, "unsupported_media_type"],
      ["more than 1 MiB", JSON.stringify({ name: "a".repeat(1024 * 1024) }), {}, "too_large"],
    ] as const) {
      assertRefused(await send(name, url, { headers }, body), code, what);
    }
    if (is_linkme) return;
    const answer = await send(name, url, {}, { ...Object(BODIES[name]), surprise: 1 });
    assertRefused(answer, "invalid_request", "an unknown field");
    assert.deepEqual(
      answer.body.details.map(({ path }: { path: string }) => path),
      ["surprise"],
    );
    assert.match(answer.body.details[0].message, /^unknown field: (accepted (is|are) \w|none is taken here$)/);
  });
}

test("calls that take no body accept an empty one with a JSON content type, and refuse another", async () => {
  const headers = { "content-type": "application/json" };
  const url = pathOf("retryDelivery", mine);
  assert.equal((await api.call("POST", url, undefined, { headers })).status, 202);
  assert.equal((await api.call("POST", url, "")).status, 202);
  assert.equal((await api.call("POST", url, {})).status, 202);
  assertRefused(await api.call("POST", url, { event: "x" }), "invalid_request", "a body for nothing");
  assertRefused(await api.call("GET", "/api/apps/none", undefined, { headers }), "not_found", "GET");
  assertRefused(await api.call("DELETE", "/api/keys/none", undefined, { headers }), "not_found", "DELETE");
  assert.equal((await api.call("POST", pathOf("testWebhook", mine), undefined, { headers })).status, 202);
  assertRefused(await api.call("POST", "/api/apps", undefined, { headers }), "invalid_request", "a missing body");
});

test("an address or a method that is not in the table is not found, with the methods that are", async () => {
  for (const [method, url, hint] of [
    ["PUT", "/api/apps", /It answers POST, GET/],
    ["DELETE", "/api/health", /It answers GET/],
    ["GET", "/api/nothing", /\/docs/],
    ["POST", "/api", /\/docs/],
    ["GET", "/api/apps/", /./],
    ["OPTIONS", "/api/apps", /./],
  ] as const) {
    const answer = await api.call(method, url);
    assertRefused(answer, "not_found", url);
    assert.match(answer.body.message, hint);
  }
});

test("web pages of any origin reach the SDK endpoints and the public keys, and nothing else", async () => {
  const origin = { origin: "https://shop.example", "access-control-request-method": "POST" };
  for (const name of NAMES) {
    const url = pathOf(name, mine);
    const preflight = await api.call("OPTIONS", url, undefined, { token: null, headers: origin });
    const answer = await send(name, `${url}?surprise=1`, { token: null, headers: origin });
    const is_sdk = ROUTES[name].scope === "sdk";
    assert.equal(preflight.status, is_sdk ? 204 : 404, name);
    for (const { headers } of [preflight, answer]) {
      // The keys are read by a plain GET, before which no browser asks.
      const is_open = is_sdk || (name === "getSigningKeys" && headers === answer.headers);
      assert.equal(headers["access-control-allow-origin"], is_open ? "*" : undefined, name);
      assert.equal(headers["access-control-allow-credentials"], undefined);
      assert.equal(headers["x-content-type-options"], "nosniff");
    }
    if (is_sdk) {
      const allowed = "Accept, Content-Type, x-app-id, x-api-key, x-linkme-device";
      assert.equal(preflight.headers["access-control-allow-headers"], allowed);
    }
  }
});

test("an app's own key gets the documented status, and an answer of the documented shape, from every route", async () => {
  // What is part of something goes before it.
  const last = (name: RouteName) => (ROUTES[name].method === "DELETE" ? 10 - ROUTES[name].path.split("/").length : 0);
  const names = MANAGED.filter((name) => ROUTES[name].scope !== "admin").sort((a, b) => last(a) - last(b));
  for (const name of names) {
    const route: Route = ROUTES[name];
    for (const before of BEFORE[name] ?? []) await send(before, pathOf(before, theirs), { token: theirs.key });
    const answer = await send(name, pathOf(name, theirs), { token: theirs.key, streams: route.streams });
    assert.equal(answer.status, route.status, `${name}: ${JSON.stringify(answer.body)}`);
    if (route.streams) assert.equal(answer.headers["content-type"], "text/event-stream", name);
    else if (route.answer === null) assert.equal(answer.body, "", name);
    else route.answer.parse(answer.body);
    assert.equal(answer.headers["cache-control"], "no-store");
  }
  const name = "deleteApp";
  assertRefused(await send(name, pathOf(name, theirs), { token: theirs.key }), "forbidden", "deleting the own app");
  assert.equal((await send(name, pathOf(name, theirs))).status, 204);
  assertRefused(await send("listEvents", pathOf("listEvents", theirs), { token: theirs.key }), "unauthorized", "after");
});

test("a server key sees its own app alone in the list of apps", async () => {
  const { body } = await api.call("GET", "/api/apps", undefined, { token: mine.key });
  assert.deepEqual(
    body.items.map(({ id }: { id: string }) => id),
    [mine.app_id],
  );
});

test("an id that two apps gave is one event of each: the operator says of which, a key sees its own", async () => {
  const id = "019c1363-95eb-7000-8197-52ec64a7690b";
  const other = await createTenant(api, ENDPOINT);
  for (const [tenant, n] of [
    [mine, 1],
    [other, 2],
  ] as const) {
    const body = { id, event: "link.click", data: { n } };
    assert.equal((await api.call("POST", `/api/apps/${tenant.app_id}/events`, body)).status, 202);
  }
  for (const tenant of [mine, other]) {
    const named = await api.call("GET", `/api/events/${id}?app_id=${tenant.app_id}`);
    assert.equal(named.body.app_id, tenant.app_id);
    const own = await api.call("GET", `/api/events/${id}`, undefined, { token: tenant.key });
    assert.equal(own.body.app_id, tenant.app_id);
  }
  const foreign = await api.call("GET", `/api/events/${id}?app_id=${other.app_id}`, undefined, { token: mine.key });
  assertRefused(foreign, "not_found", "another app's event");
});

for (const list of ["events", "deliveries"] as const) {
  test(`a range of ${list} that ends before it begins is refused by its field`, async () => {
    const owner = list === "events" ? `/api/apps/${mine.app_id}` : `/api/webhooks/${mine.ids["/api/webhooks/{id}"]}`;
    const answer = await api.call("GET", `${owner}/${list}?since=2026-02-01T00:00:00Z&until=2026-01-01T00:00:00Z`);
    assertRefused(answer, "invalid_request", list);
    assert.equal(answer.body.details[0].path, "since");
  });
}
