// Field by field, what the management API refuses, and how it names the field. Sentences of the tables are the contract's.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ENVELOPE_MAX_BYTES } from "#contract/events.ts";
import { openApi } from "../../test/support/api.ts";

const api = await openApi();
const app_id = await api.createApp();
const ENDPOINT = "https://example.com/webhooks";
const webhook = (await api.call("POST", `/api/apps/${app_id}/webhooks`, { url: ENDPOINT, events: ["link.click"] }))
  .body;

/** A base that is accepted, and what is put into it: one case is one line. */
interface Table {
  method: string;
  url: string;
  base: Record<string, unknown>;
  status: number;
  refused: readonly [field: string, value: unknown, path?: string][];
  accepted: readonly [field: string, value: unknown][];
}

const SETTINGS_REFUSED: Table["refused"] = [
  ["name", ""],
  ["name", "   "],
  ["name", "a".repeat(101)],
  ["name", 5],
  ["ios_team_id", "abc"],
  ["ios_store_url", "apps.apple.com/x"],
  ["android_store_url", "market://details"],
  ["web_fallback_url", "javascript:alert(1)"],
  ["web_fallback_url", `https://x.example/${"a".repeat(2_048)}`],
  ["android_sha256", ["AA"], "android_sha256.0"],
  ["android_sha256", "AA"],
  ["require_api_key", 1],
  ["require_api_key", "true"],
  ["analytics_consent", 1],
  ["analytics_consent", null],
  ["match_window_seconds", 59],
  ["match_window_seconds", 86_401],
  ["match_window_seconds", 60.5],
  ["match_window_seconds", "3600"],
  ["event_retention_days", 0],
  ["event_retention_days", 3_651],
  ["event_retention_days", 1.5],
  ["delivery_retention_days", 0],
  ["delivery_retention_days", "30"],
  ["ios_enable_pasteboard", null],
  ["cid_on_web_fallback", 1],
  ["created_at", "2026-01-31T09:30:00.000Z"],
  ["require_api_keys", true],
];

const WEBHOOK_REFUSED: Table["refused"] = [
  ["url", ""],
  ["url", 7],
  ["url", null],
  ["url", "example.com"],
  ["url", "http://example.com/"],
  ["url", "ftp://example.com/"],
  ["url", "https://127.0.0.1/"],
  ["url", "https://[::1]/"],
  ["url", "https://169.254.169.254/latest"],
  ["url", "https://10.0.0.5/"],
  ["url", "https://2130706433/"],
  ["url", "https://user:secret@example.com/"],
  ["url", "https://example.com\\@evil.example/"],
  ["url", `https://example.com/${"a".repeat(2_048)}`],
  ["headers", { "X-Part": "1", "x-part": "2" }],
  ["events", []],
  ["events", "link.click"],
  ["events", ["link.clicked"], "events.0"],
  ["events", ["link.click", 4], "events.1"],
  ["description", 4],
  ["description", "a".repeat(2_001)],
  ["enabled", 1],
  ["signing", "yes"],
  ["retry_schedule", 5],
  ["retry_schedule", [-1], "retry_schedule.0"],
  ["retry_schedule", [1.5], "retry_schedule.0"],
  ["retry_schedule", [604_801], "retry_schedule.0"],
  ["retry_schedule", Array.from({ length: 25 }, () => 1)],
  ["timeout_ms", 999],
  ["timeout_ms", 60_001],
  ["timeout_ms", "15000"],
  ["max_in_flight", 0],
  ["max_in_flight", 1_001],
  ["rate_per_second", 0],
  ["rate_per_second", -1],
  ["retry_on", "always"],
  ["filter", "ios"],
  ["filter", {}],
  ["filter", { path: "platform", equals: "symbian" }, "filter.equals"],
  [
    "filter",
    {
      all: [
        { path: "platform", equals: "ios" },
        { path: "dat.a", exists: true },
      ],
    },
    "filter.all.1.path",
  ],
  ["filter", { any: [{ not: { path: "data.a", prefix: 5 } }] }, "filter.any.0.not.prefix"],
  ["filter", { path: "data.a", equals: 1, or: [] }, "filter.or"],
  ["ordering", "event"],
  ["headers", []],
  ["headers", { "X-Linkme-Signature": "x" }, "headers.X-Linkme-Signature"],
  ["headers", { "Content-Length": "1" }, "headers.Content-Length"],
  ["headers", { "a b": "x" }, "headers.a b"],
  ["headers", { ok: "line\r\nInjected: 1" }, "headers.ok"],
  ["headers", { ok: 5 }, "headers.ok"],
  ["headers", Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`x-${index}`, "v"]))],
  ["signing_secret", "whsec_mine"],
  ["state", "active"],
];

const WEBHOOK_ACCEPTED: Table["accepted"] = [
  ["retry_schedule", []],
  ["retry_schedule", [0, 604_800]],
  ["timeout_ms", 1_000],
  ["timeout_ms", 60_000],
  ["max_in_flight", 1_000],
  ["rate_per_second", null],
  ["retry_on", "any_failure"],
  ["ordering", "link"],
  ["signing", false],
  ["enabled", false],
  ["headers", { Authorization: "Bearer x" }],
  ["url", "https://example.com:8443/a?b=c"],
];

const TABLES: Table[] = [
  {
    method: "POST",
    url: "/api/apps",
    base: { name: "App" },
    status: 201,
    refused: [
      ...SETTINGS_REFUSED,
      ["id", ""],
      ["id", "-x"],
      ["id", "a b"],
      ["id", "a/b"],
      ["id", "a".repeat(65)],
      ["id", 5],
    ],
    accepted: [
      ["name", "Größe 👟"],
      ["android_sha256", [Array.from({ length: 32 }, () => "AB").join(":")]],
      ["ios_team_id", "ABCDE12345"],
      ["match_window_seconds", 86_400],
      ["event_retention_days", 1],
      ["event_retention_days", null],
      ["delivery_retention_days", 3_650],
      ["web_fallback_url", null],
      ["id", "Shop-1_x"],
    ],
  },
  {
    method: "PATCH",
    url: `/api/apps/${app_id}`,
    base: {},
    status: 200,
    refused: [...SETTINGS_REFUSED, ["id", "new"]],
    accepted: [["name", "New"]],
  },
  {
    method: "POST",
    url: `/api/apps/${app_id}/keys`,
    base: { kind: "app" },
    status: 201,
    refused: [
      ["kind", "admin"],
      ["kind", null],
      ["label", "a".repeat(201)],
      ["can_read", "yes"],
      ["can_write", 1],
      ["expires_at", "tomorrow"],
      ["expires_at", 1_769_851_800],
      ["expires_at", "2026-01-31"],
      ["expires_at", "2020-01-31T09:30:00Z"],
      ["key", "ak_mine"],
    ],
    accepted: [
      ["expires_at", null],
      ["expires_at", "2199-01-31T09:30:00+02:00"],
      ["label", ""],
    ],
  },
  {
    method: "POST",
    url: `/api/apps/${app_id}/domains`,
    base: { hostname: "go.example.com" },
    status: 201,
    refused: [
      ["hostname", "localhost"],
      ["hostname", "https://go.example.com"],
      ["hostname", "go.example.com:443"],
      ["hostname", "go.example.com/x"],
      ["hostname", "1.2.3.4"],
      ["hostname", "0x7f.1"],
      ["hostname", "127.0.0.0x1"],
      ["hostname", "go.example.123"],
      ["hostname", "-a.example.com"],
      ["hostname", `${"a".repeat(64)}.example.com`],
      ["hostname", "*.example.com"],
      ["hostname", ""],
      ["verified", true],
    ],
    accepted: [
      ["hostname", "GO2.Example.com"],
      ["hostname", "0x7f.1.example.com"],
    ],
  },
  {
    method: "POST",
    url: `/api/apps/${app_id}/webhooks`,
    base: { url: ENDPOINT, events: ["link.click"] },
    status: 201,
    refused: WEBHOOK_REFUSED,
    accepted: WEBHOOK_ACCEPTED,
  },
  {
    method: "PATCH",
    url: `/api/webhooks/${webhook.id}`,
    base: {},
    status: 200,
    refused: WEBHOOK_REFUSED,
    accepted: WEBHOOK_ACCEPTED,
  },
  {
    method: "POST",
    url: `/api/webhooks/${webhook.id}/test`,
    base: {},
    status: 202,
    refused: [
      ["event", "link.nothing"],
      ["event", null],
      ["data", []],
      ["data", null],
      ["data", "x"],
      ["datta", {}],
    ],
    accepted: [
      ["event", "link.claim"],
      ["data", {}],
      ["data", { n: 1, test: false }],
    ],
  },
  {
    method: "POST",
    url: `/api/apps/${app_id}/webhooks/check`,
    base: { url: ENDPOINT },
    status: 200,
    refused: [
      ...WEBHOOK_REFUSED.filter(([field]) => ["url", "headers", "timeout_ms"].includes(field)),
      ["headers", { "X-Key": "••••••••" }, "headers.X-Key"],
      ["event", "link.nothing"],
      ["event", null],
      ["forged", "yes"],
      ["forged", 1],
      ["secret", ""],
      ["secret", 5],
      ["secret", "mine"],
      ["secret", "whsec_"],
      ["secret", `whsec_${Buffer.alloc(23).toString("base64")}`],
      ["secret", `whsec_${Buffer.alloc(65).toString("base64")}`],
      ["secret", `whsec_${Buffer.alloc(32).toString("base64")}\n`],
      ["secret", `whsec_${Buffer.alloc(32).toString("base64").slice(0, -1)}`],
      ["secret", Buffer.alloc(32).toString("base64")],
      ["events", ["link.click"]],
      ["signing", true],
    ],
    // What is accepted is sent, to a receiver of its own: checks.test.ts.
    accepted: [],
  },
  {
    method: "POST",
    url: `/api/webhooks/${webhook.id}/secret/promote`,
    base: {},
    // Nothing is staged: past the door, and refused behind it.
    status: 409,
    refused: [
      ["grace_seconds", -1],
      ["grace_seconds", 604_801],
      ["grace_seconds", 1.5],
      ["grace_seconds", "60"],
      ["grace_seconds", null],
      ["signing_secret", "whsec_mine"],
    ],
    accepted: [
      ["grace_seconds", 0],
      ["grace_seconds", 604_800],
    ],
  },
  {
    method: "POST",
    url: `/api/apps/${app_id}/links/bulk`,
    base: { links: [{}] },
    status: 200,
    refused: [
      ["links", []],
      ["links", {}],
      ["links", null],
      ["links", Array.from({ length: 1_001 }, () => ({}))],
      ["app_id", app_id],
    ],
    accepted: [["links", [{ slug: "of-fields" }, 5, null]]],
  },
  {
    method: "POST",
    url: `/api/apps/${app_id}/events`,
    base: { event: "link.click", data: {} },
    status: 202,
    refused: [
      ["event", "link.clicked"],
      ["event", ["link.click"]],
      ["data", null],
      ["data", []],
      ["data", "{}"],
      ["id", "1"],
      ["id", 5],
      ["ts", "yesterday"],
      ["ts", 1_769_851_800],
      ["ts", "2026-02-30T00:00:00Z"],
      ["link_id", "lnk_1"],
      ["events", [{ event: "link.click", data: {} }]],
    ],
    accepted: [
      ["data", { any: { thing: [1, null, "ü"] }, constructor: "x" }],
      ["id", "019A8E2B-6C1E-7A54-9D3F-2B1C4D5E6F70"],
      ["ts", "2026-01-31T09:30:00+01:00"],
    ],
  },
];

for (const { method, url, base, status, refused, accepted } of TABLES) {
  const title = `${method} ${url.replaceAll(/(app|dst)_\w+/g, "{id}")}`;
  for (const [field, value, path = field] of refused) {
    test(`${title} refuses ${field}: ${JSON.stringify(value).slice(0, 60)}`, async () => {
      const answer = await api.call(method, url, { ...base, [field]: value });
      assert.equal(answer.status, 400, JSON.stringify(answer.body));
      assert.equal(answer.body.error, "invalid_request");
      const paths = answer.body.details.map((detail: { path: string }) => detail.path);
      assert.ok(paths.includes(path), `${JSON.stringify(answer.body.details)} names ${path}`);
      assert.ok(answer.body.message.length > path.length);
    });
  }
  for (const [field, value] of accepted) {
    test(`${title} accepts ${field}: ${JSON.stringify(value).slice(0, 60)}`, async () => {
      const answer = await api.call(method, url, { ...base, [field]: value });
      assert.equal(answer.status, status, JSON.stringify(answer.body));
    });
  }
  for (const field of Object.keys(base)) {
    test(`${title} demands ${field}`, async () => {
      const { [field]: _left_out, ...rest } = base;
      const answer = await api.call(method, url, rest);
      assert.equal(answer.status, 400);
      assert.deepEqual(
        answer.body.details.map((detail: { path: string }) => detail.path),
        [field],
      );
    });
  }
}

const ingest = (body: unknown) => api.call("POST", `/api/apps/${app_id}/events`, body);
const event = (data: object = {}) => ({ event: "link.click", data });

test("a batch names the event and the field that is wrong, and stores nothing", async () => {
  const before = (await api.call("GET", `/api/apps/${app_id}/events?limit=100`)).body.items.length;
  for (const [body, path] of [
    [{ events: [] }, "events"],
    [{ events: Array.from({ length: 501 }, () => event()) }, "events"],
    [{ events: [event(), { event: "link.click" }] }, "events.1.data"],
    [{ events: [event(), { event: "link.clicked", data: {} }] }, "events.1.event"],
    [{ events: [event(), { ...event(), surprise: 1 }] }, "events.1.surprise"],
    [{ events: [event()], surprise: 1 }, "surprise"],
    [{ events: [null] }, "events.0"],
    [{ events: event() }, "events"],
    [{}, "event"],
  ] as const) {
    const answer = await ingest(body);
    assert.equal(answer.status, 400, JSON.stringify(answer.body));
    assert.equal(answer.body.details[0].path, path, JSON.stringify(answer.body.details));
  }
  assert.equal((await api.call("GET", `/api/apps/${app_id}/events?limit=100`)).body.items.length, before);
});

test("an envelope over 256 KiB is too large, alone and in a batch, and one just below is not", async () => {
  const fill = (bytes: number) => event({ text: "a".repeat(bytes) });
  for (const body of [fill(ENVELOPE_MAX_BYTES), { events: [event(), fill(ENVELOPE_MAX_BYTES)] }]) {
    const answer = await ingest(body);
    assert.deepEqual([answer.status, answer.body.error], [413, "too_large"]);
  }
  assert.equal((await ingest(fill(ENVELOPE_MAX_BYTES - 500))).status, 202);
  assert.equal((await ingest({ events: Array.from({ length: 500 }, () => event()) })).status, 202);
});
