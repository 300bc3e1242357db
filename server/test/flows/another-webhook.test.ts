// What one webhook could not take is sent to another one, by hand and by a replay, over real processes: the same ids, the
// same bytes, once each, and the first webhook's history and health are what they were.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Delivery } from "#contract/deliveries.ts";
import type { Webhook } from "#contract/destinations.ts";
import type { Replay } from "#contract/replays.ts";
import { createTestDatabase } from "../support/postgres.ts";
import { type ReceivedRequest, startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { createSite, type Hook } from "../support/site.ts";
import { waitUntil } from "../support/wait.ts";

const EVENTS = 300;
const RANGE = { since: "2026-01-01T00:00:00Z", until: "9999-01-01T00:00:00Z" };

for (const engine of ["sqlite", "postgres"] as const) {
  test(`what fails at one webhook reaches another, on ${engine}`, async (t) => {
    const server = await start(t, engine);
    const receiver = await startReceiver(({ path }) => ({ status: path === "/ill" ? 400 : 204 }));
    t.after(() => receiver.close());
    const site = await createSite(server, receiver.url, [
      { path: "/ill", events: ["link.app_open"], settings: { retry_schedule: [] } },
      { path: "/off", events: ["link.claim"], settings: { enabled: false } },
      { path: "/well", events: ["link.claim"] },
    ]);
    const [ill, off, well] = site.hooks;
    assert.ok(ill && off && well);
    const call = createCaller(server);
    const events = Array.from({ length: EVENTS }, (_, n) => ({ event: "link.app_open", data: { n, text: "über 🔗" } }));
    const { accepted } = await call<{ accepted: string[] }>(202, "POST", `/api/apps/${site.app_id}/events`, { events });
    const failed = await waitUntil(async () => {
      const { items } = await call<{ items: Delivery[] }>(200, "GET", `/api/webhooks/${ill.id}/deliveries?limit=100`);
      const { health } = await call<Webhook>(200, "GET", `/api/webhooks/${ill.id}`);
      return health.pending === 0 && items.every(({ state }) => state === "failed") && items;
    }, "everything to fail at the first webhook");
    const before = await stateOf(call, ill, failed);

    const [one] = failed;
    assert.ok(one !== undefined);
    const resend = (hook: Hook) =>
      call<Delivery>(202, "POST", `/api/deliveries/${one.id}/resend`, { destination_id: hook.id });
    const resent = await resend(off);
    await receiver.waitFor(() => at(receiver.received, off).length === 1, "the event at the webhook that is off");
    await waitUntil(
      async () => (await call<Delivery>(200, "GET", `/api/deliveries/${resent.id}`)).state === "succeeded",
      "the delivery to be recorded",
    );
    assert.equal((await resend(off)).id, resent.id);
    await receiver.waitFor(() => at(receiver.received, off).length === 2, "the same event again");
    const { attempts } = await call<{ attempts: { trigger: string }[] }>(200, "GET", `/api/deliveries/${resent.id}`);
    assert.ok(attempts.every(({ trigger }) => trigger === "manual"));
    assert.equal((await call<Webhook>(200, "GET", `/api/webhooks/${off.id}`)).state, "off");

    const asked = { ...RANGE, states: ["failed"], target_id: well.id };
    const replays = `/api/webhooks/${ill.id}/replays`;
    const preview = await call<{ count: number }>(200, "POST", replays, { ...asked, dry_run: true });
    assert.equal(preview.count, EVENTS);
    const { id } = await call<Replay>(202, "POST", replays, asked);
    const done = await waitUntil(async () => {
      const replay = await call<Replay>(200, "GET", `/api/replays/${id}`);
      return replay.state === "done" && replay;
    }, "the replay to be done");
    assert.deepEqual([done.total, done.created, done.succeeded, done.failed], [EVENTS, EVENTS, EVENTS, 0]);

    const first = new Map(at(receiver.received, ill).map((request) => [idOf(request), request.body]));
    const sent = at(receiver.received, well);
    assert.deepEqual(sent.map(idOf).sort(), [...accepted].sort(), "each of them once");
    for (const request of [...sent, ...at(receiver.received, off)]) {
      assert.ok(first.get(idOf(request))?.equals(request.body), "the same bytes");
    }
    assert.equal(at(receiver.received, ill).length, EVENTS, "the first webhook got nothing more");
    assert.deepEqual(await stateOf(call, ill, failed), before);
    assert.doesNotMatch(server.stdout(), /"level":"error"/);
  });
}

const at = (received: readonly ReceivedRequest[], { path }: Hook) => received.filter((one) => one.path === path);
const idOf = ({ headers }: ReceivedRequest) => String(headers["webhook-id"]);

async function start(t: TestContext, engine: "sqlite" | "postgres"): Promise<ServerProcess> {
  const env: Record<string, string> = {};
  if (engine === "postgres") {
    const database = await createTestDatabase();
    t.after(() => database.drop());
    env["DATABASE_URL"] = database.url;
  }
  const server = await startServer({ env });
  t.after(() => server.stop());
  return server;
}

type Call = ReturnType<typeof createCaller>;

function createCaller(server: ServerProcess) {
  const headers = { authorization: `Bearer ${server.admin_token}` };
  return async function call<Body>(
    status: number,
    ...[method, path, body]: [method: string, path: string, body?: object]
  ): Promise<Body> {
    const answer = await server.request<Body>(method, path, body, headers);
    assert.equal(answer.status, status, JSON.stringify(answer.body));
    return answer.body;
  };
}

/** What must not change: the webhook with its health, and its deliveries with their attempts. */
async function stateOf(call: Call, { id }: Hook, deliveries: readonly Delivery[]) {
  const { health, ...settings } = await call<Webhook>(200, "GET", `/api/webhooks/${id}`);
  // What a process lets through at present is forgotten when there is nothing more to send.
  const { concurrency_limit: _, rate_limit_per_second: __, ...kept } = health;
  const webhook = { ...settings, health: kept };
  const first = await call(200, "GET", `/api/deliveries/${deliveries[0]?.id}`);
  const list = await call(200, "GET", `/api/webhooks/${id}/deliveries?limit=100`);
  return { webhook, first, list };
}
