// Operator notices over the API: the operator's alone, with what became of each on every way out.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { Webhook } from "standardwebhooks";
import { Notice, NoticesPage } from "#contract/notices.ts";
import { verifyLinkMeWebhookSignature } from "../../../sdk/node/src/index.ts";
import { openApi } from "../../test/support/api.ts";
import { startMailServer } from "../../test/support/mail-server.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { waitUntil } from "../../test/support/wait.ts";

const receiver = await startReceiver();
const mails = await startMailServer();
after(() => Promise.all([receiver.close(), mails.close()]));
const FULL = {
  LINKME_EGRESS_ALLOW: "127.0.0.0/8",
  LINKME_OPERATOR_WEBHOOK_URL: `${receiver.url}/ops`,
  LINKME_SMTP_URL: `smtp://127.0.0.1:${mails.port}`,
  LINKME_SMTP_FROM: "linkme@example.com",
  LINKME_SMTP_TO: "ops@example.com",
};

test("a test notice leaves on every way, signed and readable, and the answer says what became of it", async () => {
  const api = await openApi(FULL);
  const answer = await api.call("POST", "/api/notices/test");
  assert.equal(answer.status, 200);
  const notice = Notice.parse(answer.body);
  assert.deepEqual(
    notice.channels.map(({ channel, state, error }) => [channel, state, error]),
    [
      ["log", "sent", null],
      ["webhook", "sent", null],
      ["mail", "sent", null],
    ],
  );
  const { signing_secret } = (await api.call("GET", "/api/notices/secret")).body;
  const [request] = receiver.received.splice(0);
  assert.ok(request !== undefined && request.path === "/ops");
  assert.ok(verifyLinkMeWebhookSignature(request.body, String(request.headers["x-linkme-signature"]), signing_secret));
  const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
  new Webhook(signing_secret).verify(request.body.toString(), headers);
  assert.deepEqual([request.headers["webhook-id"], request.headers["x-linkme-attempt"]], [notice.id, "1"]);
  const body = JSON.parse(request.body.toString());
  assert.deepEqual([body.id, body.event, body.ts], [notice.id, "notice.test", notice.ts]);
  const [mail] = mails.received.splice(0);
  assert.equal(mail?.subject, "[LinkMe] Test notice");
  assert.ok(mail?.text.includes("there is nothing to be done"));
  assert.ok(!mail?.source.includes(signing_secret));
  assert.deepEqual((await api.call("GET", "/api/notices")).body.items, [answer.body]);
});

test("what is not set up is off and says how it would be; what does not work says why", async () => {
  const bare = await openApi();
  const off = Notice.parse((await bare.call("POST", "/api/notices/test")).body);
  assert.deepEqual(
    off.channels.map(({ state }) => state),
    ["sent", "off", "off"],
  );
  assert.match(off.channels[1]?.error ?? "", /LINKME_OPERATOR_WEBHOOK_URL/);
  assert.match(off.channels[2]?.error ?? "", /LINKME_SMTP_URL/);

  const gone = await startReceiver();
  await gone.close();
  const env = { ...FULL, LINKME_OPERATOR_WEBHOOK_URL: gone.url, LINKME_SMTP_URL: gone.url.replace("http", "smtp") };
  const api = await openApi(env);
  const failed = Notice.parse((await api.call("POST", "/api/notices/test")).body);
  assert.deepEqual(
    failed.channels.map(({ state }) => state),
    ["sent", "failed", "failed"],
  );
  for (const { error } of failed.channels.slice(1)) assert.match(error ?? "", /refused|ECONNREFUSED/);
});

test("the secret is the one that is set, else one that every process with the same seal key has", async () => {
  const secret = `whsec_${Buffer.alloc(32, 5).toString("base64")}`;
  const api = await openApi({ ...FULL, LINKME_OPERATOR_WEBHOOK_SECRET: secret });
  assert.deepEqual((await api.call("GET", "/api/notices/secret")).body, { signing_secret: secret });
  const derived = (await (await openApi(FULL)).call("GET", "/api/notices/secret")).body.signing_secret;
  assert.match(derived, /^whsec_[A-Za-z0-9+/]{43}=$/);
});

test("notices come newest first, in pages", async () => {
  const api = await openApi();
  const ids: string[] = [];
  for (let n = 0; n < 5; n++) ids.unshift((await api.call("POST", "/api/notices/test")).body.id);
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const query: string = cursor === null ? "" : `&cursor=${cursor}`;
    const page = NoticesPage.parse((await api.call("GET", `/api/notices?limit=2${query}`)).body);
    seen.push(...page.items.map(({ id }) => id));
    cursor = page.next_cursor;
  } while (cursor !== null);
  assert.deepEqual(seen, ids);
});

test("one test at a time, and only the operator's", async () => {
  const slow = await startReceiver(() => "hang");
  after(() => slow.close());
  const api = await openApi({ LINKME_EGRESS_ALLOW: "127.0.0.0/8", LINKME_OPERATOR_WEBHOOK_URL: slow.url });
  const first = api.call("POST", "/api/notices/test");
  await waitUntil(() => slow.received.length === 1, "the test to be under way");
  assert.equal((await api.call("POST", "/api/notices/test")).body.error, "rate_limited");
  await slow.close();
  assert.equal((await first).status, 200);
  const key = await api.createKey(await api.createApp(), { can_write: true });
  for (const [method, path] of [
    ["GET", ""],
    ["POST", "/test"],
    ["GET", "/secret"],
  ] as const) {
    assert.equal((await api.call(method, `/api/notices${path}`, undefined, { token: key })).body.error, "forbidden");
  }
});
