// A receiver that goes down under a real server: its webhook is paused, nothing is lost, and it goes on when it is well.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Delivery, DeliveryDetail } from "#contract/deliveries.ts";
import type { Webhook } from "#contract/destinations.ts";
import { startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

const EVENTS = 40;

async function furnish(server: ServerProcess, url: string) {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  const call = async <Body>(method: string, path: string, body?: unknown) => {
    const answer = await server.request<Body>(method, path, body, headers);
    assert.ok(answer.status < 300, JSON.stringify(answer));
    return answer.body;
  };
  const app = await call<{ id: string }>("POST", "/api/apps", { name: "Shop" });
  const settings = {
    url,
    events: ["link.claim"],
    retry_schedule: [0, 1, 1, 1, 1, 1, 1, 1, 600, 600],
    timeout_ms: 2_000,
  };
  const webhook = await call<Webhook>("POST", `/api/apps/${app.id}/webhooks`, settings);
  const show = () => call<Webhook>("GET", `/api/webhooks/${webhook.id}`);
  const send = (data: object) => call("POST", `/api/apps/${app.id}/events`, { event: "link.claim", data });
  const list = async (state: string) =>
    (await call<{ items: Delivery[] }>("GET", `/api/webhooks/${webhook.id}/deliveries?state=${state}&limit=100`)).items;
  return { call, show, send, list };
}

test("a webhook whose receiver is down is paused, says so, and delivers everything once it is well", async () => {
  const receiver = await startReceiver(() => ({ status: 500 }));
  after(() => receiver.close());
  const env = { LINKME_PAUSE_AFTER_FAILURES: "5", LINKME_PAUSE_AFTER_SECONDS: "1" };
  const server = await startServer({ env });
  const { call, show, send, list } = await furnish(server, receiver.url);
  await send({ n: 0 });
  await waitUntil(async () => (await show()).state === "paused", "the webhook to be paused");
  const paused = await show();
  assert.deepEqual([paused.enabled, paused.health.pending], [true, 1]);
  assert.match(paused.state_reason ?? "", /^\d+ attempts in a row have failed since /);
  assert.match(server.stdout(), /"event":"destination\.paused"/);

  // What comes meanwhile is stored and waits, and says why.
  const sent_before = receiver.received.length;
  for (let n = 1; n < EVENTS; n++) await send({ n });
  const waiting = await list("pending");
  assert.equal(waiting.length, EVENTS);
  for (const { next_attempt_at, reason } of waiting) {
    assert.equal(next_attempt_at, null);
    assert.match(reason ?? "", /It waits, for the destination is paused\.$/);
  }
  assert.equal(receiver.received.length, sent_before, "nothing is sent by itself");

  // A person tries one, the receiver is well, and all the others follow.
  receiver.setAnswer(() => ({ status: 204 }));
  const [first] = waiting;
  await call("POST", `/api/deliveries/${first?.id}/retry`);
  await waitUntil(async () => (await list("succeeded")).length === EVENTS, "every delivery to succeed");
  const resumed = await show();
  assert.deepEqual([resumed.state, resumed.state_reason, resumed.health.consecutive_failures], ["active", null, 0]);
  assert.match(server.stdout(), /"event":"destination\.resumed"/);
  // So few never get it to the end of its pace.
  assert.match(resumed.health.limited_because ?? "", /^It goes on after a stop/);
  const delivered = receiver.received.slice(sent_before).map(({ body }) => JSON.parse(body.toString()).data.n);
  assert.deepEqual(
    delivered.sort((a, b) => a - b),
    Array.from({ length: EVENTS }, (_, n) => n),
    "each once",
  );
  const detail = await call<DeliveryDetail>("GET", `/api/deliveries/${first?.id}`);
  assert.equal(detail.attempts.at(-1)?.trigger, "manual");
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test("a webhook that has failed for as long as is set is disabled, and says since when", async () => {
  const receiver = await startReceiver(() => ({ status: 500 }));
  after(() => receiver.close());
  const server = await startServer({ env: { LINKME_DISABLE_AFTER_SECONDS: String(2 * 3_600) } });
  const { show, send } = await furnish(server, receiver.url);
  await send({ n: 0 });
  await waitUntil(async () => (await show()).health.consecutive_failures > 0, "an attempt to fail");
  await server.setClock(3_600_000);
  const failures = (await show()).health.consecutive_failures;
  await send({ n: 1 });
  await waitUntil(async () => (await show()).health.consecutive_failures > failures, "another one to fail");
  assert.notEqual((await show()).state, "disabled", "an hour is not long enough");
  await server.setClock(2 * 3_600_000);
  await send({ n: 2 });
  await waitUntil(async () => (await show()).state === "disabled", "the webhook to be disabled");
  const { state_reason } = await show();
  assert.match(state_reason ?? "", /^No attempt has succeeded since \d{4}-/);
  assert.match(server.stdout(), /"event":"destination\.disabled"/);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
