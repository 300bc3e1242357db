// A key pair is rotated while events flow, and no receiver misses one: not one that reads the document of keys, not one
// that is late and knows the first key alone, not one that knows the new one alone once it was promoted, and not one that
// goes on verifying the shared secret. Every webhook has one attempt for each event.
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  createLinkMeKeyReader,
  verifyLinkMeWebhookEd25519 as verify,
  verifyLinkMeWebhookSignature,
} from "../../../sdk/node/src/index.ts";
import { waitUntilDrained } from "../support/drain.ts";
import { type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { createSite, type Hook } from "../support/site.ts";
import { startOnEngine } from "../support/together.ts";

const PATHS = ["/follows", "/late", "/early", "/shared"];
/** Requests that each receiver gets between two steps. */
const STEP_REQUESTS = 20;
const DRAIN_TIMEOUT_MS = 60_000;

for (const engine of ["sqlite", "postgres"] as const) {
  test(`a key pair is rotated under load and fails no delivery, on ${engine}`, async (t) => {
    const servers = await startOnEngine(t, engine);
    const [server] = servers;
    const readers = new Map<string, (request: ReceivedRequest) => boolean | Promise<boolean>>();
    const receiver = await startReceiver(async (request) => {
      return { status: (await readers.get(request.path)?.(request)) === true ? 204 : 401 };
    });
    t.after(() => receiver.close());
    const settings = { retry_schedule: [], signature_scheme: "ed25519" };
    const site = await createSite(
      server,
      receiver.url,
      PATHS.map((path) => ({ path, settings })),
    );
    const [follows, late, early, shared] = site.hooks;
    assert.ok(follows && late && early && shared);
    const reader = createLinkMeKeyReader({ server: server.url, webhookId: follows.id, maxAgeSeconds: 1 });
    const first = new Map<string, string>();
    for (const hook of site.hooks) first.set(hook.path, await currentKey(server, hook));
    const knows = (hook: Hook, keys: string[]) =>
      readers.set(hook.path, ({ body, headers }) => verify(body, headers, keys));
    readers.set(follows.path, ({ body, headers }) => reader.verify(body, headers));
    for (const hook of [late, early]) knows(hook, [first.get(hook.path) ?? ""]);
    readers.set(shared.path, ({ body, headers }) =>
      verifyLinkMeWebhookSignature(body, String(headers["x-linkme-signature"]), shared.secret),
    );

    const load = startLoad(server, site.app_id);
    t.after(load.stop);
    await goOn(receiver);
    for (const hook of [follows, late, early]) {
      const { next_public_key } = await call<{ next_public_key: string }>(server, hook, "rotate");
      assert.match(next_public_key, /^whpk_/);
      if (hook === early) knows(early, [first.get(early.path) ?? "", next_public_key]);
    }
    await goOn(receiver);
    assert.equal((await call<{ ok: boolean }>(server, early, "check")).ok, true);
    assert.equal((await call<{ ok: boolean }>(server, late, "check")).ok, false, "the staged key alone signs a check");
    for (const hook of [follows, late, early]) {
      const { public_key } = await call<{ public_key: string }>(server, hook, "promote", { grace_seconds: 3_600 });
      assert.notEqual(public_key, first.get(hook.path));
      if (hook === early) knows(early, [public_key]);
    }
    await goOn(receiver);
    await call(server, follows, "undo");
    await goOn(receiver);

    const accepted = await load.stop();
    await waitUntilDrained(servers, site, DRAIN_TIMEOUT_MS);
    await assertDelivered(server, site.hooks, receiver.received, accepted);
    for (const one of servers) assert.doesNotMatch(one.stdout(), /whs[ke]c?_|"level":"error"/);
  });
}

/** As anybody reads it. */
async function currentKey(server: ServerProcess, hook: Hook): Promise<string> {
  const path = `/.well-known/linkme-webhooks-keys.json?webhook_id=${hook.id}`;
  const answer = await server.request<{ keys: { public_key: string; status: string }[] }>("GET", path);
  assert.deepEqual([answer.status, answer.body.keys.map(({ status }) => status)], [200, ["current"]]);
  return answer.body.keys[0]?.public_key ?? "";
}

/** Every event reached every webhook, and none at the cost of a failed delivery. */
async function assertDelivered(server: ServerProcess, hooks: Hook[], received: ReceivedRequest[], events: Set<string>) {
  for (const { id, path } of hooks) {
    const failed = `/api/webhooks/${id}/deliveries?state=failed`;
    const { body } = await server.request<{ items: unknown[] }>("GET", failed, undefined, authorization(server));
    assert.deepEqual(body.items, [], path);
    const sent = received.filter((one) => one.path === path && JSON.parse(one.body.toString()).data.test !== true);
    assert.deepEqual(new Set(sent.map((one) => one.headers["webhook-id"])), events, path);
  }
}

function authorization({ admin_token }: ServerProcess) {
  return { authorization: `Bearer ${admin_token}` };
}

async function call<Body>(server: ServerProcess, hook: Hook, step: string, body?: object): Promise<Body> {
  const path = `/api/webhooks/${hook.id}/secret/${step}`;
  const answer = await server.request<Body>("POST", path, body, authorization(server));
  assert.equal(answer.status, 200, `${step}: ${JSON.stringify(answer.body)}`);
  return answer.body;
}

/** Sends one event after another until it is stopped; answers the ids that were accepted. */
function startLoad(server: ServerProcess, app_id: string) {
  const accepted = new Set<string>();
  let is_stopped = false;
  const sending = (async () => {
    while (!is_stopped) {
      const event = { event: "link.app_open", data: { platform: "web", n: accepted.size } };
      const path = `/api/apps/${app_id}/events`;
      const answer = await server.request<{ accepted: string[] }>("POST", path, event, authorization(server));
      assert.equal(answer.status, 202, JSON.stringify(answer.body));
      for (const id of answer.body.accepted) accepted.add(id);
    }
  })();
  return {
    async stop() {
      is_stopped = true;
      await sending;
      return accepted;
    },
  };
}

/** Every receiver gets so many more requests. */
async function goOn(receiver: Receiver): Promise<void> {
  const count = (path: string) => receiver.received.filter((one) => one.path === path).length;
  const wanted = PATHS.map((path) => ({ path, count: count(path) + STEP_REQUESTS }));
  await receiver.waitFor(() => wanted.every((one) => count(one.path) >= one.count), "events to flow on");
}
