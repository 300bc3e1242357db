// What the API says of its own accord to somebody who looks for what is wrong. Nothing dispatches here.
import assert from "node:assert/strict";
import { test } from "node:test";
import { openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { sql } from "../platform/sql.ts";

const LATE_MS = 61_000;

async function openShop(env: Record<string, string> = {}) {
  const api = await openApi(env);
  const url = `/api/apps/${await api.createApp()}`;
  return { api, url };
}

async function pathsOf(api: TestApi, method: string, url: string, body: object): Promise<string[]> {
  const answer = await api.call(method, url, body);
  assert.deepEqual([answer.status, answer.body.error], [400, "invalid_request"]);
  return answer.body.details.map(({ path }: { path: string }) => path).sort();
}

test("what is wrong with a URL is told together with the other fields, unless a name has to be looked up for it", async () => {
  const { api, url } = await openShop();
  const webhook = (await api.call("POST", `${url}/webhooks`, { url: "https://example.com/", events: ["link.click"] }))
    .body;
  const calls = [
    ["POST", `${url}/webhooks`, { events: [] }, "events"],
    ["PATCH", `/api/webhooks/${webhook.id}`, { timeout_ms: 1 }, "timeout_ms"],
    ["POST", `${url}/webhooks/check`, { event: "x" }, "event"],
  ] as const;
  for (const [method, path, wrong, field] of calls) {
    for (const target of [
      "ftp://example.com/",
      "x",
      "http://example.com/",
      "https://127.0.0.1/",
      "https://localhost/",
    ]) {
      assert.deepEqual(await pathsOf(api, method, path, { ...wrong, url: target }), [field, "url"].sort(), target);
    }
    assert.deepEqual(await pathsOf(api, method, path, { ...wrong, url: "https://name.invalid/" }), [field]);
  }
});

test("where plain http is allowed, a name is not looked up for a body that is refused anyhow", async () => {
  const { api, url } = await openShop({ LINKME_EGRESS_ALLOW: "10.0.0.0/8" });
  const wrong = (target: string) => pathsOf(api, "POST", `${url}/webhooks`, { events: [], url: target });
  assert.deepEqual(await wrong("http://name.invalid/"), ["events"]);
  assert.deepEqual(await wrong("http://10.0.0.1/"), ["events"]);
  assert.deepEqual(await wrong("http://127.0.0.1/"), ["events", "url"]);
});

const REFUSED_URLS: [target: string, allow: string, named: string][] = [
  ["https://127.0.0.1/", "", "127.0.0.0/8"],
  ["http://localhost:3000/in", "", "127.0.0.0/8,::1"],
  ["http://localhost:3000/in", "::1", "…,127.0.0.0/8"],
  ["http://10.1.2.3/", "127.0.0.0/8", "…,10.1.2.3"],
];

for (const [target, allow, named] of REFUSED_URLS) {
  test(`${target} with "${allow}" allowed is refused with the value that allows it, and then accepted`, async () => {
    const { api, url } = await openShop({ LINKME_EGRESS_ALLOW: allow });
    const good = { url: "https://example.com/", events: ["link.click"] };
    const { id } = (await api.call("POST", `${url}/webhooks`, good)).body;
    for (const [method, path, body] of [
      ["POST", `${url}/webhooks`, { events: ["link.click"] }],
      ["PATCH", `/api/webhooks/${id}`, {}],
      ["POST", `${url}/webhooks/check`, { event: "link.click" }],
    ] as const) {
      const { body: answer } = await api.call(method, path, { ...body, url: target });
      const [detail] = answer.details;
      assert.ok(detail.message.includes(`start the server again with LINKME_EGRESS_ALLOW=${named}`), detail.message);
    }
    const again = await openShop({ LINKME_EGRESS_ALLOW: named.replace("…", allow) });
    const created = await again.api.call("POST", `${again.url}/webhooks`, { ...good, url: target });
    assert.equal(created.status, 201, JSON.stringify(created.body));
  });
}

test("what is due and taken by nobody says so, in the list, the delivery, the fate and at the webhook", async () => {
  const { api, url } = await openShop();
  const webhook = (await api.call("POST", `${url}/webhooks`, { url: "https://example.com/", events: ["link.click"] }))
    .body;
  const { accepted } = (await api.call("POST", `${url}/events`, { event: "link.click", data: {} })).body;
  const list = async () => (await api.call("GET", `/api/webhooks/${webhook.id}/deliveries`)).body.items[0];
  const fate = async () => (await api.call("GET", `/api/events/${accepted[0]}`)).body.fates[0];
  const steps = async () => [
    (await api.call("GET", `/api/webhooks/${webhook.id}`)).body.next_step,
    (await api.call("GET", `${url}/webhooks`)).body.items[0].next_step,
    (await api.call("PATCH", `/api/webhooks/${webhook.id}`, { description: "x" })).body.next_step,
  ];
  assert.deepEqual([(await list()).reason, (await fate()).next_step, ...(await steps())], Array(5).fill(null));
  await api.db.query(sql`update destinations set state_changed_at = state_changed_at - ${LATE_MS}`);
  assert.deepEqual(await steps(), Array(3).fill(null));
  await api.db.query(sql`update deliveries set due_at = due_at - ${LATE_MS}, created_at = created_at - ${LATE_MS}`);
  const overdue = /^It is due since \S+Z, and nothing has taken it: no process with the role dispatcher runs, or /;
  const shown = await list();
  assert.match(shown.reason, overdue);
  assert.equal((await api.call("GET", `/api/deliveries/${shown.id}`)).body.reason, shown.reason);
  const { reason, next_step } = await fate();
  assert.equal(reason, shown.reason);
  assert.match(next_step, /^See that a process with the role dispatcher runs/);
  for (const step of await steps()) {
    assert.match(
      step,
      /^Deliveries are due since \S+Z, and nothing has taken them\. See that a process with the role dispatcher runs/,
    );
  }
});

forEachEngine((engine) => {
  test("with no process that dispatches, a webhook with something due says that one has to be started", async () => {
    const { api, url } = await openShop({ DATABASE_URL: await engine.address() });
    const input = { url: "https://example.com/", events: ["link.click"] };
    const { id } = (await api.call("POST", `${url}/webhooks`, input)).body;
    await api.call("POST", `${url}/events`, { event: "link.click", data: {} });
    await api.db.query(sql`update destinations set state_changed_at = state_changed_at - ${LATE_MS}`);
    await api.db.query(sql`update deliveries set due_at = due_at - ${LATE_MS}, created_at = created_at - ${LATE_MS}`);
    const { next_step } = (await api.call("GET", `/api/webhooks/${id}`)).body;
    // With SQLite a process that does not deliver knows nothing of one that does.
    const step = engine.name === "sqlite" ? "See that a process" : "Start a process";
    assert.match(
      next_step,
      new RegExp(`^Deliveries are due since .* ${step} with the role dispatcher .*\\(LINKME_ROLE\\)`),
    );
  });
});

test("a test event that fails says what to do about it by itself: the webhook is as well as it was", async () => {
  const { api, url } = await openShop();
  const webhook = (await api.call("POST", `${url}/webhooks`, { url: "https://example.com/", events: ["link.click"] }))
    .body;
  const { event_id, delivery_id } = (await api.call("POST", `/api/webhooks/${webhook.id}/test`)).body;
  await api.db.query(sql`update deliveries set state = 'failed', attempt = 1, failures = 1, due_at = null, leased = 0`);
  await api.db.query(sql`insert into attempts (destination_id, position, number, trigger, started_at, duration_ms, outcome,
      status_code, error, response_headers, response_snippet, response_truncated)
    select destination_id, position, 1, 'test', created_at, 5, 'refused', 404, 'The receiver answered 404.', '{}', '', 0
    from deliveries`);
  const { attempts } = (await api.call("GET", `/api/deliveries/${delivery_id}`)).body;
  const step = "Correct the path of the URL, or add the route to the receiver.";
  assert.equal(attempts[0].next_step, step);
  const { fates } = (await api.call("GET", `/api/events/${event_id}`)).body;
  assert.equal(fates[0].next_step, `${step} Then send it again with POST /api/deliveries/${delivery_id}/retry.`);
  assert.equal((await api.call("GET", `/api/webhooks/${webhook.id}`)).body.next_step, null);
});

test("a webhook whose secret cannot be read says how it gets a new one, and a refusal does not promise that waiting helps", async () => {
  const { api, url } = await openShop();
  const webhook = (await api.call("POST", `${url}/webhooks`, { url: "https://example.com/", events: ["link.click"] }))
    .body;
  const { accepted } = (await api.call("POST", `${url}/events`, { event: "link.click", data: {} })).body;
  await api.db.query(sql`update destinations set secrets = replace(secrets, 'v1.', 'v1.0')`);
  await api.call("PATCH", `/api/webhooks/${webhook.id}`, { description: "read anew" });
  const cure = new RegExp(`POST /api/webhooks/${webhook.id}/secret/revoke makes a new secret`);
  const shown = (await api.call("GET", `/api/webhooks/${webhook.id}`)).body;
  assert.match(shown.state_reason, cure);
  assert.match(shown.next_step, cure);
  assert.match((await api.call("GET", `/api/events/${accepted[0]}`)).body.fates[0].next_step, cure);
  const secret = await api.call("GET", `/api/webhooks/${webhook.id}/secret`);
  assert.deepEqual([secret.status, secret.body.error, secret.headers["retry-after"]], [409, "conflict", undefined]);
  assert.match(secret.body.message, /secret\/revoke makes a new secret\.$/);
  assert.equal((await api.call("POST", `/api/webhooks/${webhook.id}/secret/revoke`)).status, 200);
  const after = (await api.call("GET", `/api/webhooks/${webhook.id}`)).body;
  assert.deepEqual([after.state_reason, after.next_step], [null, null]);
  await api.db.query(sql`update deliveries set reason = ${shown.state_reason}`);
  const told = (await api.call("GET", `/api/webhooks/${webhook.id}/deliveries`)).body.items[0];
  assert.match(told.reason, /^An attempt found settings of the webhook .* It can read them again\./);
  assert.equal((await api.call("GET", `/api/deliveries/${told.id}`)).body.reason, told.reason);
});

test("turned on with recovery, a webhook says what that sends and what has failed beside it, which it does not send", async () => {
  const { api, url } = await openShop();
  const input = { url: "https://example.com/", events: ["link.click"], retry_schedule: [] };
  const webhook = (await api.call("POST", `${url}/webhooks`, input)).body;
  const event = { event: "link.click", data: {} };
  await api.call("POST", `${url}/events`, event);
  await api.db.query(sql`update deliveries set state = 'failed', attempt = 1, failures = 1, due_at = null, leased = 0`);
  const failed =
    /1 delivery has failed for good, and stays failed: send it with POST \S+ \S+"states":\["failed"\]\} when/;
  const off = (await api.call("PATCH", `/api/webhooks/${webhook.id}`, { enabled: false })).body;
  assert.match(off.next_step, failed);
  await api.call("POST", `${url}/events`, event);
  const on = (await api.call("PATCH", `/api/webhooks/${webhook.id}`, { enabled: true, recover: true })).body;
  const { id } = on.recovery;
  const beginning = `The replay ${id} sends what it missed: see how far it is with GET /api/replays/${id}. 1 delivery has `;
  assert.ok(on.next_step.startsWith(beginning), on.next_step);
  assert.match(on.next_step, failed);
});
