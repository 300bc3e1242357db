// A receiver that goes down under a real server: its webhook is paused, nothing is lost, and it goes on when it is well.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { Delivery, DeliveryDetail } from "#contract/deliveries.ts";
import type { Webhook } from "#contract/destinations.ts";
import { startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

const EVENTS = 40;
const SIX_DAYS_MS = 6 * 86_400_000;
const PAUSED_SOON = { LINKME_PAUSE_AFTER_FAILURES: "5", LINKME_PAUSE_AFTER_SECONDS: "1" };

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
  const patch = (changes: object) => call<Webhook>("PATCH", `/api/webhooks/${webhook.id}`, changes);
  const show = () => call<Webhook>("GET", `/api/webhooks/${webhook.id}`);
  const send = (data: object) => call("POST", `/api/apps/${app.id}/events`, { event: "link.claim", data });
  const list = async (state: string) =>
    (await call<{ items: Delivery[] }>("GET", `/api/webhooks/${webhook.id}/deliveries?state=${state}&limit=100`)).items;
  return { call, show, patch, send, list };
}

test("a webhook whose receiver is down is paused, says so, and delivers everything once it is well", async () => {
  const receiver = await startReceiver(() => ({ status: 500 }));
  after(() => receiver.close());
  const server = await startServer({ env: PAUSED_SOON });
  const { call, show, send, list } = await furnish(server, receiver.url);
  await send({ n: 0 });
  await waitUntil(async () => (await show()).state === "paused", "the webhook to be paused");
  const paused = await show();
  assert.deepEqual([paused.enabled, paused.health.pending], [true, 1]);
  assert.match(
    paused.state_reason ?? "",
    /^\d+ attempts in a row have failed since \S+Z; the last: The receiver answered 500/,
  );
  assert.match(server.stdout(), /"event":"destination\.paused"/);

  // What comes meanwhile is stored and waits, and says why.
  const sent_before = receiver.received.length;
  for (let n = 1; n < EVENTS; n++) await send({ n });
  const waiting = await list("pending");
  assert.equal(waiting.length, EVENTS);
  for (const { next_attempt_at, reason } of waiting) {
    assert.equal(next_attempt_at, null);
    assert.match(reason ?? "", /It waits, for the webhook is paused: \d+ attempts in a row have failed since /);
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

test("who disables within seconds sees a webhook paused first, and disabled by the first probe that fails", async () => {
  const receiver = await startReceiver(() => ({ status: 500 }));
  after(() => receiver.close());
  const server = await startServer({ env: { LINKME_DISABLE_AFTER_SECONDS: "1" } });
  const { show, send, list } = await furnish(server, receiver.url);
  await send({ n: 0 });
  await waitUntil(async () => (await show()).state === "paused", "the webhook to be paused");
  const disabled = await waitUntil(async () => {
    const webhook = await show();
    return webhook.state === "disabled" && webhook;
  }, "the webhook to be disabled");
  assert.match(disabled.state_reason ?? "", /^No attempt has succeeded since /);
  assert.equal((await list("pending")).length, 1, "nothing is lost");
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test("what was under way when a webhook was paused disables nothing; the first probe that fails does", async () => {
  let held: (() => void)[] | null = null;
  const receiver = await startReceiver(async ({ path }) => {
    await new Promise<void>((resolve) => void (held === null || path !== "/first" ? resolve() : held.push(resolve)));
    return { status: 500 };
  });
  after(() => receiver.close());
  const server = await startServer({ env: { LINKME_PAUSE_AFTER_FAILURES: "5" } });
  const first = await furnish(server, `${receiver.url}/first`);
  const second = await furnish(server, `${receiver.url}/second`);
  const failuresOf = async ({ show }: typeof first) => (await show()).health.consecutive_failures;
  for (const one of [first, second]) {
    await one.patch({ retry_schedule: [], timeout_ms: 30_000, max_in_flight: 50 });
    await one.send({ n: 0 });
    await waitUntil(async () => (await failuresOf(one)) === 1, "an attempt to have failed");
    await one.patch({ retry_schedule: [604_800] });
  }
  await server.setClock(SIX_DAYS_MS);

  held = [];
  const arrived = receiver.received.length + EVENTS + 5;
  await Promise.all(Array.from({ length: EVENTS + 5 }, (_, n) => first.send({ n })));
  await receiver.waitFor(arrived);
  for (const answer of held.splice(0, 5)) answer();
  await waitUntil(async () => (await first.show()).state === "paused", "the webhook to be paused");
  for (const answer of held.splice(0)) answer();
  await waitUntil(async () => (await failuresOf(first)) === EVENTS + 6, "what was under way to have failed");
  // Whoever failed later is looked at later: when this one is paused, the first has been looked at.
  await Promise.all(Array.from({ length: 5 }, (_, n) => second.send({ n })));
  await waitUntil(async () => (await second.show()).state === "paused", "the other one to be paused");
  assert.equal((await first.show()).state, "paused");

  held = null;
  // A change of what it is sent with would bring the probe at once, and begin the five days anew.
  await server.setClock(SIX_DAYS_MS + 60_000);
  await waitUntil(async () => (await first.show()).state === "disabled", "the webhook to be disabled");
  assert.equal(receiver.received.filter(({ path }) => path === "/first").length, EVENTS + 7, "by one probe");
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test("what was under way to the old URL when it was corrected does not pause it, whatever fails after that", async () => {
  const held: (() => void)[] = [];
  const receiver = await startReceiver(async ({ path }) => {
    if (path === "/old") await new Promise<void>((resolve) => void held.push(resolve));
    return { status: 500 };
  });
  after(() => receiver.close());
  const server = await startServer({ env: PAUSED_SOON });
  const { show, patch, send, list } = await furnish(server, `${receiver.url}/old`);
  await patch({ retry_schedule: [604_800], timeout_ms: 30_000, max_in_flight: 50 });
  for (let n = 0; n < 12; n++) await send({ n });
  await receiver.waitFor(12);
  await patch({ url: `${receiver.url}/new` });
  for (const answer of held) answer();
  const haveFailed = async (count: number) =>
    (await list("pending")).filter(
      ({ next_attempt_at, attempt_count }) => attempt_count === 1 && next_attempt_at !== null,
    ).length === count;
  await waitUntil(() => haveFailed(12), "what was under way to have failed");
  assert.equal((await show()).health.consecutive_failures, 0);

  for (let n = 1; n <= 5; n++) {
    await server.setClock(n * 10_000);
    await send({ n });
    await waitUntil(async () => (await show()).health.consecutive_failures === n, "an attempt to have failed");
  }
  await waitUntil(async () => (await show()).state === "paused", "the webhook to be paused");
  assert.match((await show()).state_reason ?? "", /^5 attempts in a row have failed since /);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test("a paused webhook says when it is tried next, and a corrected URL lets it go on by itself", async () => {
  const receiver = await startReceiver(({ path }) => ({ status: path === "/right" ? 204 : 503 }));
  after(() => receiver.close());
  const server = await startServer({ env: PAUSED_SOON });
  const { call, show, patch, send, list } = await furnish(server, `${receiver.url}/wrong`);
  await send({ n: 0 });
  await waitUntil(async () => (await show()).state === "paused", "the webhook to be paused");
  const { health } = await show();
  assert.ok(health.next_probe_at !== null && health.pending === 1, JSON.stringify(health));
  const corrected = await patch({ url: `${receiver.url}/right` });
  assert.ok((corrected.health.next_probe_at ?? "") < health.next_probe_at, JSON.stringify(corrected));
  await waitUntil(async () => (await show()).state === "active", "the webhook to be resumed");
  assert.equal((await show()).health.next_probe_at, null);
  const [delivered] = await list("succeeded");
  const { attempts } = await call<DeliveryDetail>("GET", `/api/deliveries/${delivered?.id}`);
  assert.equal(attempts.at(-1)?.trigger, "probe");
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});
