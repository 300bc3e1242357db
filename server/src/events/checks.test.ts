// Checks from the API to a real receiver and back, on both engines where something could be stored.
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { Webhook as Verifier } from "standardwebhooks";
import { CheckAnswer } from "#contract/checks.ts";
import { SecretCheck } from "#contract/secrets.ts";
import { verifyLinkMeWebhookSignature as verify, verifyLinkMeWebhookEd25519 } from "../../../sdk/node/src/index.ts";
import { type Answer, openApi, type TestApi } from "../../test/support/api.ts";
import { forEachEngine } from "../../test/support/engines.ts";
import { type Answerer, type ReceivedRequest, startReceiver } from "../../test/support/receiver.ts";
import { findClosedPort, listenTls } from "../../test/support/receivers.ts";
import { untrusted_pair } from "../../test/support/tls-keys.ts";
import { APP_CHECKS_MAX, CHECKS_MAX } from "./checks.ts";

const SECRET = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
const ALLOWED = { LINKME_EGRESS_ALLOW: "127.0.0.0/8" };

async function listen(t: TestContext, answer?: Answerer) {
  const receiver = await startReceiver(answer);
  t.after(() => receiver.close());
  return receiver;
}

/** What a developer writes: LinkMe's own header, over the raw bytes. */
const accepting =
  (...secrets: string[]): Answerer =>
  ({ headers, body }) => ({ status: verify(body, one(headers["x-linkme-signature"]), secrets) ? 204 : 401 });

function one(header: string | string[] | undefined): string {
  return typeof header === "string" ? header : "";
}

const signatureOf = ({ headers }: ReceivedRequest) => one(headers["x-linkme-signature"]);

async function check(api: TestApi, body: object, app_id?: string) {
  const answer = await api.call("POST", `/api/apps/${app_id ?? (await api.createApp())}/webhooks/check`, body);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return CheckAnswer.strict().parse(answer.body);
}

const levels = ({ findings }: { findings: { level: string }[] }) => findings.map(({ level }) => level);

async function makeWebhook(api: TestApi, app_id: string, settings: object) {
  const answer = await api.call("POST", `/api/apps/${app_id}/webhooks`, { events: ["link.claim"], ...settings });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  const path = `/api/webhooks/${answer.body.id}`;
  const call = (method: string, rest: string, body?: object): Promise<Answer> => api.call(method, path + rest, body);
  return { secret: answer.body.signing_secret as string, call };
}

forEachEngine((engine) => {
  test("a receiver that verifies passes with a secret it knows, and nothing of the check is stored", async (t) => {
    const api = await openApi({ ...ALLOWED, DATABASE_URL: await engine.address() });
    const app_id = await api.createApp();
    const receiver = await listen(t, accepting(SECRET));
    const request = { url: `${receiver.url}/in`, event: "link.claim", headers: { "X-Tenant": "42" }, secret: SECRET };
    const answer = await check(api, { ...request, forged: true }, app_id);
    assert.equal(answer.ok, true);
    assert.deepEqual([answer.signed.status_code, answer.signed.outcome, answer.signed.error], [204, "accepted", null]);
    assert.deepEqual([answer.forged?.status_code, answer.forged?.outcome], [401, "refused"]);
    assert.deepEqual([levels(answer), answer.signing_secret], [["info"], SECRET]);
    const [genuine, forged, ...more] = receiver.received;
    assert.ok(genuine && forged && more.length === 0);
    assert.deepEqual([genuine.method, genuine.path, genuine.headers["x-tenant"]], ["POST", "/in", "42"]);
    const envelope = JSON.parse(genuine.body.toString());
    assert.deepEqual([envelope.id, envelope.event, envelope.app_id], [answer.event_id, "link.claim", app_id]);
    assert.equal(envelope.data.test, true);
    assert.deepEqual(forged.body, genuine.body);
    assert.equal(forged.headers["webhook-id"], genuine.headers["webhook-id"]);
    assert.notEqual(signatureOf(forged), signatureOf(genuine));
    new Verifier(SECRET).verify(genuine.body, genuine.headers as Record<string, string>);
    assert.throws(() => new Verifier(SECRET).verify(forged.body, forged.headers as Record<string, string>));
    for (const list of ["webhooks", "events"]) {
      assert.deepEqual((await api.call("GET", `/api/apps/${app_id}/${list}`)).body.items, [], list);
    }
    assert.equal((await api.call("GET", `/api/events/${answer.event_id}`)).status, 404);
  });

  test("a staged secret is tried out at once, even while the webhook is off, and leaves no delivery", async (t) => {
    const api = await openApi({ ...ALLOWED, DATABASE_URL: await engine.address() });
    const app_id = await api.createApp();
    const receiver = await listen(t);
    const settings = { url: receiver.url, headers: { "X-Key": "topsecret" }, enabled: false };
    const { secret, call } = await makeWebhook(api, app_id, settings);
    const { next_secret } = (await call("POST", "/secret/rotate")).body;
    receiver.setAnswer(accepting(next_secret));
    const answer = await call("POST", "/secret/check");
    const passed = SecretCheck.strict().parse(answer.body);
    assert.deepEqual([answer.status, passed.ok, passed.status_code, passed.outcome], [200, true, 204, "accepted"]);
    assert.equal(typeof passed.timings_ms.connect, "number");
    const [sent] = receiver.received;
    assert.ok(sent);
    assert.ok(verify(sent.body, signatureOf(sent), next_secret) && !verify(sent.body, signatureOf(sent), secret));
    assert.equal(sent.headers["x-linkme-signature-previous"], undefined);
    assert.equal(one(sent.headers["webhook-signature"]).split(" ").length, 2);
    for (const known of [secret, next_secret]) {
      new Verifier(known).verify(sent.body, sent.headers as Record<string, string>);
    }
    const { id, event, data } = JSON.parse(sent.body.toString());
    assert.deepEqual([id, event, data.test], [passed.event_id, "link.claim", true]);
    assert.equal(sent.headers["x-key"], "topsecret");
    assert.deepEqual((await call("GET", "/deliveries")).body.items, []);

    receiver.setAnswer(accepting(secret));
    const failed = SecretCheck.parse((await call("POST", "/secret/check")).body);
    assert.deepEqual([failed.ok, failed.status_code, failed.outcome], [false, 401, "refused"]);
    assert.match(failed.error ?? "", /answered 401/);
    assert.deepEqual((await call("GET", "/secret")).body, { signing_secret: secret, next_secret });
  });
});

const api = await openApi(ALLOWED);

test("there is nothing to check without a staged secret, or with signing off", async (t) => {
  const receiver = await listen(t);
  const { call } = await makeWebhook(api, await api.createApp(), { url: receiver.url });
  for (const prepare of [
    () => call("GET", ""),
    async () => {
      await call("POST", "/secret/rotate");
      await call("PATCH", "", { signing: false });
    },
  ]) {
    await prepare();
    const { status, body } = await call("POST", "/secret/check");
    assert.deepEqual([status, body.error], [409, "conflict"]);
  }
  assert.equal(receiver.received.length, 0);
});

test("a receiver that is down, or answers 410, fails the check of a staged secret and leaves the webhook as it is", async (t) => {
  const receiver = await listen(t, () => ({ status: 410 }));
  const url = `http://127.0.0.1:${await findClosedPort()}/`;
  const { call } = await makeWebhook(api, await api.createApp(), { url });
  await call("POST", "/secret/rotate");
  const down = (await call("POST", "/secret/check")).body;
  assert.deepEqual([down.ok, down.status_code, down.outcome], [false, null, "unreachable"]);
  assert.match(down.error, /^Connection refused by 127\.0\.0\.1/);
  await call("PATCH", "", { url: receiver.url });
  const gone = (await call("POST", "/secret/check")).body;
  assert.deepEqual(
    [gone.ok, gone.status_code, gone.error],
    [false, 410, "The receiver answered 410: it wants no more events"],
  );
  assert.equal((await call("GET", "")).body.state, "active");
  assert.equal((await call("GET", "")).body.health.consecutive_failures, 0);
});

test("a temporary secret is in the answer, signs what was sent, and is another one each time", async (t) => {
  const receiver = await listen(t);
  const first = await check(api, { url: receiver.url });
  const second = await check(api, { url: receiver.url });
  assert.notEqual(first.signing_secret, second.signing_secret);
  assert.deepEqual([first.ok, first.forged], [true, null]);
  for (const [index, { signing_secret }] of [first, second].entries()) {
    const sent = receiver.received[index] ?? assert.fail();
    assert.ok(verify(sent.body, signatureOf(sent), signing_secret));
  }
  assert.equal(JSON.parse(String(receiver.received[0]?.body)).event, "link.click");
});

test("a receiver that accepts a wrong signature fails, however well it takes the right one", async (t) => {
  const receiver = await listen(t);
  const answer = await check(api, { url: receiver.url, forged: true });
  assert.deepEqual([answer.ok, answer.signed.status_code, answer.forged?.status_code], [false, 200, 200]);
  assert.equal(answer.findings[0]?.level, "error");
  assert.match(answer.findings[0]?.message ?? "", /wrong signature/);
});

test("a receiver that refuses the right signature fails, and is told how it can know the secret", async (t) => {
  const receiver = await listen(t, accepting(SECRET));
  const answer = await check(api, { url: receiver.url, forged: true });
  assert.deepEqual([answer.ok, answer.signed.status_code, answer.forged?.status_code], [false, 401, 401]);
  assert.match(answer.findings[0]?.fix ?? "", /signing_secret of this answer/);
});

for (const { title, answer, status_code, message } of [
  {
    title: "redirects",
    answer: { status: 301, headers: { location: "/new" } },
    status_code: 301,
    message: /redirect to another path/,
  },
  { title: "knows no such path", answer: { status: 404 }, status_code: 404, message: /nothing at this URL/ },
  { title: "fails", answer: { status: 500 }, status_code: 500, message: /failed on its side/ },
  { title: "wants no events", answer: { status: 410 }, status_code: 410, message: /wants no more events/ },
  { title: "hangs up", answer: "reset" as const, status_code: null, message: /reset the connection/ },
  {
    title: "is silent",
    answer: "hang" as const,
    status_code: null,
    message: /no response headers \(timeout of 1000 ms/,
  },
]) {
  test(`a receiver that ${title} is told so`, async (t) => {
    const receiver = await listen(t, () => answer);
    const checked = await check(api, { url: receiver.url, timeout_ms: 1_000, forged: true });
    assert.deepEqual([checked.ok, checked.signed.status_code], [false, status_code]);
    assert.match(checked.findings[0]?.message ?? "", message);
    assert.match(checked.signed.error ?? "", message);
    // Without an answer to the first, the second is not sent.
    assert.equal(checked.forged?.status_code ?? null, status_code);
    assert.equal(receiver.received.length, status_code === null ? 1 : 2);
  });
}

test("a refused connection and a certificate that nobody trusts are told apart", async (t) => {
  const closed = await check(api, { url: `http://127.0.0.1:${await findClosedPort()}/` });
  assert.match(closed.findings[0]?.message ?? "", /^Connection refused by 127\.0\.0\.1/);
  const port = await listenTls(t, untrusted_pair, () => assert.fail("nothing may be sent"));
  const untrusted = await check(api, { url: `https://127.0.0.1:${port}/` });
  assert.match(untrusted.findings[0]?.message ?? "", /self-signed certificate/);
  assert.deepEqual([untrusted.ok, untrusted.signed.outcome], [false, "unreachable"]);
});

test("what a receiver echoes of the headers is hidden in the answer", async (t) => {
  const receiver = await listen(t, ({ headers }) => ({ body: JSON.stringify(headers) }));
  const headers = { Authorization: "Bearer abcdefgh-12345678" };
  const answer = await check(api, { url: receiver.url, headers, forged: true });
  assert.equal(receiver.received[0]?.headers.authorization, headers.Authorization);
  for (const tried of [answer.signed, answer.forged]) assert.match(tried?.response_snippet ?? "", /••••/);
  assert.ok(!JSON.stringify(answer).includes("abcdefgh"));
});

test("an app that is not the key's, or does not exist, is not found, and nothing is sent", async (t) => {
  const receiver = await listen(t);
  const token = await api.createKey(await api.createApp());
  for (const [app_id, options] of [
    [await api.createApp(), { token }],
    ["app_none", {}],
  ] as const) {
    const answer = await api.call("POST", `/api/apps/${app_id}/webhooks/check`, { url: receiver.url }, options);
    assert.equal(answer.status, 404);
  }
  assert.equal(receiver.received.length, 0);
});

test("so many checks run at a time and no more, of one app a part of them; the next one is asked to come again", async (t) => {
  const release = Promise.withResolvers<object>();
  const receiver = await listen(t, () => release.promise);
  const app_ids: string[] = [];
  while (app_ids.length * APP_CHECKS_MAX < CHECKS_MAX) app_ids.push(await api.createApp());
  const start = (app_id: string) =>
    Array.from({ length: APP_CHECKS_MAX }, () => check(api, { url: receiver.url }, app_id));
  const [first = "", ...others] = app_ids;
  const running = start(first);
  await receiver.waitFor(APP_CHECKS_MAX);
  const refuse = async (app_id: string, message: RegExp) => {
    const busy = await api.call("POST", `/api/apps/${app_id}/webhooks/check`, { url: receiver.url });
    assert.deepEqual([busy.status, busy.body.error], [503, "temporarily_unavailable"]);
    assert.match(busy.body.message, message);
    assert.ok(Number(busy.headers["retry-after"]) > 0);
  };
  await refuse(first, /^8 checks of this app are under way/);
  running.push(...others.flatMap(start));
  await receiver.waitFor(CHECKS_MAX);
  await refuse(await api.createApp(), /^32 checks are under way/);
  release.resolve({});
  for (const { ok } of await Promise.all(running)) assert.equal(ok, true);
  assert.equal((await check(api, { url: receiver.url }, first)).ok, true);
});

test("a receiver that verifies a public key passes once it knows the one of an earlier check", async (t) => {
  const api = await openApi(ALLOWED);
  let known = `whpk_${Buffer.alloc(32, 1).toString("base64")}`;
  const receiver = await listen(t, ({ headers, body }) => ({
    status: verifyLinkMeWebhookEd25519(body, headers, known) ? 204 : 401,
  }));
  const request = { url: receiver.url, signature_scheme: "ed25519", forged: true };
  const first = await check(api, request);
  assert.deepEqual([first.ok, first.signed.status_code], [false, 401]);
  assert.match(first.findings[0]?.fix ?? "", /public_key.*private_key/);
  known = first.public_key ?? "";
  const second = await check(api, { ...request, private_key: first.private_key });
  assert.deepEqual([second.ok, second.signed.status_code, second.forged?.status_code], [true, 204, 401]);
  assert.equal(second.public_key, first.public_key);
});

for (const [private_key, signature_scheme] of [
  ["whsk_AAAA", "ed25519"],
  [`whpk_${"A".repeat(43)}=`, "ed25519"],
  [`whsk_${"A".repeat(43)}=`, undefined],
  [`whsk_${"A".repeat(43)}=`, "hmac"],
]) {
  test(`a check refuses the private key ${private_key} with the scheme ${signature_scheme}`, async () => {
    const api = await openApi(ALLOWED);
    const url = `/api/apps/${await api.createApp()}/webhooks/check`;
    const answer = await api.call("POST", url, { url: "http://127.0.0.1:9/", private_key, signature_scheme });
    assert.deepEqual([answer.status, answer.body.details[0].path], [400, "private_key"]);
  });
}
