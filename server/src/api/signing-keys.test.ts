// The document of public keys over HTTP: for anybody, on any host, with what caches need.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SIGNING_KEYS_PATH, SigningKeys } from "#contract/signing-keys.ts";
import { type Answer, openApi } from "../../test/support/api.ts";

const api = await openApi();

async function create(settings: object): Promise<Answer["body"]> {
  const url = `/api/apps/${await api.createApp()}/webhooks`;
  const answer = await api.call("POST", url, { url: "https://1.1.1.1/in", events: ["link.click"], ...settings });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  return answer.body;
}

const read = (query = "", headers: Record<string, string> = {}) =>
  api.call("GET", SIGNING_KEYS_PATH + query, undefined, { token: null, headers });

test("anybody reads it, from any origin and on any host, and may keep it for five minutes", async () => {
  const { id, public_key } = await create({ signature_scheme: "ed25519" });
  for (const host of ["localhost", "go.customer.example", "10.0.0.1:8080"]) {
    const answer = await read(`?webhook_id=${id}`, { host, origin: "https://elsewhere.example" });
    assert.equal(answer.status, 200, host);
    SigningKeys.parse(answer.body);
    assert.deepEqual(
      answer.body.keys.map((key: { public_key: string }) => key.public_key),
      [public_key],
    );
    assert.equal(answer.headers["cache-control"], "public, max-age=300");
    assert.equal(answer.headers["access-control-allow-origin"], "*");
    assert.match(String(answer.headers["content-type"]), /^application\/json/);
  }
  const all = await read("?cache_buster=1");
  assert.ok(all.body.keys.some((key: { webhook_id: string }) => key.webhook_id === id));
});

test("who has it already gets 304 without a body", async () => {
  const { id } = await create({ signature_scheme: "ed25519" });
  const { etag } = (await read(`?webhook_id=${id}`)).headers;
  for (const known of [String(etag), `W/${etag}`, `"other", ${etag}`, "*"]) {
    const answer = await read(`?webhook_id=${id}`, { "if-none-match": known });
    assert.deepEqual([answer.status, answer.headers["etag"]], [304, etag], known);
  }
  assert.equal((await read(`?webhook_id=${id}`, { "if-none-match": '"other"' })).status, 200);
  await api.call("POST", `/api/webhooks/${id}/secret/rotate`);
  assert.equal((await read(`?webhook_id=${id}`, { "if-none-match": String(etag) })).status, 200);
});

test("a webhook without keys is answered like one that does not exist", async () => {
  const { id } = await create({});
  const [without, unknown] = [await read(`?webhook_id=${id}`), await read("?webhook_id=dst_none")];
  assert.deepEqual([without.status, without.body], [200, { keys: [] }]);
  assert.deepEqual(unknown.body, without.body);
});

for (const query of ["?webhook_id=", `?webhook_id=${"a".repeat(101)}`, "?webhook_id=a&webhook_id=b"]) {
  test(`${query.slice(0, 40)} is refused by its field, and not to be kept`, async () => {
    const { status, body, headers } = await read(query);
    assert.deepEqual([status, body.details[0].path], [400, "webhook_id"]);
    assert.equal(headers["cache-control"], "no-store");
  });
}

for (const scheme of ["rsa", "", null, true]) {
  test(`the scheme ${JSON.stringify(scheme)} is refused`, async () => {
    const url = `/api/apps/${await api.createApp()}/webhooks`;
    const body = { url: "https://1.1.1.1/in", events: ["link.click"], signature_scheme: scheme };
    const answer = await api.call("POST", url, body);
    assert.deepEqual([answer.status, answer.body.details[0].path], [400, "signature_scheme"]);
    assert.match(answer.body.details[0].message, /one of hmac, ed25519/);
  });
}
