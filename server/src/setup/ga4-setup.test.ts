// Setting Google Analytics up over the API, against a stand-in for Google: a plan first, then all that is missing, once.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { after, test } from "node:test";
import { openApi } from "../../test/support/api.ts";
import { PROPERTY_ID, SERVICE_ACCOUNT, startGoogle } from "../../test/support/vendors/google.ts";
import { DIMENSIONS } from "./ga4-plan.ts";

async function start(changes: Parameters<typeof startGoogle>[0] = {}) {
  const google = await startGoogle(changes);
  after(() => google.close());
  const api = await openApi({ LINKME_EGRESS_ALLOW: "127.0.0.0/8" }, { google: google.addresses });
  const app_id = await api.createApp();
  const setUp = (body: object) =>
    api.call("POST", `/api/apps/${app_id}/ga4/setup`, { service_account: SERVICE_ACCOUNT, ...body });
  return { google, api, app_id, setUp };
}

const statesOf = (body: { steps: { step: string; state: string }[] }) =>
  Object.fromEntries(body.steps.map(({ step, state }) => [step, state]));

test("without a property those are listed that the account can see", async () => {
  const { setUp, google } = await start();
  const { status, body } = await setUp({});
  assert.deepEqual([status, body.ok], [200, false]);
  assert.deepEqual(body.properties, [{ property_id: PROPERTY_ID, name: "Shop", account: "Company" }]);
  assert.deepEqual(google.calls(), ["GET /admin/accountSummaries?pageSize=50"]);
});

test("a dry run shows the plan and writes nothing; then all is made, with a destination, and again nothing is", async () => {
  const { setUp, google, api, app_id } = await start({
    dimensions: ["linkme_event", "other", "linkme_platform"].map((parameterName) => ({
      parameterName,
      scope: "EVENT",
    })),
  });
  const plan = (await setUp({ property_id: PROPERTY_ID })).body;
  assert.equal(plan.ok, true);
  assert.equal(plan.destination_id, null);
  const states = statesOf(plan);
  assert.deepEqual([states["stream"], states["api secret"]], ["exists", "to_do"]);
  assert.equal(states["key event linkme_link_claim"], "to_do");
  assert.equal(Object.keys(states).filter((step) => step.startsWith("dimension")).length, DIMENSIONS.length - 2);
  assert.ok(google.calls().every((call) => call.startsWith("GET ")));

  const done = (await setUp({ property_id: PROPERTY_ID, dry_run: false, acknowledge_user_data_collection: true })).body;
  assert.equal(done.ok, true, JSON.stringify(done));
  const { world } = google;
  assert.deepEqual([world.acknowledged, world.secrets.length, world.key_events.length], [true, 1, 1]);
  assert.deepEqual(world.key_events[0], { eventName: "linkme_link_claim", countingMethod: "ONCE_PER_EVENT" });
  assert.deepEqual(
    DIMENSIONS.filter(({ parameterName }) => !world.dimensions.some((one) => one.parameterName === parameterName)),
    [],
  );
  assert.ok(!JSON.stringify(done).includes("s3cr3t-of-google"), "the secret is in the destination alone");
  const { body: destination } = await api.call("GET", `/api/destinations/${done.destination_id}`);
  assert.deepEqual([destination.type, destination.config.measurement_id], ["ga4", "G-ABC123DEF4"]);
  assert.equal(destination.events.length, 5);

  const writes = google.calls().filter((call) => call.startsWith("POST ")).length;
  const again = await setUp({ property_id: PROPERTY_ID, dry_run: false });
  assert.equal(again.body.destination_id, done.destination_id);
  assert.deepEqual([...new Set(Object.values(statesOf(again.body)))], ["exists"]);
  assert.equal(google.calls().filter((call) => call.startsWith("POST ")).length, writes);
  const { body: list } = await api.call("GET", `/api/apps/${app_id}/destinations`);
  assert.equal(list.items.length, 1);
});

test("a step that fails is told in Google's words, and the others are done", async () => {
  const { setUp, google } = await start();
  google.failNext("customDimensions/", 403);
  const { body } = await setUp({ property_id: PROPERTY_ID, dry_run: false });
  assert.equal(body.ok, false);
  const states = statesOf(body);
  assert.equal(states["api secret"], "failed", "nothing was acknowledged");
  assert.match(JSON.stringify(body.steps), /must be acknowledged first/);
  assert.equal(states["dimension linkme_event"], "done");
  assert.equal(body.destination_id, null);
  assert.ok(body.by_hand.length >= 6);
});

test("of several streams one is to be chosen; one that is not there is none", async () => {
  const stream = (id: number, data: object) => ({
    ...{ name: `properties/${PROPERTY_ID}/dataStreams/${id}`, displayName: `Stream ${id}` },
    ...data,
  });
  const { setUp } = await start({
    streams: [
      stream(1, { webStreamData: { measurementId: "G-ONE1111111" } }),
      stream(2, { iosAppStreamData: { firebaseAppId: "1:2:ios:3ab" } }),
      stream(3, { androidAppStreamData: { firebaseAppId: "1:2:android:3ab" } }),
    ],
  });
  const { body } = await setUp({ property_id: PROPERTY_ID });
  assert.deepEqual([body.ok, body.streams.length], [false, 3], "all pages are read");
  assert.equal((await setUp({ property_id: PROPERTY_ID, stream_id: "4" })).body.ok, false);
  assert.equal((await setUp({ property_id: PROPERTY_ID, stream_id: "2" })).body.ok, true);
});

test("what Google does not take is refused in its words, and no key is ever shown", async () => {
  const { setUp, google, api, app_id } = await start();
  const other = { ...SERVICE_ACCOUNT, client_email: "other@example.com" };
  const strange = await api.call("POST", `/api/apps/${app_id}/ga4/setup`, { service_account: other });
  assert.deepEqual([strange.status, strange.body.details[0].path], [400, "service_account"]);
  for (const private_key of ["no key", "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n"]) {
    const { status, body } = await setUp({ service_account: { ...SERVICE_ACCOUNT, private_key } });
    assert.deepEqual([status, body.details[0].path], [400, "service_account.private_key"]);
    assert.ok(!JSON.stringify(body).includes("nonsense"));
  }
  for (const private_key of [
    generateKeyPairSync("ed25519").privateKey,
    generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
  ].map((key) => key.export({ type: "pkcs8", format: "pem" }).toString())) {
    const { status, body } = await setUp({ service_account: { ...SERVICE_ACCOUNT, private_key } });
    assert.deepEqual([status, body.details[0].path], [400, "service_account.private_key"]);
  }
  const huge = `-----BEGIN PRIVATE KEY-----\n${"A".repeat(12_000)}\n-----END PRIVATE KEY-----\n`;
  assert.equal((await setUp({ service_account: { ...SERVICE_ACCOUNT, private_key: huge } })).status, 400);
  assert.equal((await setUp({ property_id: "1" })).body.details[0].path, "property_id");
  google.failNext("dataStreams", 429);
  assert.equal((await setUp({ property_id: PROPERTY_ID })).status, 429);
  google.failNext("dataStreams", 503);
  assert.equal((await setUp({ property_id: PROPERTY_ID })).status, 503);
  assert.equal((await setUp({ property_id: "x" })).status, 400);
});

test("what has arrived is counted in realtime and in reports, with what that means", async () => {
  for (const [realtime, reports, meaning] of [
    [{}, {}, /Nothing has arrived/],
    [{ linkme_link_click: 3 }, {}, /not in the standard reports yet/],
    [{ linkme_link_click: 3 }, { linkme_link_claim: 2 }, /are in the reports\.$/],
    [{}, { linkme_link_claim: 2 }, /within the last 30 minutes/],
  ] as const) {
    const { api, app_id } = await start({ realtime, reports });
    const body = { service_account: SERVICE_ACCOUNT, property_id: PROPERTY_ID };
    const answer = await api.call("POST", `/api/apps/${app_id}/ga4/arrival`, body);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    assert.match(answer.body.message, meaning);
    assert.deepEqual(answer.body.realtime.length, Object.keys(realtime).length);
    if ("linkme_link_claim" in reports) {
      assert.deepEqual(answer.body.reports, [{ event_name: "linkme_link_claim", count: 2 }]);
    }
  }
});

test("an app that does not exist is not found, before anybody is asked", async () => {
  const { api, google } = await start();
  const answer = await api.call("POST", "/api/apps/nobody/ga4/setup", { service_account: SERVICE_ACCOUNT });
  assert.equal(answer.status, 404);
  assert.deepEqual(google.calls(), []);
});
