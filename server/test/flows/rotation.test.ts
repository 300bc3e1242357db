// A secret is rotated while events flow, and no receiver that follows the contract misses one: not one that knows both
// secrets, not one that is late and knows the old one alone, not one that verifies by Standard Webhooks, be it two rotations
// behind. Every webhook has one attempt for each event, so a single signature that does not fit is a failed delivery.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { Webhook as Verifier } from "standardwebhooks";
import { verifyLinkMeWebhookSignature as verify } from "../../../sdk/node/src/index.ts";
import { waitUntilDrained } from "../support/drain.ts";
import { type ReceivedRequest, type Receiver, startReceiver } from "../support/receiver.ts";
import type { ServerProcess } from "../support/server-process.ts";
import { createSite, type Hook } from "../support/site.ts";
import { startOnEngine } from "../support/together.ts";

const SENDERS = 3;
/** Requests that each receiver gets between two steps of the rotation. */
const STEP_REQUESTS = 25;
const DRAIN_TIMEOUT_MS = 60_000;
const PYTHON_SDK = join(import.meta.dirname, "..", "..", "..", "sdk", "python");

const header = ({ headers }: ReceivedRequest, name: string) => String(headers[name] ?? "");

/** A check sends a sample, which is no delivery. */
const isCheck = ({ body }: ReceivedRequest) => JSON.parse(body.toString()).data.test === true;

/** What each receiver accepts; `known` are the secrets that it was deployed with. */
const READERS: Record<string, (request: ReceivedRequest, known: string[]) => boolean> = {
  "/both": (request, known) => verify(request.body, header(request, "x-linkme-signature"), known),
  "/late": (request, known) =>
    ["x-linkme-signature", "x-linkme-signature-previous"].some((name) =>
      verify(request.body, header(request, name), known),
    ),
  "/standard": ({ headers, body }, known) =>
    known.some((secret) => {
      try {
        new Verifier(secret).verify(body, headers as Record<string, string>);
        return true;
      } catch {
        // How the library says that no signature fits.
        return false;
      }
    }),
};

for (const engine of ["sqlite", "postgres"] as const) {
  test(`a rotation under load fails no delivery, on ${engine}`, async (t) => {
    const servers = await startOnEngine(t, engine);
    const [server] = servers;
    const known = new Map<string, string[]>();
    const receiver = await startReceiver((request) => {
      const reads = READERS[request.path];
      return { status: reads?.(request, known.get(request.path) ?? []) === true ? 204 : 401 };
    });
    t.after(() => receiver.close());
    const plans = Object.keys(READERS).map((path) => ({ path, settings: { retry_schedule: [] } }));
    const site = await createSite(server, receiver.url, plans);
    for (const { path, secret } of site.hooks) known.set(path, [secret]);
    const load = startLoad(server, site.app_id);
    t.after(load.stop);

    const next = new Map<string, string>();
    await goOn(receiver);
    for (const hook of site.hooks) {
      const { next_secret } = await call<{ next_secret: string }>(server, hook, "rotate");
      next.set(hook.path, next_secret);
    }
    await goOn(receiver);
    const [both, late, standard] = site.hooks;
    assert.ok(both && late && standard);
    known.set(both.path, [both.secret, next.get(both.path) ?? ""]);
    assert.equal((await call<{ ok: boolean }>(server, both, "check")).ok, true);
    for (const hook of site.hooks) await call(server, hook, "promote", { grace_seconds: 3_600 });
    const signedByNew = ({ path, body, headers }: ReceivedRequest) =>
      verify(body, String(headers["x-linkme-signature"]), next.get(path) ?? "-");
    await receiver.waitFor(
      (received) => site.hooks.every(({ path }) => received.some((one) => one.path === path && signedByNew(one))),
      "requests that the promoted secrets signed",
    );
    await goOn(receiver);
    known.set(late.path, [late.secret, next.get(late.path) ?? ""]);
    known.set(standard.path, [next.get(standard.path) ?? ""]);
    await goOn(receiver);
    assert.deepEqual(await call(server, both, "undo"), { signing_secret: both.secret });
    await goOn(receiver);
    await call(server, both, "promote", { grace_seconds: 3_600 });
    await goOn(receiver);
    // Two promotions behind, within the grace period of the first.
    known.set(standard.path, [standard.secret]);
    await call(server, standard, "rotate");
    await call(server, standard, "promote", { grace_seconds: 60 });
    await goOn(receiver);

    const accepted = await load.stop();
    await waitUntilDrained(servers, site, DRAIN_TIMEOUT_MS);
    await assertDelivered(server, site.hooks, receiver.received, accepted);
    const graceful = receiver.received.filter((one) => one.headers["x-linkme-signature-previous"] !== undefined);
    assert.ok(graceful.length > STEP_REQUESTS);
    assertPythonVerifies(graceful.slice(0, STEP_REQUESTS), site.hooks, next);
    for (const one of servers) assert.doesNotMatch(one.stdout(), /whsec_|"level":"error"/);
    t.diagnostic(`${accepted.size} events, ${receiver.received.length} requests, ${graceful.length} in a grace period`);
  });
}

/** Every event reached every webhook, and none at the cost of a failed delivery. */
async function assertDelivered(server: ServerProcess, hooks: Hook[], received: ReceivedRequest[], events: Set<string>) {
  for (const { id, path } of hooks) {
    const failed = `/api/webhooks/${id}/deliveries?state=failed`;
    const { body } = await server.request<{ items: unknown[] }>("GET", failed, undefined, authorization(server));
    assert.deepEqual(body.items, [], path);
    const sent = received.filter((one) => one.path === path && !isCheck(one));
    assert.deepEqual(new Set(sent.map((one) => header(one, "webhook-id"))), events, path);
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

/** Sends events, some at a time, until it is stopped; answers the ids that were accepted. */
function startLoad(server: ServerProcess, app_id: string) {
  const accepted = new Set<string>();
  let is_stopped = false;
  const sending = Array.from({ length: SENDERS }, async () => {
    while (!is_stopped) {
      const event = { event: "link.app_open", data: { platform: "web", n: accepted.size } };
      const path = `/api/apps/${app_id}/events`;
      const answer = await server.request<{ accepted: string[] }>("POST", path, event, authorization(server));
      assert.equal(answer.status, 202, JSON.stringify(answer.body));
      for (const id of answer.body.accepted) accepted.add(id);
    }
  });
  return {
    async stop() {
      is_stopped = true;
      await Promise.all(sending);
      return accepted;
    },
  };
}

/** Every receiver gets so many more requests. */
async function goOn(receiver: Receiver): Promise<void> {
  const count = (path: string) => receiver.received.filter((one) => one.path === path).length;
  const wanted = Object.keys(READERS).map((path) => ({ path, count: count(path) + STEP_REQUESTS }));
  await receiver.waitFor(() => wanted.every((one) => count(one.path) >= one.count), "events to flow on");
}

const PYTHON = `
import base64, json, sys
from linkme_webhooks import verify_linkme_webhook_signature as verify
for one in json.load(sys.stdin):
    body = base64.b64decode(one["body"])
    assert verify(body, one["current"], one["secrets"]) is True
    assert verify(body, one["previous"], one["secrets"][:1]) is True
    assert verify(body, one["current"], ["whsec_b3RoZXI="]) is False
print("verified")
`;

function assertPythonVerifies(requests: ReceivedRequest[], hooks: Hook[], next: Map<string, string>): void {
  const input = requests.map((request) => ({
    body: request.body.toString("base64"),
    current: header(request, "x-linkme-signature"),
    previous: header(request, "x-linkme-signature-previous"),
    secrets: [hooks.find(({ path }) => path === request.path)?.secret, next.get(request.path)],
  }));
  const env = { PATH: process.env["PATH"] ?? "", PYTHONPATH: PYTHON_SDK, PYTHONDONTWRITEBYTECODE: "1" };
  const { stdout, stderr } = spawnSync("python3", ["-c", PYTHON], { input: JSON.stringify(input), env });
  assert.equal(stdout.toString(), "verified\n", stderr.toString());
}
