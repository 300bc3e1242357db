// Operator notices from real servers over real sockets: they leave although the process is killed before they could, once
// from several processes, and ways out that are dead hold up neither deliveries nor the stop.
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import type { Notice } from "#contract/notices.ts";
import { verifyLinkMeWebhookSignature } from "../../../sdk/node/src/index.ts";
import { openDatabase } from "../../src/platform/database-open.ts";
import { sql } from "../../src/platform/sql.ts";
import { forEachEngine } from "../support/engines.ts";
import { startMailServer } from "../support/mail-server.ts";
import { type Receiver, startReceiver } from "../support/receiver.ts";
import { type ServerProcess, startServer } from "../support/server-process.ts";
import { waitUntil } from "../support/wait.ts";

const SECRET = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;
const MAIL = { LINKME_SMTP_FROM: "linkme@example.com", LINKME_SMTP_TO: "ops@example.com" };

async function open(t: TestContext) {
  const [customer, ops, mails] = await Promise.all([startReceiver(), startReceiver(), startMailServer()]);
  t.after(() => Promise.all([customer.close(), ops.close(), mails.close()]));
  const env = {
    ...MAIL,
    LINKME_OPERATOR_WEBHOOK_URL: `${ops.url}/notices`,
    LINKME_OPERATOR_WEBHOOK_SECRET: SECRET,
    LINKME_SMTP_URL: `smtp://127.0.0.1:${mails.port}`,
    LINKME_ADMIN_TOKEN: "the-operator-of-these-tests",
    LINKME_SEAL_KEY: Buffer.alloc(32, 3).toString("base64"),
  };
  return { customer, ops, mails, env };
}

async function call<Body>(server: ServerProcess, method: string, path: string, body?: unknown): Promise<Body> {
  const answer = await server.request<Body>(method, path, body, { authorization: `Bearer ${server.admin_token}` });
  assert.ok(answer.status < 300, JSON.stringify(answer));
  return answer.body;
}

/** An app whose webhook gets one event. */
async function sendTo(server: ServerProcess, url: string): Promise<string> {
  const app = await call<{ id: string }>(server, "POST", "/api/apps", { name: "Shop" });
  const webhook = await call<{ id: string }>(server, "POST", `/api/apps/${app.id}/webhooks`, {
    url,
    events: ["link.claim"],
  });
  await call(server, "POST", `/api/apps/${app.id}/events`, { event: "link.claim", data: {} });
  return webhook.id;
}

async function listNotices(server: ServerProcess): Promise<Notice[]> {
  return (await call<{ items: Notice[] }>(server, "GET", "/api/notices?limit=100")).items;
}

/** Resolves when nothing is to be sent any more. */
async function untilSent(server: ServerProcess, count: number): Promise<Notice[]> {
  return waitUntil(async () => {
    const notices = await listNotices(server);
    const has_ended = notices.every(({ channels }) =>
      channels.every(({ next_attempt_at }) => next_attempt_at === null),
    );
    return notices.length >= count && has_ended && notices;
  }, `${count} notices to have left`);
}

function assertSigned(ops: Receiver): void {
  for (const { body, headers } of ops.received) {
    assert.ok(verifyLinkMeWebhookSignature(body, String(headers["x-linkme-signature"]), SECRET));
  }
}

forEachEngine((engine) => {
  test("a server that is killed between a change and its notice sends it at its next start", async (t) => {
    const { customer, ops, mails, env } = await open(t);
    customer.setAnswer(() => ({ status: 410 }));
    ops.setAnswer(() => "hang");
    const DATABASE_URL = await engine.address();
    const killed = await startServer({ env: { ...env, DATABASE_URL } });
    const webhook_id = await sendTo(killed, `${customer.url}/hook`);
    await ops.waitFor(1);
    await killed.kill9();

    ops.setAnswer(() => ({}));
    // As if the lease of the one that was killed had run out.
    const db = await openDatabase(DATABASE_URL);
    await db.query(sql`update notice_sends set due_at = 0 where due_at is not null`);
    await db.close();
    const server = await startServer({ dir: killed.dir, env: { ...env, DATABASE_URL } });
    const [notice, ...others] = await untilSent(server, 1);
    assert.deepEqual(others, []);
    assert.deepEqual([notice?.type, notice?.destination_id], ["webhook.disabled", webhook_id]);
    assert.deepEqual(
      notice?.channels.map(({ state }) => state),
      ["sent", "sent", "sent"],
    );
    const bodies = ops.received.map(({ body }) => body.toString());
    assert.deepEqual(bodies, [bodies[0], bodies[0]], "the same bytes as before");
    assert.equal(ops.received[1]?.headers["webhook-id"], notice?.id);
    assert.equal(ops.received[1]?.headers["x-linkme-attempt"], "2");
    assertSigned(ops);
    assert.ok(mails.received.length >= 1, "by mail too");
    assert.equal(mails.received[0]?.subject, `[LinkMe] Webhook disabled: ${webhook_id}`);
    const logs = [killed, server].map((one) => one.stdout()).join("");
    assert.match(logs, /"level":"error","event":"notice","type":"webhook\.disabled"/);
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
  });

  test("dead ways out hold up neither deliveries nor the stop", async (t) => {
    const { customer, ops, env } = await open(t);
    ops.setAnswer(() => "hang");
    // Takes connections and says nothing.
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    t.after(() => void silent.close());
    const address = silent.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const DATABASE_URL = await engine.address();
    const settings = { ...env, DATABASE_URL, LINKME_SMTP_URL: `smtp://127.0.0.1:${port}` };
    const server = await startServer({ env: settings });
    customer.setAnswer(({ path }) => ({ status: path === "/gone" ? 410 : 200 }));
    const connected = new Promise((resolve) => silent.once("connection", resolve));
    await sendTo(server, `${customer.url}/gone`);
    await Promise.all([ops.waitFor(1), connected]);
    await sendTo(server, `${customer.url}/well`);
    await customer.waitFor((received) => received.some(({ path }) => path === "/well"), "the delivery");
    assert.deepEqual(await server.stop(), { code: 0, signal: null });
    assert.match(server.stdout(), /"event":"server\.stopped","drained":true/);

    // What was under way is due again at once.
    ops.setAnswer(() => ({}));
    const next = await startServer({ dir: server.dir, env: { ...env, DATABASE_URL } });
    const [notice] = await untilSent(next, 1);
    assert.deepEqual(
      notice?.channels.map(({ state }) => state),
      ["sent", "sent", "sent"],
    );
    await next.stop();
  });

  if (engine.name === "postgres") {
    test("several processes send each notice once", async (t) => {
      const { customer, ops, mails, env } = await open(t);
      customer.setAnswer(() => ({ status: 410 }));
      const DATABASE_URL = await engine.address();
      const first = await startServer({ env: { ...env, DATABASE_URL } });
      const rest = await Promise.all(
        ["dispatcher", "api"].map((role) => startServer({ role, env: { ...env, DATABASE_URL } })),
      );
      const count = 8;
      for (let n = 0; n < count; n++) await sendTo(first, `${customer.url}/${n}`);
      const notices = await untilSent(first, count);
      assert.equal(notices.length, count);
      const ids = ops.received.map(({ headers }) => String(headers["webhook-id"]));
      assert.deepEqual([...ids].sort(), notices.map(({ id }) => id).sort());
      assertSigned(ops);
      const named = mails.received.flatMap(({ text }) =>
        [...text.matchAll(/^ {2}destination_id: (\S+)/gm)].map((found) => found[1]),
      );
      assert.deepEqual(named.sort(), notices.map(({ destination_id }) => destination_id).sort());
      const servers = [first, ...rest];
      const lines = servers
        .flatMap((one) => one.stdout().split("\n"))
        .filter((line) => line.includes('"event":"notice"'));
      assert.equal(lines.length, count);
      for (const one of servers) assert.deepEqual(await one.stop(), { code: 0, signal: null });
    });
  }
});
