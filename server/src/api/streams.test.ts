// The live streams over HTTP: headers, limits, and the end of a stream whose key, app or webhook is gone.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { ADMIN_TOKEN, openApi } from "../../test/support/api.ts";
import { createStreamReader } from "../../test/support/stream-reader.ts";
import { waitUntil } from "../../test/support/wait.ts";
import { encodeCursor } from "../platform/cursor.ts";
import { STREAMS_PER_APP_MAX } from "./streams.ts";

const api = await openApi({ LINKME_EGRESS_ALLOW: "127.0.0.0/8" });
const url = await api.server.app.listen({ host: "127.0.0.1", port: 0 });
const admin_token = ADMIN_TOKEN.replaceAll(" ", "-");
const HOOK = { url: "http://127.0.0.1:9/", events: ["link.click"] };

async function openStream(path: string, token = admin_token) {
  const reader = createStreamReader(path, token);
  after(() => reader.close());
  const status = reader.read(url);
  await waitUntil(() => reader.lastId() !== null, "the stream to begin");
  return { reader, status };
}

async function makeWebhook(app_id: string): Promise<string> {
  const { body } = await api.call("POST", `/api/apps/${app_id}/webhooks`, HOOK);
  return body.id;
}

test("an event is on the streams of its app and of its webhook, and on no other", async () => {
  const app_id = await api.createApp();
  const other = await api.createApp();
  const webhook_id = await makeWebhook(app_id);
  const events = await openStream(
    `/api/apps/${app_id}/events/stream`,
    await api.createKey(app_id, { can_write: false }),
  );
  const others = await openStream(`/api/apps/${other}/events/stream`);
  const deliveries = await openStream(`/api/webhooks/${webhook_id}/deliveries/stream`);
  const post = (to: string, n: number) =>
    api.call("POST", `/api/apps/${to}/events`, { event: "link.click", data: { n } });
  const { body } = await post(app_id, 1);
  await post(other, 2);
  await waitUntil(() => events.reader.messages.length + others.reader.messages.length === 2, "both events");
  await waitUntil(() => deliveries.reader.messages.length === 1, "the delivery");
  const stored = await api.call("GET", `/api/apps/${app_id}/events`);
  assert.deepEqual(
    events.reader.messages.map(({ data }) => JSON.parse(data)),
    stored.body.items,
  );
  const list = await api.call("GET", `/api/webhooks/${webhook_id}/deliveries`);
  const change = JSON.parse(deliveries.reader.messages[0]?.data ?? "");
  assert.deepEqual(change, { ...list.body.items[0], change: "created", attempt: null });
  assert.equal(change.event_id, body.accepted[0]);
  await api.call("POST", `/api/deliveries/${change.id}/retry`);
  await api.call("POST", `/api/deliveries/${change.id}/cancel`);
  await waitUntil(() => deliveries.reader.messages.length === 3, "what was done by hand");
  const done = deliveries.reader.messages.map(({ data }) => JSON.parse(data).change);
  assert.deepEqual(done, ["created", "asked_for", "canceled"]);
});

test("a stream is not to be kept by anybody on its way, and HEAD is not answered", async () => {
  const app_id = await api.createApp();
  const path = `/api/apps/${app_id}/events/stream`;
  const { headers } = await api.call("GET", path, undefined, { streams: true });
  assert.equal(headers["content-type"], "text/event-stream");
  assert.equal(headers["cache-control"], "no-store");
  assert.equal(headers["x-accel-buffering"], "no");
  assert.ok(headers["x-request-id"]);
  assert.equal(api.server.app.hasRoute({ method: "HEAD", url: "/api/apps/:app_id/events/stream" }), false);
});

test("an id that is none, a wrong filter and a wrong time are refused by their names", async () => {
  const app_id = await api.createApp();
  const path = `/api/apps/${app_id}/events/stream`;
  for (const [query, headers, field] of [
    ["", { "last-event-id": "x".repeat(2_000) }, "last-event-id"],
    ["", { "last-event-id": "WyJhIl0" }, "last-event-id"],
    // It would be counted up from there, for ever.
    ["", { "last-event-id": encodeCursor([1, "", Number.MIN_SAFE_INTEGER, "", ""]) }, "last-event-id"],
    ["?event=link.clicked", {}, "event"],
    ["?since=yesterday", {}, "since"],
  ] as const) {
    const { status, body } = await api.call("GET", path + query, undefined, { headers });
    assert.deepEqual([status, body.details?.[0]?.path], [400, field]);
  }
});

test("an app has so many streams at a time, and another app has its own", async () => {
  const app_id = await api.createApp();
  const path = `/api/apps/${app_id}/events/stream`;
  const open = await Promise.all(Array.from({ length: STREAMS_PER_APP_MAX }, () => openStream(path)));
  const refused = await api.call("GET", path);
  assert.equal(refused.status, 429);
  assert.equal(refused.body.error, "rate_limited");
  assert.ok(Number(refused.headers["retry-after"]) > 0);
  await openStream(`/api/apps/${await api.createApp()}/events/stream`);
  for (const { reader } of open) reader.close();
  await Promise.all(open.map(({ status }) => status));
  const is_free = async () => (await api.call("GET", path, undefined, { streams: true })).status === 200;
  await waitUntil(is_free, "a place to be free again");
});

test("a stream ends when its key, its webhook or its app is deleted", async () => {
  const app_id = await api.createApp();
  const webhook_id = await makeWebhook(app_id);
  const key = await api.call("POST", `/api/apps/${app_id}/keys`, { kind: "server" });
  const by_key = await openStream(`/api/apps/${app_id}/events/stream`, key.body.key);
  const of_webhook = await openStream(`/api/webhooks/${webhook_id}/deliveries/stream`);
  const of_app = await openStream(`/api/apps/${app_id}/events/stream`);
  await api.call("DELETE", `/api/keys/${key.body.id}`);
  assert.equal(await by_key.status, 200);
  await api.call("DELETE", `/api/webhooks/${webhook_id}`);
  assert.equal(await of_webhook.status, 200);
  await api.call("DELETE", `/api/apps/${app_id}`);
  assert.equal(await of_app.status, 200);
});
