// How often somebody may call, over HTTP with few calls a minute, and by the clock without it.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ROUTES } from "#contract/routes.ts";
import { openApi } from "../../test/support/api.ts";
import { send } from "../../test/support/sdk.ts";
import { AppError } from "../errors.ts";
import { createRateLimits } from "./rate-limits.ts";

const FEW = {
  LINKME_CLAIMS_PER_MINUTE: "2",
  LINKME_APP_EVENTS_PER_MINUTE: "3",
  LINKME_CALLS_PER_MINUTE: "3",
  LINKME_TRUSTED_PROXIES: "127.0.0.0/8",
};
const MISSES: [string, string, object | undefined][] = [
  ["GET", "/api/deeplink?cid=0123456789abcdef", undefined],
  ["HEAD", "/api/deeplink?cid=0123456789abcdef", undefined],
  ["POST", "/api/deeplink/resolve-url", { url: "https://foreign.example/x" }],
  ["POST", "/api/deferred/claim", { platform: "ios" }],
  ["POST", "/api/install-referrer", { referrer: "utm_source=x" }],
];

test("claims of one network are counted together, whatever endpoint they use, and others are not kept waiting", async () => {
  const api = await openApi(FEW);
  const headers = { "x-app-id": await api.createApp() };
  for (const [index, [method, url, body]] of MISSES.entries()) {
    const ask = (ip: string) => send(api, method, url, body, { headers, ip });
    const ip = `203.0.113.${index}`;
    for (let call = 0; call < 2; call++) assert.equal((await ask(ip)).status, 404, url);
    const late = await ask(ip);
    assert.equal(late.status, 429, url);
    const wait = Number(late.headers["retry-after"]);
    assert.ok(wait >= 1 && wait <= 30, `${wait} s`);
    assert.equal(late.headers["access-control-allow-origin"], "*", "a web page can read it");
    if (method !== "HEAD") assert.equal(late.body.error, "rate_limited");
  }
  const [, , , claim = ["", "", {}]] = MISSES;
  for (const ip of ["203.0.113.0", "203.0.113.1"]) {
    assert.equal(
      (await send(api, claim[0], claim[1], claim[2], { headers, ip })).status,
      429,
      "the other endpoints too",
    );
  }
  const preflight = { origin: "https://w.example", "access-control-request-method": "POST" };
  const asked = await send(api, "OPTIONS", claim[1], undefined, { headers: preflight, ip: "203.0.113.0" });
  assert.equal(asked.status, 204, "a preflight is no claim");
});

test("all addresses of a /64 are one network, and who is behind a proxy is told by the proxy alone", async () => {
  const api = await openApi(FEW);
  const headers = { "x-app-id": await api.createApp() };
  const ask = async (ip: string) => (await send(api, "POST", "/api/deferred/claim", {}, { headers, ip })).status;
  assert.deepEqual([await ask("2001:db8:0:1::1"), await ask("2001:db8::1:aaaa:0:0:2")], [404, 404]);
  assert.equal(await ask("2001:db8:0:1:ffff::3"), 429);
  assert.equal(await ask("2001:db8:0:2::1"), 404);
  const bare = await openApi({ ...FEW, LINKME_TRUSTED_PROXIES: "" });
  const app = { "x-app-id": await bare.createApp() };
  const statuses: number[] = [];
  for (const ip of ["203.0.113.1", "203.0.113.2", "203.0.113.3"]) {
    statuses.push((await send(bare, "POST", "/api/deferred/claim", {}, { headers: app, ip })).status);
  }
  assert.deepEqual(statuses, [404, 404, 429], "what anybody may write into a header frees nobody");
});

test("app events have a limit of their own", async () => {
  const api = await openApi(FEW);
  const headers = { "x-app-id": await api.createApp() };
  const report = async () => (await send(api, "POST", "/api/app-events", { type: "x" }, { headers })).status;
  assert.deepEqual([await report(), await report(), await report(), await report()], [204, 204, 204, 429]);
  assert.equal((await send(api, "POST", "/api/deferred/claim", {}, { headers })).status, 404);
});

test("a server key is limited by itself; ingest and the operator are not", async () => {
  const api = await openApi(FEW);
  const app_id = await api.createApp();
  const token = await api.createKey(app_id, { can_write: true });
  const another = await api.createKey(app_id);
  const list = async (bearer: string) => api.call("GET", `/api/apps/${app_id}/events`, undefined, { token: bearer });
  for (let call = 0; call < 3; call++) assert.equal((await list(token)).status, 200);
  const late = await list(token);
  assert.deepEqual([late.status, late.body.error], [429, "rate_limited"]);
  assert.ok(Number(late.headers["retry-after"]) <= 20);
  assert.equal((await list(another)).status, 200);
  const event = { event: "link.app_open", data: {} };
  for (let call = 0; call < 5; call++) {
    assert.equal((await api.call("POST", `/api/apps/${app_id}/events`, event, { token })).status, 202);
    assert.equal((await api.call("GET", "/api/apps")).status, 200);
  }
  const unknown = await api.call("GET", `/api/apps/${app_id}/events`, undefined, { token: `sk_${"x".repeat(43)}` });
  assert.equal(unknown.status, 401, "what is no key has no bucket");
});

test("keys that were made with a key are counted as that one, over however many, and when it is gone", async () => {
  const api = await openApi(FEW);
  const app_id = await api.createApp();
  const keys = `/api/apps/${app_id}/keys`;
  const input = { kind: "server", can_read: false };
  const { body: first } = await api.call("POST", keys, input);
  const { body: second } = await api.call("POST", keys, input, { token: first.key });
  const { body: third } = await api.call("POST", keys, input, { token: second.key });
  assert.equal((await api.call("DELETE", `/api/keys/${first.id}`, undefined, { token: third.key })).status, 204);
  for (const token of [second.key, third.key])
    assert.equal((await api.call("POST", keys, input, { token })).status, 429);
  const { body: another } = await api.call("POST", keys, input);
  assert.equal((await api.call("POST", keys, input, { token: another.key })).status, 201, "of the operator's own");
});

test("a bucket fills with time, and 0 is no limit", () => {
  const clock = { at: 1_700_000_000_000 };
  const access = { app_scope: null, key: null };
  const few = createRateLimits(
    { claims_per_minute: 60, app_events_per_minute: 0, calls_per_minute: 0 },
    () => clock.at,
  );
  const ask = (name: "claimDeferred" | "recordAppEvent") =>
    few.admit(name, ROUTES[name], { access, ip: "203.0.113.7" });
  for (let call = 0; call < 60; call++) ask("claimDeferred");
  const refused = (error: unknown) => error instanceof AppError && error.retry_after_seconds === 1;
  assert.throws(() => ask("claimDeferred"), refused);
  clock.at += 1_000;
  ask("claimDeferred");
  assert.throws(() => ask("claimDeferred"), refused);
  for (let call = 0; call < 10_000; call++) ask("recordAppEvent");
});
