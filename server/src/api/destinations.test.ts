// Destinations of vendors over the API: what may be set and is refused, masked secrets, previews and checks that send nothing unasked.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { openApi } from "../../test/support/api.ts";
import { startReceiver } from "../../test/support/receiver.ts";
import { configOf, SECRET } from "../../test/support/vendor-configs.ts";

const receiver = await startReceiver();
after(() => receiver.close());
const api = await openApi({ LINKME_EGRESS_ALLOW: "127.0.0.0/8" });
const app_id = await api.createApp();
const types: { type: string; config_schema: Record<string, unknown> }[] = (
  await api.call("GET", "/api/destination-types")
).body.items;
const VENDORS = types.map(({ type }) => type).filter((type) => type !== "webhook");

function create(type: string, changes: object = {}, config: object = configOf(type, receiver.url)) {
  return api.call("POST", `/api/apps/${app_id}/destinations`, { type, config, events: ["link.click"], ...changes });
}

test("the types are told with a schema in which secrets are marked", () => {
  assert.deepEqual(VENDORS, ["ga4", "posthog", "segment", "amplitude", "mixpanel", "http"]);
  for (const { type, config_schema } of types) assert.match(JSON.stringify(config_schema), /"secret":true/, type);
});

for (const type of VENDORS) {
  test(`${type}: made, shown, changed and deleted, and its secrets are never told`, async () => {
    const made = await create(type, { description: "mine" });
    assert.equal(made.status, 201, JSON.stringify(made.body));
    const { id } = made.body;
    const path = `/api/destinations/${id}`;
    assert.deepEqual([made.body.type, made.body.state, made.body.description], [type, "active", "mine"]);
    const shown = await api.call("GET", path);
    assert.deepEqual({ ...shown.body, health: null }, { ...made.body, health: null });
    const { body: list } = await api.call("GET", `/api/apps/${app_id}/destinations`);
    assert.ok(list.items.some((one: { id: string }) => one.id === id));

    const masked = await api.call("PATCH", path, { config: made.body.config, description: "ours" });
    assert.deepEqual([masked.status, masked.body.config], [200, made.body.config], JSON.stringify(masked.body));
    const again = await api.call("PATCH", path, { config: configOf(type, receiver.url), enabled: false });
    assert.deepEqual([again.status, again.body.state], [200, "off"]);
    const on = await api.call("PATCH", path, { enabled: true, recover: true });
    assert.deepEqual([on.status, on.body.state], [200, "active"], JSON.stringify(on.body));
    const history = await api.call("GET", `${path}/history`);
    assert.ok(history.body.items.length >= 3);
    const stored = JSON.stringify(
      await api.db.query({ kind: "statement", parts: ["select * from destinations"], values: [] }),
    );
    for (const text of [made, shown, list, masked, again, on, history]
      .map((one) => JSON.stringify(one))
      .concat(stored)) {
      assert.ok(!text.includes(SECRET), text);
    }
    assert.equal((await api.call("GET", `/api/webhooks/${id}`)).status, 404, "it is no webhook");
    assert.equal((await api.call("DELETE", path)).status, 204);
    assert.equal((await api.call("GET", path)).status, 404);
  });

  test(`${type}: a preview shows the request and sends nothing; a check says what is well, and a canary is sent at once`, async () => {
    const { id } = (await create(type)).body;
    const before = receiver.received.length;
    const data = {
      link_id: "lnk_1",
      platform: "ios",
      dest_url: "https://shop.example/x?mail=a@example.com",
      cid: "c".repeat(32),
    };
    const event = {
      event: "link.click",
      data,
      id: "019c1363-4b5c-71f1-84b7-8073442bd4c8",
      ts: new Date().toISOString(),
    };
    const preview = await api.call("POST", `/api/destinations/${id}/preview`, { event });
    assert.equal(preview.status, 200, JSON.stringify(preview.body));
    const [request] = preview.body.requests;
    assert.ok(request !== undefined && new URL(request.url).origin === receiver.url, JSON.stringify(preview.body));
    assert.ok(!JSON.stringify(preview.body).includes(SECRET));
    assert.ok(!request.body.includes("a@example.com"), "the query of a target may tell of a person");
    const unsaved = { type, config: configOf(type, receiver.url), event };
    const same = await api.call("POST", `/api/apps/${app_id}/destinations/preview`, unsaved);
    assert.deepEqual(same.body, preview.body);
    const check = await api.call("POST", `/api/destinations/${id}/check`, {});
    assert.deepEqual([check.status, check.body.ok], [200, true], JSON.stringify(check.body));
    assert.equal(receiver.received.length, before, "nothing was sent");
    const canary = await api.call("POST", `/api/destinations/${id}/check`, { canary: true });
    assert.equal(receiver.received.length, before + 1);
    assert.ok(canary.body.steps.some(({ name }: { name: string }) => name === "canary"));
    assert.ok(!JSON.stringify(canary.body).includes(SECRET));
  });

  test(`${type}: a config that is wrong is refused with the field`, async () => {
    for (const [config, path] of [
      [{ ...configOf(type, receiver.url), nonsense: 1 }, "config.nonsense"],
      [{}, /^config\./],
      [7, "config"],
    ] as const) {
      const { status, body } = await create(type, { config });
      assert.equal(status, 400, JSON.stringify(body));
      const [detail] = body.details;
      if (typeof path === "string") assert.equal(detail.path, path);
      else assert.match(detail.path, path);
    }
    const private_network = configOf(type, "http://10.0.0.1");
    const { status, body } = await create(type, {}, private_network);
    assert.deepEqual([status, body.details[0].path.split(".")[0]], [400, "config"], JSON.stringify(body));
  });
}

test("a type that is none, a webhook, and settings that are none are refused in words", async () => {
  for (const [type, message] of [
    ["ga5", /one of ga4, posthog/],
    ["webhook", /webhooks are made with POST/],
  ] as const) {
    const { status, body } = await create(type, {}, {});
    assert.deepEqual([status, body.details[0].path], [400, "type"]);
    assert.match(body.message, message);
  }
  for (const changes of [{ events: [] }, { timeout_ms: 1 }, { url: "https://x.example" }, { ordering: "link" }]) {
    assert.equal((await create("segment", changes)).status, 400, JSON.stringify(changes));
  }
  const missing = await api.call("POST", "/api/apps/nobody/destinations", {
    ...{ type: "segment", config: configOf("segment", receiver.url), events: ["link.click"] },
  });
  assert.equal(missing.status, 404);
});

test("a mask that stands for nothing is refused with its place", async () => {
  const { config } = (await create("mixpanel")).body;
  const { status, body } = await create("mixpanel", { config });
  assert.deepEqual([status, body.details[0].path], [400, "config.username"], JSON.stringify(body));
});

test("a mask is no way to have a secret sent to another host", async () => {
  for (const type of VENDORS.filter((one) => one !== "http")) {
    const { id, config } = (await create(type)).body;
    const patch = (changed: object) => api.call("PATCH", `/api/destinations/${id}`, { config: changed });
    const { status, body } = await patch({ ...config, host: "http://127.0.0.2:9" });
    assert.equal(status, 400, type);
    assert.match(body.details[0].path, /^config\.\w+$/);
    assert.match(body.message, /the stored one was given for the host/);
    assert.equal((await patch({ ...configOf(type, receiver.url), host: "http://127.0.0.2:9" })).status, 200, type);
  }
  const { id, config } = (await create("http")).body;
  const url = config.url.replace(receiver.url, "http://127.0.0.2:9");
  assert.equal((await api.call("PATCH", `/api/destinations/${id}`, { config: { ...config, url } })).status, 400);
});

test("nor is it where no request can be made of a sample: what counts is the host of the settings", async () => {
  const app = { firebase_app_id: "1:2:ios:3ab", api_secret: SECRET, host: receiver.url };
  const ga4 = (await create("ga4", {}, app)).body;
  const moved = { config: { ...ga4.config, host: "http://127.0.0.2:9" } };
  assert.equal((await api.call("PATCH", `/api/destinations/${ga4.id}`, moved)).status, 400);
  const placed = { ...configOf("http", receiver.url), url: `${receiver.url}/u/{{data.user_id}}` };
  const { id, config } = (await create("http", {}, placed)).body;
  const patch = (url: string) => api.call("PATCH", `/api/destinations/${id}`, { config: { ...config, url } });
  assert.equal((await patch("http://127.0.0.2:9/u/{{data.user_id}}")).status, 400);
  assert.equal((await patch(`${receiver.url}/other/{{data.cid}}`)).status, 200, "the same host may have another path");
  for (const url of ["http://169.254.169.254/{{data.user_id}}", "http://10.0.0.1/{{data.user_id}}"]) {
    assert.equal((await create("http", {}, { ...placed, url })).status, 400, url);
  }
});

test("a secret of one's own cuts no other one in two where a request is shown", async () => {
  const body = '{"k":"{{secret.key}}","own":"{{secret.own}}"}';
  for (const own of ["S", "u", SECRET.slice(2, 5), '"S', `"${SECRET.slice(0, 4)}`]) {
    const config = { url: `${receiver.url}/in`, body, secrets: { key: SECRET, own } };
    const preview = await api.call("POST", `/api/apps/${app_id}/destinations/preview`, { type: "http", config });
    assert.equal(preview.status, 200, JSON.stringify(preview.body));
    const shown = JSON.stringify(preview.body.requests);
    for (let at = 0; at + 4 <= SECRET.length; at++) {
      assert.ok(!shown.includes(SECRET.slice(at, at + 4)), `${own}: ${shown}`);
    }
  }
});

test("secrets are bounded, each and together, with the place of what is too long", async () => {
  const secrets = (count: number, chars: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, n) => [`s${n}`, `${n}`.padEnd(chars, "x")]));
  const make = (all: object) => create("http", {}, { url: `${receiver.url}/in`, body: "{}", secrets: all });
  const long = await make(secrets(1, 2_001));
  assert.deepEqual([long.status, long.body.details[0].path], [400, "config.secrets.s0"]);
  assert.equal((await make(secrets(20, 900))).status, 400);
  const made = await make(secrets(8, 2_000));
  assert.deepEqual([made.status, made.body.state_reason], [201, null], "sealed they can be read");
});

test("a secret that a vendor echoes is hidden in every form, also where its answer is cut", async () => {
  const secret = "Zq+7/Kd=and-more";
  const echoes = [secret, encodeURIComponent(secret), secret.replaceAll("/", "\\/"), `${"x".repeat(270)}${secret}`];
  const echoing = await startReceiver(() => ({ status: 400, body: `{"error":"${echoes.shift() ?? ""}"}` }));
  after(() => echoing.close());
  const { id } = (await create("amplitude", {}, { api_key: secret, host: echoing.url })).body;
  while (echoes.length > 0) {
    const { body } = await api.call("POST", `/api/destinations/${id}/check`, { canary: true });
    assert.doesNotMatch(JSON.stringify(body), /Zq\+7|7%2FKd|Zq%2B7|and-more|Kd=an/);
  }
});
