// Whatever comes in, nothing of it is a 500: valid calls, bent at random places in random ways, from a seed that a failure
// names. A seed that once failed is added to the list and stays.
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { SIGNING_KEYS_PATH } from "#contract/signing-keys.ts";
import { openApi, type TestApi } from "../../test/support/api.ts";
import { bend, bendText, createPicker } from "../../test/support/bending.ts";
import { forEachEngine } from "../../test/support/engines.ts";

const ROUNDS = 150;
const SEEDS = [1, 2, randomInt(2 ** 31)];

const filter = {
  all: [
    { any: [{ path: "platform", in: ["ios", "web"] }, { not: { path: "utm.source", exists: true } }] },
    { path: "data.user.plan", prefix: "pr" },
    { path: "event", equals: "link.click" },
  ],
};
const target = {
  ...{ url: "https://example.com/", events: ["link.click"], headers: { "x-a": "b" }, retry_schedule: [1, 2], filter },
};

/** Refused whatever else is bent, so that no bent call leaves this machine. */
const CHECK = { url: "http://127.0.0.1/", secret: "short" };
const replay = {
  ...{ since: "2026-01-31T09:30:00Z", until: "9999-01-31T09:30:00Z", states: ["failed", "missing"], link_id: "lnk_1" },
  ...{ events: ["link.click", "link.claim"], rate_per_second: 10 },
};

type Calls = readonly [method: string, url: string, body?: object][];

async function validCalls(api: TestApi): Promise<Calls> {
  const url = `/api/apps/${await api.createApp()}`;
  const webhook = (await api.call("POST", `${url}/webhooks`, target)).body;
  await api.call("POST", `${url}/events`, { event: "link.click", data: { link_id: "lnk_1" } });
  await api.call("POST", `${url}/events`, { event: "link.claim", data: { link_id: "lnk_1" } });
  const other = (await api.call("POST", `${url}/webhooks`, { ...target, signature_scheme: "ed25519" })).body;
  const [delivery] = (await api.call("GET", `/api/webhooks/${webhook.id}/deliveries`)).body.items;
  const started = (await api.call("POST", `/api/webhooks/${webhook.id}/replays`, replay)).body;
  const link = (await api.call("POST", `${url}/links`, { slug: "fuzz", deepLink: "x" })).body;
  return [
    [
      "POST",
      "/api/apps",
      { name: "x", android_sha256: [], match_window_seconds: 60, web_fallback_url: "https://x.example" },
    ],
    ["PATCH", url, { name: "x", ios_store_url: "https://x.example", require_api_key: false }],
    ["POST", `${url}/keys`, { kind: "app", label: "x", expires_at: "2199-01-01T00:00:00Z" }],
    ["POST", `${url}/domains`, { hostname: "a.example.com" }],
    ["POST", `${url}/webhooks`, target],
    ["PATCH", `/api/webhooks/${webhook.id}`, { ...target, enabled: true, recover: true }],
    ["POST", `/api/webhooks/${webhook.id}/test`, { event: "link.claim" }],
    ["GET", `/api/webhooks/${webhook.id}/history?limit=5&cursor=WzFd`],
    ["POST", `/api/webhooks/${webhook.id}/secret/rotate`],
    ["POST", `/api/webhooks/${webhook.id}/secret/promote`, { grace_seconds: 60 }],
    ["POST", `/api/webhooks/${webhook.id}/secret/undo`],
    ["POST", `${url}/webhooks/check`, { ...CHECK, headers: { "x-a": "b" }, event: "link.click", forged: true }],
    ["POST", `${url}/webhooks/filter-check`, { filter, event: { event: "link.click", data: { platform: "ios" } } }],
    ["POST", `${url}/webhooks/filter-check`, { filter }],
    ["GET", `${url}/fates?since=2026-01-31T09:30:00Z&until=9999-01-31T09:30:00Z&cursor=WyJhIl0`],
    ["POST", `/api/webhooks/${webhook.id}/replays`, replay],
    ["POST", `/api/webhooks/${webhook.id}/replays`, { ...replay, dry_run: true, target_id: other.id }],
    ["POST", `/api/deliveries/${delivery.id}/resend`, { destination_id: other.id }],
    ["GET", `${SIGNING_KEYS_PATH}?webhook_id=${webhook.id}`],
    ["GET", `/api/webhooks/${webhook.id}/replays?limit=5&cursor=WyJhIl0`],
    ["POST", `/api/replays/${started.id}/pause`],
    ["POST", `/api/replays/${started.id}/resume`, { rate_per_second: 2.5 }],
    ["GET", `/api/replays/${started.id}`],
    ["POST", `${url}/events`, { event: "link.click", data: { link_id: "lnk_1", n: 1 }, ts: "2026-01-31T09:30:00Z" }],
    [
      "POST",
      `${url}/events`,
      {
        events: [
          { event: "link.click", data: { a: [1] } },
          { event: "link.claim", data: {} },
        ],
      },
    ],
    [
      "POST",
      `${url}/links`,
      {
        deepLink: "/a",
        redirects: { ios: "x://y", web: "https://x.example" },
        utm: { utm_source: "a" },
        customData: { a: 1 },
      },
    ],
    ["PATCH", `/api/links/${link.id}`, { deep_link_path: "b", enabled: 1, utm: '{"utm_source":"x"}' }],
    ["POST", "/api/deeplink/resolve-url", { url: "http://127.0.0.1:8080/fuzz?a=b", device: { platform: "ios" } }],
    [
      "POST",
      "/api/deferred/claim",
      { bundleId: "", platform: "ios", device: { osVersion: "17.4", screen: { width: 1 } } },
    ],
    ["POST", "/api/install-referrer", { referrer: "cid=0123456789abcdef&utm_source=x" }],
    ["POST", "/api/app-events", { type: "open", platform: "ios", timestamp: 1, detail: "{}", cid: "0123456789abcdef" }],
    ["GET", `${url}/events?event=link.click&since=2026-01-31T09:30:00Z&limit=5&cursor=WyJhIl0`],
    [
      "GET",
      `/api/webhooks/${webhook.id}/deliveries?state=pending&event_id=1&until=2026-01-31T09:30:00Z&cursor=WyJhIl0`,
    ],
    ["GET", "/api/apps?limit=1&cursor=WzEsImEiXQ"],
    ["GET", "/api/notices?limit=5&cursor=WyJhIl0"],
    ["POST", "/api/notices/test"],
    ["GET", "/api/notices/secret"],
    ["GET", "/api/deeplink?cid=0123456789abcdef"],
    ["GET", "/fuzz?utm_source=a&x=1"],
  ];
}

forEachEngine((engine) => {
  for (const seed of SEEDS) {
    test(`no bent call is answered with 500 (seed ${seed})`, async () => {
      const api = await openApi({ DATABASE_URL: await engine.address() });
      const calls = await validCalls(api);
      const pick = createPicker(seed);
      for (let round = 0; round < ROUNDS; round++) {
        const [method, address, body] = pick(calls);
        const bent = body === undefined ? undefined : bend(structuredClone(body), pick);
        const where = body === undefined || pick([true, false, false]) ? bendText(address, pick) : address;
        const answer = await api.call(method, where, bent);
        const what = `${method} ${where} ${JSON.stringify(bent)?.slice(0, 500)}: ${JSON.stringify(answer.body)}`;
        assert.notEqual(answer.status, 500, what);
        if (answer.status >= 400 && where.startsWith("/api/")) assert.equal(typeof answer.body.error, "string", what);
      }
    });
  }
});
